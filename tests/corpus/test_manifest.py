from __future__ import annotations

import json

import pytest

from asr.audio.segment import AudioSegment
from asr.corpus.manifest import read_manifest, read_manifests, with_distinct_ids, write_manifest
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
        "expected a JSON object",
        "audio_filepath is missing",
        "text is missing",
        "not 5",
        "not 'long'",
    ):
        assert expected in text
    assert f"the id 'ok' is already used by {path}:1" in text
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


def test_utterances_of_several_manifests_with_the_same_ids_fit_into_one(tmp_path):
    rows = [{"audio_filepath": f"clips/{name}.wav", "text": name} for name in ("1", "2")]
    named = [*rows, {"audio_filepath": "x.wav", "id": "own", "text": "x"}]
    odd = [{"audio_filepath": "y.wav", "id": "first/all/clips/1", "text": "y"}]
    paths = []
    for name, content in (("first/all.jsonl", named), ("second/all.jsonl", rows[:1]), ("second/odd.jsonl", odd)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        paths.append(write_rows(tmp_path / name, content))
    utterances = read_manifests([*paths, paths[1]]).utterances
    distinct = with_distinct_ids(utterances)
    assert [one.id for one in distinct] == [
        "first/all/clips/1#2", "clips/2", "own", "second/all/clips/1", "first/all/clips/1", "second/all/clips/1#2",
    ]  # fmt: skip
    write_manifest(tmp_path / "held_out.jsonl", distinct)
    reading = read_manifest(tmp_path / "held_out.jsonl")
    assert reading.problems == []
    assert [one.id for one in reading.utterances] == [one.id for one in distinct]
    assert [one.audio_path.resolve() for one in reading.utterances] == [one.audio_path for one in utterances]
    assert with_distinct_ids([]) == []


def test_a_line_with_an_offset_is_a_segment(tmp_path):
    rows = [
        {"audio_filepath": "a.wav", "offset": 1.5, "duration": 2, "text": "one"},
        {"audio_filepath": "a.wav", "offset": 0, "duration": 1.5, "text": "two"},
        {"audio_filepath": "a.wav", "offset": 12.0, "text": "three"},
        {"audio_filepath": "b.wav", "duration": 4, "text": "four"},
    ]
    utterances = read_manifest(write_rows(tmp_path / "m.jsonl", rows)).utterances
    assert [one.audio for one in utterances] == [
        AudioSegment(tmp_path / "a.wav", 1.5, 2.0),
        AudioSegment(tmp_path / "a.wav", 0.0, 1.5),
        AudioSegment(tmp_path / "a.wav", 12.0, None),
        tmp_path / "b.wav",
    ]
    assert [one.id for one in utterances] == ["a@1.5", "a", "a@12", "b"]
    write_manifest(tmp_path / "again.jsonl", utterances)
    again = read_manifest(tmp_path / "again.jsonl").utterances
    assert [(one.id, one.audio) for one in again] == [(one.id, one.audio) for one in utterances]
    assert "id" not in (tmp_path / "again.jsonl").read_text()


def test_two_segments_of_one_place_share_an_id_and_are_reported(tmp_path):
    rows = [{"audio_filepath": "a.wav", "offset": 1.5, "duration": seconds, "text": "t"} for seconds in (2, 3)]
    path = write_rows(tmp_path / "m.jsonl", rows)
    assert read_manifest(path).problems == [f"{path}:2: the id 'a@1.5' is already used by {path}:1"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ('"id": "a\\u0000b"', "'id' holds a zero byte"),
        ('"audio_filepath": "a\\u0000b.wav"', "'audio_filepath' holds a zero byte"),
        ('"text": "half \\ud83d of it"', r"'text' holds half a character (\ud83d"),
        ('"speaker": "\\udc00"', r"'speaker' holds half a character (\udc00"),
        ('"mood": [{"x": "\\udfff"}]', r"'mood' holds half a character (\udfff"),
        ('"mo\\u0000od": 1', "holds a zero byte"),
        ('"duration": NaN', "'duration' holds nan, which is not a number in JSON"),
        ('"duration": -Infinity', "'duration' holds -inf"),
        ('"duration": 1e999', "'duration' holds inf"),
        ('"snr": NaN', "'snr' holds nan"),
        ('"duration": -0.1', "duration must be a number of seconds, from 0"),
        ('"duration": 1' + 15 * "0", "duration must be a number of seconds"),
        ('"duration": 1' + 400 * "0", "'duration' holds a whole number of more than 308 digits"),
        ('"words": [{"start": -' + 400 * "9" + "}]", "'words' holds a whole number of more than 308 digits"),
        ('"offset": -1', "offset must be a number of seconds, from 0"),
        ('"offset": "1"', "offset must be a number of seconds"),
        ('"offset": true', "offset must be a number of seconds"),
        ('"offset": 1, "duration": 0', "duration must be above 0 where there is an offset"),
        ('"id": ["a"]', "id must be a text or a number, not ['a']"),
        ('"id": true', "id must be a text or a number"),
        ('"id": ""', "id is empty"),
        ('"speaker": {}', "speaker must be a text or a number"),
        ('"audio_filepath": 5', "audio_filepath must be the name of a file, not 5"),
        ('"audio_filepath": "/"', "audio_filepath must be the name of a file"),
        ('"audio_filepath": "https://example.org/a.wav"', "audio_filepath is an address"),
        ('"deep": ' + 200 * "[" + 200 * "]", "'deep' is nested more than 50 levels deep"),
        ('"text": {"a": 1}', "text must be a text"),
    ],
)
def test_an_odd_line_is_a_problem_and_costs_itself(tmp_path, broken, message):
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"audio_filepath": "good.wav", "text": "t"}\n{"audio_filepath": "a.wav", "text": "t", ' + broken + "}\n"
    )
    reading = read_manifest(path)
    assert [one.id for one in reading.utterances] == ["good"]
    (problem,) = reading.problems
    assert problem.startswith(f"{path}:2: ")
    assert message in problem
    problem.encode("utf-8")


def test_names_are_literal(tmp_path):
    rows = [{"audio_filepath": name, "text": "t"} for name in ("~draft.wav", "~/x.wav", "$HOME/y.wav")]
    utterances = read_manifest(write_rows(tmp_path / "m.jsonl", rows)).utterances
    assert [one.audio_path for one in utterances] == [tmp_path / row["audio_filepath"] for row in rows]
