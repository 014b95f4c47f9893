"""The Wyoming protocol, over real sockets."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest

from asr.settings.decoding import AutoConfig

from ..conftest import SAMPLES
from .live import pieces, samples, session_finals, two_segments
from .running import running
from .wyoming_socket import FORMAT, message, wyoming_socket


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("wyoming"), "wyoming_port=0", "limits.streams=8") as server:
        yield server


def transcribe(client, content: np.ndarray, form=FORMAT, **request) -> list[dict]:
    """The events of a recording."""
    client.send("transcribe", request)
    client.send("audio-start", form)
    for piece in pieces(content, seconds=0.1):
        client.send("audio-chunk", form | {"timestamp": None}, piece)
    client.send("audio-stop", {"timestamp": None})
    found = [client.receive()]
    while found[-1] and found[-1]["type"] not in ("transcript-stop", "error"):
        found.append(client.receive())
    return found


def text_of(events) -> str:
    (text,) = (one["data"]["text"] for one in events if one["type"] == "transcript")
    return text


def test_each_final_text_is_a_chunk_and_the_transcript_is_their_sum(server):
    content = two_segments()
    with wyoming_socket(server) as client:
        for _ in range(2):  # one after the other
            start, *chunks, transcript, stop = transcribe(client, content)
            assert start == {"type": "transcript-start", "data": {"language": "en"}}
            texts = [one.text for one in session_finals(content)]
            assert [one["data"]["text"].strip() for one in chunks] == texts
            assert "".join(one["data"]["text"] for one in chunks) == " ".join(texts)
            assert transcript == {"type": "transcript", "data": {"text": " ".join(texts), "language": "en"}}
            assert stop == {"type": "transcript-stop", "data": {}}


def test_a_chunk_is_sent_while_the_stream_goes_on(server):
    content = two_segments()
    with wyoming_socket(server) as client:
        client.send("audio-start", FORMAT)
        client.send("audio-chunk", FORMAT, content[: len(content) * 2 // 3].tobytes())
        assert client.receive()["type"] == "transcript-start"
        assert client.receive()["data"]["text"] == session_finals(content)[0].text


def test_the_texts_of_samples_are_those_of_a_session(server):
    with wyoming_socket(server) as client:
        for path in sorted(SAMPLES.glob("*.opus"))[1:4]:
            content = samples(path)
            assert text_of(transcribe(client, content)) == " ".join(one.text for one in session_finals(content))


def test_silence_is_an_empty_transcript(server):
    with wyoming_socket(server) as client:
        events = transcribe(client, np.zeros(16_000, "<i2"))
    assert [one["type"] for one in events] == ["transcript-start", "transcript", "transcript-stop"]
    assert text_of(events) == ""


def test_channels_are_mixed_and_wide_samples_are_taken(server):
    content = samples()[:48_000]
    text = session_finals(content)[0].text
    with wyoming_socket(server) as client:
        both = np.stack([content, content], axis=1)
        assert text_of(transcribe(client, both, FORMAT | {"channels": 2})) == text
        wide = content.astype("<i4") << 16
        assert text_of(transcribe(client, wide, FORMAT | {"width": 4})) == text


def test_names_and_terms_are_hot_words(server):
    content = samples()[48_000:96_000]
    wanted = session_finals(content, decoder=AutoConfig(hotwords=["Morality", "Equals"]))[0].text
    assert wanted != session_finals(content)[0].text
    with wyoming_socket(server) as client:
        found = transcribe(client, content, transcript_names=["Morality"], transcript_terms=["Equals", "☃"])
        assert text_of(found) == wanted
        assert text_of(transcribe(client, content)) == session_finals(content)[0].text  # of that request alone


def test_a_client_that_closes_its_sending_end_gets_its_transcript(server):
    content = two_segments()
    with wyoming_socket(server) as client:
        chunks = [message("audio-chunk", FORMAT, piece) for piece in pieces(content, seconds=0.5)]
        client.connection.sendall(b"".join([message("audio-start", FORMAT), *chunks, message("audio-stop")]))
        client.connection.shutdown(socket.SHUT_WR)
        assert text_of(client.receive_all()) == " ".join(one.text for one in session_finals(content))


def test_describe_and_ping_are_answered_also_within_a_stream(server):
    with wyoming_socket(server) as client:
        client.send("audio-start", FORMAT)
        client.connection.sendall(b'{"type": "describe"}\n')
        info = client.receive()
        assert info["type"] == "info"
        (program,) = info["data"]["asr"]
        assert [one["name"] for one in program["models"]] == ["tiny"]
        client.send("ping", {"text": "x"})
        assert client.receive() == {"type": "pong", "data": {"text": "x"}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no JSON"),
        (b"\xff\xfe\n", "no JSON"),
        (b"[" * 60_000 + b"\n", "no JSON"),
        (b" " * 200_000 + b"\n", "at most 65536 bytes"),
        (b"3\n", "must be an object"),
        (b"{}\n", "type is missing"),
        (b'{"type": "ping", "data_length": -1}\n', "data_length must be a number between 0 and"),
        (b'{"type": "ping", "data_length": 1e999}\n', "not inf"),
        (b'{"type": "ping", "data_length": "3"}\n', "data_length must be a number"),
        (b'{"type": "ping", "payload_length": 99999999999}\n', "payload_length must be a number between 0 and"),
        (b'{"type": "ping", "data": 3}\n', "data must be an object"),
        (b'{"type": "ping", "data_length": 3}\nabc', "no JSON"),
        (message("ping", {"text": 3}), "text must be a text"),
        (message("transcribe", {"language": "de"}), "writes en, not 'de'"),
        (message("transcribe", {"name": "other"}), "'other' does not exist"),
        (message("transcribe", {"transcript_names": "a"}), "transcript_names must be a list"),
        (message("audio-start", {}), "must have rate, width and channels"),
        (message("audio-start", FORMAT | {"rate": 0}), "rate must be a number between"),
        (message("audio-start", FORMAT | {"width": 3}), "have 3 bytes"),
        (message("audio-start", FORMAT | {"channels": 1.5}), "channels must be a whole number"),
        (message("audio-start", FORMAT) + message("audio-chunk", FORMAT, b"odd"), "end within one"),
        (message("audio-start", FORMAT) + message("audio-chunk", FORMAT | {"rate": 8000}, b"12"), "stay as they began"),
    ],
)  # fmt: skip
def test_a_malformed_message_is_one_error_and_the_end(server, content, words):
    with wyoming_socket(server) as client:
        client.connection.sendall(content)
        (error,) = client.receive_all()
    assert error["type"] == "error"
    assert words in error["data"]["text"]
    assert error["data"]["code"]
    assert "Traceback" not in "".join(server.log)


def test_messages_of_other_services_are_no_errors(server):
    with wyoming_socket(server) as client:
        client.send("synthesize", {"text": "x"})
        client.send("audio-stop", {})
        client.send("ping", {})
        assert client.receive() == {"type": "pong", "data": {}}


def test_an_address_of_other_machines_is_warned_of(tmp_path):
    with running(tmp_path, "wyoming_port=0", "wyoming_host=0.0.0.0") as server:
        assert "Wyoming has no keys" in "".join(server.log)


def test_without_the_setting_there_is_no_port(tmp_path):
    with running(tmp_path) as server:
        assert "Wyoming" not in "".join(server.log)
        assert json.loads(server.get("/health").body)
