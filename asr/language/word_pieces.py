"""Words in pieces of which the last is marked as the end of its word: so a word's probability is complete with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from asr.errors import ConfigError
from asr.text.alphabet import BLANK
from asr.text.pieces import PieceAlphabet, train_pieces

END = BLANK
"""the number of the end of the sentence, which the network also reads at the start; pieces are numbered from 1"""
_SAMPLED = 60_000
# Characters that are rarer than one in so many have no piece.
_RARE = 2_000_000


@dataclass(frozen=True)
class WordPieces:
    """The pieces of a language model.

    Parameters
    ----------
    mirrored : PieceAlphabet
        Of the words written backwards, so that its mark of a beginning is at the end of the word.

    Examples
    --------
    >>> pieces = WordPieces(PieceAlphabet(("\u2581", "\u2581og", "d", "o", "g"), (-4.0, -1.0, -3.0, -3.0, -3.0)))
    >>> pieces.symbols
    ('\u2581', 'go\u2581', 'd', 'o', 'g')
    >>> pieces.encode("go"), pieces.encode("dog")
    ((2,), (3, 4, 5, 1))
    """

    mirrored: PieceAlphabet

    @property
    def count(self) -> int:
        """Of the pieces and the end of the sentence."""
        return self.mirrored.size

    @property
    def symbols(self) -> tuple[str, ...]:
        """The pieces as they are read, from number 1."""
        return tuple(one[::-1] for one in self.mirrored.symbols)

    @cached_property
    def ends(self) -> frozenset[int]:
        """The numbers of the pieces that end a word."""
        return self.mirrored.word_starts

    @cached_property
    def _characters(self) -> frozenset[str]:
        return frozenset(one for one in self.mirrored.symbols if len(one) == 1)

    def encode(self, word: str) -> tuple[int, ...]:
        """The numbers of the pieces of a word: those of the largest sum of scores. Characters without a piece are left
        out."""
        known = "".join(one for one in word if one in self._characters)
        return tuple(self.mirrored.encode(known[::-1])[::-1]) or (self._bare_end,)

    @cached_property
    def _bare_end(self) -> int:
        number = self.mirrored.separator_number
        assert number is not None
        return number


def train_word_pieces(sentences: Sequence[str], count: int) -> WordPieces:
    """Choose pieces by SentencePiece's unigram model, from some sentences evenly spread over a text.

    Raises
    ------
    ConfigError
        If the text holds no words.
    MissingPackageError
        If SentencePiece is not installed.
    """
    step = max(1, len(sentences) // _SAMPLED)
    sample = sentences[:: max(1, len(sentences) // 200_000)]
    characters = Counter(character for line in sample for character in line)
    total = sum(characters.values())
    frequent = {one for one, times in characters.items() if total < _RARE or times * _RARE >= total}

    def mirrored() -> Iterator[str]:
        for line in sentences[::step]:
            yield "".join(one for one in line if one in frequent)[::-1]

    found = train_pieces(mirrored(), count)
    if not found.word_starts:
        raise ConfigError("kind=lstm needs texts of words with spaces between them")
    return WordPieces(found)
