from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ConfigError
from asr.text.alphabet import BLANK, Alphabet, steps_needed

ENGLISH = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")


@given(st.text(alphabet=ENGLISH.symbols))
def test_decoding_gives_back_what_was_encoded(text):
    assert ENGLISH.decode(ENGLISH.encode(text)) == text


def test_no_character_has_the_number_of_the_blank():
    assert BLANK not in ENGLISH.encode(ENGLISH.symbols)
    assert ENGLISH.size == len(ENGLISH.symbols) + 1


def test_an_unknown_character_is_named_with_its_code_point():
    with pytest.raises(ConfigError, match=r"'naïve' has 'ï' \(U\+00EF, LATIN SMALL LETTER I WITH DIAERESIS\)"):
        ENGLISH.encode("naïve")


def test_a_repeated_symbol_is_refused():
    with pytest.raises(ConfigError, match=r"'a' \(U\+0061"):
        Alphabet("aba")


def test_an_empty_alphabet_is_refused():
    with pytest.raises(ConfigError, match="from_data"):
        Alphabet("")


@pytest.mark.parametrize("symbols", [["a", "b"], 7, None, b"ab", {"a": 1}])
def test_an_alphabet_is_one_text(symbols):
    with pytest.raises(ConfigError, match=r"alphabet\.symbols must be a text, not "):
        Alphabet(symbols)


@pytest.mark.parametrize("symbol", ["\n", "\t", "\0", "\x1b", "\x85", "\ud800", "\u2028", "\u00a0", "\u3000"])
def test_a_character_that_cannot_stand_in_a_line_is_refused_by_its_code_point(symbol):
    with pytest.raises(ConfigError, match=f"U\\+{ord(symbol):04X}"):
        Alphabet(f" ab{symbol}")


def test_letters_marks_and_joiners_of_any_script_are_symbols():
    for symbols in (" अआ\u0902\u094d\u200d", " ابت\u200c", "的一是", " 😀ß'"):
        assert Alphabet(symbols).size == len(symbols) + 1


def test_an_absurd_alphabet_is_refused_at_once():
    with pytest.raises(ConfigError, match="at most 65535 characters"):
        Alphabet("ab" * 5_000_000)


def test_an_alphabet_from_texts_holds_their_characters_in_code_point_order():
    assert Alphabet.from_texts(["да нет", "ну"]).symbols == " аденту"


def test_a_repeated_label_needs_a_blank_between():
    assert steps_needed(ENGLISH.encode("ab")) == 2
    assert steps_needed(ENGLISH.encode("aab")) == 4
    assert steps_needed([]) == 0


def test_the_alphabet_says_what_separates_words():
    assert (ENGLISH.separator, ENGLISH.separator_number) == (" ", 1)
    assert (Alphabet("ab ").separator, Alphabet("ab ").separator_number) == (" ", 3)
    assert (Alphabet("漢字").separator, Alphabet("漢字").separator_number) == ("", None)


def test_texts_are_joined_by_what_separates_words():
    assert ENGLISH.join([" a b ", "", "c", " "]) == "a b c"
    assert Alphabet("漢字").join(["漢", "", "字漢"]) == "漢字漢"
