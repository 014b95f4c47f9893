from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asr.config import NormalizerConfig, UnicodeForm
from asr.text.normalize import normalize_text

STANDARD = NormalizerConfig()


def test_case_and_punctuation_go_and_the_apostrophe_stays():
    assert normalize_text("  “Don't,” he said -- twice!\n", STANDARD) == "don't he said twice"


def test_typographic_apostrophes_are_apostrophes():
    for apostrophe in "\u2019\u2018\u02bc\u00b4`\uff07":
        assert normalize_text(f"it{apostrophe}s", STANDARD) == "it's"


def test_words_joined_by_punctuation_come_apart():
    assert normalize_text("well-known,and/or", STANDARD) == "well known and or"


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
