"""`/v1/audio/transcriptions`, over real sockets: every format, the text of the command, and what is refused."""

from __future__ import annotations

import json
import math
import wave
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pysubs2
import pytest

from asr import load_bundle, write
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import AutoConfig

from ..conftest import RATE, SAMPLES
from .running import SAMPLE, running


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def transcript():
    """What `asr transcribe` makes of the recording."""
    with Transcriber(load_bundle("tiny"), workers=1) as transcriber:
        return transcriber.transcribe(SAMPLE)


def test_json_is_the_default_and_has_the_text_and_the_seconds(server, transcript):
    answer = server.transcribe()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    seconds = math.ceil(transcript.duration)
    assert answer.json == {"text": transcript.text, "usage": {"type": "duration", "seconds": seconds}}
    assert server.transcribe(fields=[("response_format", "json")]).json == answer.json


@pytest.mark.parametrize(("name", "kind"), [("text", "txt"), ("srt", "srt"), ("vtt", "vtt")])
def test_plain_formats_are_the_files_of_the_command(server, transcript, name, kind):
    answer = server.transcribe(fields=[("response_format", name)])
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == write(transcript, kind)


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles_are_read_by_an_independent_parser(server, transcript, name):
    cues = pysubs2.SSAFile.from_string(server.transcribe(fields=[("response_format", name)]).text)
    assert [cue.plaintext.replace("\n", " ") for cue in cues] == [one.text for one in transcript.segments]


def test_verbose_json_has_every_field_of_a_segment_and_no_words_unless_asked(server, transcript):
    answer = server.transcribe(fields=[("response_format", "verbose_json")]).json
    assert set(answer) == {"task", "language", "duration", "text", "segments", "usage"}
    assert (answer["task"], answer["language"], answer["text"]) == ("transcribe", "english", transcript.text)
    assert answer["duration"] == transcript.duration
    assert [(one["start"], one["end"], one["text"]) for one in answer["segments"]] == [
        (one.start, one.end, one.text) for one in transcript.segments
    ]
    for number, segment in enumerate(answer["segments"]):
        content = segment["text"].encode()
        assert segment["id"] == number
        assert segment["seek"] == round(100 * segment["start"])
        assert segment["tokens"] == []
        assert segment["compression_ratio"] == pytest.approx(len(content) / len(zlib.compress(content)), abs=1e-4)
        assert segment["avg_logprob"] <= 0
        assert (segment["no_speech_prob"], segment["temperature"]) == (0, 0)


@pytest.mark.parametrize("brackets", ["", "[]"])
@pytest.mark.parametrize(
    ("asked", "there"),
    [(["word"], {"words"}), (["segment"], {"segments"}), (["word", "segment"], {"words", "segments"})],
)
def test_granularities_say_whether_words_and_segments_are_there(server, transcript, brackets, asked, there):
    fields = [("response_format", "verbose_json"), *((f"timestamp_granularities{brackets}", one) for one in asked)]
    answer = server.transcribe(fields=fields).json
    assert set(answer) & {"words", "segments"} == there
    if "words" in there:
        assert [(one["word"], one["start"], one["end"]) for one in answer["words"]] == [
            (one.text, one.start, one.end) for one in transcript.words
        ]


def test_logprobs_are_those_of_the_words_and_spell_the_text(server, transcript):
    answer = server.transcribe(fields=[("include[]", "logprobs")]).json
    tokens = answer["logprobs"]
    assert "".join(one["token"] for one in tokens) == transcript.text
    assert [one["logprob"] for one in tokens] == pytest.approx(
        [math.log(one.confidence) for one in transcript.words], abs=1e-3
    )
    assert all(bytes(one["bytes"]).decode() == one["token"] for one in tokens)


def events(body: str) -> list[dict]:
    """The messages of a stream of server-sent events, without the last."""
    messages = body.split("\n\n")
    assert messages[-2:] == ["data: [DONE]", ""]
    assert all(one.startswith("data: ") and "\n" not in one for one in messages[:-1])
    return [json.loads(one.removeprefix("data: ")) for one in messages[:-2]]


def test_a_stream_has_deltas_that_spell_the_text_then_one_done(server, transcript):
    answer = server.transcribe(fields=[("stream", "true")])
    assert answer.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events(answer.text)
    assert {one["type"] for one in deltas} == {"transcript.text.delta"}
    assert "".join(one["delta"] for one in deltas) == done["text"] == transcript.text
    assert done == {"type": "transcript.text.done"} | server.transcribe().json


def test_a_stream_of_verbose_json_has_times_and_ends_with_the_whole_answer(server, transcript):
    fields = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]
    whole = server.transcribe(fields=fields).json
    *deltas, done = events(server.transcribe(fields=[*fields, ("stream", "true")]).text)
    assert done == {"type": "transcript.text.done"} | whole
    assert "".join(one["delta"] for one in deltas) == whole["text"]
    assert deltas[-1]["end"] == whole["words"][-1]["end"]
    assert [one["confidence"] for one in whole["words"]] == [one.confidence for one in transcript.words]


def test_a_long_recording_is_streamed_in_pieces(server):
    *deltas, done = events(server.transcribe(long_recording(90), [("stream", "true")]).text)
    assert len(deltas) > 2
    assert "".join(one["delta"] for one in deltas) == done["text"]


def test_a_stream_of_a_recording_that_cannot_be_read_is_an_error_with_its_status(server):
    answer = server.transcribe(b"no sound", [("stream", "true")])
    assert (answer.status, answer.error["code"]) == (400, "invalid_audio")


def test_silence_is_an_empty_text_in_every_format(server):
    silence = wave_file(np.zeros(2 * RATE, np.int16))
    assert server.transcribe(silence).json["text"] == ""
    assert server.transcribe(silence, [("response_format", "srt")]).text == ""
    assert server.transcribe(silence, [("response_format", "vtt")]).text == "WEBVTT\n\n"
    assert events(server.transcribe(silence, [("stream", "true")]).text)[0]["type"] == "transcript.text.done"


def test_the_texts_of_all_samples_are_those_of_the_command(server, asr_command):
    paths = sorted(SAMPLES.glob("*.opus"))
    lines = asr_command("transcribe", *paths, "bundle=tiny").out.splitlines()
    texts = [line.partition("\t")[2] for line in lines]
    assert len(texts) == len(paths) > 3
    assert [server.transcribe(path, [("response_format", "text")]).text.rstrip("\n") for path in paths] == texts


@pytest.mark.slow
def test_the_texts_of_the_english_model_are_those_of_the_command(tmp_path, asr_command):
    """As the test above, with a language model and a pronunciation lexicon."""
    paths = sorted(SAMPLES.glob("*.opus"))
    texts = [line.partition("\t")[2] for line in asr_command("transcribe", *paths).out.splitlines()]
    with running(tmp_path, bundle="en") as server, ThreadPoolExecutor() as threads:
        answers = threads.map(lambda path: server.transcribe(path, model="en"), paths)
        assert [answer.json["text"] for answer in answers] == texts


def test_a_form_may_have_its_fields_after_its_file(server, transcript):
    boundary = "x"
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.opus"\r\n\r\n'
        + SAMPLE.read_bytes()
        + b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n--x--\r\n'
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert server.request("POST", "/v1/audio/transcriptions", body, headers).json["text"] == transcript.text


def test_parameters_of_openai_without_an_effect_are_accepted(server, transcript):
    fields = [("temperature", "0.2"), ("chunking_strategy", "auto"), ("language", "en"), ("prompt", "")]
    assert server.transcribe(fields=fields).json["text"] == transcript.text


@pytest.mark.parametrize("name", ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
def test_names_of_openais_models_are_aliases(server, transcript, name):
    assert server.transcribe(model=name).json["text"] == transcript.text
    assert server.get(f"/v1/models/{name}").json["id"] == name


def test_models_are_listed_and_described(server):
    listed = server.get("/v1/models").json
    (model,) = listed["data"]
    assert (listed["object"], model["id"], model["object"]) == ("list", "tiny", "model")
    assert model["created"] > 1_600_000_000
    assert server.get("/v1/models/tiny").json == model


@pytest.mark.parametrize(
    ("fields", "status", "param", "words"),
    [
        ([("response_format", "xml")], 400, "response_format", "one of json, text, srt, vtt, verbose_json, not 'xml'"),
        ([("response_format", "diarized_json")], 400, "response_format", "separate speakers"),
        ([("temperature", "2")], 400, "temperature", "between 0 and 1, not '2'"),
        ([("temperature", "nan")], 400, "temperature", "between 0 and 1"),
        ([("stream", "perhaps")], 400, "stream", "true or false"),
        ([("stream", "true"), ("response_format", "srt")], 400, "stream", "response_format=json"),
        ([("timestamp_granularities[]", "word")], 400, "timestamp_granularities", "response_format=verbose_json"),
        (
            [("response_format", "verbose_json"), ("timestamp_granularities[]", "letter")],
            400, "timestamp_granularities", "one of word, segment",
        ),
        ([("include[]", "everything")], 400, "include", "one of logprobs"),
        ([("language", "de")], 400, "language", "writes english (en), not de"),
        ([("language", "?")], 400, "language", "a code such as en"),
        ([("keywords[]", "☃")], 400, "keywords", "☃"),
        ([("keywords[]", "ab" * 30_000)], 400, "keywords", "has more than 500 characters"),
        ([("keywords[]", f"new {'ab' * 60}")], 400, "keywords", "has more than 100 characters"),
        (
            [("keywords[]", f"{'a' * 90} {'b' * 90} " * 2 + "c" * (n // 2) + " d" * (n % 2)) for n in range(180)],
            400, None, "the most is 50000",
        ),
        ([("vad_filter", "true")], 400, "vad_filter", "Unrecognized request argument supplied: vad_filter"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_in_openais_shape(server, fields, status, param, words):
    answer = server.transcribe(fields=fields)
    assert (answer.status, answer.error["param"]) == (status, param)
    assert words in answer.error["message"]
    assert answer.error["type"] == "invalid_request_error"


def test_a_language_with_a_region_is_its_language(server):
    assert server.transcribe(fields=[("language", "en-GB")]).status == 200
    assert server.transcribe(fields=[("languages[]", "de"), ("languages[]", "en")]).status == 200


def test_a_missing_or_unknown_model_is_named(server):
    missing, unknown = server.transcribe(model=None), server.transcribe(model="large")
    assert (missing.status, missing.error["param"]) == (400, "model")
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    assert "'large'" in unknown.error["message"]
    assert "'tiny'" in unknown.error["message"]
    assert server.get("/v1/models/large").error == unknown.error


def test_a_recording_that_cannot_be_read_says_why_without_its_path(server):
    for content in (b"", b"RIFF", b"no sound at all", SAMPLE.read_bytes()[:60]):
        answer = server.transcribe(content)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "invalid_audio", "file")
        assert str(server.uploads) not in answer.text
    assert list(server.uploads.glob("*/*")) == [*server.uploads.glob("*/lock")]


@pytest.mark.parametrize(
    "content",
    [b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n", b"/etc/passwd\n"],
)
def test_an_upload_reaches_no_other_file(server, content):
    assert server.transcribe(content).status == 400


def test_a_form_without_a_file_and_other_bodies_are_refused(server):
    assert server.transcribe(None).error["param"] == "file"
    path = "/v1/audio/transcriptions"
    answer = server.request("POST", path, b'{"model": "tiny"}', {"Content-Type": "application/json"})
    assert (answer.status, answer.error["code"]) == (415, "unsupported_content_type")
    assert server.request("POST", path, b"").status == 415
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--y--", b"--x\r\n", b"--x\r\nA: b\r\n\r\nc\r\n--x--\r\n", b"\0" * 100):
        answer = server.request("POST", path, body, multipart)
        assert (answer.status, answer.error["code"]) == (400, "invalid_form"), body
    answer = server.request("POST", path, b"--x--", {"Content-Type": "multipart/form-data"})
    assert (answer.status, answer.error["code"]) == (400, "invalid_form")


def test_translation_is_refused(server):
    answer = server.transcribe(path="/v1/audio/translations")
    assert (answer.status, answer.error["code"]) == (400, "unsupported_operation")


def test_other_paths_and_methods_are_refused_in_the_same_shape(server):
    answer = server.get("/v1/chat/completions")
    assert (answer.status, answer.error["type"]) == (404, "invalid_request_error")
    answer = server.get("/v1/audio/transcriptions")
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_hot_words_of_keywords_and_prompt_are_those_of_the_command(server):
    """With such a weight, the word is written somewhere."""
    words = ["Kathleen", "New York"]
    with Transcriber(load_bundle("tiny"), decoder=AutoConfig(hotwords=words), workers=1) as transcriber:
        wanted = transcriber.transcribe(SAMPLE).text
    assert server.transcribe(fields=[("keywords[]", one) for one in words]).json["text"] == wanted
    assert server.transcribe(fields=[("prompt", "Kathleen, New York")]).json["text"] == wanted
    assert server.transcribe(fields=[("prompt", "We met Kathleen in New York.")]).json["text"] == wanted


def long_recording(seconds: int) -> bytes:
    """The first sample, again and again."""
    from asr.audio.load import load_audio

    speech = load_audio(SAMPLE, sample_rate=RATE)
    return wave_file((32767 * np.resize(speech, seconds * RATE)).astype(np.int16))


def wave_file(samples: np.ndarray) -> bytes:
    import io

    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return content.getvalue()
