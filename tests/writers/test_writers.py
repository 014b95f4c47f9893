from __future__ import annotations

import html
import io
import json
import re
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid

import asr
from asr.corpus.manifest import Utterance
from asr.errors import ConfigError
from asr.evaluation.sources import read_hypotheses
from asr.settings.transcripts import TranscriptFormat
from asr.text.transcript import Transcript, Word
from asr.writers.json_objects import transcript_object
from asr.writers.table import WRITERS, output_paths, write

from ..conftest import oracle

ONE = Transcript("a.wav", "hé there", 1.23456, -2.5, (Word("hé", 0.0, 0.3), Word("there", 0.4, 0.9)), ("he there",))
TWO = replace(
    ONE,
    path="x/my talk.wav",
    text="one two three",
    duration=3700.0,
    words=(Word("one", 0.5, 0.9, 0.9), Word("two", 1.0, 1.4, 0.2), Word("three", 3661.5, 3662.0, 0.7)),
    alternatives=(),
)
SILENT = Transcript("s.wav", "", 5.0, 0.0, (), ())


def test_text_is_the_text_and_a_line_feed():
    assert write(ONE, TranscriptFormat.txt) == "hé there\n"


@pytest.mark.parametrize("kind", [TranscriptFormat.json, TranscriptFormat.jsonl])
def test_json_holds_times_and_alternatives(kind):
    written = write(ONE, kind)
    assert (written.count("\n") == 1) is (kind is TranscriptFormat.jsonl)
    value = json.loads(written)
    assert value["words"][1] == {"text": "there", "start": 0.4, "end": 0.9}
    assert value["alternatives"] == ["he there"]
    assert value["duration"] == 1.235


def test_the_id_of_a_manifest_comes_first():
    assert next(iter(transcript_object(ONE, "x"))) == "id"
    assert "id" not in transcript_object(ONE)


def test_a_name_that_is_no_text_is_still_json():
    odd = replace(ONE, path="bad\udcff.wav")
    assert "bad" in json.loads(write(odd, TranscriptFormat.jsonl))["audio_filepath"]


@pytest.mark.parametrize(("kind", "format_"), [(TranscriptFormat.srt, "srt"), (TranscriptFormat.vtt, "vtt")])
def test_subtitles_are_read_by_an_independent_reader(kind, format_):
    events = pysubs2.SSAFile.from_string(write(TWO, kind), format_=format_).events
    assert [(one.start, one.end, one.plaintext) for one in events] == [
        (500, 1500, "one two"),
        (3_661_500, 3_662_500, "three"),
    ]


@pytest.mark.parametrize(("kind", "point"), [(TranscriptFormat.srt, ","), (TranscriptFormat.vtt, ".")])
def test_subtitles_have_hours_and_no_more_than_59_minutes(kind, point):
    assert f"\n01:01:01{point}500 --> 01:01:02{point}500\n" in write(TWO, kind)


def test_subtitles_of_silence_are_an_empty_document():
    assert write(SILENT, TranscriptFormat.srt) == ""
    assert write(SILENT, TranscriptFormat.vtt) == "WEBVTT\n\n"


def test_a_table_has_milliseconds():
    assert write(TWO, TranscriptFormat.tsv).splitlines() == [
        "start\tend\ttext", "500\t1500\tone two", "3661500\t3662500\tthree",
    ]  # fmt: skip


def test_the_formats_of_scoring_programs_separate_their_fields_by_spaces():
    assert write(TWO, TranscriptFormat.ctm).splitlines()[1] == "my_talk 1 1.000 0.400 two 0.200"
    assert write(ONE, TranscriptFormat.ctm, name="utt 1", channel="2") == (
        "utt_1 2 0.000 0.300 hé\nutt_1 2 0.400 0.500 there\n"
    )
    assert write(TWO, TranscriptFormat.stm).splitlines()[0] == "my_talk 1 my_talk 0.500 1.500 one two"


@pytest.mark.parametrize("transcript", [TWO, SILENT, replace(TWO, words=(Word('say "x"', 0.0, 3700.0),))])
def test_a_text_grid_is_read_by_an_independent_reader(tmp_path, transcript):
    path = tmp_path / "talk.TextGrid"
    path.write_text(write(transcript, TranscriptFormat.textgrid), "utf-8")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert grid.tierNames == ("words", "segments")
    assert [tuple(one) for one in grid.getTier("words").entries] == [
        (word.start, word.end, word.text) for word in transcript.words
    ]
    assert grid.maxTimestamp == transcript.duration


def test_doubtful_words_are_marked():
    marked = TWO.mark_doubtful(0.5)
    assert marked.text == "one [two?] three"
    assert "[two?]" in write(marked, TranscriptFormat.srt)
    assert ONE.mark_doubtful(1.0).text == ONE.text


def test_outputs_keep_folders_and_distinguish_suffixes():
    names = [Path("x/talk.wav"), Path("y/talk.wav"), Path("z.wav"), Path("z.mp3")]
    assert output_paths(names, TranscriptFormat.txt, Path("out")) == [
        Path("out/x/talk.txt"), Path("out/y/talk.txt"), Path("out/z.wav.txt"), Path("out/z.mp3.txt"),
    ]  # fmt: skip
    assert output_paths([Path("a.wav")], TranscriptFormat.textgrid, Path()) == [Path("a.TextGrid")]


def test_two_recordings_never_share_an_output():
    with pytest.raises(ConfigError, match=r"out/a\.wav\.txt: .* two manifests need different ids"):
        output_paths([Path("a.wav"), Path("a.wav")], TranscriptFormat.txt, Path("out"))


HOSTILE = [
    *("AT&T,", "<i>x</i>", r"{\an8}y", "{a}", "{", "}", "1", "<", ">", "2,", "-->", "&amp;", "&lt;", r"\N", r"C:\News"),
    *(
        "00:00:01.000",
        "NOTE",
        "STYLE",
        "WEBVTT",
        "say",
        '"x"',
        '""',
        "text",
        "=",
        ";;",
        "/",
        "@",
        "(um)",
        "<b,f>",
        "<o>",
    ),
    *("漢字", "ที่", "é", "\u200d", "\u202e", "\ud83d", "\udcff", "\U0001f600", "—"),
    *("a\tb", "a\nb", "a\r\n\r\nb", "a\u2028b", "a\x00b", "a\x85b", " a  b "),
]
hostile_words = st.lists(st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=8), min_size=1, max_size=12)


def said(texts: list[str], *, name: str = "a b.wav") -> Transcript:
    """A transcript of words, three a second."""
    words = tuple(Word(text, place / 3, place / 3 + 0.2, 0.5) for place, text in enumerate(texts))
    return Transcript(name, " ".join(texts), len(texts) / 3 + 1, -1.0, words, ())


def one_line(text: str) -> str:
    """What can be shown of a text: no halves of surrogate pairs, no control characters, single spaces."""
    text = re.sub("[\x00-\x1f\x7f-\x9f]", " ", text)
    return " ".join("".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in text).split())


def shown_by_ffmpeg(content: str, kind: str) -> list[str]:
    """The texts of a subtitle file's events, as FFmpeg and the players that are built on it read them."""
    texts = []
    with av.open(io.BytesIO(content.encode()), format={"vtt": "webvtt"}.get(kind, kind)) as file:
        for packet in file.demux(subtitles=0):
            for event in packet.decode():
                text = event.ass.decode().split(",", 8)[8].replace("\\N", "\n")
                texts.append(text.replace("\\{{}", "{").replace("\\\u2060", "\\"))
    return texts


# Of what SubRip has no escapes for, a wide form is written.
NARROW = str.maketrans("\uff1c\uff5b\uff3c\uff1a", "<{\\:")


@pytest.mark.parametrize("kind", list(TranscriptFormat))
@given(hostile_words)
def test_any_text_can_be_written_in_every_format(kind, texts):
    content = write(said(texts, name="\udcff;; a.wav"), kind)
    content.encode("utf-8")
    assert content.endswith("\n") or not content


def test_every_format_has_a_writer():
    assert set(WRITERS) == set(TranscriptFormat)


def test_a_format_is_given_by_its_name_and_another_one_is_refused():
    assert asr.write(ONE, "srt") == write(ONE, TranscriptFormat.srt)
    with pytest.raises(asr.ConfigError, match=r"format='doc': .* use one of txt, json, jsonl, srt"):
        asr.write(ONE, "doc")


@given(hostile_words)
def test_segments_of_json_are_the_cues_of_srt_and_vtt(texts):
    transcript = said(texts)
    segments = json.loads(write(transcript, TranscriptFormat.json))["segments"]
    assert segments == [{"start": one.start, "end": one.end, "text": one.text} for one in transcript.segments]
    for kind, point in ((TranscriptFormat.srt, ","), (TranscriptFormat.vtt, ".")):
        blocks = write(transcript, kind).removeprefix("WEBVTT\n\n").removesuffix("\n").split("\n\n")
        cues = [block.split("\n", 2) for block in blocks if block]
        assert [times for _, times, _ in cues] == [
            f"00:00:{one['start']:06.3f} --> 00:00:{one['end']:06.3f}".replace(".", point) for one in segments
        ]
    shown = [html.unescape(text).replace("\n", " ") for _, _, text in cues]
    assert shown == [one["text"] for one in segments]


def test_segments_are_computed_once():
    assert TWO.segments is TWO.segments
    assert [(one.text, one.words) for one in TWO.segments] == [("one two", TWO.words[:2]), ("three", TWO.words[2:])]


def test_words_that_show_nothing_are_no_subtitle():
    transcript = Transcript("a.wav", "one \x00", 9.0, 0.0, (Word("one", 0.0, 0.5), Word("\x00", 5.0, 5.5)), ())
    assert [one.text for one in transcript.segments] == ["one"]
    assert write(transcript, TranscriptFormat.stm) == "a 1 a 0.000 1.000 one\n"


@given(hostile_words)
def test_webvtt_shows_the_text_as_it_is(texts):
    content = write(said(texts), TranscriptFormat.vtt)
    blocks = content.removeprefix("WEBVTT\n\n").split("\n\n") if content.count("\n") > 2 else []
    assert all(block.count("-->") == 1 for block in blocks)
    assert "\n\n\n" not in content
    found = one_line(" ".join(shown_by_ffmpeg(content, "vtt")))
    expected = one_line(" ".join(texts))
    assert found.replace(" ", "") == expected.replace(" ", "")


@given(hostile_words)
def test_subrip_shows_the_text_without_markup(texts):
    content = write(said(texts), TranscriptFormat.srt)
    expected = one_line(" ".join(texts)).replace("-->", "->").replace(" ", "").translate(NARROW)
    events = pysubs2.SSAFile.from_string(content, format_="srt").events
    assert "".join(one.plaintext for one in events).translate(NARROW).replace("\n", "").replace(" ", "") == expected
    shown = "".join(shown_by_ffmpeg(content, "srt")).translate(NARROW)
    assert shown.replace("\n", "").replace(" ", "") == expected
    assert not any(event.text != event.plaintext.replace("\n", "\\N") for event in events)


def test_a_pair_of_angles_or_braces_is_no_markup_in_subrip():
    content = write(said(["<i>x</i>", "1 < 2", "{\\an8}y", "{", "a > b", "-->"]), TranscriptFormat.srt)
    assert "at 12:30 0:00\uff1a01,5" in write(said(["at", "12:30", "0:00:01,5"]), TranscriptFormat.srt)
    assert "\uff1ci>x\uff1c/i> 1 \uff1c 2 \uff5b\\an8}y { a > b ->" in content.replace("\n", " ")


@given(hostile_words)
def test_a_table_has_three_columns_whatever_is_said(texts):
    rows = write(said(texts), TranscriptFormat.tsv).removesuffix("\n").split("\n")
    assert all(len(row.split("\t")) == 3 for row in rows)
    assert one_line(" ".join(row.split("\t")[2] for row in rows[1:])) == one_line(" ".join(texts))


@given(hostile_words)
def test_a_ctm_line_has_six_columns_whatever_is_said(texts):
    lines = write(said(texts), TranscriptFormat.ctm).removesuffix("\n").split("\n")
    fields = [line.split(" ") for line in lines if line]
    assert all(len(one) == 6 for one in fields)
    assert [one[4] for one in fields] == one_line(" ".join(texts)).split()
    starts = [float(one[2]) for one in fields]
    assert starts == sorted(starts)


def test_a_dash_beside_a_word_is_a_token_without_length():
    words = (Word("\u2014 Well \u2014", 1.0, 1.5, 0.9), Word("in 1984 &", 2.0, 2.4))
    transcript = Transcript("a.wav", "\u2014 Well \u2014 in 1984 &", 3.0, 0.0, words, ())
    assert write(transcript, TranscriptFormat.ctm).splitlines() == [
        "a 1 1.000 0.000 \u2014 0.900",
        "a 1 1.000 0.500 Well 0.900",
        "a 1 1.500 0.000 \u2014 0.900",
        "a 1 2.000 0.400 in",
        "a 1 2.400 0.000 1984",
        "a 1 2.400 0.000 &",
    ]


def test_evaluation_reads_back_the_text_of_a_ctm(tmp_path):
    texts = ["\u2014 Well \u2014", "AT&T", "in 1984 &", "{\\an8}", "漢", "字。", "end"]
    transcript = replace(said(texts), text="\u2014 Well \u2014 AT&T in 1984 & {\\an8} 漢字。 end")
    (tmp_path / "a.ctm").write_text(write(transcript, TranscriptFormat.ctm, name="u1"), "utf-8")
    (output,), _ = read_hypotheses(str(tmp_path / "a.ctm"), [Utterance("u1", Path(), "x 漢字", None, None, "r:1")])
    assert output.text == transcript.text
    (output,), _ = read_hypotheses(str(tmp_path / "a.ctm"), [Utterance("u1", Path(), "x 漢 字", None, None, "r:1")])
    assert output.text == transcript.text.replace("漢字", "漢 字")


@pytest.mark.parametrize("texts", [["one", "two", "three"], ["— Well —", "<b>", "AT&T"], ["漢", "字"]])
def test_sclite_reads_ctm_and_stm_as_the_same_words(tmp_path, texts):
    transcript = said(texts, name=";; my talk.wav")
    for kind in (TranscriptFormat.ctm, TranscriptFormat.stm):
        content = write(transcript, kind)
        (tmp_path / f"x.{kind.value}").write_text(content, "utf-8")
    done = subprocess.run(
        [oracle("sclite"), "-e", "utf-8", "-r", "x.stm", "stm", "-h", "x.ctm", "ctm", "-o", "sum", "stdout"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (total,) = (line for line in done.stdout.splitlines() if "Sum/Avg" in line)
    sentences, words, right = total.replace("|", " ").split()[1:4]
    assert (int(sentences), int(words), float(right)) == (1, len(" ".join(texts).split()), 100.0)


@pytest.mark.parametrize(
    "words",
    [
        (Word("a", 0.0, 1.0), Word("b", 0.5, 1.5), Word("c", 0.7, 0.9)),  # overlaps, and one inside another
        (Word("a", 2.0, 2.0), Word("b", 2.0, 2.0), Word("c", 2.5, 2.5)),  # without length
        (Word("a", 3.0, 3.0), Word("b", 3.0, 3.0)),  # at the very end
        (Word("a", 0.0, 3.5), Word("b", 3.2, 3.3)),  # behind it
        (Word("a", 0.1, 0.1004), Word("b", 0.1004, 0.1008)),  # shorter than a millisecond
        (Word('"', 0.0, 1.0), Word('""', 1.0, 2.0), Word('a"b', 2.0, 3.0)),
    ],
)
def test_a_text_grid_has_no_overlaps_and_loses_no_word(tmp_path, words):
    transcript = Transcript("a.wav", " ".join(word.text for word in words), 3.0, 0.0, words, ())
    path = tmp_path / "a.TextGrid"
    path.write_text(write(transcript, TranscriptFormat.textgrid), "utf-8")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    for name in grid.tierNames:
        entries = grid.getTier(name).entries
        assert entries[0].start == 0
        assert entries[-1].end == grid.maxTimestamp
        assert all(before.end == after.start for before, after in pairwise(entries))
        assert all(one.end > one.start for one in entries)
        assert " ".join(one.label for one in entries if one.label) == transcript.text


def test_in_a_text_grid_a_word_begins_where_the_last_one_ends_at_the_earliest(tmp_path):
    words = (Word("a", 0.0, 1.0), Word("b", 0.5, 1.5), Word("c", 0.7, 0.9), Word("d", 2.0, 2.5))
    path = tmp_path / "a.TextGrid"
    path.write_text(write(replace(SILENT, words=words), TranscriptFormat.textgrid), "utf-8")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert [tuple(one) for one in grid.getTier("words").entries] == [
        (0.0, 1.0, "a"), (1.0, 1.5, "b c"), (2.0, 2.5, "d"),
    ]  # fmt: skip


@given(hostile_words)
def test_a_text_grid_of_any_text_has_its_words(texts):
    content = write(said(texts), TranscriptFormat.textgrid)
    labels = re.findall(r'^            text = "((?:[^"]|"")*)"$', content, re.MULTILINE)
    count = len(re.findall(r"^        intervals \[", content, re.MULTILINE))
    assert len(labels) == count
    assert content.count('"') % 2 == 0


def test_scripts_without_spaces_have_none_in_subtitles_and_segments():
    words = tuple(Word(one, 0.2 * place, 0.2 * place + 0.04, 0.4) for place, one in enumerate("漢字漢"))
    transcript = Transcript("a.wav", "漢字漢", 2.0, 0.0, words, ())
    assert write(transcript, TranscriptFormat.srt).splitlines()[2] == "漢字漢"
    assert write(transcript, TranscriptFormat.tsv).splitlines()[1] == "0\t1000\t漢字漢"
    assert write(transcript, TranscriptFormat.stm) == "a 1 a 0.000 1.000 漢字漢\n"
    assert [line.split()[4] for line in write(transcript, TranscriptFormat.ctm).splitlines()] == [*"漢字漢"]
    assert transcript.mark_doubtful(0.5).text == "[漢?][字?][漢?]"
    mixed = replace(transcript, text="漢 字漢")
    assert write(mixed, TranscriptFormat.vtt).splitlines()[4] == "漢 字漢"


def test_marks_of_doubt_leave_punctuation_behind_them_and_cut_no_subtitle():
    texts = [
        "Did",
        "you",
        "spend",
        "the",
        "whole",
        "night",
        "rambling",
        "about",
        "the",
        "city?",
        '"No,"',
        "he",
        "said.",
    ]
    words = tuple(
        Word(text, number / 4, number / 4 + 0.2, 0.1 if text in ("night", "city?", '"No,"') else 0.9)
        for number, text in enumerate(texts)
    )
    transcript = Transcript("a.wav", " ".join(texts), 4.0, 0.0, words, ())
    marked = transcript.mark_doubtful(0.5)
    assert marked.text.endswith('the whole [night?] rambling about the [city?]? ["No?]," he said.')
    ends = [[one.words[-1].start for one in each.segments] for each in (transcript, marked)]
    assert ends[0] == ends[1]


def test_nothing_is_shown_beyond_the_end_of_the_recording():
    words = (Word("word", 0.1, 0.3),)
    (segment,) = Transcript("a.wav", "word", 0.42, 0.0, words, ()).segments
    assert (segment.start, segment.end) == (0.1, 0.42)
    (segment,) = Transcript("a.wav", "word", 0.2, 0.0, words, ()).segments
    assert segment.end == 0.3  # as long as its word, whatever the duration says
    (segment,) = Transcript("", "word", 0.0, 0.0, words, ()).segments
    assert segment.end == 1.1  # of an unknown duration
