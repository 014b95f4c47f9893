"""References that allow alternatives, in the notation of NIST's `trn` and `stm`, and their alignment with a hypothesis.

`{ um / uh / @ }` means "um", "uh" or nothing, and can be nested; `(word)` is optional.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

NOTHING = "@"
"""the notation for no word"""
# Costs of an alignment, those of NIST's sclite. They are added up in single precision as there: where two alignments
# cost the same, the rounding of thousandths decides.
_EQUAL, _GAP, _SUBSTITUTION, _LEFT_OUT, _NULL = map(np.float32, (0, 3, 4, 2, 0.001))
_SUBSTITUTE, _DELETE, _INSERT = range(3)
_MARKUP = re.compile(r"[{}/]|[^\s{}/]+")
_WORD = re.compile(r"[{}]|[^\s{}]+")

Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True, slots=True)
class OptionalWord:
    """A word that may be left out."""

    word: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternative sequences of words."""

    alternatives: tuple[Items, ...]


Items = tuple["str | OptionalWord | Choice", ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """A text of words, optional words and choices.

    Examples
    --------
    >>> reference = Alternatives.parse("{ um / uh / @ } (the) owners")
    >>> str(reference)
    '{ um / uh / @ } (the) owners'
    >>> reference.align("owners").reference
    'owners'
    """

    items: Items

    @classmethod
    def parse(cls, text: str) -> Alternatives:
        """Read NIST's notation.

        Raises
        ------
        ValueError
            If braces do not match, or an alternative is empty (`@` means no word).
        """
        return cls(_parse(text))

    @property
    def has_choices(self) -> bool:
        """Whether there are braces with several alternatives."""
        return any(isinstance(item, Choice) and len(item.alternatives) > 1 for item in self.items)

    @property
    def first(self) -> str:
        """The text of the first alternatives, optional words in their parentheses."""
        return " ".join(_first(self.items))

    def __str__(self) -> str:
        return _markup(self.items)

    def map(self, change: Callable[[str], str]) -> Alternatives:
        """Apply a normaliser to every sequence of words between two marks.

        Parameters
        ----------
        change : callable
            From a text to a text, which may be empty.
        """
        return Alternatives(_map(self.items, change))

    def align(self, hypothesis: str) -> Alignment:
        """The alignment of lowest cost with a text, over all alternatives.

        Parameters
        ----------
        hypothesis : str

        Returns
        -------
        Alignment
            An optional word that is missing counts neither as an error nor as a reference word.

        Notes
        -----
        Dynamic programming over the arcs of the word graph, with the costs of sclite (`sclite -D` where there are
        optional words): 4 for a substitution, 3 for a deletion or an insertion, 2 for an optional word that is left
        out. Among alignments of equal cost, the choice is that of sclite.
        """
        return _align(_Graph(self.items), hypothesis.split())


@dataclass(frozen=True, slots=True)
class Alignment:
    """The chosen alternative and its alignment."""

    reference: str
    """the chosen alternative, in plain words"""
    edits: tuple[tuple[Kind, str, str], ...]
    """kind, reference word, hypothesis word; an empty text where there is none"""


def _parse(text: str) -> Items:
    # Outside of braces a slash is part of a word, as in "and/or".
    root: list[str | OptionalWord | Choice] = []
    open_choices: list[list[list[str | OptionalWord | Choice]]] = []
    position = 0
    while position < len(text):
        match = (_MARKUP if open_choices else _WORD).search(text, position)
        if match is None:
            break
        token, position = match.group(), match.end()
        items = open_choices[-1][-1] if open_choices else root
        if token == "{":
            open_choices.append([[]])
        elif token == "/" and open_choices:
            _check_filled(items)
            open_choices[-1].append([])
        elif token == "}":
            if not open_choices:
                raise ValueError("a closing brace without an opening one")
            _check_filled(items)
            choice = Choice(tuple(tuple(one) for one in open_choices.pop()))
            (open_choices[-1][-1] if open_choices else root).append(choice)
        elif len(token) > 2 and token.startswith("(") and token.endswith(")"):
            items.append(OptionalWord(token[1:-1]))
        else:
            items.append(token)
    if open_choices:
        raise ValueError("an opening brace without a closing one")
    return tuple(root)


def _check_filled(items: Sequence[object]) -> None:
    if not items:
        raise ValueError(f"an empty alternative: {NOTHING} stands for no word")


def _first(items: Items) -> Iterator[str]:
    for item in items:
        if isinstance(item, Choice):
            yield from _first(item.alternatives[0])
        elif item != NOTHING:
            yield _item_markup(item)


def _markup(items: Items) -> str:
    return " ".join(_item_markup(item) for item in items)


def _item_markup(item: str | OptionalWord | Choice) -> str:
    match item:
        case str():
            return item
        case OptionalWord():
            return f"({item.word})"
        case Choice():
            return f"{{ {' / '.join(_markup(one) for one in item.alternatives)} }}"


def _map(items: Items, change: Callable[[str], str]) -> Items:
    found: list[str | OptionalWord | Choice] = []
    for is_word, some in itertools.groupby(items, lambda item: isinstance(item, str) and item != NOTHING):
        if is_word:
            found += change(" ".join(str(item) for item in some)).split()
            continue
        for item in some:
            match item:
                case str():
                    found.append(item)
                case Choice():
                    found.append(Choice(tuple(_map(one, change) or (NOTHING,) for one in item.alternatives)))
                case OptionalWord():
                    found += [OptionalWord(word) for word in change(item.word).split()]
    return tuple(found)


class _Graph:
    """The words as arcs of a graph, numbered from 1 in topological order; 0 is the start."""

    def __init__(self, items: Items) -> None:
        self.words = [""]
        """of each arc; the empty text for no word"""
        self.removal = [_EQUAL]
        """cost of leaving the word out"""
        self.before: list[list[int]] = [[]]
        """the preceding arcs of each"""
        self.ends = self._add(items, [0])

    def _add(self, items: Items, before: list[int]) -> list[int]:
        for item in items:
            match item:
                case str():
                    before = self._add_arc(item, _GAP, before) if item != NOTHING else self._add_arc("", _NULL, before)
                case OptionalWord():
                    before = self._add_arc(item.word, _LEFT_OUT, before)
                case Choice():
                    ends: list[int] = []
                    for one in item.alternatives:
                        ends += self._add(one, before)
                    before = ends
        return before

    def _add_arc(self, word: str, removal: np.float32, before: list[int]) -> list[int]:
        self.words.append(word)
        self.removal.append(removal)
        self.before.append(before)
        return [len(self.words) - 1]


@dataclass(frozen=True, slots=True)
class _Row:
    """The cells of an arc: the best alignments of the paths that end with it and the first words of the hypothesis."""

    costs: npt.NDArray[np.float32]
    moves: bytes
    """the edit that each cell ends with"""
    nearest: npt.NDArray[np.intp]
    """which of the preceding arcs has the lowest cost"""


def _align(graph: _Graph, hypothesis: Sequence[str]) -> Alignment:
    numbers = {word: number for number, word in enumerate(dict.fromkeys(hypothesis))}
    said = np.array([numbers[word] for word in hypothesis], np.int64)
    width = len(said) + 1
    nothing = np.zeros(width, np.intp)
    start = np.cumsum(np.full(width, _GAP), dtype=np.float32) - _GAP
    rows = [_Row(start, bytes([_DELETE] + [_INSERT] * len(said)), nothing)]
    for arc in range(1, len(graph.words)):
        before = graph.before[arc]
        if len(before) == 1:
            nearest, least = nothing, rows[before[0]].costs
        else:  # argmin() takes the first of equals, as sclite does
            together = np.stack([rows[one].costs for one in before])
            nearest, least = together.argmin(axis=0), together.min(axis=0)
        is_equal = said == numbers.get(graph.words[arc], -1)
        substitution = least[:-1] + np.where(is_equal, _EQUAL, _SUBSTITUTION)
        rows.append(_Row(*_fill(substitution, least + graph.removal[arc]), nearest))
    end = min(graph.ends, key=lambda one: float(rows[one].costs[-1]))
    edits = tuple(reversed(list(_trace(graph, hypothesis, rows, end))))
    return Alignment(" ".join(reference for kind, reference, _ in edits if kind != "insert"), edits)


def _fill(
    substitution: npt.NDArray[np.float32], deletion: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], bytes]:
    """Costs and moves of a row, from those of substitutions [shape=(words,)] and deletions [shape=(words + 1,)].

    At equal cost, a substitution is preferred to an insertion, and that to a deletion.
    """
    replaces = substitution <= deletion[1:]
    best = np.where(replaces, substitution, deletion[1:]).tolist()
    cost = float(deletion[0])
    costs, moves = [cost], bytearray([_DELETE])
    for other, is_substitution in zip(best, replaces.tolist(), strict=True):
        # The sum in single precision: the upper 24 bits (T. Dekker, "A Floating-Point Technique for Extending the
        # Available Precision", 1971).
        scaled = (cost + 3.0) * 536870913.0
        insertion = scaled - (scaled - (cost + 3.0))
        if other < insertion or (is_substitution and other == insertion):
            cost = other
            moves.append(_SUBSTITUTE if is_substitution else _DELETE)
        else:
            cost = insertion
            moves.append(_INSERT)
        costs.append(cost)
    return np.array(costs, np.float32), bytes(moves)


def _trace(graph: _Graph, hypothesis: Sequence[str], rows: Sequence[_Row], arc: int) -> Iterator[tuple[Kind, str, str]]:
    """The edits of the best alignment, from its end to its start."""
    column = len(hypothesis)
    while arc or column:
        row, word = rows[arc], graph.words[arc]
        move = row.moves[column]
        # A substitution for no word is an insertion.
        if move == _INSERT or (move == _SUBSTITUTE and not word):
            yield "insert", "", hypothesis[column - 1]
        elif move == _SUBSTITUTE:
            yield ("equal" if word == hypothesis[column - 1] else "substitute"), word, hypothesis[column - 1]
        elif graph.removal[arc] == _GAP:
            yield "delete", word, ""
        if move != _INSERT:
            arc = graph.before[arc][row.nearest[column - (move == _SUBSTITUTE)]]
        column -= move != _DELETE
