"""Errors of recognition in training texts, drawn from the confusions that `asr evaluate` counted."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError
from asr.files import typed_path
from asr.punctuation.written_tags import NO_BREAK, NO_MARK, UNKNOWN_CASE

Ints = npt.NDArray[np.int32]
Tags = npt.NDArray[np.uint8]

_COLUMNS = frozenset({"system", "unit", "kind", "reference", "hypothesis", "count"})
# A word has at most so many times the errors of the average word.
_MOST = 5.0


@dataclass(frozen=True, slots=True)
class Confusions:
    """The errors of a recogniser, counted."""

    substitutions: Mapping[str, Mapping[str, int]]
    """by word: what was recognised instead"""
    deletions: Mapping[str, int]
    insertions: Mapping[str, int]

    @property
    def words(self) -> set[str]:
        """The words that were recognised and not said."""
        return {*self.insertions, *(other for others in self.substitutions.values() for other in others)}


def read_confusions(path: str | Path) -> Confusions:
    """The word errors of the first system of a `confusions.csv` of `asr evaluate`.

    Raises
    ------
    ConfigError
        If the file cannot be read, is something else, or holds no errors of words.
    """
    substitutions: dict[str, Counter[str]] = {}
    deletions, insertions = Counter[str](), Counter[str]()
    system = None
    try:
        with typed_path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not _COLUMNS.issubset(rows.fieldnames or ()):
                raise ConfigError(
                    f"confusions={path}: is no confusions.csv, which `asr evaluate ... output_dir=FOLDER` writes: the "
                    f"columns {', '.join(sorted(_COLUMNS))} are wanted"
                )
            for row in rows:
                system = system or row["system"]
                if row["unit"] != "words" or row["system"] != system:
                    continue
                said, recognised, count = row["reference"].lower(), row["hypothesis"].lower(), int(row["count"])
                match row["kind"]:
                    case "substitutions":
                        substitutions.setdefault(said, Counter())[recognised] += count
                    case "deletions":
                        deletions[said] += count
                    case "insertions":
                        insertions[recognised] += count
    except OSError as error:
        raise ConfigError(f"confusions={path}: cannot be read ({error.strerror})") from error
    except (ValueError, AttributeError, csv.Error) as error:
        raise ConfigError(f"confusions={path}: is no confusions.csv of `asr evaluate` ({error})") from error
    if not (substitutions or deletions or insertions):
        raise ConfigError(f"confusions={path}: holds no errors of words: evaluate more speech, or leave it out")
    return Confusions(substitutions, deletions, insertions)


class RecogniserErrors:
    """Draws errors in texts.

    Substitutions, deletions and insertions have the shares that they have in the counts. A word has as many errors as
    it has there for its frequency in the texts; as the counts hold the most frequent errors only, half of the
    errors fall on all words alike. A word without counted substitutions becomes one of its neighbours.

    Parameters
    ----------
    confusions : Confusions
    types : sequence of str
        The words of the texts, behind which come the other words of `confusions`.
    frequencies : int array [shape=(types,)]
        Of the words in the texts.
    neighbours : int array [shape=(types, n)]
        Words that each may be taken for, if its substitutions are not counted.
    """

    def __init__(
        self, confusions: Confusions, types: Sequence[str], frequencies: npt.NDArray[np.int64], neighbours: Ints
    ) -> None:
        places = {word: place for place, word in enumerate(types)}
        self._neighbours = neighbours
        self._others: dict[int, tuple[Ints, npt.NDArray[np.float64]]] = {
            places[word]: _choices(counts, places)
            for word, counts in confusions.substitutions.items()
            if word in places
        }
        replaced = {word: sum(counts.values()) for word, counts in confusions.substitutions.items()}
        totals = np.array([sum(one.values()) for one in (replaced, confusions.deletions, confusions.insertions)])
        self._shares = totals / totals.sum()
        self._replaced = _relative_rates(replaced, places, frequencies)
        self._deleted = _relative_rates(confusions.deletions, places, frequencies)
        self._inserted = _choices(confusions.insertions, places) if confusions.insertions else None

    def apply(self, words: Ints, tags: Tags, rate: float, rng: np.random.Generator) -> tuple[Ints, Tags]:
        """A text with errors.

        Parameters
        ----------
        words : int array [shape=(words,)]
        tags : array [shape=(words, 3)]
            Marks, cases, breaks.
        rate : float
            Errors for each word.
        rng : Generator

        Returns
        -------
        words, tags
            The tags behind a deleted word go to the one before it. An inserted word has no mark, and a case that is not
            known.
        """
        replaced, deleted, inserted = rate * self._shares
        words = words.copy()
        is_replaced = rng.random(len(words)) < replaced * self._replaced[words]
        for place in np.flatnonzero(is_replaced):
            word = int(words[place])
            if word in self._others:
                others, cumulative = self._others[word]
                words[place] = others[np.searchsorted(cumulative, rng.random(), side="right")]
            else:
                words[place] = self._neighbours[word, rng.integers(self._neighbours.shape[1])]
        gone = ~is_replaced & (rng.random(len(words)) < deleted * self._deleted[words])
        words, tags = delete_words(words, tags, gone)
        if self._inserted is not None:
            before = np.flatnonzero(rng.random(len(words)) < inserted)
            others, cumulative = self._inserted
            new = others[np.searchsorted(cumulative, rng.random(len(before)), side="right")]
            words = np.insert(words, before, new)
            tags = np.insert(tags, before, np.array([NO_MARK, UNKNOWN_CASE, NO_BREAK], np.uint8), axis=0)
        return words, tags


def delete_words(words: Ints, tags: Tags, deleted: npt.NDArray[np.bool_]) -> tuple[Ints, Tags]:
    """A text without some of its words, but never without the first; the tags behind them go to the word before."""
    deleted = deleted.copy()
    deleted[:1] = False
    if not deleted.any():
        return words, tags
    tags = tags.copy()
    for place in np.flatnonzero(deleted)[::-1]:
        for column, none in ((0, NO_MARK), (2, NO_BREAK)):
            if tags[place, column] != none:
                tags[place - 1, column] = tags[place, column]
    return words[~deleted], tags[~deleted]


def _choices(counts: Mapping[str, int], places: Mapping[str, int]) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Words and their cumulative shares."""
    numbers = np.array([places[word] for word in counts], np.int32)
    cumulative = np.cumsum(np.array(list(counts.values()), np.float64))
    cumulative /= cumulative[-1]
    cumulative[-1] = 1.0
    return numbers, cumulative


def _relative_rates(
    counts: Mapping[str, int], places: Mapping[str, int], frequencies: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """How many times the errors of the average word each word has [shape=(types,)]; 1 over all words of the texts."""
    shares = frequencies / frequencies.sum()
    found = np.zeros(len(shares))
    for word, count in counts.items():
        if word in places:
            found[places[word]] = count
    found /= max(found.sum(), 1)
    rates = np.where(shares > 0, 0.5 + 0.5 * found / np.where(shares > 0, shares, 1), 1.0)
    rates = np.minimum(rates, _MOST)
    return np.asarray(rates / float((rates * shares).sum()))
