from __future__ import annotations

import csv
import json

from asr.evaluation.report import format_alignment, format_table, worst_utterances, write_report
from asr.evaluation.scoring import score

RESULT = score(["the cat sat", "yes", ""], ["the bat sat down", "yes", "oh"])
IDS = ["first", "second", "third"]


def test_the_table_shows_pooled_counts():
    table = format_table(RESULT)
    assert "75.00 %" in table.splitlines()[1]
    assert table.splitlines()[1].split()[-5:] == ["3", "1", "0", "2", "4"]
    assert "66.67 %" in table.splitlines()[3]


def test_an_alignment_marks_every_error_under_its_words():
    assert format_alignment(RESULT.utterances[0]).splitlines() == [
        "REF: the CAT sat ****",
        "HYP: the BAT sat DOWN",
        "         S       I",
    ]


def test_the_worst_utterances_come_first_and_right_ones_never():
    assert [name for name, _ in worst_utterances(RESULT, IDS, 10)] == ["first", "third"]
    assert worst_utterances(RESULT, IDS, 0) == []


def test_files_hold_the_same_numbers(tmp_path):
    write_report(tmp_path / "report", IDS, RESULT, {"bundle": "x"})
    report = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert report["words"]["errors"] == 3
    assert report["words"]["rate"] == 0.75
    assert report["details"][2]["words"]["rate"] is None
    assert report["about"] == {"bundle": "x"}
    with (tmp_path / "report" / "utterances.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == IDS
    assert sum(int(row["word_insertions"]) for row in rows) == report["words"]["insertions"] == 2
    assert "HYP: the BAT" in (tmp_path / "report" / "alignments.txt").read_text("utf-8")
