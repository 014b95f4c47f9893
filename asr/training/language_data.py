"""Batches of an LSTM language model: windows of a text in word pieces, each from the state of a new sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.language.word_pieces import END, WordPieces
from asr.settings.language import LstmTrainingConfig
from asr.training.language_network import IGNORED

Ints = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class PieceBatch:
    """Windows of a text; all [shape=(rows, window)] but `counts` [shape=(rows,)]."""

    inputs: Ints
    """the pieces before the targets, `END` first"""
    counts: Ints
    targets: Ints

    @property
    def network_inputs(self) -> list[Ints]:
        return [self.inputs, self.counts]


class PieceFeed:
    """Batches of an epoch, the same for the same seed.

    The text of an epoch is the sentences in their order, of which some are followed by the next without an end between
    them. Windows of one length begin where a sentence begins, and a share of them where any word does, which covers
    every part of the text with about the same probability.

    Parameters
    ----------
    numbers : uint16 array
        Pieces of sentences, `END` behind each.
    pieces : WordPieces
    settings : LstmTrainingConfig
    """

    def __init__(self, numbers: Numbers, pieces: WordPieces, settings: LstmTrainingConfig) -> None:
        self._numbers, self._settings = numbers, settings
        self._ends_word = np.zeros(pieces.count, bool)
        self._ends_word[[END, *pieces.ends]] = True
        self.batches = max(1, len(numbers) // settings.window // settings.rows)

    def epoch(self, epoch: int) -> tuple[Numbers, npt.NDArray[np.int64]]:
        """The text of an epoch, and where the windows of its batches begin [shape=(batches, rows)]."""
        settings, rng = self._settings, np.random.default_rng((self._settings.seed, epoch))
        is_end = self._numbers == END
        kept = np.ones(len(self._numbers), bool)
        kept[is_end] = rng.random(np.count_nonzero(is_end)) >= settings.joined
        kept[-1] = True
        begins = np.concatenate([[True], is_end[:-1]])[kept]
        text = self._numbers[kept]
        words = np.concatenate([[True], self._ends_word[text[:-1]]])
        count, last = self.batches * settings.rows, max(0, len(text) - settings.window)
        # One place in each of as many equal parts.
        places = ((np.arange(count) + rng.random(count)) * ((last + 1) / count)).astype(np.int64)
        starts = np.where(rng.random(count) < settings.middle, _next(words, places), _next(begins, places))
        starts = rng.permutation(np.minimum(starts, last))
        return text, starts.reshape(self.batches, settings.rows)

    def batch(self, text: Numbers, starts: npt.NDArray[np.int64]) -> PieceBatch:
        """The windows that begin at some places."""
        window = min(self._settings.window, len(text))
        targets = text[starts[:, None] + np.arange(window)].astype(np.int32)
        inputs = np.concatenate([np.full((len(starts), 1), END, np.int32), targets[:, :-1]], axis=1)
        return PieceBatch(inputs, np.full(len(starts), window, np.int32), targets)


def _next(flags: npt.NDArray[np.bool_], places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first place with a flag at or behind each place; the last one with a flag where there is none."""
    found = np.flatnonzero(flags)
    return np.asarray(found[np.minimum(np.searchsorted(found, places), len(found) - 1)], np.int64)


def first_sentences(numbers: Numbers, pieces: WordPieces, *, words: int) -> Numbers:
    """The first sentences that hold so many words."""
    ends_word = np.zeros(pieces.count, bool)
    ends_word[list(pieces.ends)] = True
    behind = np.flatnonzero((numbers == END) & (np.cumsum(ends_word[numbers]) >= words))
    return numbers[: behind[0] + 1] if len(behind) else numbers


def sentence_batches(numbers: Numbers, *, most: int) -> Iterator[PieceBatch]:
    """Every sentence alone, those of similar lengths together.

    Parameters
    ----------
    numbers : uint16 array
        Pieces of sentences, `END` behind each.
    most : int
        Pieces of a batch, padding included; a longer sentence is alone.
    """
    stops = np.flatnonzero(numbers == END) + 1
    starts = np.concatenate([[0], stops[:-1]])
    order = np.argsort(stops - starts, kind="stable")[::-1]
    done = 0
    while done < len(order):
        # Widths of a few kinds, for back ends that compile each shape.
        width = -(-int(stops[order[done]] - starts[order[done]]) // 16) * 16
        some = order[done : done + max(1, most // width)]
        done += len(some)
        counts = (stops[some] - starts[some]).astype(np.int32)
        inside = np.arange(width) < counts[:, None]
        places = np.minimum(starts[some][:, None] + np.arange(width), len(numbers) - 1)
        targets = np.where(inside, numbers[places].astype(np.int32), np.int32(IGNORED))
        inputs = np.concatenate([np.full((len(some), 1), END), np.where(inside, targets, END)[:, :-1]], axis=1)
        yield PieceBatch(inputs.astype(np.int32), counts, targets)
