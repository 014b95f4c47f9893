"""ARPA files, the text format of n-gram models, as KenLM and SRILM write them: read and written."""

from __future__ import annotations

import array
import io
import itertools
import lzma
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from asr.errors import LanguageModelError
from asr.files import open_decompressed
from asr.language.ngram import SPACE_WORD, SPECIAL_WORDS, START, UNKNOWN, NgramModel, check_words
from asr.language.trie import NOT_FOUND, Trie
from asr.settings.language import LanguageUnit

_LN10 = math.log(10)
# The value of <unk> that KenLM assumes in a model without it, and that SRILM writes for a probability of 0.
_NO_UNKNOWN, _ZERO = -100.0, -99.0
_KENLM_BINARY = b"mmap lm http://kheafield.com/code"
# Text before \data\ is a comment; KenLM requires it to begin like this.
_MARK = "# written by asr lm"
_UNKNOWN_SPELLINGS = ("<unk>", "<UNK>")
# More n-grams of one order than any file holds, and backoffs beyond those of any model.
_MOST_NGRAMS, _LARGEST_BACKOFF = 10**12, 99.0

_Level = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]


def read_arpa(path: str | Path, *, watch: Callable[[int], object] | None = None) -> NgramModel:
    """Read a backoff n-gram model from an ARPA file.

    Parameters
    ----------
    path : str or Path
        Plain, or compressed by gzip, bzip2 or xz.
    watch : callable, optional
        Called now and then with the number of bytes that have been read.

    Returns
    -------
    NgramModel
        Over characters if every word but the special ones is a single character (the space as `<space>`), else over
        words. Without `<unk>` in the file, unknown words have the log10-probability -100, as in KenLM.

    Raises
    ------
    LanguageModelError
        Naming the line: not an ARPA file, cut short, counts that are wrong, a value that is not a log-probability,
        an n-gram with a word or a context that the file does not list, a duplicate n-gram, or no words at all.
    OSError
        If it cannot be opened.
    """
    with open(path, "rb") as raw:
        if raw.read(len(_KENLM_BINARY)) == _KENLM_BINARY:
            raise LanguageModelError(path, "a binary file of KenLM; give the ARPA file that it was made from")
        raw.seek(0)
        try:
            with open_decompressed(raw) as file:
                return _Reader(Path(path), raw, file, watch or (lambda _: None)).read()
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise LanguageModelError(path, f"cannot be unpacked ({error})") from error


class _Reader:
    def __init__(self, path: Path, raw: IO[bytes], file: IO[bytes], watch: Callable[[int], object]) -> None:
        self.path, self.raw, self.file, self.watch = path, raw, file, watch
        self.line_number = 0

    def read(self) -> NgramModel:
        lines = self._lines()
        counts = self._counts(lines)
        words: list[str] = []
        numbers: dict[bytes, int] = {}
        levels: list[_Level] = []
        for order, count in enumerate(counts, start=1):
            rows, log_probs, backoffs = self._section(lines, order, count, numbers)
            if order == 1:
                words, place = self._vocabulary(rows)
                numbers = {word.encode(): number for number, word in enumerate(words)}
                numbers |= dict.fromkeys((word.encode() for word in _UNKNOWN_SPELLINGS), UNKNOWN)
                first = np.full(len(words), _ZERO * _LN10, np.float32)
                first[UNKNOWN] = _NO_UNKNOWN * _LN10
                weights = np.zeros(len(words), np.float32)
                first[place], weights[place] = log_probs, backoffs
                first[START] = _ZERO * _LN10  # never a word that follows
                levels.append((np.arange(len(words))[:, None], first, weights))
                continue
            levels.append((np.array(rows, np.int64).reshape(-1, order), log_probs, backoffs))
        last = next(lines, b"").strip()
        if not last:
            raise LanguageModelError(self.path, "the file is cut short: \\end\\ is missing")
        if last != b"\\end\\":
            self._fail(
                f"expected \\end\\ here, after {counts[-1]} {len(counts)}-grams, not {last.decode(errors='replace')!r}"
            )
        return self._build(words, levels)

    def _lines(self) -> Iterator[bytes]:
        for line in self.file:
            self.line_number += 1
            if self.line_number & 0xFFFF == 0:
                self.watch(self.raw.tell())
            if line.strip():
                yield line

    def _fail(self, reason: str) -> NoReturn:
        raise LanguageModelError(f"{self.path}:{self.line_number}", reason)

    def _counts(self, lines: Iterator[bytes]) -> list[int]:
        for line in lines:
            if line.strip() == b"\\data\\":
                break
            if self.line_number > 1000:
                break
        else:
            line = b""
        if line.strip() != b"\\data\\":
            raise LanguageModelError(
                self.path, "neither a language model of `asr lm` nor an ARPA file (it lacks \\data\\)"
            )
        counts: list[int] = []
        for line in lines:
            found = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line.strip())
            if found is None:
                break
            if found[1] != b"%d" % (len(counts) + 1):
                self._fail(
                    f"the counts must be of orders 1, 2, 3 and so on, not {line.decode(errors='replace').strip()}"
                )
            if len(found[2]) > len(str(_MOST_NGRAMS)) or int(found[2]) > _MOST_NGRAMS:
                self._fail(f"{found[2][:30].decode()} n-grams cannot be in a file")
            counts.append(int(found[2]))
        if not counts:
            raise LanguageModelError(self.path, "not an ARPA file: the number of n-grams of each order is missing")
        self._heading = line.strip()
        return counts

    def _section(
        self, lines: Iterator[bytes], order: int, count: int, numbers: dict[bytes, int]
    ) -> tuple[list[Any], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The words of 1-grams, or the numbers of those of longer ones one after the other; and their values."""
        heading = self._heading if order == 1 else next(lines, b"").strip()
        if heading != b"\\%d-grams:" % order:
            self._fail(f"expected \\{order}-grams: here, not {heading.decode(errors='replace')!r}")
        words: list[Any] = []
        values = array.array("d")
        for row, line in enumerate(itertools.islice(lines, count), start=1):
            try:
                fields = line.split()  # bytes: at blanks, tabs and the like, as KenLM does, not at U+00A0
                log_prob = float(fields[0])
                backoff = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
            except ValueError as error:
                self._fail(f"{error}, in the {order}-gram number {row} of {count}")
            if len(fields) not in (order + 1, order + 2):
                self._fail(f"expected the {order}-gram number {row} of {count} here, not {_shown_line(line)}")
            if not (log_prob <= 1e-6 and -math.inf < backoff <= _LARGEST_BACKOFF):
                self._fail(f"a log10-probability of {log_prob:g} with a backoff of {backoff:g} is impossible")
            values.extend((max(log_prob, _ZERO), max(backoff, _ZERO)))
            if order == 1:
                try:
                    words.append(fields[1].decode())
                except UnicodeDecodeError:
                    self._fail("this line is not UTF-8 text")
                continue
            try:
                words.extend([numbers[word] for word in fields[1 : order + 1]])
            except KeyError as error:
                self._fail(f"the word {error.args[0].decode(errors='replace')!r} is not among the 1-grams")
        if len(values) < 2 * count:
            raise LanguageModelError(
                self.path, f"the file is cut short: {len(values) // 2} of {count} {order}-grams are there"
            )
        pairs = (np.array(values).reshape(-1, 2) * _LN10).astype(np.float32)
        return words, pairs[:, 0], pairs[:, 1]

    def _vocabulary(self, listed: list[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
        """All words by number, and the numbers of those listed."""
        known = [SPECIAL_WORDS[UNKNOWN] if word in _UNKNOWN_SPELLINGS else word for word in listed]
        words = [*SPECIAL_WORDS, *sorted(set(known) - set(SPECIAL_WORDS))]
        if len(set(known)) < len(known):
            ((twice, _),) = Counter(known).most_common(1)
            raise LanguageModelError(self.path, f"the word {twice!r} is listed twice")
        for word in SPECIAL_WORDS[1:]:
            if word not in known:
                raise LanguageModelError(self.path, f"the 1-grams lack {word}: it was not trained on sentences")
        check_words(self.path, words)
        numbers = {word: number for number, word in enumerate(words)}
        return words, np.array([numbers[word] for word in known], np.int64)

    def _build(self, words: list[str], levels: list[_Level]) -> NgramModel:
        trie = Trie.from_levels([(np.zeros(len(words), np.int64), np.arange(len(words)))])
        placed = [(np.zeros(len(words), np.int64), np.arange(len(words)))]
        log_probs, backoffs = [levels[0][1]], [levels[0][2]]
        start = 1
        for order, (grams, values, weights) in enumerate(levels[1:], start=2):
            parents = np.zeros(len(grams), np.int64)
            for column in range(order - 1):
                parents = trie.find(parents, grams[:, column])
            if (lost := np.flatnonzero(parents == NOT_FOUND)).size:
                gram = [words[number] for number in grams[lost[0]]]
                raise LanguageModelError(
                    self.path, f"it has the {order}-gram {' '.join(gram)!r} but not {' '.join(gram[:-1])!r}"
                )
            sorting = np.lexsort((grams[:, -1], parents))
            parents, labels = parents[sorting] - start, grams[sorting, -1]
            same = np.flatnonzero((np.diff(parents) == 0) & (np.diff(labels) == 0))
            if same.size:
                gram = [words[number] for number in grams[sorting[same[0]]]]
                raise LanguageModelError(self.path, f"the {order}-gram {' '.join(gram)!r} is listed twice")
            start = len(trie.labels)
            placed.append((parents, labels))
            trie = Trie.from_levels(placed)
            log_probs.append(values[sorting])
            backoffs.append(weights[sorting])
        units = set(words) - {*SPECIAL_WORDS, SPACE_WORD}
        unit = LanguageUnit.characters if all(len(word) == 1 for word in units) else LanguageUnit.words
        return NgramModel(unit, words, trie, tuple(log_probs), tuple(backoffs[:-1]))


def write_arpa(file: IO[bytes], model: NgramModel) -> None:
    """Write a model as an ARPA file.

    Parameters
    ----------
    file : binary file
    model : NgramModel

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    text = io.TextIOWrapper(file, encoding="utf-8", newline="\n", write_through=True)
    text.write(f"{_MARK}\n\n\\data\\\n")
    for order, count in enumerate(model.counts, start=1):
        text.write(f"ngram {order}={count}\n")
    names = np.array(model.words, dtype=object)
    first = model.trie.first.astype(np.int64)
    grams = np.array([""], dtype=object)
    start = 0
    for order, count in enumerate(model.counts, start=1):
        end = start + len(grams)
        parents = np.repeat(np.arange(len(grams)), np.diff(first[start : end + 1]))
        start = end
        words = names[model.trie.labels[start : start + count]]
        grams = words if order == 1 else grams[parents] + " " + words
        columns = [_shown(model.log_probs[order - 1][:]), grams.tolist()]
        if order < model.order:
            columns.append(_shown(model.backoffs[order - 1][:]))
        text.write(f"\n\\{order}-grams:\n")
        text.writelines("\t".join(row) + "\n" for row in zip(*columns, strict=True))
    text.write("\n\\end\\\n")
    text.flush()
    text.detach()


def _shown_line(line: bytes) -> str:
    return repr(line[:200].decode(errors="replace").strip())


def is_own_arpa(path: str | Path) -> bool:
    """Whether a file begins as those that `write_arpa` writes, packed or not."""
    with open(path, "rb") as raw:
        try:
            with open_decompressed(raw) as file:
                return file.read(len(_MARK) + 1) == f"{_MARK}\n".encode()
        except (EOFError, OSError, lzma.LZMAError, zlib.error):
            return False


def _shown(values: npt.NDArray[np.float32]) -> list[str]:
    return [f"{value:.7g}" for value in (np.asarray(values, np.float64) / _LN10).tolist()]
