"""Numbers in digits as they are spoken."""

from __future__ import annotations

import pytest

from asr.errors import ConfigError
from asr.settings.text import NormalizerConfig
from asr.text.normalize import normalize_text
from asr.text.numbers import check_language, has_digits, spell_numbers, unspoken_symbols

pytest.importorskip("num2words")


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "no number", "no number"),
        ("en", "Room 7, page 12.", "Room seven, page twelve."),
        ("en", "1,234 and 1000000", "one thousand two hundred and thirty four and one million"),
        ("en", "2.5 or -3", "two point five or minus three"),
        ("en", "the 1st, 22ND and 113th", "the first twenty second and one hundred and thirteenth"),
        ("en", "007 at 10:30", "zero zero seven at ten thirty"),
        ("en", "mp3 and 4x4", "mp three and four x four"),
        ("en", "version 1.2.3, on 12.5.2020", "version one two three on twelve five two thousand and twenty"),
        ("en", "pages 5-4", "pages five four"),
        ("en", "1,2,3", "one two three"),
        ("de", "1.234,5 und 3", "eintausendzweihundertvierunddrei\u00dfig komma f\u00fcnf und drei"),
        ("fr", "1\u00a0000", "mille"),
        ("ar", "\u0663", "\u062b\u0644\u0627\u062b\u0629"),
    ],
)  # fmt: skip
def test_numbers_are_spelled_in_the_language(language, text, expected):
    assert normalize_text(spell_numbers(text, language), NormalizerConfig()) == normalize_text(
        expected, NormalizerConfig()
    )
    assert not has_digits(spell_numbers(text, language))


@pytest.mark.parametrize("number", [*range(130), 999, 1000, 20_019, 10**6 + 1])
def test_whole_numbers_are_those_of_num2words(number):
    import num2words

    assert spell_numbers(f"a {number} b") == f"a {num2words.num2words(number)} b"


def test_symbols_that_are_spoken_as_words_are_named():
    assert unspoken_symbols("$5 and 20 % of 3 \u00b0C, \u20ac 7") == ["$", "%", "\u00b0", "\u20ac"]
    assert unspoken_symbols("a 100 percent, 5") == []
    assert unspoken_symbols("cash in $") == []


def test_what_cannot_be_spelled_is_refused():
    with pytest.raises(ConfigError, match=r"language must be one of .*en.*, not 'xx'"):
        check_language("xx")
    with pytest.raises(ConfigError, match="cannot be spelled in en"):
        spell_numbers("1" * 400)
