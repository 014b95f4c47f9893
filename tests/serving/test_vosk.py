"""vosk-server's protocol, over real sockets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from asr.settings.decoding import AutoConfig

from ..conftest import SAMPLES
from .live import pieces, receive, samples, send, session_events, session_finals, two_segments, web_socket
from .running import running


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("vosk"), "limits.streams=8") as server:
        yield server


def answers(server, content, *, path="/vosk", seconds=0.2, **config) -> list[dict]:
    """What a client gets that sends a message and waits for its answer."""
    found = []
    with web_socket(server, path) as socket:
        send(socket, config={"sample_rate": 16000} | config)
        for piece in pieces(content, seconds=seconds):
            socket.send(piece)
            found.append(receive(socket))
        socket.send('{"eof" : 1}')
        found.append(receive(socket))
        with pytest.raises(ConnectionClosedOK):
            socket.recv(10)
    return found


@pytest.mark.parametrize("path", ["/", "/vosk"])
def test_every_message_has_one_answer_and_the_texts_are_those_of_a_session(server, path):
    content = two_segments()
    found = answers(server, content, path=path)
    assert len(found) == len(list(pieces(content))) + 1
    finals = session_finals(content)
    texts = [one["text"] for one in found if "text" in one]
    assert [text for text in texts if text] == [one.text for one in finals]
    assert len(finals) > 1
    assert [word for one in found for word in one.get("result", [])] == [
        {"conf": word.confidence, "end": word.end, "start": word.start, "word": word.text}
        for one in finals
        for word in one.words
    ]
    assert all(set(one) in ({"partial"}, {"result", "text"}, {"text"}) for one in found)


def test_partial_texts_are_those_of_the_session(server):
    content = samples()
    partials = {event.text for event in session_events(content) if event.type == "partial"}
    found = [one["partial"] for one in answers(server, content, seconds=0.12) if "partial" in one]
    assert {text for text in found if text} <= partials
    assert len(set(found)) > 5


def test_how_the_samples_are_divided_changes_nothing(server):
    content = two_segments()
    texts = [one.text for one in session_finals(content)]
    for seconds in (0.03, 1.0):
        found = answers(server, content, seconds=seconds)
        assert [one["text"] for one in found if one.get("text")] == texts
    # One message with both segments has one answer.
    first, last = answers(server, content, seconds=60)
    assert f"{first['text']} {last['text']}".split() == " ".join(texts).split()
    assert [word["word"] for word in first["result"]] == first["text"].split()


def test_the_texts_of_samples_are_those_of_a_session(server):
    for path in sorted(SAMPLES.glob("*.opus"))[1:4]:
        content = samples(path)
        found = answers(server, content, seconds=1)
        assert [one["text"] for one in found if one.get("text")] == [one.text for one in session_finals(content)]


def test_without_a_rate_it_is_that_of_vosk_server(server):
    content = samples(rate=8000)
    with web_socket(server, "/vosk") as socket:
        socket.send(content.tobytes())
        texts = [receive(socket).get("text", "")]
        send(socket, eof=1)
        texts.append(receive(socket)["text"])
    assert " ".join(texts).split() == [word for one in session_finals(content, rate=8000) for word in one.text.split()]


def test_words_can_be_left_out_and_there_is_one_alternative(server):
    content = samples()
    *_, plain = answers(server, content, words=0)
    assert set(plain) == {"text"}
    *_, alternatives = answers(server, content, max_alternatives=20)
    (one,) = alternatives["alternatives"]
    assert (one["text"], set(one)) == (plain["text"], {"confidence", "result", "text"})


def test_a_reset_ends_a_text_and_times_go_on(server):
    content, seconds = samples(), len(samples()) / 16000
    with web_socket(server, "/vosk") as socket:
        send(socket, config={"sample_rate": 16000})
        found = []
        for end in ({"reset": 1}, {"eof": 1}):
            socket.send(content.tobytes())
            receive(socket)
            send(socket, **end)
            found.append(receive(socket))
    assert found[0]["text"] == found[1]["text"] == session_finals(content)[-1].text
    assert [word["start"] for word in found[1]["result"]] == pytest.approx(
        [word["start"] + seconds for word in found[0]["result"]]
    )


def test_a_phrase_list_has_hot_words_and_what_the_model_cannot_write_is_left_out(server):
    content = samples()
    phrases = ["he honours whatever", "morality equals", "self glorification"]
    *_, found = answers(server, content, phrase_list=[*phrases, "☃", "[unk]"])
    (final,) = session_finals(content, decoder=AutoConfig(hotwords=phrases))
    assert found["text"] == final.text != session_finals(content)[0].text


def test_silence_is_an_empty_text(server):
    assert answers(server, np.zeros(32000, "<i2"))[-1] == {"text": ""}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "must be an object"),
        ("{}", "must be a config, eof or reset"),
        ('{"config": 3}', "config must be an object, not 3"),
        ('{"config": {"sample_rate": NaN}}', "no JSON"),
        ('{"config": {"sample_rate": 1e999}}', "config.sample_rate must be a number between 4000 and 384000, not inf"),
        ('{"config": {"sample_rate": "fast"}}', "config.sample_rate must be a number"),
        ('{"config": {"sample_rate": 16000.5}}', "config.sample_rate must be a whole number"),
        ('{"config": {"phrase_list": "a"}}', "config.phrase_list must be a list"),
        ('{"config": {"max_alternatives": -1}}', "config.max_alternatives must be"),
        ('{"config": {"model": "other"}}', "'other' does not exist"),
        (b"odd", "samples end within one"),
    ],
)
def test_a_malformed_message_ends_the_stream_with_the_reason(server, message, reason):
    with web_socket(server, "/vosk") as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosedError) as error:
            socket.recv(10)
    assert error.value.rcvd.code in (1007, 1008)
    assert reason in error.value.rcvd.reason
    assert "Traceback" not in "".join(server.log)


def test_a_rate_can_change_only_before_the_samples(server):
    with web_socket(server, "/vosk") as socket:
        send(socket, config={"sample_rate": 16000})
        socket.send(bytes(6400))
        assert receive(socket) == {"partial": ""}
        send(socket, config={"sample_rate": 16000, "words": 0})  # as it is
        send(socket, config={"sample_rate": 8000})
        with pytest.raises(ConnectionClosedError, match="must come before the samples"):
            socket.recv(10)


def test_text_that_is_no_utf8_is_refused_without_a_traceback(server):
    from websockets.frames import Frame, Opcode

    with web_socket(server, "/vosk") as socket:
        socket.socket.sendall(Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True))
        with pytest.raises(ConnectionClosedError):
            socket.recv(10)
    assert server.get("/health").json == {"status": "ok"}
    assert "Traceback" not in "".join(server.log)


def test_a_plain_get_is_no_stream(server):
    assert server.get("/vosk").status == 426
    assert json.loads(server.get("/health").body) == {"status": "ok"}
