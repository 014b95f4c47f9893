"""Thousands of malformed messages to every protocol of live streams: errors, no traceback, no crash, no growth."""

from __future__ import annotations

import base64
import copy
import json
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from .live import receive, samples, send, session_finals, web_socket
from .running import RunningServer, running
from .wyoming_socket import FORMAT, message, wyoming_socket

REALTIME = "/v1/realtime?intent=transcription"
GROWTH = 60e6
"""bytes, of the server and its worker, which keep what they have allocated once"""

VALUES = [
    None, True, False, 0, -1, 1, 2**31, -(2**63), 10**400, 1.5, -0.0, 1e999, float("nan"), "", "x", "☃", "\0",
    "é" * 300, [], [None], [[[[[]]]]], ["a", 3], {}, {"a": {}}, {"type": "x"}, "AAAA", "16000", [16000],
]  # fmt: skip
VOSK = [
    {"config": {"sample_rate": 16000, "words": 1, "max_alternatives": 2, "phrase_list": ["a b"], "model": "tiny"}},
    {"eof": 1},
    {"reset": 1},
]
REALTIME_MESSAGES = [
    {
        "type": "session.update",
        "event_id": "e",
        "session": {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": {
                        "model": "tiny", "language": "en", "prompt": "x", "keywords": ["a"], "delay": "low"
                    },
                    "turn_detection": {
                        "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500
                    },
                    "noise_reduction": {"type": "near_field"},
                }
            },
            "include": ["item.input_audio_transcription.logprobs"],
        },
    },
    {
        "type": "transcription_session.update",
        "session": {
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": {"model": "whisper-1", "languages": ["en", "de"]},
            "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
        },
    },
    {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(480)).decode()},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
]  # fmt: skip
WYOMING = [
    {"type": "describe"},
    {"type": "ping", "data": {"text": "x"}},
    {
        "type": "transcribe",
        "data": {"name": "tiny", "language": "en", "transcript_names": ["a"], "transcript_terms": []},
    },
    {"type": "audio-start", "data": FORMAT},
    {"type": "audio-chunk", "data": FORMAT, "payload_length": 4},
    {"type": "audio-stop", "data": {}, "data_length": 2},
]


def mutated(message: dict, chance: random.Random) -> str | bytes:
    """A message with some values, names or bytes replaced."""
    value = json.loads(json.dumps(message))
    for _ in range(chance.choice([0, 1, 1, 1, 2])):
        place = value
        while True:
            key = chance.choice(list(place))
            if isinstance(place[key], dict) and place[key] and chance.random() < 0.7:
                place = place[key]
                continue
            match chance.random():
                case x if x < 0.7:
                    place[key] = copy.deepcopy(chance.choice(VALUES))
                case x if x < 0.85:
                    del place[key]
                case _:
                    place[chance.choice(["☃", "x", "type"])] = copy.deepcopy(chance.choice(VALUES))
            break
        if not value:
            break
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.15:
        content = bytearray(text.encode("utf-8", "replace"))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(content) + 1)
            content[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        return bytes(content)
    return text


def vosk_messages(chance: random.Random) -> Iterator[str | bytes]:
    """The messages of a connection."""
    for _ in range(chance.randrange(1, 6)):
        if chance.random() < 0.3:
            yield chance.randbytes(chance.choice([0, 1, 2, 3, 640, 641]))
        else:
            yield mutated(chance.choice(VOSK), chance)


def send_any(connection, content: str | bytes) -> None:
    """Send a message; bytes that are no samples as text, whether they are UTF-8 or not."""
    if isinstance(content, str) or len(content) in (0, 1, 2, 3, 640, 641):
        connection.send(content)
    else:
        connection.socket.sendall(Frame(Opcode.TEXT, content).serialize(mask=True))


def attack_vosk(server: RunningServer, chance: random.Random) -> int:
    """One connection; returns the number of its messages."""
    count = 0
    with suppress(ConnectionClosed, OSError), web_socket(server, "/vosk", close_timeout=1) as connection:
        for content in vosk_messages(chance):
            send_any(connection, content)
            count += 1
        send(connection, eof=1)
        while True:
            assert set(receive(connection)) <= {"partial", "text", "result", "alternatives"}
    return count


def attack_realtime(server: RunningServer, chance: random.Random) -> int:
    """One connection with many messages, each of which is answered; returns their number."""
    count = 0
    with suppress(ConnectionClosed, OSError), web_socket(server, REALTIME, close_timeout=1) as connection:
        assert receive(connection)["type"] == "session.created"
        for count in range(1, 101):  # noqa: B007  # it is returned
            content = mutated(chance.choice(REALTIME_MESSAGES), chance)
            if isinstance(content, bytes) and not is_text(content):
                continue
            connection.send(content if isinstance(content, str) else content.decode())
            connection.send('{"type": "input_audio_buffer.clear", "event_id": "end"}')
            while (answer := receive(connection))["type"] != "input_audio_buffer.cleared":
                if answer["type"] == "error":
                    assert answer["error"]["type"] == "invalid_request_error", answer
    return count


def is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def attack_wyoming(server: RunningServer, chance: random.Random) -> int:
    """One connection; returns the number of its messages."""
    count = 0
    with suppress(OSError), wyoming_socket(server) as client:
        if chance.random() < 0.3:
            client.connection.sendall(message("audio-start", FORMAT))
        for _ in range(chance.randrange(1, 6)):
            content = mutated(chance.choice(WYOMING), chance)
            line = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            client.connection.sendall(line + b"\n" + chance.randbytes(chance.choice([0, 0, 2, 4, 700])))
            count += 1
        client.connection.shutdown(socket.SHUT_WR)
        errors = [one for one in client.receive_all() if one["type"] == "error"]
        assert len(errors) <= 1
        assert all(one["data"]["text"] and one["data"]["code"] for one in errors)
    return count


ATTACKS: dict[str, Callable[[RunningServer, random.Random], int]] = {
    "realtime": attack_realtime,
    "vosk": attack_vosk,
    "wyoming": attack_wyoming,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = ["wyoming_port=0", "limits.streams=8", "limits.stream_idle_seconds=5"]
    with running(tmp_path_factory.mktemp("fuzz"), *settings) as server:
        yield server


def attack(server: RunningServer, protocol: str, messages: int) -> None:
    """Send so many messages; afterwards the server works as before."""
    chance = random.Random(f"{protocol} {messages}")
    ATTACKS[protocol](server, chance)
    before, sent = server.metric("asr_resident_memory_bytes"), 0
    while sent < messages:
        sent += ATTACKS[protocol](server, chance)
    server.waits_for(lambda: server.metric("asr_live_streams") == 0)
    assert server.metric("asr_resident_memory_bytes") < before + GROWTH
    assert server.process.poll() is None
    assert "Traceback" not in "".join(server.log)
    assert server.metric("asr_workers") == 1
    content = samples()[:48_000]
    with web_socket(server, "/vosk") as connection:
        send(connection, config={"sample_rate": 16000})
        connection.send(content.tobytes())
        receive(connection)
        send(connection, eof=1)
        assert receive(connection)["text"] == session_finals(content)[0].text


@pytest.mark.parametrize("protocol", ATTACKS)
def test_hundreds_of_malformed_messages_are_errors_and_nothing_else(server, protocol):
    attack(server, protocol, 300)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("protocol", ATTACKS)
def test_thousands_of_malformed_messages_are_errors_and_nothing_else(server, protocol):
    attack(server, protocol, 4000)
