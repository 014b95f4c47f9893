from __future__ import annotations

import sys
import unicodedata

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from asr.settings.text import NormalizerConfig, UnicodeForm
from asr.text.alphabet import Alphabet
from asr.text.normalize import NORMALIZERS, normalize_text, remove_invisible

from ..conftest import REPOSITORY

STANDARD, NONE = NORMALIZERS["standard"], NORMALIZERS["none"]
POLICIES = [
    STANDARD,
    NONE,
    NormalizerConfig(unicode_form=UnicodeForm.NFC),
    NormalizerConfig(lowercase=False, keep="'-\u00ad"),
    NormalizerConfig(strip_punctuation=False),
]
# Spelled with the zero-width non-joiner or joiner: Persian, Bengali, Malayalam (at the end of a word), Mongolian.
SPELLED_WITH_JOINERS = [
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u09b0\u200d\u09cd\u09af\u09be\u09ac",
    "\u0d05\u0d35\u0d28\u0d4d\u200d",
    "\u0915\u094d\u200c\u0937",
    "\u182c\u1820\u1828\u180e\u1820",
]
INVISIBLE = (
    "\u200b\u00ad\u200e\u200f\u202a\u202e\u2066\u2069\u2060\ufeff"
    "\ufe0f\U000e0100\u180b\u034f\u061c\u115f\u3164\x00\x7f\x9f"
)


def test_case_and_punctuation_go_and_the_apostrophe_stays():
    assert normalize_text("  “Don't,” he said -- twice!\n", STANDARD) == "don't he said twice"


def test_typographic_apostrophes_are_apostrophes():
    for apostrophe in "\u2019\u2018\u02bc\u00b4`\uff07":
        assert normalize_text(f"it{apostrophe}s", STANDARD) == "it's"


def test_words_joined_by_punctuation_come_apart():
    assert normalize_text("well-known,and/or", STANDARD) == "well known and or"


def test_currencies_and_mathematical_symbols_go_as_punctuation_does():
    assert normalize_text("€5 + £3 = $8 ± 1^2", STANDARD) == "5 3 8 1 2"


def test_composed_and_decomposed_letters_become_the_same():
    assert normalize_text("ne\u0301e", STANDARD) == normalize_text("n\u00e9e", STANDARD) == "n\u00e9e"


def test_letters_of_other_scripts_are_kept():
    assert normalize_text("Привет, мир! こんにちは。", STANDARD) == "привет мир こんにちは"


def test_marks_named_in_keep_stay():
    assert normalize_text("rock-n-roll!", NormalizerConfig(keep="-")) == "rock-n-roll"


def test_nothing_but_white_space_changes_with_everything_off():
    off = NormalizerConfig(unicode_form=UnicodeForm.NFC, lowercase=False, strip_punctuation=False)
    assert normalize_text(" Hello,\tWORLD! ", off) == "Hello, WORLD!"


@given(st.text())
def test_normalising_again_changes_nothing(text):
    once = normalize_text(text, STANDARD)
    assert normalize_text(once, STANDARD) == once


@given(st.text(st.characters(max_codepoint=127)), st.booleans(), st.booleans(), st.sampled_from(["'", "", "'-"]))
def test_ascii_text_takes_no_other_way_than_any_text(text, lowercase, strip_punctuation, keep):
    settings = NormalizerConfig(lowercase=lowercase, strip_punctuation=strip_punctuation, keep=keep)
    long_way = normalize_text(f"{text} \u00e4", settings)  # by a letter beyond ASCII
    assert normalize_text(text, settings) == long_way.removesuffix("\u00e4").strip(" ")


def characters() -> list[str]:
    return [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]


def changes_again(words: list[str], settings: NormalizerConfig) -> list[str]:
    """The words, each normalised alone, that normalising a second time changes."""
    once = normalize_text(" ".join(words), settings)
    if normalize_text(once, settings) == once:
        return []
    if len(words) == 1:
        return words
    half = len(words) // 2
    return changes_again(words[:half], settings) + changes_again(words[half:], settings)


@pytest.mark.slow
@pytest.mark.parametrize("settings", POLICIES)
def test_no_code_point_changes_when_it_is_normalised_again_alone_or_in_a_word(settings):
    everything = characters()
    assert changes_again(everything, settings) == []
    assert changes_again([f"a{character}b" for character in everything], settings) == []


def test_no_character_changes_when_it_is_normalised_again_in_a_word():
    """Quick: one policy, without the code points that stand for nothing."""
    assigned = [character for character in characters() if unicodedata.category(character) not in ("Cn", "Co")]
    assert changes_again([f"a{character}b" for character in assigned], STANDARD) == []


def test_no_pair_with_a_combining_mark_changes_when_it_is_normalised_again():
    marks = [character for character in characters() if unicodedata.category(character) == "Mn"]
    bases = "a\u0131\u0627\u0915\u1100\u03a3\u00b4`\u1fef\u0149\u200c\u200d\u200b\u2126\ufb1d"
    pairs = [f"{base}{mark}" for base in bases for mark in marks]
    for settings in POLICIES[:3]:
        assert changes_again(pairs, settings) == []
        assert changes_again([f"a{pair}b" for pair in pairs], settings) == []


JOINED = st.text(
    st.sampled_from("aA\u0301\u0328!'\u200c\u200d\u200b\u180e\u0627\u064e\u0915\u094d\u0d4d\u1820\ufc5e\u03a3 "),
    max_size=8,
)


@given(JOINED, st.sampled_from(POLICIES))
@example(text="\u064e\u0301\u200c\u094d\u200c", settings=NormalizerConfig())
def test_normalising_texts_with_joiners_and_marks_again_changes_nothing(text, settings):
    once = normalize_text(text, settings)
    assert normalize_text(once, settings) == once


@pytest.mark.parametrize("settings", POLICIES[:3])
def test_invisible_characters_go_in_every_policy(settings):
    for character in INVISIBLE:
        assert normalize_text(f"soft{character}hyphen", settings) == "softhyphen", hex(ord(character))
        assert normalize_text(f"hello{character} {character}world{character}", settings) == "hello world"
    assert Alphabet.from_texts([normalize_text(f"ab{INVISIBLE}", settings)]).symbols == "ab"


def test_an_invisible_character_between_a_letter_and_its_mark_does_not_separate_them():
    assert normalize_text("ne\u200b\u0301e", NONE) == "n\u00e9e"


@pytest.mark.parametrize("settings", POLICIES[:3])
@pytest.mark.parametrize("word", SPELLED_WITH_JOINERS)
def test_joiners_stay_where_the_script_spells_with_them(word, settings):
    assert normalize_text(word, settings) == word
    assert normalize_text(f"({word})", STANDARD) == word


def test_joiners_go_everywhere_else():
    persian = SPELLED_WITH_JOINERS[0]
    for joiner in "\u200c\u200d\u180e":
        assert normalize_text(f"soft{joiner}hyphen", NONE) == "softhyphen"
        assert normalize_text(f"{joiner}{persian}{joiner} {joiner} a", NONE) == f"{persian} a"
    assert normalize_text(persian.replace("\u200c", "\u200c\u200b\u200c"), NONE) == persian


def test_a_character_in_keep_stays_though_it_is_invisible():
    assert normalize_text("na\u00adiv", NormalizerConfig(keep="\u00ad")) == "na\u00adiv"


def test_visible_format_characters_stay():
    assert remove_invisible("\u0600\u06dd\u070f\U000110bd\u0640") == "\u0600\u06dd\u070f\U000110bd\u0640"


def test_accents_that_are_apostrophes_by_equivalence_are_apostrophes():
    for apostrophe in "\u1fef\u1ffd\uff40":
        assert normalize_text(f"it{apostrophe}s", STANDARD) == "it's"


def test_named_normalisers_are_those_of_the_configuration_files():
    for name, settings in NORMALIZERS.items():
        written = yaml.safe_load((REPOSITORY / "conf" / "normalizer" / f"{name}.yaml").read_text()) or {}
        form = UnicodeForm[written.pop("unicode_form", "NFKC")]
        assert settings == NormalizerConfig(unicode_form=form, **written)
