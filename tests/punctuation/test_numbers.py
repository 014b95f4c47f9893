"""Numbers, dates, times and amounts of a transcript in figures."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.errors import ConfigError
from asr.evaluation.policy import ScoringPolicy
from asr.punctuation.numbers import CONTEXT, LANGUAGES, write_numbers
from asr.punctuation.numbers.number_words import NUMBER_WORDS
from asr.settings.text import NormalizerConfig

from ..conftest import REPOSITORY

FOLDER = Path(__file__).parent
PAGE = REPOSITORY / "docs" / "numbers.md"
SCALES = {"million": 10**6, "billion": 10**9, "trillion": 10**12}
# Cases that are written otherwise than expected: those that docs/numbers.md lists.
WRONG = {
    "sixteen twenty four pounders": "1624 pounders",
    "two thousand and one a space odyssey": "2,001 a space odyssey",
}


def read_cases(name: str) -> list[tuple[str, str, str]]:
    """Spoken, written, kind."""
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    return [(spoken, written, kind) for spoken, written, kind in (line.split("\t") for line in lines)]


CASES, HELD_OUT = read_cases("numbers.tsv"), read_cases("numbers_heldout.tsv")


def written(text: str, language: str = "en") -> str:
    words = text.split()
    parts, place = [], 0
    for span in write_numbers(words, language=language):
        parts += [*words[place : span.start], span.text]
        place = span.end
    return " ".join([*parts, *words[place:]])


def test_the_cases_are_many_and_each_is_there_once():
    spoken = [case[0] for case in (*CASES, *HELD_OUT)]
    assert len(CASES) >= 500
    assert len(HELD_OUT) >= 100
    assert [text for text, count in Counter(spoken).items() if count > 1] == []


@pytest.mark.parametrize("cases", [CASES, HELD_OUT], ids=["developed", "held out"])
def test_the_cases_are_written_as_expected_but_for_those_that_the_page_lists(cases):
    wrong = {spoken: written(spoken) for spoken, expected, _ in cases if written(spoken) != expected}
    assert wrong == {spoken: text for spoken, text in WRONG.items() if spoken in {case[0] for case in cases}}
    for spoken, text in wrong.items():
        assert f"| {spoken} | {text} |" in PAGE.read_text("utf-8")


def test_the_page_gives_the_numbers_of_cases():
    assert f"numbers.tsv` has {len(CASES)} cases and `numbers_heldout.tsv` {len(HELD_OUT)}." in PAGE.read_text("utf-8")


def test_the_examples_of_the_page_are_written_as_it_says():
    table = PAGE.read_text("utf-8").split("## How far")[0]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)[1:]
    assert len(rows) > 40
    for spoken, text in rows:
        separator = "; " if ";" in spoken else ", "
        expected = spoken if text == "the words stay" else text
        assert [written(one) for one in spoken.split(separator)] == expected.split(separator)


def number_of(text: str) -> int:
    """A cardinal in figures as a number."""
    figures, _, scale = text.partition(" ")
    return int(figures.replace(",", "")) * SCALES.get(scale, 1)


def spelled(number: int, to: str = "cardinal", *, with_and: bool = True) -> str:
    num2words = pytest.importorskip("num2words")
    text = num2words.num2words(number, to=to).replace(",", "").replace("-", " ")
    return text if with_and else text.replace(" and ", " ")


@given(
    st.one_of(st.integers(10, 10**4), st.integers(10, 10**12), st.integers(10, 999).map(lambda n: n * 10**6)),
    st.booleans(),
)
@example(10**12, False)
def test_an_integer_in_words_gives_its_figures(number, with_and):
    """num2words is the oracle; text2num reads the same words."""
    from text_to_num import text2num

    words = spelled(number, with_and=with_and)
    (span,) = write_numbers(words.split())
    assert (span.start, span.end) == (0, len(words.split()))
    assert number_of(span.text) == number
    if number < 10**12:  # where text2num ends
        assert text2num(words, "en") == number


@given(st.integers(10, 10**4))
def test_an_ordinal_in_words_gives_its_figures(number):
    num2words = pytest.importorskip("num2words")
    (span,) = write_numbers(["the", *spelled(number, "ordinal").split()])
    assert span.text.replace(",", "") == num2words.num2words(number, to="ordinal_num")


@given(st.integers(1100, 2099).filter(lambda year: year % 1000 >= 10 and year % 100))
def test_a_year_in_words_gives_its_figures(year):
    text = spelled(year, "year")
    assert written(f"it was in {text}") == f"it was in {year}"


BESIDE_NUMBERS = """
a and or to point oh o half past quarter of the on in at between from may march june p m am pm o'clock percent dollars
pounds cents cent per miles feet year years old second minute chapter room street page double b c i it was word no
"""
NEAR_NUMBERS = sorted({*NUMBER_WORDS, *BESIDE_NUMBERS.split()})
PLAIN = "it was the best of times and a day in may he said"
TEXTS = st.lists(st.sampled_from(NEAR_NUMBERS), max_size=25)


@given(TEXTS)
def test_spans_are_in_order_within_the_text_and_have_a_number_word(words):
    place = 0
    for span in write_numbers(words):
        assert place <= span.start < span.end <= len(words)
        assert span.text.strip() == span.text != ""
        assert any(word in NUMBER_WORDS for word in words[span.start : span.end])
        assert any(character.isdigit() for character in span.text)
        place = span.end


@given(TEXTS, TEXTS)
def test_a_text_may_be_cut_where_no_number_word_is_near(before, after):
    """Blocks are invisible: beyond the context, one part changes nothing in the other."""
    gap = ["word"] * (2 * CONTEXT + 1)
    spans = write_numbers([*before, *gap, *after])
    first, second = write_numbers([*before, *gap]), write_numbers([*gap, *after])
    assert spans == first + [type(span)(span.start + len(before), span.end + len(before), span.text) for span in second]


POLICY = ScoringPolicy(NormalizerConfig(), english=True)


def test_the_page_gives_the_number_of_cases_that_whispers_normaliser_alone_reads_in_another_way():
    cases = [*CASES, *HELD_OUT]
    unequal = sum(POLICY(spoken) != POLICY(text) for spoken, text, _ in cases)
    assert f"takes {unequal} of the {len(cases)} cases to another text" in " ".join(PAGE.read_text("utf-8").split())


@given(st.integers(10, 10**9))
def test_the_scoring_policy_reads_cardinals_of_both_sides_alike(number):
    words = spelled(number)
    assert POLICY(words) == POLICY(written(words))


# In the words of num2words; written with the separators of the language.
OTHER_LANGUAGES = [
    ("fr", "elle a vingt et un ans", "elle a 21 ans"),
    ("fr", "quatre vingt dix sept maisons", "97 maisons"),
    ("fr", "cent vingt trois mille quatre cents", "123\u202f400"),
    ("fr", "un des deux", "un des deux"),
    ("de", "zweiundvierzig leute", "42 leute"),
    ("de", "hundertdreiundzwanzigtausendvierhundert", "123.400"),
    ("de", "eine von drei", "eine von drei"),
    ("es", "treinta y dos casas", "32 casas"),
    ("es", "dos mil seis", "2006"),
    ("es", "uno de ellos", "uno de ellos"),
    ("pt", "trinta e dois anos", "32 anos"),
    ("pt", "duzentos e cinquenta mil", "250.000"),
    ("it", "ventidue giorni", "22 giorni"),
    ("it", "tre amici", "tre amici"),
    ("nl", "vijfentwintig mensen", "25 mensen"),
    ("da", "toogtyve huse", "22 huse"),
]


@pytest.mark.parametrize(("language", "spoken", "expected"), OTHER_LANGUAGES)
def test_cardinals_of_other_languages(language, spoken, expected):
    assert written(spoken, language) == expected


def test_a_language_may_have_a_region_and_an_unknown_one_is_refused_by_name():
    assert written("twenty two", "en_US") == written("twenty two", "en-GB") == "22"
    with pytest.raises(ConfigError, match=rf"language must be one of {', '.join(LANGUAGES)}, not 'ru'"):
        write_numbers(["one"], language="ru")


def test_text_without_numbers_takes_no_time():
    """A lower bound far below what is measured, in seconds of this process."""
    words = random.Random(1).choices(PLAIN.split(), k=200_000)
    start = time.process_time()
    assert write_numbers(words) == []
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("kinds", [NEAR_NUMBERS, ["twenty"], ["seven"], ["one", "hundred"], ["point", "one"]])
def test_text_of_nothing_but_numbers_takes_time_in_proportion(kinds):
    """A square of its length would be sixteen times the time."""
    words = random.Random(1).choices(kinds, k=500)
    start = time.process_time()
    write_numbers(words)
    middle = time.process_time()
    write_numbers(words * 4)
    assert time.process_time() - middle < 8 * (middle - start) + 0.1
