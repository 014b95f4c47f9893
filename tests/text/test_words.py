from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.text.words import cut_words, is_unspaced, spaces_before


def words(text: str, *, spaced: bool = True) -> list[str]:
    return [text[start:end] for start, end in cut_words(text, spaced=spaced)]


@given(st.text(alphabet="ab 'é\u0301д"))
def test_words_of_spaced_scripts_are_what_stands_between_spaces(text):
    assert words(text) == text.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我们在 google工作。", ["我", "们", "在", "google", "工", "作。"]),
        ("これはペンです", ["こ", "れ", "は", "ペ", "ン", "で", "す"]),
        ("ของๆ ดีที่น้ำ", ["ข", "อ", "ง", "ๆ", "ดี", "ที่", "น้ำ"]),  # vowel signs and tones stay with their consonant
        ("ខ្មែរ", ["ខ្មែ", "រ"]),  # a consonant written below another one
        ("한국어 단어", ["한국어", "단어"]),  # Korean is written with spaces
        ("हिन्दी शब्द", ["हिन्दी", "शब्द"]),
    ],
)
def test_characters_of_scripts_without_spaces_are_words_of_their_own(text, expected):
    assert words(text) == expected


def test_without_a_separator_every_character_is_a_word_with_its_marks():
    assert words("abc'de\u0301", spaced=False) == ["a", "b", "c'", "d", "e\u0301"]


@given(st.text(alphabet="ab 我们ดีที่น้ำ\u200b\u3000。(x"), st.booleans())
def test_no_character_is_lost_and_none_is_in_two_words(text, spaced):
    assert "".join(words(text, spaced=spaced)) == "".join(text.split())
    assert all(word and not any(one.isspace() for one in word) for word in words(text, spaced=spaced))


@given(st.lists(st.text(alphabet="ab我", min_size=1)), st.data())
def test_what_stands_before_words_is_read_from_the_text(some, data):
    spaces = ["", *(data.draw(st.sampled_from(["", " "])) for _ in some[1:])]
    text = "".join(space + word for space, word in zip(spaces, some, strict=False))
    assert spaces_before(text, some) == spaces[: len(some)]


def test_the_scripts_without_spaces_are_those_whose_names_say_so():
    names = ("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER", "THAI", "LAO", "KHMER LETTER", "MYANMAR", "BOPOMOFO")
    others = ("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "HANGUL SYLLABLE", "DEVANAGARI", "ETHIOPIC", "DIGIT")
    for code in range(0x20, 0x20000):
        name = unicodedata.name(chr(code), "")
        if unicodedata.category(chr(code)) == "Lo" and name.startswith((*names, *others)):
            assert is_unspaced(chr(code)) == name.startswith(names), name
