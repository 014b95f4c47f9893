from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from asr.errors import ConfigError, LanguageModelError
from asr.pronunciation.dictionary import Pronunciations, write_dictionary
from asr.pronunciation.packed import PackedDictionary, load_dictionary
from asr.pronunciation.phones import PHONES, PhoneSet

WORDS = Pronunciations({"read": [("R", "EH", "D"), ("R", "IY", "D")], "a": [("AH",)], "o'er": [("AO", "R")]})


def unpacked(packed: PackedDictionary, phones: PhoneSet) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for owner, row in zip(packed.owners, packed.numbers(phones), strict=True):
        (word,) = phones.decode(row[row > 0].tolist())
        found.setdefault(packed.words[owner], []).append(word)
    return found


@pytest.mark.parametrize("phones", [PHONES, PHONES[::-1]])
def test_a_packed_dictionary_holds_every_pronunciation_in_order(tmp_path, phones):
    path = tmp_path / "pronunciations.npz"
    path.write_bytes(PackedDictionary.pack(WORDS).to_bytes())
    wanted = {word: [list(one) for one in ways] for word, ways in WORDS.items()}
    assert unpacked(load_dictionary(path), PhoneSet(phones)) == wanted


def test_text_is_packed_when_it_is_loaded(tmp_path):
    path = tmp_path / "lexicon.txt"
    write_dictionary(path, WORDS)
    assert unpacked(load_dictionary(path), PhoneSet()) == {
        word: [list(one) for one in ways] for word, ways in WORDS.items()
    }


def test_phones_that_the_set_lacks_are_refused():
    with pytest.raises(ConfigError, match="'EH'"):
        PackedDictionary.pack(WORDS).numbers(PhoneSet(("AH", "AO", "D", "IY", "R")))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LanguageModelError, match=r"nothing\.npz: no such"):
        load_dictionary(tmp_path / "nothing.npz")


def test_a_damaged_file_is_an_error_whatever_the_damage(tmp_path, rng):
    whole = PackedDictionary.pack(WORDS).to_bytes()
    path = tmp_path / "pronunciations.npz"
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(4, len(damaged), size=3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)]))
        with suppress(LanguageModelError):
            packed = load_dictionary(path)
            packed.numbers(PhoneSet(tuple(sorted({*PHONES, *packed.phones}))))


@pytest.mark.parametrize(
    "change",
    [
        {"owners": np.array([0, 0, 1, 3], np.int32)},
        {"sequences": np.zeros((4, 3), np.uint8)},
        {"sequences": np.full((4, 3), 200, np.uint8)},
        {"sequences": np.array([[1, 0, 1]] * 4, np.uint8)},
        {"words": np.frombuffer(b"a\na\nb", np.uint8)},
        {"phones": np.array(["AH", object()], object)},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path, change):
    path = tmp_path / "pronunciations.npz"
    path.write_bytes(PackedDictionary.pack(WORDS).to_bytes())
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **(content | change))
    with pytest.raises(LanguageModelError, match="damaged"):
        load_dictionary(path)
