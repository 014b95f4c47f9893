"""Tags read off written text, by cases derived by hand."""

from __future__ import annotations

import pytest

from asr.punctuation.written_tags import (
    CAPITAL,
    LOWER,
    MARKS,
    MIXED,
    NO_BREAK,
    PARAGRAPH,
    SENTENCE,
    UNKNOWN_CASE,
    UPPER,
    Spellings,
    case_of,
    read_documents,
    read_words,
    tag_paragraphs,
)

NONE = Spellings({}, frozenset(), frozenset())


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Yes, he said.", [",", "", "."]),
        ('"What?" he cried--"now!"', ["?", "", "\u2014", "!"]),
        ("a well-known man", ["", "", "", ""]),
        ("one \u2013 two; three: four\u2026", ["\u2014", ";", ":", "."]),
        ("He stopped;--then (slowly) went on", ["", ";", "", "", "", ""]),
        ("the boys' books", ["", "", ""]),
        ("Wait!?", ["?"]),
    ],
)
def test_marks_between_words(text: str, marks: list[str]) -> None:
    assert [MARKS[one.mark] for one in read_words(text)] == marks


def test_quotes_and_apostrophes_are_no_words() -> None:
    assert [one.written for one in read_words("\u201cDon\u2019t,\u201d said O'Brien, 'no'.")] == [
        "Don't",
        "said",
        "O'Brien",
        "no",
    ]


@pytest.mark.parametrize(
    ("word", "case"),
    [("it's", LOWER), ("I", CAPITAL), ("Ann", CAPITAL), ("USA", UPPER), ("O'Brien", MIXED), ("\u00c9tude", CAPITAL)],
)
def test_case_of_a_word(word: str, case: int) -> None:
    assert case_of(word) == case


def test_sentences_end_before_a_capital_or_at_the_end_of_a_paragraph() -> None:
    tagged = tag_paragraphs([read_words('"Why?" he asked. Ann left.'), read_words("So it was:")], NONE)
    assert tagged.words == ["why", "he", "asked", "ann", "left", "so", "it", "was"]
    assert tagged.breaks.tolist() == [NO_BREAK, NO_BREAK, SENTENCE, NO_BREAK, PARAGRAPH, *[NO_BREAK] * 3]
    # The first word of a sentence does not say how it is written elsewhere.
    assert tagged.cases.tolist()[:5] == [UNKNOWN_CASE, LOWER, LOWER, UNKNOWN_CASE, LOWER]


def test_the_full_stop_of_an_abbreviation_ends_no_sentence() -> None:
    documents = [[read_words("I met Dr. Smith and Dr. Jones.")] * 3] * 3
    spellings = Spellings.count(documents)
    assert spellings.abbreviations == {"dr"}
    tagged = tag_paragraphs(documents[0][:1], spellings)
    assert [MARKS[one] for one in tagged.marks] == ["", "", "", "", "", "", "."]


def test_capitals_inside_words_and_whole_words_are_learned_from_several_documents() -> None:
    document = [read_words("So McDonald of the USA said NO, no, no and McDonald went to the USA again.")]
    spellings = Spellings.count([document] * 3)
    assert spellings.mixed == {"mcdonald": "McDonald"}
    assert spellings.upper == {"usa"}
    tagged = tag_paragraphs(document, spellings)
    cases = dict(zip(tagged.words, tagged.cases.tolist(), strict=True))
    assert (cases["mcdonald"], cases["usa"], cases["no"]) == (MIXED, UPPER, LOWER)


def test_capitals_of_emphasis_and_of_names_of_speakers_say_nothing_of_the_case() -> None:
    play = [read_words("LORD ALFRED. I met McIlheny and MCDONALD. LADY JANE. You WERE in an eVan.")]
    tagged = tag_paragraphs(play, Spellings({"mcdonald": "McDonald"}, frozenset(), frozenset()))
    cases = dict(zip(tagged.words, tagged.cases.tolist(), strict=True))
    assert [cases[one] for one in ("alfred", "jane", "were")] == [UNKNOWN_CASE] * 3
    # As far as a capital tells, where no list has the spelling.
    assert [cases[one] for one in ("mcilheny", "mcdonald", "evan")] == [CAPITAL, MIXED, LOWER]


def test_a_word_that_one_document_writes_otherwise_than_the_others_is_spelled_as_in_the_others() -> None:
    play = [read_words("So COBB of the USA met COBB and Lina. COBB met Lina. She went.")] * 20
    others = [[read_words("We saw Cobb in the USA and Lina too.")]] * 3
    spellings = Spellings.count([play, *others])
    assert spellings.upper == {"usa"}
    assert spellings.abbreviations == set()


def test_long_words_are_no_abbreviations() -> None:
    document = [read_words("I like it promising. We met Prof. Smith.")] * 3
    assert Spellings.count([document] * 4).abbreviations == {"prof"}


def test_an_empty_line_separates_documents() -> None:
    documents = list(read_documents(["One.\n", "Two.\n", "\n", "\n", "Three.\n"]))
    assert [[[one.word for one in words] for words in document] for document in documents] == [
        [["one"], ["two"]],
        [["three"]],
    ]
