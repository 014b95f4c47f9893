from __future__ import annotations

import time

import pytest

from asr.pronunciation.spelling import american_spellings


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("favourable", "favorable"),
        ("labourers", "laborers"),
        ("civilised", "civilized"),
        ("colonisation", "colonization"),
        ("paralyses", "paralyzes"),
        ("pretence", "pretense"),
        ("theatres", "theaters"),
        ("splendour's", "splendor's"),
    ],
)
def test_a_british_spelling_has_an_american_one(british, american):
    assert [*american_spellings(british), british][0] == american


@pytest.mark.parametrize("word", ["ab" * 100_000, "our" * 70_000, "b" * 200_000, "isisation" * 20_000 + "e"])
def test_the_time_for_a_word_is_linear_in_its_length(word):
    begin = time.process_time()
    list(american_spellings(word))
    assert time.process_time() - begin < 0.5


@pytest.mark.parametrize("word", ["hour", "four", "rise", "wise", "fence", "hence", "dog", "course", "our", ""])
def test_short_words_are_spelled_alike(word):
    assert list(american_spellings(word)) == []


@pytest.mark.parametrize(("ending", "least", "share"), [("our", 5, 0.8), ("ise", 5, 0.9)])
def test_both_spellings_sound_alike_in_cmudict(cmu, ending, least, share):
    """Where CMUdict has both; unstressed IH and AH are taken for equal."""

    def sounds(word: str) -> set[tuple[str, ...]]:
        return {tuple("AH" if phone == "IH" else phone for phone in one) for one in cmu[word]}

    pairs = [
        (word, american) for word in cmu if ending in word for american in american_spellings(word) if american in cmu
    ]
    same = [pair for pair in pairs if sounds(pair[0]) & sounds(pair[1])]
    assert len(pairs) >= least
    assert len(same) >= share * len(pairs), sorted(set(pairs) - set(same))
