from __future__ import annotations

import lzma

import pytest

from asr.settings.tagger import TextBatchConfig
from asr.training.held_out import TRAIN, document_parts

from .test_lexicon import run_script


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It's $5.50. See you on March 3rd at 9:05 a.m.!",
         ["It's five dollars and fifty cents.", "See you on March third at nine oh five a m!"]),
        ("A table for 2 at 11:30am, or 7 PM.", ["A table for two at eleven thirty a m, or seven P m."]),
        ("Call 408-247-8880 in San Jose.", ["Call four oh eight two four seven eight eight eight oh in San Jose."]),
        ("In 1965, 2005 and 2019: 5% of 1,234,567.",
         ["In nineteen sixty five, two thousand five and twenty nineteen",
          "five percent of one million two hundred thirty four thousand five hundred sixty seven."]),
        ("4.5 stars for 377 Santana Row #100; the 21st, the 20th, the 112th",
         ["four point five stars for three hundred seventy seven Santana Row number one hundred",
          "the twenty first, the twentieth, the one hundred twelfth"]),
        ("$1 or $1.01? Dr. Who said so.", ["one dollar or one dollar and one cent?", "Dr Who said so."]),
        ("zip 94110 and 007", ["zip nine four one one oh and oh oh seven"]),
        ("No.Is it?Yes", ["No.", "Is it?", "Yes"]),
        ("I am here at 9 am. Am I?", ["I am here at nine a m.", "Am I?"]),
        ("", []),
    ],
)  # fmt: skip
def test_numbers_are_written_as_they_are_spoken(tmp_path, written, spoken):
    (tmp_path / "written.txt.xz").write_bytes(lzma.compress(written.encode()))
    outcome = run_script("spoken_sentences.py", tmp_path / "written.txt.xz", tmp_path / "spoken.txt.xz")
    assert outcome.returncode == 0, outcome.stderr
    assert lzma.decompress((tmp_path / "spoken.txt.xz").read_bytes()).decode().splitlines() == spoken


def test_documents_that_are_held_out_can_be_left_out(tmp_path):
    documents = [f"This is document {spell}, which is like no other one." for spell in map(chr, range(97, 123))] * 5
    texts = [f"{one} {number}." for number, one in enumerate(documents)]
    (tmp_path / "texts.txt").write_text("\n\n".join(texts), "utf-8")
    outcome = run_script("spoken_sentences.py", tmp_path / "texts.txt", tmp_path / "all.txt.xz")
    assert outcome.returncode == 0, outcome.stderr
    outcome = run_script("spoken_sentences.py", tmp_path / "texts.txt", tmp_path / "part.txt.xz", "--training-part")
    assert outcome.returncode == 0, outcome.stderr
    whole, part = (lzma.decompress((tmp_path / name).read_bytes()).decode() for name in ("all.txt.xz", "part.txt.xz"))
    parts = document_parts([tmp_path / "texts.txt"], TextBatchConfig().held_out)
    assert 0 < parts.count(TRAIN) < len(parts)
    assert part.count("This is") == parts.count(TRAIN)
    assert whole.count("This is") == len(parts)


def test_dialogue_for_punctuation_keeps_capitals_and_marks_and_leaves_out_careless_turns(tmp_path):
    turns = ["I am in Paris, at 9:30 am.", "what?", "We meet on monday.", "It is late; go.", "Is it $5? Yes!", "No"]
    (tmp_path / "spoken.txt").write_text("\n".join(turns), "utf-8")
    outcome = run_script("spoken_documents.py", tmp_path / "spoken.txt", tmp_path / "documents.txt.xz")
    assert outcome.returncode == 0, outcome.stderr
    text = lzma.decompress((tmp_path / "documents.txt.xz").read_bytes()).decode()
    assert text.splitlines() == ["I am in Paris, at nine thirty a m.", "Is it five dollars? Yes!"]
