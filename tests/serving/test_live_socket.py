"""`ws /v1/live`, over real sockets: the events of `asr.Session`, and what is refused."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import numpy as np
import pytest

from asr import load_bundle
from asr.audio.load import load_audio
from asr.recognition.session import Session
from asr.recognition.transcriber import Transcriber

from ..conftest import RATE, oracle_module
from .running import SAMPLE, running

KEY = "s3cret/with+signs=in:it"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    oracle_module("websockets")
    folder = tmp_path_factory.mktemp("live")
    (folder / "keys").write_text(f"laptop {KEY}\n")
    with running(folder, f"keys_file={folder / 'keys'}", "limits.stream_idle_seconds=2") as server:
        yield server


@pytest.fixture(scope="module")
def samples():
    """Some seconds of speech and a pause, as 16-bit numbers."""
    speech = load_audio(SAMPLE, sample_rate=RATE)
    return np.concatenate([np.round(speech * 32767), np.zeros(2 * RATE)]).astype("<i2")


@pytest.fixture(scope="module")
def expected(samples):
    return session_events(samples)


def session_events(samples: np.ndarray) -> list[dict]:
    """The events of a session in this process."""
    with Transcriber(load_bundle("tiny"), workers=1) as transcriber:
        session = Session(transcriber)
        events = [*session.push(samples.astype(np.float32) / 32768), *session.finish()]
    return [event.to_json() for event in events]


def connect(server, query="", key=KEY, path="/v1/live"):
    from websockets.sync.client import connect

    protocols = ["asr.live"]
    if key:
        protocols.append(f"asr-key.{base64.urlsafe_b64encode(key.encode()).decode().rstrip('=')}")
    return connect(f"ws://{server.host}:{server.port}{path}{query}", subprotocols=protocols, close_timeout=20)


def events_of(socket) -> list[dict]:
    """All events until the connection closes."""
    from websockets.exceptions import ConnectionClosedError

    events = []
    with suppress(ConnectionClosedError):  # by any code but 1000
        for message in socket:
            events.append(json.loads(message))  # noqa: PERF401 (those before the error count)
    return events


def finals(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] == "final"]


@pytest.mark.parametrize("block", [4000, 12_345])
def test_the_events_are_those_of_a_session(server, samples, expected, block):
    with connect(server, f"?rate={RATE}") as socket:
        assert socket.subprotocol == "asr.live"
        for start in range(0, len(samples), block):
            socket.send(samples[start : start + block].tobytes())
        socket.send('{"type": "end"}')
        assert events_of(socket) == expected
        assert socket.close_code == 1000
    assert finals(expected)


def test_the_first_message_may_have_rate_and_format(server, samples, expected):
    with connect(server) as socket:
        socket.send(json.dumps({"type": "start", "rate": RATE, "format": "f32le"}))
        for start in range(0, len(samples), RATE):
            socket.send((samples[start : start + RATE].astype("<f4") / np.float32(32768)).tobytes())
        socket.send('{"type": "end"}')
        assert events_of(socket) == expected


def test_a_stream_without_samples_ends_without_events(server):
    for messages in (['{"type": "end"}'], ["{}", '{"type": "end"}'], [b"", '{"type": "end"}']):
        with connect(server) as socket:
            for message in messages:
                socket.send(message)
            assert events_of(socket) == []
            assert socket.close_code == 1000


@pytest.mark.parametrize(
    ("query", "message", "said"),
    [
        ("?rate=100", b"\0\0", "rate must be a number between 8000 and 384000"),
        ("?rate=loud", b"\0\0", "rate must be a number"),
        ("?rate=16000.5", b"\0\0", "rate must be a number"),
        ("?format=mp3", b"\0\0", "format must be one of s16le, f32le"),
        ("?bits=16", b"\0\0", "Unknown parameter: 'bits'"),
        ("", '{"rate": []}', "rate must be a number"),
        ("", '{"language": "de"}', "Unknown parameter: 'language'"),
        ("", '{"type": "stop"}', "type must be one of start, end"),
        ("", "no JSON", "must be a JSON object"),
        ("", b"\0\0\0", "3 bytes"),
        ("?format=f32le", b"\0\0\xc0\x7f", "is nan"),
    ],
)
def test_what_is_wrong_is_an_error_event(server, query, message, said):
    with connect(server, query) as socket:
        socket.send(message)
        (event,) = events_of(socket)
        assert event["type"] == "error"
        assert said.lower() in event["error"]["message"].lower()
        assert set(event["error"]) == {"message", "type", "param", "code"}
        assert socket.close_code == 1007


def test_an_error_in_a_stream_comes_after_the_last_words(server, samples, expected):
    with connect(server) as socket:
        socket.send(samples.tobytes())
        socket.send('{"type": "pause"}')
        *events, error = events_of(socket)
    assert finals(events) == finals(expected)
    assert error["type"] == "error"
    assert "after the first" in error["error"]["message"]


def test_a_stream_whose_client_is_silent_is_ended(server, samples, expected):
    with connect(server) as socket:
        socket.send(samples.tobytes())
        *events, error = events_of(socket)
    assert finals(events) == finals(expected)
    assert error["error"]["code"] == "idle"


@pytest.mark.parametrize("path", ["/v1/live", "/", "/page/settings"])
@pytest.mark.parametrize("key", [None, "wrong/with+signs=in:it"])
def test_a_stream_needs_the_key_also_where_the_page_needs_none(server, key, path):
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refused:
        connect(server, key=key, path=path)
    assert refused.value.response.status_code == 401


def test_a_request_that_is_no_websocket_is_told_so(server):
    answer = server.get("/v1/live", Authorization=f"Bearer {KEY}")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.json["error"]["code"] == "upgrade_required"
    assert "connect to ws://" in answer.json["error"]["message"]


def test_a_long_unknown_path_is_not_repeated(server):
    answer = server.get(f"/{'x' * 4000}", Authorization=f"Bearer {KEY}")
    assert answer.status == 404
    assert len(answer.body) < 500


def test_the_end_of_the_server_sends_the_last_words(tmp_path, samples):
    oracle_module("websockets")
    spoken = samples[: -2 * RATE]  # the segment is open
    with running(tmp_path) as server, connect(server, key=None) as socket:
        socket.send(spoken.tobytes())
        expected = session_events(spoken)
        # All that comes before the end of the stream: the last are the end of speech and the final text.
        events = [json.loads(socket.recv(timeout=60)) for _ in expected[:-2]]
        server.process.terminate()
        *last, error = events_of(socket)
        assert [*events, *last] == expected
        assert error["error"]["code"] == "server_stopping"
        assert server.process.wait(30) == 128 + 15
