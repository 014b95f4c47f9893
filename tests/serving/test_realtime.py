"""OpenAI's Realtime API for transcription, over real sockets."""

from __future__ import annotations

import base64
import io
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed

from asr.settings.decoding import AutoConfig
from asr.settings.live import EndpointConfig, LiveConfig

from ..conftest import SAMPLES
from .live import pieces, receive, samples, send, session_events, session_finals, two_segments, web_socket
from .running import running

PATH = "/v1/realtime?intent=transcription"
RATE = 24_000
TRANSCRIPTION = "conversation.item.input_audio_transcription"
CLEAR = {"type": "input_audio_buffer.clear"}
MANUAL = {"audio": {"input": {"turn_detection": None}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("realtime"), "limits.streams=8") as server:
        yield server


@contextmanager
def session(server, path=PATH, *, shape=None, **options):
    """A connection whose session has begun, and was updated."""
    with web_socket(server, path, **options) as socket:
        assert receive(socket)["type"] in ("session.created", "transcription_session.created")
        if shape is not None:
            send(socket, type="session.update", session=shape)
            assert receive(socket)["type"] == "session.updated"
        yield socket


def append(socket, content: bytes) -> None:
    send(socket, type="input_audio_buffer.append", audio=base64.b64encode(content).decode())


def events_until(socket, last: str) -> list[dict]:
    """The events up to one of a type."""
    found = []
    while not found or found[-1]["type"] != last:
        found.append(receive(socket))
        assert found[-1]["type"] != "error", found[-1]
    return found


def events_of(socket) -> list[dict]:
    """The events up to now: those before the answer to a message that is sent."""
    send(socket, **CLEAR)
    return events_until(socket, "input_audio_buffer.cleared")[:-1]


def stream(server, content, *, rate=RATE, seconds=0.2, shape=None) -> list[dict]:
    """The events of a stream whose last segment ends."""
    with session(server, shape=shape) as socket:
        for piece in pieces(content, seconds=seconds, rate=rate):
            append(socket, piece)
        return events_of(socket)


def transcripts(events) -> list[str]:
    return [one["transcript"] for one in events if one["type"] == f"{TRANSCRIPTION}.completed"]


def test_a_session_begins_with_the_settings_of_openai(server):
    with web_socket(server, PATH) as socket:
        created = receive(socket)
    assert created["type"] == "session.created"
    assert created["session"]["type"] == "transcription"
    assert created["session"]["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "tiny", "language": None, "prompt": None},
        "noise_reduction": None,
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 700},
    }


def test_every_segment_is_a_turn_with_its_events_in_order(server):
    content = two_segments(rate=RATE)
    events = stream(server, content)
    finals = session_finals(content, rate=RATE)
    assert transcripts(events) == [one.text for one in finals]
    assert [one["type"] for one in events] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.delta",
        f"{TRANSCRIPTION}.completed",
    ] * len(finals)
    for kind, field in (("speech_started", "audio_start_ms"), ("speech_stopped", "audio_end_ms")):
        times = [event.time for event in session_events(content, rate=RATE) if event.type == kind.replace("pp", "nd")]
        found = [one[field] for one in events if one["type"] == f"input_audio_buffer.{kind}"]
        if kind == "speech_started":
            assert found == [round(1000 * time) for time in times]
        else:
            assert found == [round(1000 * one.words[-1].end) for one in finals]
    items = [one["item_id"] for one in events if one["type"] == "input_audio_buffer.committed"]
    assert len(set(items)) == len(finals)
    before = [one["previous_item_id"] for one in events if one["type"] == "conversation.item.added"]
    assert before == [None, *items[:-1]]
    assert len({one["event_id"] for one in events}) == len(events)


def test_deltas_of_an_item_spell_its_transcript(server):
    events = stream(server, two_segments(rate=RATE))
    for completed in (one for one in events if one["type"] == f"{TRANSCRIPTION}.completed"):
        deltas = [one for one in events if one["type"] == f"{TRANSCRIPTION}.delta"]
        own = [one["delta"] for one in deltas if one["item_id"] == completed["item_id"]]
        assert "".join(own) == completed["transcript"]
        assert completed["usage"]["type"] == "duration"


def test_without_a_second_pass_settled_words_are_sent_while_they_are_spoken(tmp_path):
    content = two_segments(rate=RATE)
    with running(tmp_path, "live.second_pass=false") as server:
        events = stream(server, content)
    finals = session_finals(content, rate=RATE, live=LiveConfig(second_pass=False))
    assert transcripts(events) == [one.text for one in finals]
    deltas = [one for one in events if one["type"] == f"{TRANSCRIPTION}.delta"]
    assert len(deltas) > 3 * len(finals)
    assert "".join(one["delta"] for one in deltas) == "".join(one.text for one in finals)


def test_manual_commits_make_an_item_each(server):
    content = samples(rate=RATE)
    with session(server, shape=MANUAL) as socket:
        found = []
        for _ in range(2):
            for piece in pieces(content, rate=RATE):
                append(socket, piece)
            send(socket, type="input_audio_buffer.commit")
            found.append(events_until(socket, f"{TRANSCRIPTION}.completed"))
    text = " ".join(one.text for one in session_finals(content, rate=RATE))
    for events in found:
        assert transcripts(events) == [text]
        assert [one["type"] for one in events[:3]] == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert "".join(one["delta"] for one in events if one["type"] == f"{TRANSCRIPTION}.delta") == text
    first, second = (events[0] for events in found)
    assert (first["previous_item_id"], second["previous_item_id"]) == (None, first["item_id"])
    assert found[0][-1]["usage"] == {"type": "duration", "seconds": round(len(content) / RATE, 3)}


def test_a_commit_ends_a_turn_that_is_spoken(server):
    content = samples(rate=RATE)
    with session(server) as socket:
        append(socket, content.tobytes())
        send(socket, type="input_audio_buffer.commit")
        events = [*events_until(socket, f"{TRANSCRIPTION}.completed"), *events_of(socket)]
        assert transcripts(events) == [one.text for one in session_finals(content, rate=RATE)]
        append(socket, bytes(2 * RATE))
        send(socket, type="input_audio_buffer.commit")  # of silence
        assert transcripts(events_until(socket, f"{TRANSCRIPTION}.completed")) == [""]


@pytest.mark.parametrize("shape", [None, MANUAL])
def test_a_commit_of_nothing_is_openais_error_and_the_session_goes_on(server, shape):
    content = samples(rate=RATE)
    with session(server, shape=shape) as socket:
        send(socket, type="input_audio_buffer.commit", event_id="mine")
        error = receive(socket)["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")
        append(socket, content.tobytes())
        send(socket, type="input_audio_buffer.commit")
        assert transcripts(events_until(socket, f"{TRANSCRIPTION}.completed")) != [""]


def test_a_cleared_buffer_is_forgotten_and_times_go_on(server):
    content = samples(rate=RATE)
    silence = np.zeros(2 * RATE, "<i2")
    with session(server) as socket:
        append(socket, content.tobytes())
        before = events_of(socket)
        assert [one["type"] for one in before] == ["input_audio_buffer.speech_started"]
        append(socket, np.concatenate([content, silence]).tobytes())
        after = events_of(socket)
    assert transcripts(after) == [one.text for one in session_finals(np.concatenate([content, silence]), rate=RATE)]
    assert after[0]["audio_start_ms"] == before[0]["audio_start_ms"] + round(1000 * len(content) / RATE)


@pytest.mark.parametrize(("kind", "subtype", "beta"), [("pcmu", "ULAW", "g711_ulaw"), ("pcma", "ALAW", "g711_alaw")])
def test_telephony_is_what_an_independent_library_decodes(server, kind, subtype, beta):
    with io.BytesIO() as file:
        soundfile.write(file, samples(rate=8000), 8000, format="RAW", subtype=subtype)
        content = file.getvalue()
    wanted, _ = soundfile.read(
        io.BytesIO(content), samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="int16"
    )
    texts = [one.text for one in session_finals(wanted, rate=8000)]
    for shape in ({"audio": {"input": {"format": {"type": f"audio/{kind}"}}}}, {"input_audio_format": beta}):
        with session(server, shape=shape) as socket:
            append(socket, content)
            send(socket, type="input_audio_buffer.commit")
            assert transcripts(events_until(socket, f"{TRANSCRIPTION}.completed")) == texts


def test_other_rates_of_samples_are_taken(server):
    content = two_segments(rate=16000)
    shape = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}
    found = transcripts(stream(server, content, rate=16000, shape=shape))
    assert found == [one.text for one in session_finals(content)]


def test_the_texts_of_samples_are_those_of_a_session(server):
    for path in sorted(SAMPLES.glob("*.opus"))[1:3]:
        content = np.concatenate([samples(path, rate=RATE), np.zeros(RATE, "<i2")])
        assert transcripts(stream(server, content, seconds=1)) == [
            one.text for one in session_finals(content, rate=RATE)
        ]


def test_the_length_of_a_pause_can_be_set(server):
    content = two_segments(rate=RATE)
    shape = {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 150}}}}
    rules = EndpointConfig(silence_seconds=0.15, sentence_end_seconds=0.15)
    finals = session_finals(content, rate=RATE, live=LiveConfig(endpoint=rules))
    assert len(finals) > len(session_finals(content, rate=RATE))
    assert transcripts(stream(server, content, shape=shape)) == [one.text for one in finals]


def test_keywords_and_the_names_in_a_prompt_are_hot_words(server):
    content = samples(rate=RATE)[3 * RATE : 6 * RATE]
    words = ["Morality", "Equals"]
    wanted = [one.text for one in session_finals(content, rate=RATE, decoder=AutoConfig(hotwords=words))]
    assert wanted != [one.text for one in session_finals(content, rate=RATE)]
    for transcription in ({"keywords": words}, {"prompt": "Morality, Equals"}):
        with session(server, shape={"audio": {"input": {"transcription": transcription}}}) as socket:
            append(socket, content.tobytes())
            send(socket, type="input_audio_buffer.commit")
            assert transcripts(events_until(socket, f"{TRANSCRIPTION}.completed")) == wanted


def test_logprobs_spell_the_transcript_where_they_are_asked_for(server):
    shape = {"include": ["item.input_audio_transcription.logprobs"]}
    completed = [one for one in stream(server, two_segments(rate=RATE), shape=shape) if "transcript" in one]
    assert len(completed) > 1
    for one in completed:
        assert "".join(token["token"] for token in one["logprobs"]) == one["transcript"]


def test_the_beta_has_its_own_shape(server):
    with web_socket(server, PATH, additional_headers={"OpenAI-Beta": "realtime=v1"}) as socket:
        created = receive(socket)
        assert created["type"] == "transcription_session.created"
        assert created["session"]["input_audio_format"] == "pcm16"
        settings = {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": ""},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300},
            "input_audio_noise_reduction": {"type": "near_field"},
        }
        send(socket, type="transcription_session.update", session=settings)
        updated = receive(socket)
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["turn_detection"] == settings["turn_detection"] | {"silence_duration_ms": 700}
        assert updated["session"]["input_audio_noise_reduction"] == {"type": "near_field"}
        append(socket, samples(rate=RATE).tobytes())
        send(socket, type="input_audio_buffer.commit")
        kinds = [one["type"] for one in events_until(socket, f"{TRANSCRIPTION}.completed")]
    assert "conversation.item.created" in kinds
    assert "conversation.item.added" not in kinds


def test_an_update_of_a_spoken_stream_ends_its_turn(server):
    content = samples(rate=RATE)
    with session(server) as socket:
        append(socket, content.tobytes())
        send(socket, type="session.update", session=MANUAL)
        events = events_until(socket, "session.updated")
        assert transcripts(events) == [one.text for one in session_finals(content, rate=RATE)]
        append(socket, content.tobytes())
        send(socket, type="session.update", session={"input_audio_format": "g711_ulaw"})
        assert "commit or clear it before" in receive(socket)["error"]["message"]


@pytest.mark.parametrize(
    ("message", "param", "words"),
    [
        ("{", None, "no JSON"),
        ("[" * 100_000, None, "no JSON"),
        ("NaN", None, "no JSON"),
        ("3", None, "must be an object"),
        (b"samples", None, "must be text"),
        ("{}", "type", "must be one of session.update"),
        ('{"type": 3}', "type", "must be a text"),
        ('{"type": "response.create"}', "type", "no conversations"),
        ('{"type": "session.update"}', "session", "is missing"),
        ('{"type": "session.update", "session": []}', "session", "must be an object"),
        ('{"type": "session.update", "session": {"type": "realtime"}}', "session.type", "must be transcription"),
        ('{"type": "session.update", "session": {"voice": "x"}}', "session.voice", "Unknown parameter: 'session.v"),
        (
            '{"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/mp3"}}}}}',
            "session.audio.input.format.type", "must be one of audio/pcm",
        ),
        (
            '{"type": "session.update", "session": {"audio": {"input": {"format": {"rate": 1e999}}}}}',
            "session.audio.input.format.rate", "between 8000 and 48000, not inf",
        ),
        (
            '{"type": "session.update", "session": {"turn_detection": {"type": "server_vad", "threshold": 2}}}',
            "session.turn_detection.threshold", "between 0 and 1",
        ),
        (
            '{"type": "session.update", "session": {"input_audio_transcription": {"model": "other"}}}',
            "model", "'other' does not exist",
        ),
        (
            '{"type": "session.update", "session": {"input_audio_transcription": {"language": "de"}}}',
            "language", "writes en, not 'de'",
        ),
        ('{"type": "session.update", "session": {"include": ["everything"]}}', "session.include", "nothing else"),
        ('{"type": "input_audio_buffer.append"}', "audio", "in base64"),
        ('{"type": "input_audio_buffer.append", "audio": "?"}', "audio", "this is none"),
        ('{"type": "input_audio_buffer.append", "audio": "é"}', "audio", "this is none"),
        ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', None, "end within one"),
    ],
)  # fmt: skip
def test_a_malformed_message_is_one_error_and_the_session_goes_on(server, message, param, words):
    with session(server) as socket:
        socket.send(message)
        error = receive(socket)
        assert error["type"] == "error"
        assert (error["error"]["type"], error["error"]["param"]) == ("invalid_request_error", param)
        assert words in error["error"]["message"]
        send(socket, type="session.update", session={})
        assert receive(socket)["type"] == "session.updated"
    assert "Traceback" not in "".join(server.log)


def test_an_unknown_model_in_the_address_is_an_error_and_the_end(server):
    with web_socket(server, f"{PATH}&model=other") as socket:
        assert receive(socket)["error"]["code"] == "model_not_found"
        with pytest.raises(Exception, match="does not exist"):
            socket.recv(10)


def test_a_message_too_large_ends_the_stream(server):
    with session(server) as socket:
        with suppress(ConnectionClosed):
            append(socket, bytes(13 << 20))
            receive(socket)
        with pytest.raises(ConnectionClosed, match="1009"):
            receive(socket)
    assert server.get("/health").status == 200


def test_a_key_may_come_in_the_header_or_as_a_subprotocol(tmp_path):
    key = "k" * 32
    (tmp_path / "keys").write_text(f"test {key}\n")
    with running(tmp_path, f"keys_file={tmp_path / 'keys'}") as server:
        for path in (PATH, "/vosk"):
            for given in ({}, {"additional_headers": {"Authorization": "Bearer wrong"}}):
                with pytest.raises(Exception, match="401"), web_socket(server, path, **given):
                    pass
        with session(server, additional_headers={"Authorization": f"Bearer {key}"}):
            pass
        with session(server, subprotocols=["realtime", f"openai-insecure-api-key.{key}"]) as socket:
            assert socket.subprotocol == "realtime"


def test_pages_of_other_sites_get_no_stream(server):
    with pytest.raises(Exception, match="403"), web_socket(server, PATH, origin="http://other.example"):
        pass
    with session(server, origin=f"http://{server.host}:{server.port}"):
        pass
