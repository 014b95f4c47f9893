"""Final texts of live streams as people write them, by protocol."""

from __future__ import annotations

import base64
import json
import re

import pytest

from asr import load_bundle
from asr.bundle.store import copy_bundle
from asr.punctuation.text_writer import TextWriter
from asr.recognition.live_events import Final
from asr.recognition.live_writing import LiveWriter
from asr.settings.transcripts import WrittenForm
from asr.text.transcript import Transcript

from .live import pieces, receive, send, session_finals, two_segments, web_socket
from .running import running
from .wyoming_socket import FORMAT, wyoming_socket

REALTIME_RATE = 24_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The small model with the punctuation of `en`."""
    folder = tmp_path_factory.mktemp("written")
    copy_bundle(load_bundle("tiny"), folder / "tiny", tagger=load_bundle("en").tagger_content())
    with running(folder, "wyoming_port=0", "written=full", bundle=str(folder / "tiny")) as server:
        yield server


@pytest.fixture(scope="module")
def writer():
    tagger = load_bundle("en").tagger()
    assert tagger is not None
    return TextWriter(tagger, WrittenForm.full)


def as_recording(writer: TextWriter, finals: list[Final]) -> str:
    """The written text of some segments, as that of a recording."""
    words = tuple(word for one in finals for word in one.words)
    return writer.write(Transcript("", " ".join(one.text for one in finals), 0.0, 0.0, words, ())).to_read.text


def test_the_events_of_a_stream_have_both(server, writer):
    content, live = two_segments(), LiveWriter(writer)
    expected = [live.write(one).to_json() for one in session_finals(content)]
    with web_socket(server, "/v1/live?rate=16000") as socket:
        for piece in pieces(content):
            socket.send(piece)
        send(socket, type="end")
        events = [json.loads(message) for message in socket]
    finals = [one for one in events if one["type"] == "final"]
    assert finals == expected
    assert all(one["written"]["text"] != one["text"] for one in finals)


def test_completed_items_of_the_realtime_api_are_written_and_their_deltas_add_up_to_them(server, writer):
    content = two_segments(rate=REALTIME_RATE)
    finals = session_finals(content, rate=REALTIME_RATE)
    with web_socket(server, "/v1/realtime?intent=transcription") as socket:
        for piece in pieces(content, rate=REALTIME_RATE):
            send(socket, type="input_audio_buffer.append", audio=base64.b64encode(piece).decode())
        completed, deltas = [], dict[str, str]()
        while len(completed) < len(finals):
            event = receive(socket)
            if event["type"].endswith("transcription.delta"):
                deltas[event["item_id"]] = deltas.get(event["item_id"], "") + event["delta"]
            elif event["type"].endswith("transcription.completed"):
                completed.append(event)
    assert [one["transcript"] for one in completed] == [as_recording(writer, [one]) for one in finals]
    assert [deltas[one["item_id"]] for one in completed] == [one["transcript"] for one in completed]


def test_the_transcript_of_wyoming_is_written_and_its_chunks_are_plain(server, writer):
    content = two_segments()
    finals = session_finals(content)
    with wyoming_socket(server) as client:
        client.send("audio-start", FORMAT)
        for piece in pieces(content):
            client.send("audio-chunk", FORMAT, piece)
        client.send("audio-stop")
        events = [client.receive()]
        while events[-1]["type"] != "transcript-stop":
            events.append(client.receive())
    texts = {
        kind: [one["data"]["text"] for one in events if one["type"] == kind]
        for kind in ("transcript", "transcript-chunk")
    }
    assert texts["transcript"] == [as_recording(writer, finals)]
    assert "".join(texts["transcript-chunk"]) == " ".join(one.text for one in finals)


def typed(word: str) -> str:
    """A word with capitals that nobody would guess."""
    return f"{word[0]}{word[1:].upper()}"


def test_names_of_a_prompt_are_written_as_they_are_in_it(server):
    word = max(re.findall("[a-z]{4,}", server.transcribe().json["text"]), key=len)
    for fields in ([("prompt", typed(word))], [("keywords[]", typed(word))]):
        assert typed(word) in server.transcribe(fields=fields).json["text"]
    assert typed(word) not in server.transcribe().json["text"]


def test_names_of_the_prompt_of_a_session_are_written_as_they_are_in_it(server):
    content = two_segments(rate=REALTIME_RATE)
    word = max(session_finals(content, rate=REALTIME_RATE)[0].text.split(), key=len)
    with web_socket(server, "/v1/realtime?intent=transcription") as socket:
        send(
            socket,
            type="session.update",
            session={"type": "transcription", "audio": {"input": {"transcription": {"prompt": typed(word)}}}},
        )
        for piece in pieces(content, rate=REALTIME_RATE):
            send(socket, type="input_audio_buffer.append", audio=base64.b64encode(piece).decode())
        while not (event := receive(socket))["type"].endswith("transcription.completed"):
            assert event["type"] != "error", event
    assert typed(word) in event["transcript"]


def test_names_that_a_client_of_wyoming_expects_are_written_as_it_sends_them(server):
    content = two_segments()
    word = max(session_finals(content)[0].text.split(), key=len)
    with wyoming_socket(server) as client:
        client.send("transcribe", {"transcript_names": [typed(word)]})
        client.send("audio-start", FORMAT)
        for piece in pieces(content):
            client.send("audio-chunk", FORMAT, piece)
        client.send("audio-stop")
        while (event := client.receive())["type"] != "transcript":
            pass
    assert typed(word) in event["data"]["text"]


def test_vosk_stays_plain(server):
    content = two_segments()
    with web_socket(server, "/vosk") as socket:
        send(socket, config={"sample_rate": 16000})
        found = []
        for piece in pieces(content):
            socket.send(piece)
            found.append(receive(socket))
        socket.send('{"eof" : 1}')
        found.append(receive(socket))
    assert [one["text"] for one in found if one.get("text")] == [one.text for one in session_finals(content)]
