"""Which paragraphs of books are text for `asr train-text`."""

from __future__ import annotations

import sys

import pytest

from ..conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "scripts" / "research"))

from cased_books import clean_paragraph, is_verse

SONNET = """\
  Shall I compare thee to a summer's day?
  Thou art more lovely and more temperate:
  Rough winds do shake the darling buds of May,
  And summer's lease hath all too short a date:"""
COUPLET = """\
    That though the jest be old as night,
      Still shaketh sun and sphere"""
LONG_LINES = """\
  Once, on a glittering ice-field, ages and ages ago, ages and ages ago,
  Ung, a maker of pictures, fashioned an image of snow, an image of snow,
  Fashioned the form of a tribesman, gaily he whistled and sung:"""
PROSE = """\
"That is the man," she said, and turned to the window. He asked the
Captain whether he had seen the ship; the answer was that nobody had
seen her since the storm, and that Mister Brown, who knew the coast as
he knew his house, thought her lost."""
PROSE_WITH_A_NAME = """\
His spirits fell considerably next morning when Joe returned from New
York, having come home on the night train."""
EVERY_LINE_A_SENTENCE = """\
He came.
She saw.
They went."""


@pytest.mark.parametrize("paragraph", [SONNET, COUPLET, LONG_LINES])
def test_lines_that_begin_with_capitals_within_sentences_are_verse(paragraph: str) -> None:
    assert is_verse(paragraph)


@pytest.mark.parametrize("paragraph", [PROSE, PROSE_WITH_A_NAME, EVERY_LINE_A_SENTENCE, "", "One line.", "12\n34"])
def test_other_paragraphs_are_not(paragraph: str) -> None:
    assert not is_verse(paragraph)


def test_titles_are_spelled_as_transcripts_spell_them_and_notes_are_left_out() -> None:
    assert clean_paragraph("_Mr._ Brown [1] saw Mrs. Gray*.") == "Mister Brown saw Missus Gray ."


@pytest.mark.parametrize("paragraph", ["CHAPTER THE FIRST.", "A heading", "Page 12 has | a | table.", ""])
def test_headings_and_tables_are_no_text(paragraph: str) -> None:
    assert clean_paragraph(paragraph) == ""
