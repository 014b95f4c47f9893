from __future__ import annotations

import pytest

from asr.errors import ManifestError
from asr.evaluation.sources import read_hypotheses, read_references
from asr.transcription.transcriber import Word

from ..conftest import write_rows

ROWS = [{"id": name, "audio_filepath": f"{name}.wav", "text": f"text {name}"} for name in ("a", "b", "c")]


@pytest.fixture
def references(tmp_path):
    return read_references([str(write_rows(tmp_path / "m.jsonl", ROWS))])


def test_a_ctm_is_put_in_order_of_time_with_its_confidences(tmp_path, references):
    path = tmp_path / "h.ctm"
    path.write_text(";; a comment\nb 1 0.9 0.2 late 0.5\nb 1 0.1 0.25 early NA\na A 0 1 one 98\n")
    outputs, notes = read_hypotheses(str(path), references)
    assert [one.text for one in outputs] == ["one", "early late", ""]
    assert outputs[1].words == (Word("early", 0.1, 0.35, None), Word("late", 0.9, 1.1, 0.5))
    assert outputs[0].words[0].confidence is None
    assert notes == [f"{path} has no word for 1 utterances (c, ...): they count as empty"]


def test_a_trn_has_its_ids_in_parentheses(tmp_path, references):
    path = tmp_path / "h.trn"
    path.write_text("one (two) (a)\n;; note\n(b)\nthree  (c) \n")
    outputs, _ = read_hypotheses(str(path), references)
    assert [one.text for one in outputs] == ["one (two)", "", "three"]


def test_two_text_files_are_joined_by_their_lines(tmp_path):
    for name, content in (("r.txt", "one\n\nthree\n"), ("h.txt", "won\n\n3\n")):
        (tmp_path / name).write_text(content)
    references = read_references([str(tmp_path / "r.txt")])
    outputs, _ = read_hypotheses(str(tmp_path / "h.txt"), references)
    assert [(one.id, one.text) for one in references] == [("1", "one"), ("2", ""), ("3", "three")]
    assert [one.text for one in outputs] == ["won", "", "3"]
    (tmp_path / "h.txt").write_text("won\n\n")
    with pytest.raises(ManifestError) as caught:
        read_hypotheses(str(tmp_path / "h.txt"), references)
    assert caught.value.problems == [f"{tmp_path}/r.txt:3: '3' has no text in {tmp_path}/h.txt"]


def test_words_of_json_lines_bring_their_times_along(tmp_path, references):
    rows = [dict(row) for row in ROWS]
    rows[0]["words"] = [
        {"text": "text", "start": 0, "end": 0.5, "confidence": 0.7},
        {"text": "a", "start": 1, "end": 2},
    ]
    rows[1]["words"] = ["of", "another", "kind"]
    outputs, _ = read_hypotheses(str(write_rows(tmp_path / "h.jsonl", rows)), references)
    assert outputs[0].words == (Word("text", 0.0, 0.5, 0.7), Word("a", 1.0, 2.0))
    assert outputs[1].words == ()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "h.ctm",
            "a 1 0 1 x\nb 1 soon 1 y\n",
            "h.ctm:2: `recording channel start seconds word [confidence]` is wanted",
        ),
        ("h.ctm", "z 1 0 1 x\n", "'z' is in none of the references"),
        ("h.trn", "x (a)\ny\n", "h.trn:2: `text (id)` is wanted"),
        ("h.trn", "x (a)\ny (a)\n", "h.trn:2: a second text for 'a'"),
        ("h.txt", "1\n2\n3\n", "'a' has no text in"),
    ],
)
def test_what_cannot_be_joined_is_named(tmp_path, references, name, content, problem):
    (tmp_path / name).write_text(content)
    with pytest.raises(ManifestError) as caught:
        read_hypotheses(str(tmp_path / name), references)
    assert any(problem in one for one in caught.value.problems)


def test_a_reference_file_that_is_not_there_or_no_text_is_named(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_references([str(tmp_path / "none.trn")])
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_references([str(tmp_path / "bad.txt")])
