from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.corpus.manifest import read_manifest

from ..conftest import RATE, SAMPLES, SHARED_SPEECH, write_rows

SAMPLE = SAMPLES / "2086-149214-0001.opus"


@pytest.fixture
def text(tmp_path) -> Path:
    (row,) = (one for one in read_manifest(SAMPLES / "samples.jsonl").utterances if one.audio_path.name == SAMPLE.name)
    path = tmp_path / "text.txt"
    path.write_text((row.text or "").capitalize() + ".", "utf-8")
    return path


def test_every_word_of_a_text_has_a_time_and_a_score(asr_command, text):
    outcome = asr_command("align", SAMPLE, text)
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    words = text.read_text().split()
    assert [word["text"] for word in result["words"]] == words
    times = [time for word in result["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] <= result["duration"]
    assert all(0 <= word["confidence"] <= 1 for word in result["words"])


def test_text_comes_from_standard_input_and_goes_into_subtitles(asr_command, text, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(text.read_bytes())

    monkeypatch.setattr(sys, "stdin", Stdin)
    outcome = asr_command("align", SAMPLE, "-", "format=srt")
    assert outcome.code == 0
    assert outcome.out.startswith("1\n00:00:0")


def test_the_utterances_of_a_manifest_are_aligned_one_by_one(asr_command, tmp_path):
    outcome = asr_command("align", SAMPLES / "samples.jsonl", "format=jsonl")
    assert outcome.code == 0
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["id"] for row in rows] == [one.id for one in read_manifest(SAMPLES / "samples.jsonl").utterances]
    assert asr_command("align", SAMPLES / "samples.jsonl", f"output_dir={tmp_path}", "format=vtt").code == 0
    assert len(list(tmp_path.glob("*.vtt"))) == len(rows)


def test_a_text_that_does_not_fit_is_named_and_the_rest_goes_on(asr_command, tmp_path):
    rows = [
        {"id": "long", "audio_filepath": str(SAMPLE), "text": "word " * 500},
        {"id": "gone", "audio_filepath": str(tmp_path / "none.wav"), "text": "word"},
        {"id": "good", "audio_filepath": str(SAMPLE), "text": "and good in the 19th"},
    ]
    outcome = asr_command("align", write_rows(tmp_path / "m.jsonl", rows), "format=ctm")
    assert outcome.code == 1
    assert "error: long: the text is too long" in outcome.err
    assert "error: gone: no such file" in outcome.err
    assert (
        "warning: good: 1 words have characters outside the alphabet of the model, which are skipped: 19th"
        in outcome.err
    )
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["good"] * 5


def test_the_text_of_another_recording_gets_a_warning(asr_command, text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("completely different words about the price of bananas in the winter market")
    outcome = asr_command("align", SAMPLE, other, f"cut_dir={tmp_path / 'cuts'}")
    assert outcome.code == 0
    assert f"warning: {SAMPLE}: the text fits badly (mean score 0.0" in outcome.err
    assert "fits badly" not in asr_command("align", SAMPLE, text, "format=srt").err


def test_a_long_recording_is_cut_into_utterances_to_train_on(asr_command, tmp_path):
    utterances = read_manifest(SAMPLES / "samples.jsonl").utterances
    speech = [soundfile.read(one.audio_path, dtype="float32")[0] for one in utterances]
    pause = np.zeros(RATE // 2, np.float32)
    joined = np.concatenate([part for one in speech for part in (one, pause)])
    soundfile.write(tmp_path / "long.flac", joined, RATE)
    (tmp_path / "long.txt").write_text("\n".join(one.text or "" for one in utterances))
    out = tmp_path / "cut"
    outcome = asr_command("align", tmp_path / "long.flac", tmp_path / "long.txt", f"cut_dir={out}", "cut_seconds=11")
    assert outcome.code == 0, outcome.err
    assert outcome.out == ""
    reading = read_manifest(out / "manifest.jsonl")
    assert not reading.problems
    assert " ".join(one.text or "" for one in reading.utterances).split() == (tmp_path / "long.txt").read_text().split()
    for one in reading.utterances:
        samples, rate = soundfile.read(one.audio_path, dtype="float32")
        assert rate == RATE
        assert len(samples) / RATE == pytest.approx(one.duration, abs=0.001)
        assert len(samples) <= 11 * RATE
    again = asr_command("align", tmp_path / "long.flac", tmp_path / "long.txt", f"cut_dir={out}")
    assert again.code == 2
    assert "exists already" in again.err
    few = asr_command(
        "align", tmp_path / "long.flac", tmp_path / "long.txt", f"cut_dir={tmp_path / 'few'}", "min_score=1"
    )
    assert "left out: their score is below min_score" in few.err


def test_the_text_itself_is_never_replaced(asr_command, text, tmp_path):
    audio = tmp_path / "text.opus"
    audio.write_bytes(SAMPLE.read_bytes())
    before = text.read_text()
    outcome = asr_command("align", audio, text, "format=txt", f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert f"{text}: was not written by asr" in outcome.err
    assert text.read_text() == before
    for _ in range(2):
        assert asr_command("align", audio, text, "format=srt", f"output_dir={tmp_path}").code == 0


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.skipif(not SHARED_SPEECH.exists(), reason="needs the LibriSpeech recordings that only developers have")
def test_words_of_an_hour_are_where_they_are_in_its_utterances(tmp_path):
    from asr.bundle import load_bundle
    from asr.recognition.aligner import align_text, spell
    from asr.recognition.transcriber import Transcriber
    from asr.settings.decoding import GreedyConfig

    utterances = read_manifest(SHARED_SPEECH / "librispeech" / "dev-clean-heldout.jsonl").utterances
    bundle = load_bundle("en")
    transcriber = Transcriber(bundle, decoder=GreedyConfig())
    order = np.random.default_rng(5).permutation(len(utterances))
    speech = [soundfile.read(utterances[index].audio_path, dtype="float32")[0] for index in order]
    texts = [utterances[index].text or "" for index in order]
    alone, offset = [], 0.0
    for samples, text in zip(speech, texts, strict=True):
        output = transcriber.run_model_on_samples(samples)
        words = align_text(output, spell(text, bundle), bundle, transcriber.step_seconds).words
        alone += [(offset + word.start, offset + word.end) for word in words]
        offset += len(samples) / RATE
    output = transcriber.run_model_on_samples(np.concatenate(speech))
    joined = align_text(output, spell(" ".join(texts), bundle), bundle, transcriber.step_seconds).words
    off = np.abs(np.array([(word.start, word.end) for word in joined]) - np.array(alone))
    assert np.median(off) < 0.08
    assert np.percentile(off, 99) < 0.5
