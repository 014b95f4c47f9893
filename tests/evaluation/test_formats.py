"""UEM files, subtitles as hypotheses, and files whose content is of another format."""

from __future__ import annotations

import re
import subprocess

import pytest

from asr.errors import ManifestError
from asr.evaluation.sources import read_hypotheses, read_references

from ..conftest import oracle, write_rows

STM = """\
rec 1 s1 0.0 2.0 a b
rec 1 s2 2.0 4.0 c d
rec 1 s1 4.0 6.0 e f
rec 1 s2 6.0 8.0 g h
rec 1 s1 9.0 10.0 i j
"""
CTM = """\
rec 1 0.1 0.5 a
rec 1 1.1 0.5 x
rec 1 2.5 0.2 c
rec 1 3.5 0.2 d
rec 1 4.1 0.2 e
rec 1 5.5 0.2 f
rec 1 8.5 0.1 zz
rec 1 9.2 0.2 i
rec 1 9.6 0.2 j
"""
SRT = "1\n00:00:00,000 --> 00:00:02,000\n<i>a</i> x\n\n2\n00:00:02,000 --> 00:00:03,900\nc\nd\n"
VTT = (
    "WEBVTT - title\n\nNOTE words --> nothing\n\nSTYLE\n::cue {}\n\nid 1\n00:00.000 --> 00:02.000 align:start\n"
    "<v Anna>a &amp;</v>\n"
)


@pytest.fixture
def files(tmp_path):
    def write(**contents: str):
        for name, content in contents.items():
            (tmp_path / name.replace("_", ".")).write_text(content, "utf-8")
        return tmp_path

    write(r_stm=STM, h_ctm=CTM)
    return write


@pytest.mark.parametrize(
    "uem", ["rec 1 0 4.0\n", "rec 1 0 2.0\nrec 1 4 8.8\n", ";; all\nrec 1 0 99\n", "rec 1 3.0 8.7\n"]
)
def test_a_uem_restricts_as_asclite_does(files, uem):
    # A word between two segments is an utterance of its own in asclite, and here, as in sclite, a word of the next one.
    folder = files(u_uem=uem, h_ctm=CTM.replace("rec 1 8.5 0.1 zz\n", ""))
    done = subprocess.run(
        [oracle("asclite"), "-r", "r.stm", "stm", "-h", "h.ctm", "ctm", "-uem", "u.uem", "-o", "sgml", "stdout"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    paths = [str(folder / "r.stm"), str(folder / "u.uem")]
    if "unproper time" in done.stdout + done.stderr:
        with pytest.raises(ManifestError, match=r"r.stm:2: the segment from 2 to 4 s is partly outside"):
            read_references(paths)
        return
    expected = []
    for start, alignment in re.findall(r'R_T1="([\d.]+)".*?>\n(.*?)\n</PATH>', done.stdout, re.DOTALL):
        columns = [re.match(r'[CSDI],(?:"(\w*)")?,(?:"(\w*)")?', one) for one in alignment.split(":")]
        texts = [" ".join(word for one in columns if one and (word := one[side])) for side in (1, 2)]
        expected.append((float(start), *texts))
    references = read_references(paths)
    outputs, _ = read_hypotheses(str(folder / "h.ctm"), references)
    starts = {"a b": 0.0, "c d": 2.0, "e f": 4.0, "g h": 6.0, "i j": 9.0}
    found = [(starts[one.text], one.text, out.text) for one, out in zip(references, outputs, strict=True)]
    assert found == sorted(row for row in expected if row[1])


def test_a_uem_restricts_the_words_of_ctm_references(files):
    folder = files(u_uem="rec 1 2 6\n")
    (one,) = read_references([str(folder / "h.ctm"), str(folder / "u.uem")])
    outputs, _ = read_hypotheses(str(folder / "h.ctm"), [one])
    assert (one.text, outputs[0].text) == ("c d e f", "c d e f")


def test_a_uem_that_cannot_restrict_is_refused(files):
    folder = files(u_uem="other 1 0 9\n", t_txt="one\n", bad_uem="rec 1 9\n")
    for names, message in (
        (["r.stm", "u.uem"], "no utterances in the regions of"),
        (["t.txt", "u.uem"], "its texts have no times"),
        (["u.uem"], "name the references .STM or CTM. too"),
        (["r.stm", "bad.uem"], "bad.uem:1: `recording channel start end` is wanted"),
    ):
        with pytest.raises(ManifestError, match=message):
            read_references([str(folder / name) for name in names])


def test_subtitles_are_hypotheses_by_their_times(files):
    folder = files(rec_srt=SRT, other_vtt=VTT)
    references = read_references([str(folder / "r.stm")])
    outputs, notes = read_hypotheses(str(folder / "rec.srt"), references)
    assert [one.text for one in outputs] == ["a x", "c d", "", "", ""]
    assert notes == [f"{folder}/rec.srt has no word for 3 utterances (s1-001, ...): they count as empty"]
    outputs, notes = read_hypotheses(str(folder / "other.vtt"), references)
    assert outputs[0].text == "a &"
    assert "the only recording of the references" in notes[0]


def test_a_folder_of_subtitles_has_a_file_for_each_recording(files, tmp_path):
    (tmp_path / "subs").mkdir()
    (tmp_path / "subs" / "one.srt").write_text(SRT)
    (tmp_path / "subs" / "two.vtt").write_text(VTT)
    rows = [{"id": name, "audio_filepath": f"{name}.wav", "text": "x"} for name in ("one", "two", "three")]
    references = read_references([str(write_rows(tmp_path / "m.jsonl", rows))])
    outputs, _ = read_hypotheses(str(tmp_path / "subs"), references)
    assert [one.text for one in outputs] == ["a x c d", "a &", ""]
    (tmp_path / "subs" / "four.srt").write_text(SRT)
    with pytest.raises(ManifestError, match=r"four.srt: 'four' is no single recording of the references"):
        read_hypotheses(str(tmp_path / "subs"), references)


def test_a_cue_that_cannot_be_read_is_named_with_its_line(files):
    folder = files(rec_srt=SRT + "\n3\n00:00:09,000 --> 00:00:08,000\nback\n\nstray text\n")
    with pytest.raises(ManifestError) as caught:
        read_hypotheses(str(folder / "rec.srt"), read_references([str(folder / "r.stm")]))
    assert [one.split(": ")[0] for one in caught.value.problems] == [f"{folder}/rec.srt:{line}" for line in (11, 14)]


FIRST, SECOND = "00:00:00.000 --> 00:00:01.000\n", "00:00:01,000 --> 00:00:02,000\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rec.vtt", f"WEBVTT\n{FIRST}a b\n\n{SECOND}c d\n"),
        ("rec.vtt", f"\ufeffWEBVTT\tKind: captions\nLanguage: en\n1\n{FIRST}a b\n\n2\n{SECOND}c d\n"),
        ("rec.vtt", f"WEBVTT\n\nNOTE1\n{FIRST}a b\n\nSTYLED\n{SECOND}c d\n"),
        ("rec.vtt", f"WEBVTT\n\nREGIONS\n{FIRST}a b\n\nWEBVTT2\n{SECOND}c d\n"),
        ("rec.vtt", f"WEBVTT\n\n{FIRST}a b\n\nNOTE\n{FIRST}x\n\nNOTE\ty\n\nREGION\nid:z\n\n{SECOND}c d\n"),
        ("rec.vtt", f"WEBVTT\n\n{FIRST}a b\n{SECOND}c d\n"),
        ("rec.srt", f"1\n{FIRST}a b\n{SECOND}c d\n"),
        ("rec.srt", f"1\n{FIRST}a b\n2\n{SECOND}c d\n"),
        ("rec.srt", f"1\n{FIRST}2\n{SECOND}a b c d\n"),
        ("rec.srt", f"{FIRST}a\nb\n\n{SECOND}c d\n"),
    ],
)  # fmt: skip
def test_every_cue_is_read_and_nothing_else(files, name, content):
    (files() / name).write_text(content, "utf-8")
    references = read_references([str(write_rows(files() / "m.jsonl", [{"id": "rec", "text": "a b c d"}]))])
    (output,), _ = read_hypotheses(str(files() / name), references)
    assert output.text == "a b c d"


@pytest.mark.parametrize(
    "times", ["00:00:02 --> 00:00:03", "00:00:03,000 --> 00:00:02,000", f"{'9' * 5000}:00:02,0 --> x"]
)
@pytest.mark.parametrize("before", [f"1\n{FIRST}a b\n", ""])
def test_wrong_times_of_a_cue_are_named_even_without_an_empty_line_before_them(files, before, times):
    folder = files(rec_srt=f"{before}{times}\nc d\n")
    references = read_references([str(write_rows(folder / "m.jsonl", [{"id": "rec", "text": "a b"}]))])
    with pytest.raises(ManifestError, match=r"rec.srt:\d: the times of a cue are wanted"):
        read_hypotheses(str(folder / "rec.srt"), references)


JSONL = '{"id": "rec", "text": "a"}\n{"id": "x", "text": "b"}\n'
TRN = "a b (s1-1)\nc (s1-2)\n"
UEM = "rec 1 0.0 9.0\nrec 2 0.0 9.0\n"


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        ("txt", SRT, "looks like SRT subtitles: rename it to h.srt"),
        ("txt", VTT, "looks like WebVTT subtitles: rename it to h.vtt"),
        ("txt", JSONL, "looks like JSON lines: rename it to h.jsonl"),
        ("txt", TRN, "looks like a trn file: rename it to h.trn"),
        ("txt", STM, "looks like an STM file: rename it to h.stm"),
        ("trn", CTM, "looks like a CTM file: rename it to h.ctm"),
        ("trn", JSONL, "looks like JSON lines"),
        ("ctm", TRN, "looks like a trn file"),
        ("ctm", UEM, "looks like a UEM file, which selects what is scored"),
        ("ctm", SRT, "looks like SRT subtitles"),
        ("jsonl", CTM, "looks like a CTM file"),
        ("jsonl", SRT, "looks like SRT subtitles"),
        ("jsonl", "path\tsentence\na.wav\thello\n", "a table (`asr prepare recordings` makes a manifest of it)"),
        ("srt", CTM, "looks like a CTM file"),
        ("srt", "just\n\nsome text\n", "not SRT subtitles: none of its 2 lines is a cue"),
        ("vtt", JSONL, "looks like JSON lines"),
        ("ctm", 'File type = "ooTextFile"\n', "a TextGrid of Praat; JSON lines"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_named_once(files, tmp_path, suffix, content, message):
    path = tmp_path / f"h.{suffix}"
    path.write_text(content)
    with pytest.raises(ManifestError) as caught:
        read_hypotheses(str(path), read_references([str(tmp_path / "r.stm")]))
    (problem,) = caught.value.problems
    assert message in problem


def test_references_of_another_format_are_named_once(tmp_path):
    for name, content, message in (
        ("r.srt", SRT, "SRT subtitles, which are read as hypotheses"),
        ("r.stm", CTM, "looks like a CTM file"),
        ("r.ctm", STM.replace("s1", "anna").replace("s2", "ben"), "looks like an STM file"),
        ("r.jsonl", TRN, "looks like a trn file"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ManifestError) as caught:
            read_references([str(tmp_path / name)])
        (problem,) = caught.value.problems
        assert message in problem


def test_ordinary_texts_are_no_other_format(tmp_path):
    for content in (
        "one two\nthree\n",
        "1\n2\n",
        "yes (no)\n",
        "a (b) c\nd (e)\n",
        "hello\n\nworld 1 2\n",
        "{braces} here\n",
    ):
        (tmp_path / "r.txt").write_text(content)
        assert read_references([str(tmp_path / "r.txt")])
