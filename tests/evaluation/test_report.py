from __future__ import annotations

import csv
import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from asr.corpus.manifest import Utterance
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.render.text_report import format_alignment, format_report, format_summary, plain, worst_utterances
from asr.evaluation.report import make_report
from asr.evaluation.report_files import write_report
from asr.evaluation.report_json import report_object
from asr.evaluation.sources import Output, System
from asr.settings.text import NormalizerConfig
from asr.text.transcript import Word

SCHEMA = json.loads((resources.files("asr.evaluation") / "report.schema.json").read_text("utf-8"))


def utterance(name: str, text: str, speaker: str | None = None, duration: float | None = None, **other) -> Utterance:
    return Utterance(name, Path(), text, duration, speaker, name, other)


def system(name: str, *texts: str, **kwargs) -> System:
    return System(name, [Output(text) for text in texts], **kwargs)


def report_of(utterances, *systems, policy=None, **kwargs):
    report = make_report(utterances, systems, policy or ScoringPolicy(NormalizerConfig()), references=["x"], **kwargs)
    jsonschema.validate(json.loads(json.dumps(report_object(report), allow_nan=False)), SCHEMA)
    return report


UTTERANCES = [utterance("first", "The cat sat."), utterance("second", "yes"), utterance("third", "")]
SYSTEM = system("ours", "the bat sat down", "yes", "oh")


@pytest.fixture(scope="module")
def report():
    return report_of(UTTERANCES, SYSTEM)


def test_counts_are_pooled(report):
    words = report_object(report)["systems"][0]["words"]
    assert (words["rate"], words["errors"], words["reference_length"]) == (0.75, 3, 4)
    assert report_object(report)["systems"][0]["utterances"] == {"total": 3, "wrong": 2}
    assert report_object(report)["utterances"][2]["systems"][0]["words"]["rate"] is None
    assert report_object(report)["utterances"][0]["systems"][0]["character_alignment"][:3] == [
        ["equal", "the ", "the "],
        ["substitute", "c", "b"],
        ["equal", "at sat", "at sat"],
    ]


def test_the_table_shows_pooled_counts(report):
    lines = format_report(report).splitlines()
    words = next(line for line in lines if line.startswith("words"))
    assert "75.00 %" in words
    assert words.split()[-5:] == ["3", "1", "0", "2", "4"]
    assert "66.67 %" in next(line for line in lines if line.startswith("utterances"))


def test_an_alignment_marks_every_error_under_its_words(report):
    assert format_alignment(report.utterances[0].systems[0].score.alignment).splitlines() == [
        "REF: the CAT sat ****",
        "HYP: the BAT sat DOWN",
        "         S       I",
    ]


def test_the_worst_utterances_come_first_and_right_ones_never(report):
    assert [one.utterance.id for one in worst_utterances(report, 10)] == ["first", "third"]
    assert worst_utterances(report, 0) == []


def test_files_hold_the_same_numbers(report, tmp_path):
    write_report(tmp_path / "report", report)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *(
            ".asr-outputs.jsonl",
            "report.html",
            "report.json",
            "report.txt",
            "summary.md",
            "table.tex",
            "table.csv",
            "utterances.csv",
            "slices.csv",
            "confusions.csv",
        )
    }
    assert json.loads((tmp_path / "report" / "report.json").read_text("utf-8")) == json.loads(
        json.dumps(report_object(report))
    )
    tables = {}
    for name in ("utterances", "slices", "confusions"):
        with (tmp_path / "report" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            tables[name] = list(csv.DictReader(file))
    assert [row["id"] for row in tables["utterances"]] == ["first", "second", "third"]
    assert sum(int(row["word_insertions"]) for row in tables["utterances"]) == 2
    assert (tables["slices"][0]["field"], float(tables["slices"][0]["wer"])) == ("all", 0.75)
    found = {
        (row["kind"], row["reference"], row["hypothesis"]) for row in tables["confusions"] if row["unit"] == "words"
    }
    assert found == {("substitutions", "cat", "bat"), ("insertions", "", "down"), ("insertions", "", "oh")}
    assert "HYP: the BAT" in (tmp_path / "report" / "report.txt").read_text("utf-8")
    assert "75.00 %" in (tmp_path / "report" / "summary.md").read_text("utf-8")


def test_slices_are_found_and_cut_and_small_ones_marked():
    utterances = [
        utterance(f"u{number}", "one two three", f"s{number % 9}", number / 4, accent="xy"[number % 2], age=20 + number)
        for number in range(60)
    ]
    texts = ["one two" if one.other["accent"] == "x" else "one two three" for one in utterances]
    report = report_of(utterances, system("ours", *texts), slice_by=["missing"])
    slices = {field["field"]: field["values"] for field in report_object(report)["systems"][0]["slices"]}
    assert list(slices) == ["duration", "speaker", "accent", "age"]
    assert [one["value"] for one in slices["duration"]] == ["0 to 2 s", "2 to 5 s", "5 to 10 s", "10 to 15 s"]
    assert {one["value"]: one["words"]["rate"] for one in slices["accent"]} == {"x": 1 / 3, "y": 0}
    assert [one["value"] for one in slices["age"]] == [
        "20 to 31.8",
        "31.8 to 43.6",
        "43.6 to 55.4",
        "55.4 to 67.2",
        "67.2 to 79",
    ]
    assert sum(one["utterances"] for one in slices["age"]) == 60
    assert all(one["few"] for one in slices["accent"])
    assert len(slices["speaker"]) == 9


def test_numbers_that_floats_cannot_tell_apart_are_values_by_themselves():
    utterances = [utterance(f"u{place}", "one", session=2**63 + place) for place in range(50)]
    report = report_of(utterances, system("s", *["one"] * 50), slice_by=["session"])
    (table,) = (table for table in report.systems[0].slices if table.field == "session")
    assert len(table.values) == 50


def test_rare_and_unknown_words_are_counted_apart():
    utterances = [utterance("a", "the the the the the the cat"), utterance("b", "the dog dog")]
    report = report_of(
        utterances,
        system("ours", "the the a the the the cat", "the dog fog"),
        vocabulary={"the"},
        vocabulary_name="x.lm",
    )
    found = {one.kind: (one.words, one.distinct, one.missed) for one in report.systems[0].frequency}
    assert found == {"once": (1, 1, 0), "2 to 5 times": (2, 1, 1), "6 to 20 times": (7, 1, 1)}
    kinds = report_object(report)["systems"][0]["vocabulary"]["kinds"]
    assert [(one["kind"], one["words"], one["missed"]) for one in kinds] == [("known", 7, 1), ("unknown", 3, 1)]


def test_confidences_are_held_against_what_was_right():
    words = [
        Word(text, number, number + 0.5, sure) for number, (text, sure) in enumerate([("One,", 0.9), ("tow", 0.2)])
    ]
    outputs = [Output("One, tow", tuple(words))]
    report = report_of([utterance("a", "one two")], System("ours", outputs))
    reliability = report_object(report)["systems"][0]["reliability"]
    assert reliability["words"] == 2
    assert reliability["right"] == 0.5
    assert list(reliability["bins"]) == [
        {"confidence": 0.2, "right": 0, "words": 1},
        {"confidence": 0.9, "right": 1, "words": 1},
    ]
    assert report_object(report)["utterances"][0]["systems"][0]["times"] == [[0, 0.5, 0.9], [1, 1.5, 0.2]]


def test_words_given_character_by_character_have_the_times_of_the_whole_and_the_least_confidence():
    given = [("漢", 0.9), ("字", 0.2), ("。", 0.1), ("我", 0.7)]
    words = [Word(text, number, number + 0.5, sure) for number, (text, sure) in enumerate(given)]
    outputs = [Output("漢字。我 ab", (*words, Word("ab", 5, 6, 0.6)))]
    report = report_of([utterance("a", "漢字 我 ab")], System("ours", outputs))
    assert report_object(report)["utterances"][0]["systems"][0]["times"] == [[0, 1.5, 0.2], [3, 3.5, 0.7], [5, 6, 0.6]]


def test_words_that_the_policy_makes_others_of_have_no_times():
    words = tuple(Word(text, 0, 1, 0.5) for text in ("twenty", "one"))
    policy = ScoringPolicy(NormalizerConfig(), english=True)
    report = report_of([utterance("a", "twenty one")], System("ours", [Output("twenty one", words)]), policy=policy)
    assert report_object(report)["utterances"][0]["systems"][0]["hypothesis"] == "21"
    assert report_object(report)["utterances"][0]["systems"][0]["times"] is None


def test_each_other_system_is_compared_with_the_first():
    utterances = [utterance(f"u{number}", "one two three four") for number in range(40)]
    right = ["one two three four"] * 40
    wrong = ["one two tree four" if number % 3 else one for number, one in enumerate(right)]
    report = report_of(utterances, system("ours", *right), system("theirs", *wrong), system("same", *right))
    worse, same = report_object(report)["comparisons"]
    assert (worse["first"], worse["second"]) == ("ours", "theirs")
    assert worse["difference"] == pytest.approx(-26 / 160)
    assert worse["p"] < 0.001
    assert same["difference"] == 0
    assert same["p"] == 1
    summary = format_summary(report)
    assert "ours is **better** than theirs: -16.25 points" in summary
    assert "ours is not significantly different from same: +0.00 points" in summary


def test_a_difference_without_spread_is_no_number_in_json():
    utterances = [utterance("a", "one"), utterance("b", "two")]
    report = report_of(utterances, system("ours", "x", "y"), system("theirs", "one", "two"))
    assert report_object(report)["comparisons"][0]["matched_pairs"]["z"] is None
    assert "z = infinite" in format_report(report)
    empty = report_of([utterance("a", "")], system("ours", "x"), system("theirs", ""))
    assert report_object(empty)["comparisons"][0]["difference"] is None
    assert "no reference words" in format_report(empty)
    assert "no reference words" in format_summary(empty)


def test_markdown_of_a_transcript_stays_text():
    report = report_of(
        [utterance("a", "x | y"), utterance("b", "z")], system("a|b `<b>`", "<script>", "*z*"), policy=RAW
    )
    summary = format_summary(report)
    assert "a\\|b \\`\\<b\\>\\`" in summary
    assert "\\<script\\>" in summary
    assert plain("a&lt;b") == "a\\&lt;b"  # not <


RAW = ScoringPolicy(NormalizerConfig(lowercase=False, strip_punctuation=False))
