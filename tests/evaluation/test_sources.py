from __future__ import annotations

from pathlib import Path

import pytest

from asr.errors import ManifestError
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.report import make_report
from asr.evaluation.report_json import report_object
from asr.evaluation.sources import System, read_hypotheses, read_references
from asr.settings.text import NormalizerConfig
from asr.text.transcript import Transcript, Word
from asr.writers.table import write

from ..conftest import write_rows
from .sclite import count_by_id, run_sclite

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


def spaced_references(tmp_path, *names):
    return read_references([str(write_rows(tmp_path / "m.jsonl", [{"id": name, "text": "x"} for name in names]))])


def test_a_ctm_of_recordings_with_spaces_in_their_names_is_matched_as_asr_writes_it(tmp_path):
    names = ["call 1", "a\tb  c", ";x", "plain", "two 2-A", "two 2-B", "s_t"]
    transcript = Transcript("x.wav", "one", 1.0, -1.0, (Word("one", 0.5, 0.7),), ())
    fields = [
        (name.removesuffix("-A").removesuffix("-B"), name[-1] if name[:-1].endswith("-") else "1") for name in names
    ]
    path = tmp_path / "h.ctm"
    path.write_text("".join(write(transcript, "ctm", name=name, channel=channel) for name, channel in fields))
    outputs, notes = read_hypotheses(str(path), spaced_references(tmp_path, *names))
    assert ([one.text for one in outputs], notes) == (["one"] * 7, [])
    path.write_text("call_2 1 0 1 one\n")
    with pytest.raises(ManifestError, match="'call_2' is in none of the references"):
        read_hypotheses(str(path), spaced_references(tmp_path, "call 1"))


@pytest.mark.parametrize("names", [("call 1", "call_1"), ("call  1", "call 1"), ("call 1-1", "call_1-1")])
def test_two_recordings_that_a_ctm_does_not_tell_apart_are_refused(tmp_path, names):
    references = spaced_references(tmp_path, *names, "other")
    (tmp_path / "h.ctm").write_text("call_1 1 0 1 one\n")
    with pytest.raises(ManifestError) as caught:
        read_hypotheses(str(tmp_path / "h.ctm"), references)
    (problem,) = caught.value.problems
    assert f"which may be {names[0]!r} or {names[1]!r}" in problem
    (tmp_path / "h.ctm").write_text("other 1 0 1 one\n")
    outputs, _ = read_hypotheses(str(tmp_path / "h.ctm"), references)
    assert [one.text for one in outputs] == ["", "", "one"]


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


def test_an_empty_text_file_has_no_utterances(tmp_path):
    (tmp_path / "r.txt").write_text("")
    with pytest.raises(ManifestError, match="no utterances"):
        read_references([str(tmp_path / "r.txt")])


def test_json_lines_with_ids_are_references_without_recordings(tmp_path):
    rows = [{"id": "a", "text": "one", "speaker": "s"}, {"id": "b", "text": "two", "audio_filepath": "b.wav"}]
    references = read_references([str(write_rows(tmp_path / "r.jsonl", rows))])
    assert [(one.id, one.text, one.audio_path) for one in references] == [
        ("a", "one", Path()),
        ("b", "two", tmp_path / "b.wav"),
    ]
    outputs, _ = read_hypotheses(str(write_rows(tmp_path / "h.jsonl", rows)), references)
    assert [one.text for one in outputs] == ["one", "two"]
    with pytest.raises(ManifestError, match=r"r\.jsonl:1: neither id nor audio_filepath"):
        read_references([str(write_rows(tmp_path / "r.jsonl", [{"text": "one"}]))])


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


CALL = "call A 0.00 0.30 hello 0.9\ncall B 0.10 0.20 yes 0.9\ncall A 0.40 0.30 there 0.9\n"


def read(tmp_path, rows, content, name="h.ctm"):
    (tmp_path / name).write_text(content, "utf-8")
    references = read_references([str(write_rows(tmp_path / "m.jsonl", rows))])
    return read_hypotheses(str(tmp_path / name), references)


def row(name: str, **fields: object) -> dict[str, object]:
    return {"id": name, "audio_filepath": f"{name}.wav", "text": "x", **fields}


def test_words_of_two_channels_are_never_mixed(tmp_path):
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, [row("call")], CALL)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/m.jsonl:1: {tmp_path}/h.ctm has the channels A, B of 'call'")
    assert 'a field, "channel": "A", or by the id, call-A' in problem
    outputs, notes = read(tmp_path, [row("call", channel="B")], CALL)
    assert [one.text for one in outputs] == ["yes"]
    assert notes == [f"{tmp_path}/h.ctm: of the channels A, B of 'call', B is scored"]
    with pytest.raises(ManifestError, match="channels A, B"):
        read(tmp_path, [row("call", channel="C")], CALL)
    outputs, notes = read(tmp_path, [row("call-B"), row("call-A")], CALL)
    assert ([one.text for one in outputs], notes) == (["yes", "hello there"], [])
    outputs, _ = read(tmp_path, [row("call", channel="A"), row("call-B")], CALL)
    assert [one.text for one in outputs] == ["hello there", "yes"]
    with pytest.raises(ManifestError, match="'call-B' is in none of the references"):
        read(tmp_path, [row("call-A")], CALL)


def test_the_only_channel_of_a_recording_needs_no_choice(tmp_path):
    outputs, notes = read(tmp_path, [row("call")], CALL.replace(" B ", " A "))
    assert ([one.text for one in outputs], notes) == (["hello yes there"], [])
    outputs, _ = read(tmp_path, [row("call", channel="telephone")], CALL.replace(" B ", " A "))
    assert [one.text for one in outputs] == ["hello yes there"]
    with pytest.raises(ManifestError, match="has the channels A of 'call'"):
        read(tmp_path, [row("call", channel="B")], CALL.replace(" B ", " A "))


STM = """\
;; LABEL "M" "Male" "Male Talkers"
2345 A 2345-a 0.10 2.03 <o,M> uh huh { yes / yeah } i thought
2345 A 2345-b 2.10 3.04 dog walking is a very
2345 A inter 3.04 3.50 <o> IGNORE_TIME_SEGMENT_IN_SCORING
2345 A 2345-a 3.50 4.59 yes but (it's) worth it
2345 B 2345-c 0.0 4.59
2346 A x 0.0 3.0 nobody spoke
"""
STM_CTM = """\
2345 A 0.0 0.2 uh 0.9
2345 A 0.2 0.2 huh 0.9
2345 A 1.0 0.2 yeah 0.9
2345 A 1.9 0.2 i 0.9
2345 A 2.02 0.02 thought 0.9
2345 A 2.1 0.2 dog 0.9
2345 A 2.5 0.2 walking 0.9
2345 A 2.9 0.3 very 0.9
2345 A 3.2 0.3 ignored 0.9
2345 A 3.6 0.3 yes 0.9
2345 A 3.9 0.3 but 0.9
2345 A 5.9 0.3 it 0.9
2345 B 0.9 0.3 right 0.9
2346 A 4 0.3 somebody 0.9
"""


@pytest.fixture
def stm(tmp_path):
    (tmp_path / "r.stm").write_text(STM)
    (tmp_path / "h.ctm").write_text(STM_CTM)
    return read_references([str(tmp_path / "r.stm")])


def test_an_stm_is_its_segments_with_speakers_labels_and_times(stm):
    assert [one.id for one in stm] == ["2345-a-000", "2345-b-000", "2345-a-001", "2345-c-000", "x-000"]
    first = stm[0]
    assert (first.speaker, first.duration, first.text) == ("2345-a", 1.93, "uh huh { yes / yeah } i thought")
    assert first.other == {"recording": "2345", "channel": "A", "label_1": "o", "label_2": "M"}


def test_words_of_a_ctm_go_to_the_segments_of_an_stm_by_their_middles(tmp_path, stm):
    outputs, notes = read_hypotheses(str(tmp_path / "h.ctm"), stm)
    texts = ["uh huh yeah i", "thought dog walking", "yes but it", "right", "somebody"]
    assert ([one.text for one in outputs], notes) == (texts, [])
    (tmp_path / "h.ctm").write_text(STM_CTM.replace("2346 A", ";;"))
    outputs, notes = read_hypotheses(str(tmp_path / "h.ctm"), stm)
    assert outputs[-1].text == ""
    assert "no word for 1 utterances (x-000" in notes[0]
    (tmp_path / "h.ctm").write_text(STM_CTM.replace("2346 A", "2346 B"))
    with pytest.raises(ManifestError, match="'2346' is in none of the references"):
        read_hypotheses(str(tmp_path / "h.ctm"), stm)


@pytest.mark.parametrize("name", ["r.stm", "r.ctm"])
def test_scores_against_stm_and_ctm_are_those_of_nists_sclite(tmp_path, stm, name):
    if name == "r.ctm":
        (tmp_path / name).write_text(CTM_REFERENCE)
        (tmp_path / "h.ctm").write_text("a 1 0.1 0.3 uh\na 1 1 0.3 i\na 1 2.1 0.3 said\nb 1 0 1 so\n")
    utterances = read_references([str(tmp_path / name)])
    outputs, _ = read_hypotheses(str(tmp_path / "h.ctm"), utterances)
    report = make_report(utterances, [System("h", outputs)], ScoringPolicy(NormalizerConfig(keep="'")))
    theirs = count_by_id(run_sclite(tmp_path, "-D", "-r", name, name[-3:], "-h", "h.ctm", "ctm"))
    ours = report_object(report)["systems"][0]["words"]
    kinds = ("substitutions", "deletions", "insertions")
    assert [ours[kind] for kind in kinds] == [sum(column) for column in list(zip(*theirs.values(), strict=True))[1:]]
    assert ours["errors"] > 0


def test_hypotheses_for_an_stm_may_come_by_the_ids_that_sclite_gives_its_segments(tmp_path, stm):
    (tmp_path / "h.trn").write_text("".join(f"text {one.id} ({one.id})\n" for one in stm))
    outputs, _ = read_hypotheses(str(tmp_path / "h.trn"), stm)
    assert [one.text for one in outputs] == [f"text {one.id}" for one in stm]


CTM_REFERENCE = """\
a 1 * * <ALT_BEGIN>
a 1 0.1 0.3 um
a 1 * * <ALT>
a 1 0.1 0.3 uh
a 1 * * <ALT>
a 1 * * <ALT_END>
a 1 1.0 0.2 i
a 1 1.3 0.2 (really)
a 1 2.0 0.2 say
b 1 0.0 1.0 so
"""


def test_a_ctm_of_references_may_have_alternatives(tmp_path):
    (tmp_path / "r.ctm").write_text(CTM_REFERENCE.replace("b 1", "a 2"))
    references = read_references([str(tmp_path / "r.ctm")])
    assert [(one.id, one.text) for one in references] == [("a-1", "{ um / uh / @ } i (really) say"), ("a-2", "so")]
    (tmp_path / "h.ctm").write_text("a 2 0 1 so\na 1 0 1 uh\n")
    outputs, _ = read_hypotheses(str(tmp_path / "h.ctm"), references)
    assert [one.text for one in outputs] == ["uh", "so"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("r.trn", "a (a-1)\n{ b / c (a-2)\n", "r.trn:2: an opening brace without a closing one"),
        ("r.trn", "a (a-1)\nb / } c (a-2)\n", "r.trn:2: a closing brace without an opening one"),
        ("r.stm", "f 1 s 0 1 a\nf 1 s 2 1 b\n", "r.stm:2: a segment from 2 to 1 s cannot be"),
        ("r.stm", "f 1 s 0 1 a\nf 1 s 2\n", "r.stm:2: `recording channel speaker start end [<labels>] text` is wanted"),
        ("r.stm", "f 1 s 0 1 a\nf 1 s 1 2 { a / }\n", "r.stm:2: an empty alternative"),
        ("r.ctm", "f 1 0 1 a\nf 1 * * <ALT>\n", "r.ctm:2: <ALT> out of order"),
        ("r.ctm", "f 1 0 1 a\nf 1 * * <ALT_BEGIN>\nf 1 1 2 b\n", "r.ctm:2: <ALT_BEGIN> without <ALT_END>"),
        ("r.ctm", "f 1 0 1 a\nf 1 0 nan b\n", "r.ctm:2: `recording channel start seconds word"),
    ],
)
def test_a_reference_line_that_cannot_be_read_is_named(tmp_path, name, content, problem):
    (tmp_path / name).write_text(content)
    with pytest.raises(ManifestError) as caught:
        read_references([str(tmp_path / name)])
    (found,) = caught.value.problems
    assert found.startswith(f"{tmp_path}/{problem}")


@pytest.mark.parametrize(
    ("name", "content"), [("h.trn", "one { two / three } (a)\n(b)\n(c)\n"), ("h.ctm", "a 1 * * <ALT_BEGIN>\n")]
)
def test_a_hypothesis_with_alternatives_is_refused(tmp_path, references, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ManifestError, match=rf"{name}:1: alternatives are for references: a hypothesis is one text"):
        read_hypotheses(str(tmp_path / name), references)


SRT = "1\n00:00:01,000 --> 00:00:02,000\nhello there\n\n2\n00:00:03,000 --> 00:00:04,000\nyes\n"


@pytest.mark.parametrize(
    ("name", "content", "format_name"),
    [
        ("h.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n', "a TextGrid of Praat"),
        ("h.jsonl", '[\n{"id": "a", "text": "b"}\n]\n', "a JSON array, not JSON lines (one object per line)"),
        ("h.txt", "<!DOCTYPE html>\n<html>\n", "XML or HTML"),
    ],
)
def test_a_file_of_another_format_is_one_problem(tmp_path, references, name, content, format_name):
    (tmp_path / name).write_text(content, "utf-8", newline="")
    wanted = [f"{tmp_path}/{name}: {format_name}; JSON lines, trn, stm, ctm or one text per line is wanted"]
    for read_file in (lambda path: read_references([path]), lambda path: read_hypotheses(path, references)):
        with pytest.raises(ManifestError) as caught:
            read_file(str(tmp_path / name))
        assert caught.value.problems == wanted


@pytest.mark.parametrize(("name", "kind"), [("h.trn", "a trn file"), ("h.ctm", "a CTM file"), ("h.stm", "an STM file")])
def test_a_file_of_which_no_line_can_be_read_is_one_problem(tmp_path, references, name, kind):
    (tmp_path / name).write_text("good morning\nhow are you\n")
    with pytest.raises(ManifestError) as caught:
        read_references([str(tmp_path / name)])
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path}/{name}: not {kind}: none of its 2 lines is `")


def test_a_file_without_a_line_of_json_is_one_problem(tmp_path, references):
    (tmp_path / "h.jsonl").write_text("good morning\nhow are you\n")
    example, kinds = '{"id": "a", "text": "hello"}', "JSON lines, trn, stm, ctm or one text per line"
    reason = f"not JSON lines (such as {example}): none of its 2 lines is a JSON object"
    wanted = [f"{tmp_path}/h.jsonl: {reason}; {kinds} is wanted"]
    for read_file in (lambda path: read_references([path]), lambda path: read_hypotheses(path, references)):
        with pytest.raises(ManifestError) as caught:
            read_file(str(tmp_path / "h.jsonl"))
        assert caught.value.problems == wanted
    with pytest.raises(ManifestError, match="STM is a format of references"):
        read_hypotheses(str(tmp_path / "h.stm"), references)


@pytest.mark.parametrize("name", ["r.txt", "r.trn", "r.jsonl"])
def test_utf_16_is_named_as_such(tmp_path, name):
    """Windows PowerShell writes it: `program > r.txt`."""
    (tmp_path / name).write_bytes('{"id": "a", "text": "one"} (a)\n'.encode("utf-16"))
    with pytest.raises(ManifestError) as caught:
        read_references([str(tmp_path / name)])
    path = tmp_path / name
    assert caught.value.problems == [f"{path}: UTF-16 text: save it as UTF-8"]
