"""Texts in figures are read as the words that they were written from."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.errors import ConfigError
from asr.evaluation.policy import ScoringPolicy
from asr.punctuation.numbers import write_numbers
from asr.punctuation.numbers.spoken_english import say_english
from asr.punctuation.tagger import Tags
from asr.punctuation.writing import write_words
from asr.punctuation.written_tags import BREAKS, CASES, FULL_STOP, MARKS, NO_BREAK, SENTENCE, Spellings
from asr.settings.text import NormalizerConfig

from .test_numbers import CASES as SPOKEN
from .test_numbers import HELD_OUT, NEAR_NUMBERS, OTHER_LANGUAGES

POLICIES = {
    "standard": ScoringPolicy(NormalizerConfig(), numbers="en"),
    "english": ScoringPolicy(NormalizerConfig(), english=True, numbers="en"),
}
SPELLINGS = Spellings({"mcdonald": "McDonald"}, frozenset({"b"}), frozenset({"mr", "no"}))
GROWING, MARKED = "past ninety point fifty thousandth", "at nine p m he'd been"
WORDS = [*NEAR_NUMBERS, "mr", "mcdonald", "i'm", "he'd", "been", "it's", "got", "colour", "um", "na\u00efve"]


def as_text(words: Sequence[str], tags: Tags, language: str = "en") -> str:
    numbers = write_numbers(words, language=language)
    return " ".join(one.text for one in write_words(words, tags, SPELLINGS, numbers=numbers))


def tags_of(choices: Sequence[tuple[int, int, int]]) -> Tags:
    marks, cases, breaks = np.array(choices, np.int64).reshape(len(choices), 3).T
    return Tags(marks, cases, breaks)


TAGGED = st.lists(
    st.tuples(
        st.sampled_from(WORDS),
        st.tuples(st.integers(0, len(MARKS) - 1), st.integers(0, CASES - 1), st.integers(0, BREAKS - 1)),
    ),
    max_size=20,
)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@given(TAGGED)
@example([(word, (0, 0, 0)) for word in GROWING.split()])
@example([(word, (FULL_STOP, 1, SENTENCE)) for word in MARKED.split()])
def test_a_written_text_is_normalised_to_what_its_words_are_normalised_to(policy, tagged):
    words = [word for word, _ in tagged]
    assert policy(as_text(words, tags_of([tags for _, tags in tagged]))) == policy(" ".join(words))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_so_are_all_cases_in_one_text(policy):
    spoken = [case[0].split() for case in (*SPOKEN, *HELD_OUT)]
    for words in (*spoken, [word for case in spoken for word in case]):
        ends = [(FULL_STOP, 1, SENTENCE) if place % 7 == 0 else (0, 0, NO_BREAK) for place in range(len(words))]
        assert policy(as_text(words, tags_of(ends))) == policy(" ".join(words))


@pytest.mark.parametrize(("language", "spoken", "written"), OTHER_LANGUAGES)
def test_so_are_those_of_other_languages(language, spoken, written):
    policy = ScoringPolicy(NormalizerConfig(), numbers=language)
    assert policy(f"{written.capitalize()}.") == policy(spoken)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("At 9:05 p.m., on May 4, 1984: 5%!", "at nine oh five p m on may fourth nineteen eighty four five percent"),
        ("$1,001.01; \u00a35", "one thousand and one dollars and one cent five pounds"),
        ("a $10 bill; $2.5 million", "a ten dollar bill two point five million dollars"),
        ("in 2006, 2,006 people", "in two thousand and six two thousand and six people"),
        ("in 1066 B.C., in 1900", "in ten sixty six b c in nineteen hundred"),
        ("the 1980s and the 80s", "the nineteen eighties and the eighties"),
        ("555-1234", "five five five one two three four"),
        ("1-800-555-0199", "one eight oh oh five five five oh one nine nine"),
        ("the 21st, the 1,023rd", "the twenty first the one thousand and twenty third"),
        ("a 20-minute walk, 24/7", "a twenty minute walk twenty four seven"),
        ("0.5, 3.2.1", "zero point five three point two point one"),
        ("221B, 007", "two hundred and twenty one b zero zero seven"),
        ("they march 10 miles", "they march ten miles"),
        ("\"Twenty-five,\" he said (well-known).", "twenty five he said well known"),
    ],
)  # fmt: skip
def test_figures_are_read_as_they_are_mostly_said(text, words):
    assert ScoringPolicy(NormalizerConfig(), numbers="en")(text) == words


@given(st.text(alphabet="0123456789.,:-/$%\u00a3\u20acstndrhampbc \u00b2\u0663\uff12", max_size=30))
def test_any_text_has_words_without_figures(text):
    words = say_english(text.split(), str.split)
    assert not any(character in "0123456789" for word in words for character in word)


def test_the_error_rate_of_a_written_text_is_that_of_its_words(asr_command, tmp_path):
    """With errors of recognition in it."""
    spoken = [case[0] for case in HELD_OUT]
    recognised = [" ".join(text.split()[place % 3 :]) for place, text in enumerate(spoken)]
    written = [as_text(text.split(), tags_of([(0, 0, 0)] * len(text.split()))) for text in recognised]
    (tmp_path / "references.txt").write_text("".join(f"{text}\n" for text in spoken))
    rates = []
    for name, texts in (("plain", recognised), ("written", written)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts), "utf-8")
        report = tmp_path / name
        done = asr_command(
            "evaluate", str(tmp_path / "references.txt"), f"hypotheses={tmp_path / name}.txt", "numbers=en",
            f"output_dir={report}", "worst=0",
        )  # fmt: skip
        assert done.code == 0, done.err
        content = json.loads((report / "report.json").read_text("utf-8"))
        rates.append({key: content["systems"][0][key] for key in ("words", "characters")})
        assert "numbers (en)" in content["policy"]["name"]
    assert rates[0] == rates[1]


def test_capitals_and_marks_that_count_are_not_read():
    with pytest.raises(ConfigError, match="numbers: needs normalizer=standard"):
        ScoringPolicy(NormalizerConfig(lowercase=False, strip_punctuation=False), numbers="en")
    with pytest.raises(ConfigError, match=r"^numbers must be one of"):
        ScoringPolicy(NormalizerConfig(), numbers="ru")
