"""The second pass: the texts of a lattice scored again, by a neural language model beside the n-gram model.

Read `asr.decoding.second_pass_reference` first: it scores every text of a lattice one by one, and finds the same best.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asr.decoding.history import Lattice, Path
from asr.decoding.lattice_words import LatticeWord, Symbols, WordPlaces, WordReader
from asr.language.ngram import END, NgramModel
from asr.language.trie import NOT_FOUND
from asr.slices import Slices

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ROOT = -1
_OF_PARENT = -1
"""stands for the parent, as where a way comes from"""


class WordModel(Protocol):
    """A language model over whole words that keeps a state of all words before: see `NeuralLanguageModel`."""

    def initial_state(self) -> Any:
        """The state at the start of a sentence, one hypothesis."""

    def advance(self, states: Any, words: Sequence[str]) -> tuple[npt.NDArray[np.float32], Any]:
        """The natural log-probability of a word after each state, and the states behind the words."""

    def end(self, states: Any) -> npt.NDArray[np.float32]:
        """The natural log-probability of the end of the sentence after each state."""


@dataclass(frozen=True)
class Rescored:
    """A text of a lattice, and the best way to it."""

    text: str
    score: float
    path: Path
    ending: int
    """the one in which the way ends"""


@dataclass(frozen=True)
class Endings:
    """The endings of a lattice; all arrays have shape (endings,)."""

    rows: Ints
    """of which utterance each is"""
    readings: Ints
    """of the last word; `NOT_FOUND` if it is cut off"""
    scores: Floats
    """of the first pass"""


class SecondPass:
    """Scores the texts of lattices again.

    Parameters
    ----------
    reader : WordReader
    ngram : NgramModel
        Over words: that of the first pass.
    neural : WordModel
    weight : float
        Share of the neural model in the probability of each word: between 0 and 1.
    lm_weight, unknown_score : float
        Of the first pass.
    histories : int > 0
        Texts that are followed at each place of a lattice.
    margin : float > 0
        What the first pass scored this far below its best text is left out; infinite for all texts.
    score_margin : float > 0
        Texts are dropped at a word where their score in the second pass, with that of the first pass for what follows,
        is this far below the best of the utterance after as many words; infinite for none.

    Notes
    -----
    The score of a text is that of the first pass, with the n-gram probability of each word and of the end replaced by
    (1 - weight) * n-gram + weight * neural. Of several ways to a text, the best one counts.

    Source: X. Liu et al., "Efficient Lattice Rescoring Using Recurrent Neural Network Language Models", ICASSP 2014.
    The words of each place in the order of words are scored in one call for all places and all utterances.
    """

    def __init__(
        self,
        reader: WordReader,
        ngram: NgramModel,
        neural: WordModel,
        *,
        weight: float,
        lm_weight: float,
        unknown_score: float,
        histories: int,
        margin: float,
        score_margin: float,
    ) -> None:
        self._reader, self._ngram, self._neural = reader, ngram, neural
        self._weight, self._lm_weight, self._unknown_score = weight, lm_weight, unknown_score
        self._histories, self.margin, self._score_margin = histories, margin, score_margin

    def begin(self, lattice: Lattice, endings: Endings) -> LatticeTexts:
        """Prepare a lattice; the language models have not scored a word yet."""
        return LatticeTexts(lattice, endings, self._reader, self._ngram, self._neural, self._unknown_score)

    def best(
        self, texts: LatticeTexts, count: int, *, weight: float | None = None
    ) -> Slices[dict[int, list[Rescored]]]:
        """The best texts of each utterance, in slices.

        Parameters
        ----------
        texts : LatticeTexts
            It keeps what the language models say: other weights ask them for few words more.
        count : int > 0
            Of texts.
        weight : float, optional
            Instead of the one of this second pass.
        """
        search = _Search(
            texts,
            weight=self._weight if weight is None else weight,
            lm_weight=self._lm_weight,
            histories=max(self._histories, count),
            margin=self.margin,
            score_margin=self._score_margin,
        )
        return (yield from search.run(count))


class LatticeTexts:
    """The texts of a lattice as a tree of words, with what two language models say of each.

    Text 0 is empty. A text may end within a word that the decoder's lexicon lacks: then that is part of it.
    """

    EMPTY = 0

    def __init__(
        self,
        lattice: Lattice,
        endings: Endings,
        reader: WordReader,
        ngram: NgramModel,
        neural: WordModel,
        unknown_score: float,
    ) -> None:
        self.lattice, self.endings, self.reader = lattice, endings, reader
        self._ngram, self._neural, self._unknown_score = ngram, neural, unknown_score
        self.words: WordPlaces = reader.places(lattice)
        self.parents = [self.EMPTY]
        self._words: list[LatticeWord | None] = [None]
        self.within: list[Symbols] = [()]
        """the symbols of an unfinished word, where the lexicon lacks it"""
        self._numbers: dict[tuple[int, LatticeWord | Symbols], int] = {}
        self._known: dict[tuple[int, int, Symbols], LatticeWord] = {}
        # Natural log-probabilities of the last word, and of the end, by text.
        self.of_ngram, self.of_neural, self.end_of_ngram, self.end_of_neural = [0.0], [0.0], [np.nan], [np.nan]
        self._ngram_states: list[Ints | None] = [ngram.begin(1)[0]]
        self._batches = [neural.initial_state()]
        self._at: list[tuple[int, int] | None] = [(0, 0)]
        """the batch of neural states, and the place in it"""
        self.scored_words = 0
        """by the neural model"""

    def word(self, node: int, reading: int, symbols: Symbols) -> LatticeWord:
        """See `WordReader.word`."""
        key = node, reading, symbols if node == NOT_FOUND else ()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.reader.word(node, reading, symbols)
        return found

    def longer(self, text: int, word: LatticeWord) -> int:
        """A text with a word more."""
        return self._child(text, word, ())

    def within_word(self, text: int, symbols: Symbols) -> int:
        """A text that goes on with an unfinished word."""
        return self._child(self.parents[text] if self.within[text] else text, None, symbols)

    def _child(self, text: int, word: LatticeWord | None, symbols: Symbols) -> int:
        key = (text, symbols if word is None else word)
        number = self._numbers.setdefault(key, len(self.parents))
        if number == len(self.parents):
            self.parents.append(text)
            self._words.append(word)
            self.within.append(symbols)
            self.of_ngram.append(0.0 if word is None else np.nan)
            self.of_neural.append(0.0 if word is None else np.nan)
            self.end_of_ngram.append(np.nan)
            self.end_of_neural.append(np.nan)
            self._ngram_states.append(None)
            self._at.append(None)
        return number

    def spelled(self, text: int) -> str:
        """The words of a text."""
        found = []
        while text != self.EMPTY:
            word = self._words[text]
            if word is not None and word.spelling:
                found.append(word.spelling)
            text = self.parents[text]
        return " ".join(reversed(found))

    def score(self, texts: Sequence[int]) -> None:
        """Ask both models for the last word of each of some texts; their parents are scored already."""
        new = [text for text in texts if self.of_ngram[text] != self.of_ngram[text]]
        if not new:
            return
        before = [self.parents[text] for text in new]
        words = [word for text in new if (word := self._words[text]) is not None]
        states = np.stack([self._state(text) for text in before])
        scores, after = self._ngram.score(states, np.array([word.number for word in words], np.int64))
        # The states before in the order of the batches that hold them.
        order, neural_states = self._gather(before)
        found, neural_after = self._neural.advance(neural_states, [words[place].spelling for place in order])
        self._batches.append(neural_after)
        self.scored_words += len(order)
        for place, (number, text) in enumerate(zip(order, (new[one] for one in order), strict=True)):
            self.of_ngram[text] = float(scores[number]) + (0 if words[number].known else self._unknown_score)
            self.of_neural[text] = float(found[place])
            self._ngram_states[text] = after[number]
            self._at[text] = len(self._batches) - 1, place
            if not words[number].spelling:  # a piece that only begins a word: no word for the neural model
                self.of_neural[text], self._at[text] = self.of_ngram[text], self._at[before[number]]

    def score_ends(self, texts: Sequence[int]) -> None:
        """Ask both models for the end after each of some texts, which are scored already."""
        new = [text for text in dict.fromkeys(texts) if self.end_of_ngram[text] != self.end_of_ngram[text]]
        if not new:
            return
        states = np.stack([self._state(text) for text in new])
        scores = self._ngram.score(states, np.full(len(new), END))[0]
        order, neural_states = self._gather(new)
        found = self._neural.end(neural_states)
        for place, number in enumerate(order):
            self.end_of_ngram[new[number]] = float(scores[number])
            self.end_of_neural[new[number]] = float(found[place])

    def _state(self, text: int) -> Ints:
        state = self._ngram_states[text]
        assert state is not None
        return state

    def _gather(self, texts: Sequence[int]) -> tuple[list[int], Any]:
        """An order of some texts, and the neural model's states after them in this order."""
        at = [one for text in texts if (one := self._at[text]) is not None]
        order = sorted(range(len(at)), key=at.__getitem__)
        parts, start = [], 0
        while start < len(order):
            batch = at[order[start]][0]
            end = start
            while end < len(order) and at[order[end]][0] == batch:
                end += 1
            parts.append(self._batches[batch].take([at[place][1] for place in order[start:end]]))
            start = end
        return order, parts[0] if len(parts) == 1 else type(parts[0]).concatenate(parts)


class _Search:
    """A search through a lattice, from its beginning to its end."""

    def __init__(
        self,
        texts: LatticeTexts,
        *,
        weight: float,
        lm_weight: float,
        histories: int,
        margin: float,
        score_margin: float,
    ) -> None:
        self._texts, self._weight, self._lm_weight = texts, weight, lm_weight
        self._histories, self._margin, self._score_margin = histories, margin, score_margin
        lattice = texts.lattice
        self._parents, self._best = lattice.parents.tolist(), lattice.best.tolist()
        self._links: dict[int, list[tuple[int, float]]] = {}
        for kept, dropped, behind in zip(
            lattice.kept.tolist(), lattice.dropped.tolist(), lattice.behind.tolist(), strict=True
        ):
            self._links.setdefault(kept, []).append((dropped, behind))
        self._gains: dict[int, float] = {LatticeTexts.EMPTY: 0.0}
        """by how much the score of a text has changed"""
        self._rows = self._rows_of_places()
        # The texts on the ways to each place, with how far these ways are behind; the last entry is that of the root.
        self._behind: list[dict[int, float]] = [{} for _ in self._parents] + [{LatticeTexts.EMPTY: 0.0}]
        self._came_from: dict[int, dict[int, int]] = {}
        """of places with links: the dropped place that the best way to a text comes from, or `_OF_PARENT`"""
        self._origins: dict[int, dict[int, int]] = {}
        """of places at which texts become longer: what each was before"""
        self._written = self._symbols_of_words() if texts.reader.reads_symbols else []

    def run(self, count: int) -> Slices[dict[int, list[Rescored]]]:
        """See `SecondPass.best`."""
        words = self._texts.words
        for places in self._levels():
            ending = [place for place in places if words.ends[place]]
            self._score([self._longer(text, place) for place in ending for text in self._near(place)])
            best: dict[int, float] = {}
            for place in ending:
                self._enter(place)
                for text, behind in self._behind[place].items():
                    score = self._best[place] - behind + self._gains[text]
                    best[self._rows[place]] = max(best.get(self._rows[place], -np.inf), score)
            for place in places:
                if words.ends[place]:
                    lowest = best.get(self._rows[place], -np.inf) - self._score_margin - self._best[place]
                    found = self._behind[place]
                    self._behind[place] = {
                        text: behind for text, behind in found.items() if self._gains[text] - behind >= lowest
                    }
                else:
                    self._enter(place)
                if place in self._links:
                    self._behind[place] = self._united(self._behind[place], place)
            yield
        return self._end(count)

    def _near(self, place: int) -> dict[int, float]:
        """The texts at the parent of a place that are likely enough in the first pass to go on there."""
        furthest = self._best[place] + self._margin
        return {text: behind for text, behind in self._behind[self._parents[place]].items() if behind <= furthest}

    def _levels(self) -> list[list[int]]:
        """The places by the number of words on the longest way to them, in the order in which they can be entered."""
        ends, links = self._texts.words.ends, self._links
        depths = [0] * (len(self._parents) + 1)
        levels: list[list[int]] = []
        for place, parent in enumerate(self._parents):
            depth = depths[parent] + ends[place]
            if place in links:
                depth = max(depth, *(depths[dropped] for dropped, _ in links[place]))
            depths[place] = depth
            while len(levels) <= depth:
                levels.append([])
            levels[depth].append(place)
        return levels

    def _rows_of_places(self) -> list[int]:
        """The utterance of each place."""
        texts = self._texts
        rows = [0] * (len(self._parents) + 1)
        for place, row in zip(texts.lattice.ends.tolist(), texts.endings.rows.tolist(), strict=True):
            rows[place] = row
        for place in range(len(self._parents) - 1, -1, -1):
            rows[self._parents[place]] = rows[place]
            for dropped, _ in self._links.get(place, []):
                rows[dropped] = rows[place]
        return rows

    def _symbols_of_words(self) -> list[Symbols]:
        """The symbols of the word so far at each place, and at the root: by the way of its parents."""
        words, separator = self._texts.words, self._texts.reader.separator
        written: list[Symbols] = [()] * (len(self._parents) + 1)
        for place, parent in enumerate(self._parents):
            symbol = words.symbols[place]
            if symbol != separator:
                begins = words.ends[place] and separator is None
                written[place] = (symbol,) if begins else (*written[parent], symbol)
        return written

    def _longer(self, text: int, place: int) -> int:
        """A text at the parent of a place, with the word that ends there."""
        return self._finished(text, self._parents[place], self._texts.words.readings[place])

    def _finished(self, text: int, place: int, reading: int) -> int:
        """A text at a place, with the word that ends at this place."""
        texts = self._texts
        if texts.within[text]:
            return texts.longer(texts.parents[text], texts.word(NOT_FOUND, reading, texts.within[text]))
        return texts.longer(
            text, texts.word(texts.words.nodes[place], reading, self._written[place] if self._written else ())
        )

    def _score(self, found: Sequence[int]) -> None:
        """Score texts that have become longer by a word."""
        texts = self._texts
        new = [text for text in dict.fromkeys(found) if text not in self._gains]
        texts.score(new)
        for text in new:
            mixed = self._mixed(texts.of_ngram[text], texts.of_neural[text])
            self._gains[text] = self._gains[texts.parents[text]] + mixed - self._lm_weight * texts.of_ngram[text]

    def _mixed(self, ngram: float, neural: float) -> float:
        """The weighted log-probability of a word or an end by both models."""
        if self._weight == 0 or ngram == neural:
            return self._lm_weight * ngram
        if self._weight == 1:
            return self._lm_weight * neural
        return self._lm_weight * float(np.logaddexp(np.log1p(-self._weight) + ngram, np.log(self._weight) + neural))

    def _enter(self, place: int) -> None:
        """Find the texts on the ways to a place."""
        words = self._texts.words
        unknown = words.nodes[place] == NOT_FOUND  # of a word that the lexicon lacks, all symbols are part of the text
        before = self._behind[self._parents[place]]
        if words.ends[place] or unknown:
            after: dict[int, float] = {}
            origins: dict[int, int] = {}
            for text, behind in self._near(place).items():
                longer = self._longer(text, place) if words.ends[place] else text
                if unknown:
                    longer = self._gone_on(longer, place)
                if longer not in after or behind < after[longer]:
                    after[longer], origins[longer] = behind, text
            self._origins[place] = origins
            before = after
        self._behind[place] = before

    def _gone_on(self, text: int, place: int) -> int:
        """A text with the symbol of a place, which is part of an unknown word."""
        texts = self._texts
        begun = texts.within[text]
        longer = texts.within_word(text, (*begun, texts.words.symbols[place]) if begun else self._written[place])
        self._gains[longer] = self._gains[texts.parents[longer]]
        return longer

    def _united(self, before: dict[int, float], place: int) -> dict[int, float]:
        """The likeliest texts of several ways into one place."""
        behind = dict(before)
        came_from = dict.fromkeys(before, _OF_PARENT)
        furthest = self._best[place] + self._margin
        for dropped, difference in self._links[place]:
            for text, distance in self._behind[dropped].items():
                total = distance + difference
                if total <= furthest and (text not in behind or total < behind[text]):
                    behind[text], came_from[text] = total, dropped
        if len(behind) > self._histories:
            gains = self._gains
            kept = heapq.nsmallest(self._histories, behind, key=lambda text: behind[text] - gains[text])
            behind = {text: behind[text] for text in kept}
        self._came_from[place] = came_from
        return behind

    def _end(self, count: int) -> dict[int, list[Rescored]]:
        """The best texts of all endings of each utterance."""
        texts, lattice, endings = self._texts, self._texts.lattice, self._texts.endings
        found: list[tuple[int, int, int, float]] = []
        """ending, text before its last word, whole text, score without the changes of the second pass"""
        best: dict[int, float] = {}
        rows, readings, scores = endings.rows.tolist(), endings.readings.tolist(), endings.scores.tolist()
        for ending in np.flatnonzero(lattice.likely).tolist():
            best[rows[ending]] = max(best.get(rows[ending], -np.inf), scores[ending])
        for ending in np.flatnonzero(lattice.likely).tolist():
            place, reading = int(lattice.ends[ending]), readings[ending]
            for text, behind in self._behind[place].items():
                score = scores[ending] - behind
                if score >= best[rows[ending]] - self._margin:
                    found.append((ending, text, self._whole(text, place, reading), score))
        self._score([whole for _, _, whole, _ in found])
        texts.score_ends([whole for _, _, whole, _ in found])
        results: dict[int, dict[str, tuple[float, int, int]]] = {}
        for ending, text, whole, score in found:
            ngram, neural = texts.end_of_ngram[whole], texts.end_of_neural[whole]
            score += self._gains[whole] + self._mixed(ngram, neural) - self._lm_weight * ngram
            spelled, of_row = texts.spelled(whole), results.setdefault(rows[ending], {})
            if spelled not in of_row or score > of_row[spelled][0]:
                of_row[spelled] = score, ending, text
        return {row: self._ranked(of_row, count) for row, of_row in results.items()}

    def _whole(self, text: int, place: int, reading: int) -> int:
        """A text at a place, with the word that ends with the utterance; without it, if it is cut off."""
        texts = self._texts
        separated = place != _ROOT and texts.words.symbols[place] == texts.reader.separator
        if place == _ROOT or separated:
            return text
        if reading == NOT_FOUND:
            return texts.parents[text] if texts.within[text] else text
        return self._finished(text, place, reading)

    def _ranked(self, found: dict[str, tuple[float, int, int]], count: int) -> list[Rescored]:
        ranked = sorted(found, key=lambda text: -found[text][0])
        results = []
        for spelled in ranked[:count]:
            score, ending, text = found[spelled]
            path = self._path(int(self._texts.lattice.ends[ending]), text)
            results.append(Rescored(spelled, score, path, ending))
        return results

    def _path(self, place: int, text: int) -> Path:
        """The symbols of the best way to a text at a place."""
        texts, places = self._texts, []
        while place != _ROOT:
            source = self._came_from[place][text] if place in self._came_from else _OF_PARENT
            if source != _OF_PARENT:
                place = source
                continue
            places.append(place)
            text = self._origins[place][text] if place in self._origins else text
            place = self._parents[place]
        order = np.array(places[::-1], np.int64)
        path = texts.lattice.path
        return Path(path.symbols[order], path.steps[order], path.log_probs[order])
