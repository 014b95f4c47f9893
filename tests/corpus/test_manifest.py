from __future__ import annotations

import json

import pytest

from asr.corpus.manifest import read_manifest, read_manifests, write_manifest
from asr.errors import ManifestError

from ..conftest import SMOKE, write_rows


def test_paths_are_relative_to_the_manifest_and_other_keys_are_kept(tmp_path):
    rows = [{"audio_filepath": "a/b.wav", "text": "hi", "duration": 1.5, "speaker": "anna", "mood": "glad"}]
    (utterance,) = read_manifest(write_rows(tmp_path / "m.jsonl", rows)).utterances
    assert utterance.audio_path == tmp_path / "a/b.wav"
    assert (utterance.id, utterance.text, utterance.duration, utterance.speaker) == ("a/b", "hi", 1.5, "anna")
    assert utterance.other == {"mood": "glad"}
    assert utterance.where == f"{tmp_path / 'm.jsonl'}:1"


def test_every_broken_line_is_reported_with_its_number(tmp_path):
    path = tmp_path / "m.jsonl"
    lines = [
        '{"audio_filepath": "ok.wav", "text": "fine"}',
        "{not json",
        '["a", "list"]',
        '{"text": "no audio"}',
        '{"audio_filepath": "no-text.wav"}',
        '{"audio_filepath": "x.wav", "text": 5}',
        '{"audio_filepath": "y.wav", "text": "t", "duration": "long"}',
        '{"audio_filepath": "ok.wav", "text": "again"}',
        "",
    ]
    path.write_bytes("\n".join(lines).encode() + b'\n{"audio_filepath": "\xff.wav", "text": "t"}')
    reading = read_manifest(path)
    assert [one.id for one in reading.utterances] == ["ok"]
    numbers = sorted(int(problem.removeprefix(f"{path}:").split(":")[0]) for problem in reading.problems)
    assert numbers == [2, 3, 4, 5, 6, 7, 8, 10]
    text = "\n".join(reading.problems)
    for expected in (
        "not JSON",
        "object is wanted",
        "audio_filepath is missing",
        "text is missing",
        "not 5",
        "not 'long'",
    ):
        assert expected in text
    assert f"the id 'ok' is that of {path}:1 already" in text
    assert "not UTF-8" in text


def test_a_missing_manifest_is_one_problem_among_the_others(tmp_path):
    good = write_rows(tmp_path / "good.jsonl", [{"audio_filepath": "a.wav", "text": ""}])
    reading = read_manifests([tmp_path / "none.jsonl", good])
    assert len(reading.utterances) == 1
    assert "no such manifest" in reading.problems[0]
    with pytest.raises(ManifestError, match="no such manifest"):
        read_manifest(tmp_path / "none.jsonl")


def test_an_empty_manifest_is_refused(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("\n\n")
    with pytest.raises(ManifestError, match="no lines"):
        read_manifest(path)


def test_a_byte_order_mark_and_line_separators_within_texts_are_fine(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('\ufeff{"audio_filepath": "a.wav", "text": "one\u2028two"}\r\n', "utf-8")
    (utterance,) = read_manifest(path).utterances
    assert utterance.text == "one\u2028two"


def test_what_is_written_reads_back_the_same(tmp_path):
    original = read_manifest(SMOKE / "train.jsonl").utterances
    path = tmp_path / "copy.jsonl"
    assert write_manifest(path, original) == 60
    back = read_manifest(path).utterances
    for one, other in zip(original, back, strict=True):
        assert (one.id, one.text, one.duration, one.speaker) == (other.id, other.text, other.duration, other.speaker)
        assert one.audio_path.resolve() == other.audio_path.resolve()
    assert "id" in json.loads(path.read_text().splitlines()[0])
