"""Prefix beam search over many utterances at once, as passes over flat arrays: NumPy only, no compiler.

Read `asr.decoding.reference` first: it is the same search of one utterance in sixty lines. Here the hypotheses of all
utterances lie one behind the other in each array: a *slot* is the place of one, a *row* an utterance. One call of a
NumPy function then advances thousands of hypotheses by a step. Scorers (see `context`) add the scores of language
models and hot words. The result of an utterance does not depend on the others that are searched with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.decoding.context import IMPOSSIBLE, Hashes, Scorer, mix
from asr.decoding.history import History
from asr.decoding.hypothesis import LogProbs
from asr.decoding.pronunciation_scorer import PronunciationScorer, with_reading
from asr.language.trie import NOT_FOUND
from asr.runs import distinct
from asr.settings.decoding import BeamConfig
from asr.slices import Slices, run_slices
from asr.text.alphabet import BLANK

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# What a candidate may gain from the scorers: further behind than this, and score_margin, they are not asked.
_HEADROOM = 10.0
_SLOTS_AT_ONCE = 4096


@dataclass
class Beams:
    """The hypotheses of some utterances; all arrays but `steps` have shape (slots,), row by row, best first."""

    steps: Ints
    """[shape=(rows,)] model steps that each utterance has gone"""
    row: Ints
    blank: Floats
    """natural log-probability of the alignments that end in a blank"""
    symbol: Floats
    """of those that end in the last symbol"""
    context: Floats
    """what the scorers have given"""
    last: Ints
    """number of the last symbol; the blank's for an empty text"""
    reading: Ints
    """which reading of the word before the last symbol was chosen, where that symbol begins a word; else 0"""
    hash: Hashes
    """tells texts apart"""
    parent_hash: Hashes
    """of the text without its last symbol"""
    parent: Ints
    """slot of that text, or `NOT_FOUND`"""
    node: Ints
    """of the history: the text itself"""
    states: list[Any]
    """of each scorer"""
    history: History

    @classmethod
    def begin(cls, rows: int, scorers: Sequence[Scorer]) -> Beams:
        """One empty text an utterance."""
        nothing = np.zeros(rows, np.int64)
        return cls(
            steps=nothing.copy(),
            row=np.arange(rows),
            blank=np.zeros(rows),
            symbol=np.full(rows, IMPOSSIBLE),
            context=np.zeros(rows),
            last=np.full(rows, BLANK),
            reading=nothing.copy(),
            hash=mix(np.arange(rows, dtype=np.uint64), nothing),
            parent_hash=np.zeros(rows, np.uint64),
            parent=np.full(rows, NOT_FOUND),
            node=np.full(rows, History.ROOT),
            states=[scorer.begin(rows) for scorer in scorers],
            history=History(),
        )

    @property
    def total(self) -> Floats:
        """Natural log-probability of all alignments of each text."""
        return np.logaddexp(self.blank, self.symbol)


class BeamSearch:
    """Searches for the texts that explain log-probabilities best.

    Parameters
    ----------
    settings : BeamConfig
        Of which `beam_width`, `min_symbol_log_prob` and `score_margin` are used.
    scorers : sequence of Scorer
    merges : bool
        Of hypotheses whose future is the same, keep the best alone: where the scorers forget, and that can be.
    lattice_margin : float or None
        The history keeps the ways of hypotheses that were dropped so, if they were at most this far behind. None keeps
        none of them.

    Notes
    -----
    Source: A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
    Recurrent DNNs", 2014, algorithm 1, in the log domain. Steps at which no symbol but the blank is likely enough to
    be tried are taken together.
    """

    def __init__(
        self,
        settings: BeamConfig,
        scorers: Sequence[Scorer],
        *,
        merges: bool = True,
        lattice_margin: float | None = None,
    ) -> None:
        self._width = settings.beam_width
        self._min_log_prob = settings.min_symbol_log_prob
        self._margin = settings.score_margin
        self._scorers = list(scorers)
        self._reader = next((one for one in self._scorers if isinstance(one, PronunciationScorer)), None)
        self.merges = merges and any(scorer.forgets for scorer in self._scorers)
        self._lattice_margin = lattice_margin if self.merges else None

    @property
    def rows_at_once(self) -> int:
        """How many utterances are best searched together."""
        return max(_SLOTS_AT_ONCE // self._width, 1)

    def begin(self, rows: int) -> Beams:
        """One empty text an utterance."""
        return Beams.begin(rows, self._scorers)

    def advance(self, beams: Beams, log_probs: Sequence[LogProbs]) -> list[Beams]:
        """Search through the next steps of some utterances.

        Parameters
        ----------
        beams : Beams
            Is used up: what comes back takes its place.
        log_probs : sequence of float [shape=(steps, symbols)]
            Natural, one for each row.

        Returns
        -------
        list of Beams
            Every row is in one of them.
        """
        return run_slices(self.advance_in_slices(beams, log_probs))

    def advance_in_slices(self, beams: Beams, log_probs: Sequence[LogProbs]) -> Slices[list[Beams]]:
        """As `advance`, with a slice for each step."""
        plan = _Plan.make(log_probs, beams.steps, self._min_log_prob)
        # Utterances with more steps to go come first, so that those still going are the first rows.
        position = np.argsort(plan.order)
        moved = position[beams.row]
        beams = self._take(beams, np.argsort(moved, kind="stable"))
        beams.row = np.sort(moved)
        done = []
        for index in range(plan.longest + 1):
            going = int((plan.counts > index).sum())
            ended = int(np.searchsorted(beams.row, going))
            if ended < len(beams.row):
                rest = self._take(beams, np.arange(ended, len(beams.row)))
                _hold(rest, plan.after[rest.row])
                rest.row = plan.order[rest.row]
                rest.steps = beams.steps + np.array([len(one) for one in log_probs])
                done.append(rest)
                beams = self._take(beams, np.arange(ended))
            if going:
                beams = self._step(beams, plan, index, going)
                yield
        return done

    def narrowed(self, beam_width: int | None) -> BeamSearch:
        """The same search with a beam of at most that width; None leaves it as it is."""
        if beam_width is None or beam_width >= self._width:
            return self
        narrow = copy(self)
        narrow._width = beam_width
        return narrow

    def copy(self, beams: Beams) -> Beams:
        """An independent copy of the hypotheses."""
        copied = self._taken(beams, np.arange(len(beams.row)))
        copied.steps, copied.history = beams.steps.copy(), beams.history.copy()
        return copied

    def _take(self, beams: Beams, slots: Ints) -> Beams:
        """Some hypotheses of a beam, in that order: whole rows."""
        if np.array_equal(slots, np.arange(len(beams.row))):
            return beams
        return self._taken(beams, slots)

    def _taken(self, beams: Beams, slots: Ints) -> Beams:
        now_at = np.full(len(beams.row) + 1, NOT_FOUND)
        now_at[slots] = np.arange(len(slots))
        return Beams(
            beams.steps,
            beams.row[slots],
            beams.blank[slots],
            beams.symbol[slots],
            beams.context[slots],
            beams.last[slots],
            beams.reading[slots],
            beams.hash[slots],
            beams.parent_hash[slots],
            now_at[beams.parent[slots]],
            beams.node[slots],
            [scorer.take(states, slots) for scorer, states in zip(self._scorers, beams.states, strict=True)],
            beams.history,
        )

    def leader(self, beams: Beams) -> tuple[int, int, float]:
        """The best hypothesis of a single utterance if it goes on: its slot, the best reading of its last word, and
        its score. The reading is `NOT_FOUND` in an unfinished word, and 0 for scorers without readings."""
        score = beams.total + beams.context
        slot = int(score.argmax())
        if self._reader is None:
            return slot, 0, float(score[slot])
        alone = self._reader.take(beams.states[self._scorers.index(self._reader)], np.array([slot]))
        _, readings, gains = self._reader.endings(alone)
        return slot, int(readings[gains.argmax()]), float(score[slot])

    def finish(self, beams: Beams) -> tuple[Ints, Ints, Floats]:
        """The score of every hypothesis if its utterance ends here.

        Returns
        -------
        slots, readings : int64 [shape=(endings,)]
            A hypothesis whose last word can be read in several ways comes once for each; 0 for scorers without
            readings, `NOT_FOUND` for a word that is cut off.
        scores : float64 [shape=(endings,)]
        """
        slots = np.arange(len(beams.row))
        readings, gains = np.zeros(len(slots), np.int64), np.zeros(len(slots))
        if self._reader is not None:
            slots, readings, gains = self._reader.endings(beams.states[self._scorers.index(self._reader)])
        scores = (beams.total + beams.context)[slots] + gains
        for scorer, states in zip(self._scorers, beams.states, strict=True):
            if scorer is not self._reader:
                scores += scorer.finish(states)[slots]
        return slots, readings, scores

    def _step(self, beams: Beams, plan: _Plan, index: int, rows: int) -> Beams:
        """One step: every hypothesis stays and grows, equal texts are added up, and the best are chosen."""
        now, tried, when = plan.log_probs[index, :rows], plan.tried[index, :rows], plan.step[index]
        _hold(beams, plan.before[index][beams.row])
        total = beams.total
        staying = _stay(beams, total, now)
        growing = self._grow(beams, total, now, tried)
        _add_up(beams, staying, growing, tried, when, lattice_margin=self._lattice_margin)
        score = staying.score
        # The best that stays is a lower bound of the best.
        best = np.maximum.reduceat(score, np.searchsorted(beams.row, np.arange(rows)))
        growing = self._scored(beams, growing, best)
        chosen, dropped = self._choose(beams, score, growing, best)
        return self._keep(beams, staying, growing, chosen, dropped, now, when)

    def _grow(self, beams: Beams, total: Floats, now: Floats, tried: npt.NDArray[np.bool_]) -> _Growing:
        """Every hypothesis extended by every symbol that is tried in its row, in the order of both."""
        tried_row, tried_symbol = np.nonzero(tried)
        tried_count = np.bincount(tried_row, minlength=len(tried))
        tried_start = np.cumsum(tried_count) - tried_count
        place = np.zeros(tried.shape, np.int64)
        place[tried_row, tried_symbol] = np.arange(len(tried_row)) - tried_start[tried_row]
        count = tried_count[beams.row]
        start = np.cumsum(count) - count
        source = np.repeat(np.arange(len(count)), count)
        symbol = tried_symbol[np.arange(len(source)) + np.repeat(tried_start[beams.row] - start, count)]
        reading, first = np.zeros(len(source), np.int64), np.arange(len(source))
        if self._reader is not None:
            # A word that ends can be read in several ways: each is a candidate of its own.
            ways = self._reader.readings(beams.states[self._scorers.index(self._reader)], source, symbol)
            first = np.cumsum(ways) - ways
            owner = np.repeat(np.arange(len(source)), ways)
            reading, source, symbol = np.arange(len(owner)) - first[owner], source[owner], symbol[owner]
        # A symbol that is said twice needs a blank between.
        before = np.where(symbol == beams.last[source], beams.blank[source], total[source])
        return _Growing(source, symbol, reading, before + now[beams.row[source], symbol], start, place, first)

    def _scored(self, beams: Beams, growing: _Growing, best: Floats) -> _Growing:
        """The candidates that come near the best of their row, with what the scorers give them."""
        floor = np.maximum(best - self._slack - _HEADROOM, IMPOSSIBLE / 10)
        near = growing.log_prob + beams.context[growing.source] > floor[beams.row[growing.source]]
        growing = growing.take(near.nonzero()[0])
        context = beams.context[growing.source]
        for scorer, states in zip(self._scorers, beams.states, strict=True):
            gains, extension = scorer.extend(states, growing.source, growing.symbol, growing.reading)
            context = context + gains
            growing.extensions.append(extension)
        growing.context = context
        return growing

    def _choose(self, beams: Beams, staying: Floats, growing: _Growing, best: Floats) -> tuple[Ints, _Dropped | None]:
        """The places of the best hypotheses, and those that a lattice keeps.

        First come those that stay (given by their scores), then those that grow.
        """
        score = growing.score
        likely = (score >= (best - self._slack)[beams.row[growing.source]]).nonzero()[0]
        futures = self._futures(beams, growing, likely) if self.merges else None
        row = np.concatenate([beams.row, beams.row[growing.source[likely]]])
        ranked, dropped = self._rank(row, np.concatenate([staying, score[likely]]), best, futures)
        places = np.concatenate([np.arange(len(beams.row)), len(beams.row) + likely])
        if dropped is not None:
            dropped.places = places[dropped.places]
        return places[ranked], dropped

    def _keep(
        self,
        beams: Beams,
        staying: _Staying,
        growing: _Growing,
        chosen: Ints,
        dropped: _Dropped | None,
        now: Floats,
        when: Ints,
    ) -> Beams:
        """Make the chosen hypotheses the beam."""
        slots = len(beams.row)
        dropped_nodes = None if dropped is None else _nodes_of_dropped(beams, staying, growing, dropped, now, when)
        grew = chosen >= slots
        candidate = np.where(grew, chosen - slots, NOT_FOUND)
        came_from = np.where(grew, growing.source[candidate], chosen) if len(growing.source) else chosen
        new = grew.nonzero()[0]
        beams.last = np.concatenate([beams.last, growing.symbol])[chosen]
        beams.reading = np.concatenate([beams.reading, growing.reading])[chosen]
        beams.row = beams.row[came_from]
        beams.blank = np.concatenate([staying.blank, np.full(len(growing.source), IMPOSSIBLE)])[chosen]
        beams.symbol = np.concatenate([staying.symbol, growing.log_prob])[chosen]
        beams.context = np.concatenate([staying.context, growing.context])[chosen]
        parents = beams.node[came_from[new]]
        beams.node = staying.node[came_from]
        written = with_reading(beams.last[new], beams.reading[new])
        at_step = now[beams.row[new], beams.last[new]]
        beams.node[new] = beams.history.add(parents, written, when[beams.row[new]], at_step)
        if dropped is not None and dropped_nodes is not None:
            _recombine(beams, grew, dropped, dropped_nodes)
        beams.states = [
            scorer.select(states, extension, came_from, candidate)
            for scorer, states, extension in zip(self._scorers, beams.states, growing.extensions, strict=True)
        ]
        self._relate(beams, came_from, new, slots)
        return beams

    @property
    def _slack(self) -> float:
        return np.inf if self._margin is None else self._margin

    def _futures(self, beams: Beams, growing: _Growing, likely: Ints) -> Hashes:
        """Hashes of what determines the future scores, of all hypotheses that stay and of the likely candidates."""
        slots = len(beams.row)
        futures = np.concatenate([beams.last, growing.symbol[likely]]).astype(np.uint64)
        for scorer, states, extension in zip(self._scorers, beams.states, growing.extensions, strict=True):
            stay, grow = scorer.futures(states, extension, growing.source)
            futures[:slots] = mix(futures[:slots], stay)
            futures[slots:] = mix(futures[slots:], grow[likely])
        return futures

    def _rank(
        self, row: Ints, score: Floats, reference: Floats, futures: Hashes | None
    ) -> tuple[Ints, _Dropped | None]:
        """The best of each row, in order: by falling score, equal ones by their place.

        Of hypotheses with the same future scores only the best is kept: the others could never overtake it. With a
        lattice, those that are dropped so are returned too.
        """
        # One number a hypothesis, to be sorted: row, how far it is behind the best, place. float32 keeps the order of
        # what differs in seven digits, and its bits, as a whole number, the order of the floats.
        behind = (reference[row] - score).astype(np.float32).view(np.int32)
        behind ^= (behind >> 31) & np.int32(0x7FFFFFFF)
        rank = (behind.astype(np.int64) + (1 << 31)).astype(np.uint64)
        place_bits = np.uint64(len(row).bit_length())
        keys = (row.astype(np.uint64) << (np.uint64(32) + place_bits)) | (rank << place_bits)
        keys |= np.arange(len(row), dtype=np.uint64)
        keys.sort()
        order = (keys & ((np.uint64(1) << place_bits) - np.uint64(1))).astype(np.int64)
        sorted_row = row[order]
        lost = better = np.zeros(0, np.int64)
        if futures is not None:
            firsts, first = _firsts(sorted_row, futures[order], len(reference), (32 * self._width).bit_length())
            if self._lattice_margin is not None:
                preceded = np.flatnonzero(~firsts)
                lost, better = order[preceded], order[first[preceded]]
            order = order[firsts]
            sorted_row = row[order]
        starts = np.searchsorted(sorted_row, np.arange(len(reference)))
        kept = np.arange(len(order)) - starts[sorted_row] < self._width
        floor = np.maximum(score[order[starts]] - self._slack, IMPOSSIBLE / 10)
        kept &= score[order] >= floor[sorted_row]
        kept[starts] = True
        order = order[kept]
        if self._lattice_margin is None:
            return order, None
        ranks = np.full(len(row), NOT_FOUND)
        ranks[order] = np.arange(len(order))
        difference = np.maximum(score[better] - score[lost], 0)
        near = np.flatnonzero(
            (ranks[better] != NOT_FOUND) & (difference <= self._lattice_margin) & (score[lost] > IMPOSSIBLE / 10)
        )
        return order, _Dropped(lost[near], ranks[better[near]], difference[near])

    def _relate(self, beams: Beams, came_from: Ints, new: Ints, slots: int) -> None:
        """Number the new texts, and find the slot of each text's parent."""
        stayed = np.ones(len(came_from), bool)
        stayed[new] = False
        kept_at = np.full(slots + 1, NOT_FOUND)  # where each old slot is now; the last stands for none
        kept_at[came_from[stayed]] = stayed.nonzero()[0]
        old_hash = beams.hash
        beams.hash = old_hash[came_from]
        beams.parent_hash = beams.parent_hash[came_from]
        parent = kept_at[beams.parent[came_from]]
        beams.parent_hash[new] = beams.hash[new]
        beams.hash[new] = mix(beams.hash[new], with_reading(beams.last[new], beams.reading[new]))
        parent[new] = kept_at[came_from[new]]
        # A text that had left the beam may have come back to a child that had not.
        orphans = ((parent == NOT_FOUND) & (beams.last != BLANK) & stayed).nonzero()[0]
        if len(new) and len(orphans):
            sorting = np.argsort(beams.hash[new])
            hashes = beams.hash[new][sorting]
            found = np.minimum(np.searchsorted(hashes, beams.parent_hash[orphans]), len(hashes) - 1)
            same = hashes[found] == beams.parent_hash[orphans]
            parent[orphans[same]] = new[sorting[found[same]]]
        beams.parent = parent


@dataclass
class _Dropped:
    """Hypotheses that were recombined with a better one; all arrays have shape (dropped,)."""

    places: Ints
    """slots of those that stay, and behind all slots the candidates"""
    kept: Ints
    """the place of the better one among those that are kept"""
    behind: Floats
    """how much higher that one's score is"""


@dataclass
class _Staying:
    """Hypotheses whose text stays as it is at a step; all arrays have shape (slots,)."""

    blank: Floats
    """natural log-probability of the alignments that now end in a blank"""
    symbol: Floats
    """of those that end in the last symbol"""
    context: Floats
    node: Ints
    """of the history"""
    at_step: Floats
    """log-probability of the last symbol at this step"""

    @property
    def score(self) -> Floats:
        """Natural log-probability of all alignments, with what the scorers have given."""
        return np.logaddexp(self.blank, self.symbol) + self.context


@dataclass
class _Growing:
    """Candidates: hypotheses extended by a symbol; arrays of shape (candidates,) unless another one is given."""

    source: Ints
    """slot of the hypothesis that is extended"""
    symbol: Ints
    reading: Ints
    log_prob: Floats
    """natural log-probability of the alignments that arrive by the symbol"""
    start: Ints
    """[shape=(slots,)] first extension of each slot, where readings are not counted"""
    place: Ints
    """[shape=(rows, symbols)] of each symbol among those that are tried in a row"""
    first: Ints
    """[shape=(extensions,)] first candidate of each extension"""
    context: Floats = field(default_factory=lambda: np.zeros(0))
    """what the scorers have given"""
    extensions: list[Any] = field(default_factory=list)
    """of each scorer"""

    @property
    def score(self) -> Floats:
        """With what the scorers have given."""
        return self.log_prob + self.context

    def take(self, candidates: Ints) -> _Growing:
        """Some of the candidates, before they are scored."""
        return replace(
            self,
            source=self.source[candidates],
            symbol=self.symbol[candidates],
            reading=self.reading[candidates],
            log_prob=self.log_prob[candidates],
            extensions=[],
        )


def _stay(beams: Beams, total: Floats, now: Floats) -> _Staying:
    """Every hypothesis with a blank after it, or with its last symbol held."""
    at_step = now[beams.row, beams.last]
    blank = total + now[beams.row, BLANK]
    return _Staying(blank, beams.symbol + at_step, beams.context, beams.node.copy(), at_step)


def _add_up(
    beams: Beams,
    staying: _Staying,
    growing: _Growing,
    tried: npt.NDArray[np.bool_],
    when: Ints,
    *,
    lattice_margin: float | None,
) -> None:
    """Add a candidate whose text is in the beam already to the hypothesis of that text."""
    child = ((beams.parent != NOT_FOUND) & tried[beams.row, beams.last]).nonzero()[0]
    extension = growing.start[beams.parent[child]] + growing.place[beams.row[child], beams.last[child]]
    same = growing.first[extension] + beams.reading[child]
    arriving = growing.log_prob[same]
    # Where more arrives than was there, this is the likelier way to the text, and its last symbol is at this step.
    later = child[arriving > np.logaddexp(staying.blank[child], staying.symbol[child])]
    staying.node[later] = _arrived(beams, staying, later, when)
    if lattice_margin is not None:
        _link_arrivals(beams, staying, child, arriving, when, lattice_margin)
    staying.symbol[child] = np.logaddexp(staying.symbol[child], arriving)
    growing.log_prob[same] = IMPOSSIBLE


def _arrived(beams: Beams, staying: _Staying, slots: Ints, when: Ints) -> Ints:
    """New nodes of the history of texts that are in the beam already: their last symbol is at this step."""
    written = with_reading(beams.last[slots], beams.reading[slots])
    parents = beams.node[beams.parent[slots]]
    return beams.history.add(parents, written, when[beams.row[slots]], staying.at_step[slots])


def _link_arrivals(beams: Beams, staying: _Staying, child: Ints, arriving: Floats, when: Ints, margin: float) -> None:
    """Keep both ways to the texts of some slots: what was recombined with them before, and with their parents since.

    Parameters
    ----------
    child : int64 [shape=(slots,)]
    arriving : float64 [shape=(slots,)]
        Natural log-probability of the alignments that arrive now; where it is the larger part, their way has become
        that of the text.
    """
    history, before = beams.history, beams.node[child]
    ahead = arriving - np.logaddexp(staying.blank[child], staying.symbol[child])
    # Nothing was recombined with the parent since, if it has still the node that it had.
    changed = history.parents(before) != beams.node[beams.parent[child]]
    later = np.flatnonzero(ahead > 0)
    history.recombine(staying.node[child[later]], before[later], np.zeros(len(later)))
    other = np.flatnonzero(changed & (ahead <= 0) & (ahead >= -margin))
    nodes = _arrived(beams, staying, child[other], when)
    staying.node[child[other]] = history.repeat(before[other])
    kept = staying.node[child[other]]
    history.recombine(
        np.repeat(kept, 2),
        np.stack([nodes, before[other]], axis=1).ravel(),
        np.stack([-ahead[other], np.zeros(len(other))], axis=1).ravel(),
    )


def _nodes_of_dropped(
    beams: Beams, staying: _Staying, growing: _Growing, dropped: _Dropped, now: Floats, when: Ints
) -> Ints:
    """The node of the history of each hypothesis that was dropped; candidates become nodes."""
    slots = len(beams.row)
    grew = np.flatnonzero(dropped.places >= slots)
    nodes = staying.node[np.minimum(dropped.places, slots - 1)]
    candidates = dropped.places[grew] - slots
    source, symbol = growing.source[candidates], growing.symbol[candidates]
    row = beams.row[source]
    written = with_reading(symbol, growing.reading[candidates])
    nodes[grew] = beams.history.add(beams.node[source], written, when[row], now[row, symbol])
    return nodes


def _recombine(beams: Beams, grew: npt.NDArray[np.bool_], dropped: _Dropped, nodes: Ints) -> None:
    """Link the hypotheses that were dropped, whose nodes are given, to those that are kept."""
    # A kept one that stayed may be older than what was dropped: a new node of the same text takes its place.
    stayed = distinct(dropped.kept[~grew[dropped.kept]])[0]
    before = beams.node[stayed]
    beams.node[stayed] = beams.history.repeat(before)
    kept = np.concatenate([beams.node[dropped.kept], beams.node[stayed]])
    behind = np.concatenate([dropped.behind, np.zeros(len(stayed))])
    sorting = np.argsort(kept, kind="stable")
    beams.history.recombine(kept[sorting], np.concatenate([nodes, before])[sorting], behind[sorting])


@dataclass(frozen=True)
class _Plan:
    """The steps that are worth a search, of some utterances side by side."""

    order: Ints
    """[shape=(rows,)] which utterance is at each place: those with more steps come first"""
    counts: Ints
    """[shape=(rows,)] how many steps there are"""
    log_probs: Floats
    """[shape=(longest, rows, symbols)]"""
    tried: npt.NDArray[np.bool_]
    """the same shape: symbols that are tried"""
    before: Floats
    """[shape=(longest, rows)] log-probability of the blanks since the step before; NaN where there is none between"""
    after: Floats
    """[shape=(rows,)] of those at the end"""
    step: Ints
    """[shape=(longest, rows)] which step it is"""

    @property
    def longest(self) -> int:
        return len(self.log_probs)

    @classmethod
    def make(cls, log_probs: Sequence[LogProbs], first_steps: Ints, min_log_prob: float | None) -> _Plan:
        found = []
        for one in log_probs:
            tried = one >= (IMPOSSIBLE if min_log_prob is None else min_log_prob)
            tried[:, BLANK] = False
            found.append((tried, np.flatnonzero(tried.any(axis=1))))
        counts = np.array([len(steps) for _, steps in found], np.int64)
        order = np.argsort(-counts, kind="stable")
        rows, longest, symbols = len(log_probs), int(counts.max(initial=0)), log_probs[0].shape[1]
        plan = cls(
            order,
            counts[order],
            np.full((longest, rows, symbols), IMPOSSIBLE),
            np.zeros((longest, rows, symbols), bool),
            np.full((longest, rows), np.nan),
            np.full(rows, np.nan),
            np.zeros((longest, rows), np.int64),
        )
        for place, row in enumerate(order.tolist()):
            tried, steps = found[row]
            count = len(steps)
            values = np.maximum(log_probs[row], IMPOSSIBLE, dtype=np.float64)
            plan.tried[:count, place] = tried[steps]
            tried[:, BLANK] = True
            plan.log_probs[:count, place] = np.where(tried[steps], values[steps], IMPOSSIBLE)
            plan.step[:count, place] = steps + first_steps[row]
            blanks = np.concatenate([[0], np.cumsum(values[:, BLANK])])
            begins = np.concatenate([[-1], steps]) + 1  # of the gap before each step, and of the one at the end
            ends = np.append(steps, len(values))
            gaps = np.where(ends > begins, blanks[ends] - blanks[begins], np.nan)
            plan.before[:count, place], plan.after[place] = gaps[:-1], gaps[-1]
        return plan


def _hold(beams: Beams, blanks: Floats) -> None:
    """Extend hypotheses by blanks alone, of the given log-probability; NaN for none."""
    held = (~np.isnan(blanks)).nonzero()[0]
    if len(held):
        beams.blank[held] = np.logaddexp(beams.blank[held], beams.symbol[held]) + blanks[held]
        beams.symbol[held] = IMPOSSIBLE


def _firsts(row: Ints, futures: Hashes, rows: int, bits: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Which of some hypotheses are not preceded by one of the same row and future (but for a rare few), and for the
    others which one precedes them."""
    # A table of places for each row, so that what is taken for the same does not depend on other rows. The first of
    # all with one place is written last; two futures at one place just do not see each other.
    place = (futures >> np.uint64(64 - bits)).astype(np.int64) + (row << bits)
    table = np.zeros(rows << bits, np.int32)
    order = np.arange(len(row))
    table[place[::-1]] = order[::-1]
    first = table[place]
    kept: npt.NDArray[np.bool_] = (first == order) | (futures[first] != futures)
    return kept, first
