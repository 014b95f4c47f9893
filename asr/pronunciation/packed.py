"""A pronunciation dictionary as arrays: a bundle stores it so, because reading text takes longer."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError, LanguageModelError
from asr.pronunciation.dictionary import Pronunciation, read_dictionary
from asr.pronunciation.phones import PhoneSet

_MAGIC = b"PK\x03\x04"  # of a zip archive, which an .npz file is
_LARGEST = 1 << 28
MOST_PHONES = 255
"""numbers of phones take a byte each"""
# Errors of NumPy and zipfile for damaged archives; RuntimeError is that of one that claims to be encrypted.
_DAMAGE = (ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)


@dataclass(frozen=True)
class PackedDictionary:
    """Words and their pronunciations; those of a word lie side by side, the preferred one first."""

    words: Sequence[str]
    phones: tuple[str, ...]
    """the phones that are used, by number"""
    sequences: npt.NDArray[np.uint8]
    """[shape=(pronunciations, longest)] places in `phones`, from 1 on; 0 behind the last"""
    owners: npt.NDArray[np.int32]
    """[shape=(pronunciations,)] places in `words`, ascending"""

    @classmethod
    def pack(cls, pronunciations: Mapping[str, Sequence[Pronunciation]]) -> PackedDictionary:
        """Pack a dictionary.

        Raises
        ------
        ConfigError
            If it has more than 255 phones, or a word holds a line break.
        """
        phones = sorted({phone for ways in pronunciations.values() for one in ways for phone in one})
        if len(phones) > MOST_PHONES:
            raise ConfigError(f"a dictionary of {len(phones)} phones: at most {MOST_PHONES} can be packed")
        if broken := next((word for word in pronunciations if "\n" in word), None):
            raise ConfigError(f"{broken!r} holds a line break")
        places = {phone: place for place, phone in enumerate(phones, start=1)}
        flat = [(owner, one) for owner, ways in enumerate(pronunciations.values()) for one in ways]
        sequences = np.zeros((len(flat), max((len(one) for _, one in flat), default=0)), np.uint8)
        for row, (_, one) in enumerate(flat):
            sequences[row, : len(one)] = [places[phone] for phone in one]
        owners = np.array([owner for owner, _ in flat], np.int32)
        return cls(list(pronunciations), tuple(phones), sequences, owners)

    @cached_property
    def pronunciations(self) -> Mapping[str, tuple[Pronunciation, ...]]:
        """As a mapping, whose values are made on access."""
        return _Pronunciations(self)

    def extended(self, more: Mapping[str, Sequence[Pronunciation]]) -> PackedDictionary:
        """The dictionary with further words, which it lacks."""
        if not more:
            return self
        added = PackedDictionary.pack(more)
        phones = tuple(dict.fromkeys((*self.phones, *added.phones)))
        places = np.array([0, *(phones.index(phone) + 1 for phone in added.phones)], np.uint8)
        sequences = [self.sequences, places[added.sequences]]
        longest = max(one.shape[1] for one in sequences)
        return PackedDictionary(
            [*self.words, *added.words],
            phones,
            np.concatenate([np.pad(one, ((0, 0), (0, longest - one.shape[1]))) for one in sequences]),
            np.concatenate([self.owners, added.owners + np.int32(len(self.words))]),
        )

    def numbers(self, phones: PhoneSet) -> npt.NDArray[np.int32]:
        """The sequences in the numbers of a phone set [shape=(pronunciations, longest)], 0 behind the last.

        Raises
        ------
        ConfigError
            If the set lacks a phone.
        """
        initial = np.array([0, *(phones.encode((phone,))[0] for phone in self.phones)], np.int32)
        inside = initial + np.where(initial > 0, np.int32(len(phones.phones)), np.int32(0))
        numbers: npt.NDArray[np.int32] = np.take(inside, self.sequences)
        numbers[:, 0] = initial[self.sequences[:, 0]]
        return numbers

    def to_bytes(self) -> bytes:
        """As the content of a file."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            words=np.frombuffer("\n".join(self.words).encode(), np.uint8),
            phones=np.frombuffer("\n".join(self.phones).encode(), np.uint8),
            sequences=self.sequences,
            owners=self.owners,
        )
        return buffer.getvalue()


class _Pronunciations(Mapping[str, tuple[Pronunciation, ...]]):
    def __init__(self, dictionary: PackedDictionary) -> None:
        self._dictionary = dictionary
        self._places = {word: place for place, word in enumerate(dictionary.words)}
        self._first = np.searchsorted(dictionary.owners, np.arange(len(dictionary.words) + 1))

    def __getitem__(self, word: str) -> tuple[Pronunciation, ...]:
        place, phones = self._places[word], self._dictionary.phones
        rows = self._dictionary.sequences[self._first[place] : self._first[place + 1]]
        return tuple(tuple(phones[number - 1] for number in row if number) for row in rows.tolist())

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def load_dictionary(path: str | Path) -> PackedDictionary:
    """Load a dictionary from its packed form or from text (see `read_dictionary`).

    Raises
    ------
    LanguageModelError
        If the file cannot be read, is damaged, or is neither.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            is_packed = file.read(len(_MAGIC)) == _MAGIC
        if not is_packed:
            return PackedDictionary.pack(read_dictionary(path))
        if path.stat().st_size > _LARGEST:
            raise LanguageModelError(path, "is too large for a pronunciation dictionary")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _checked(arrays, path)
    except FileNotFoundError:
        raise LanguageModelError(path, "no such pronunciation dictionary") from None
    except (*_DAMAGE, OSError) as error:
        raise LanguageModelError(path, f"is a damaged pronunciation dictionary ({error})") from error


def _checked(arrays: Any, path: Path) -> PackedDictionary:
    words = arrays["words"].tobytes().decode("utf-8").split("\n")
    phones = tuple(arrays["phones"].tobytes().decode("utf-8").split("\n"))
    sequences, owners = arrays["sequences"], arrays["owners"]
    fits = (
        sequences.dtype == np.uint8
        and owners.dtype == np.int32
        and sequences.ndim == 2
        and sequences.shape[:1] == owners.shape
        and sequences.size > 0
        and int(sequences.max()) <= len(phones)
        and int(sequences[:, 0].min()) > 0
        and not ((sequences[:, 1:] > 0) & (sequences[:, :-1] == 0)).any()
        and int(owners.min()) >= 0
        and int(owners.max()) < len(words)
        and len(set(words)) == len(words)
        and len(set(phones)) == len(phones)
    )
    if not fits:
        raise LanguageModelError(path, "is a damaged pronunciation dictionary (its arrays do not fit together)")
    return PackedDictionary(words, phones, sequences, owners)
