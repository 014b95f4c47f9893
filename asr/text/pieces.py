"""Word pieces: symbols of several characters, in which every text of known characters can be written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from asr.errors import ConfigError
from asr.packages import require_packages
from asr.settings.checks import shown
from asr.settings.text import AlphabetConfig, AlphabetUnit
from asr.text.alphabet import BLANK, MOST_SYMBOLS, Alphabet, check_characters, describe_character

WORD_START = "\u2581"
"""the mark of a piece that begins a word, as SentencePiece writes it; the piece may consist of it alone"""

_LONGEST = 64
# Words whose pieces are remembered.
_REMEMBERED = 1 << 16
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class PieceAlphabet(Alphabet):
    """The pieces that a model can write, numbered from 1, each with a score.

    A word is written in the pieces with the largest sum of scores (a unigram language model of pieces). A piece that
    begins a word begins with `WORD_START`, so that no symbol stands between words.

    Parameters
    ----------
    symbols : sequence of str
        Distinct pieces, in the order of their numbers.
    scores : sequence of float
        The natural log-probability of each piece.

    Raises
    ------
    ConfigError
        If a piece comes twice or cannot stand in a text, or scores are missing, or some pieces begin words and
        `WORD_START` itself is no piece.

    Notes
    -----
    Source: T. Kudo, "Subword Regularization", ACL 2018, section 3.2.

    Examples
    --------
    >>> alphabet = PieceAlphabet(("\u2581", "\u2581the", "m", "e", "h", "t"), (-4.0, -1.0, -3.0, -3.0, -3.0, -3.0))
    >>> alphabet.encode("the theme he")
    [2, 2, 3, 4, 1, 5, 4]
    >>> alphabet.decode([2, 2, 3, 4, 1, 5, 4])
    'the theme he'
    """

    symbols: Sequence[str]
    scores: Sequence[float] = ()

    def __post_init__(self) -> None:
        pieces, scores = self.symbols, self.scores
        if isinstance(pieces, str) or not all(isinstance(one, str) and one for one in pieces):
            raise ConfigError(f"alphabet.pieces must be a list of texts, not {shown(pieces)}")
        if not pieces or len(pieces) > MOST_SYMBOLS:
            raise ConfigError(f"alphabet.pieces must be 1 to {MOST_SYMBOLS} pieces, not {len(pieces)}")
        if len(scores) != len(pieces) or not all(
            isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in scores
        ):
            raise ConfigError(f"alphabet.scores must be a finite number for each of the {len(pieces)} pieces")
        twice = [piece for piece, count in Counter(pieces).items() if count > 1]
        if twice:
            raise ConfigError(f"alphabet.pieces holds {shown(twice[0])} more than once")
        for piece in pieces:
            if WORD_START in piece[1:] or " " in piece or len(piece) > _LONGEST:
                raise ConfigError(
                    f"alphabet.pieces holds {shown(piece)}: a piece is at most {_LONGEST} characters without spaces, "
                    f"and {WORD_START} stands at its beginning alone"
                )
        check_characters("".join(pieces), "alphabet.pieces")
        if any(piece[0] == WORD_START for piece in pieces) and WORD_START not in pieces:
            raise ConfigError(f"alphabet.pieces lacks {WORD_START}, with which any word can begin")
        # Comparison and hashing need plain tuples, whatever came.
        object.__setattr__(self, "symbols", tuple(pieces))
        object.__setattr__(self, "scores", tuple(map(float, scores)))
        object.__setattr__(self, "_pieces_of", lru_cache(_REMEMBERED)(self._best_pieces))

    def __reduce__(self) -> tuple[type, tuple[Sequence[str], Sequence[float]]]:  # the memory of words stays here
        return type(self), (self.symbols, self.scores)

    @property
    def description(self) -> str:
        first = " ".join(self.symbols[:8])
        return f"{len(self.symbols)} pieces ({first}{' ...' if len(self.symbols) > 8 else ''})"

    @cached_property
    def word_starts(self) -> frozenset[int]:
        return frozenset(number for piece, number in self._numbers.items() if piece[0] == WORD_START)

    @cached_property
    def _characters(self) -> frozenset[str]:
        """Those in which texts can be written: each is a piece."""
        return frozenset(piece for piece in self.symbols if len(piece) == 1) - {WORD_START}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.symbols))

    @property
    def separator(self) -> str:
        return " " if self.word_starts else ""

    @property
    def separator_number(self) -> int | None:
        return self._numbers.get(WORD_START)

    def unknown(self, text: str) -> list[str]:
        known = self._characters
        return [one for one in dict.fromkeys(text) if one not in known and not (one == " " and self.word_starts)]

    def encode(self, text: str) -> list[int]:
        unknown = self.unknown(text)
        if unknown:
            names = ", ".join(map(describe_character, unknown))
            raise ConfigError(f"text {text!r} has {names}, not in the {self.description}")
        mark = WORD_START if self.word_starts else ""
        return [number for word in text.split() for number in self._pieces_of(mark + word)]  # type: ignore[attr-defined]

    def _best_pieces(self, word: str) -> tuple[int, ...]:
        """The numbers of the pieces of a word, its mark included, with the largest sum of scores."""
        best, before = [0.0] + [-math.inf] * len(word), [0] * (len(word) + 1)
        for end in range(1, len(word) + 1):
            for start in range(max(0, end - self._longest), end):
                number = self._numbers.get(word[start:end])
                if number is not None and best[start] + self.scores[number - BLANK - 1] > best[end]:
                    best[end], before[end] = best[start] + self.scores[number - BLANK - 1], start
        found, end = [], len(word)
        while end:
            found.append(self._numbers[word[before[end] : end]])
            end = before[end]
        return tuple(reversed(found))

    def spell(self, numbers: Sequence[int]) -> tuple[str, list[int]]:
        characters: list[str] = []
        owners: list[int] = []
        for place, number in enumerate(numbers):
            for character in self.symbols[number - BLANK - 1]:
                if character == WORD_START:
                    if not characters or characters[-1] == " ":
                        continue
                    character = " "
                characters.append(character)
                owners.append(place)
        if characters and characters[-1] == " ":
            characters.pop()
            owners.pop()
        return "".join(characters), owners


def train_pieces(texts: Iterable[str], count: int) -> PieceAlphabet:
    """Choose the pieces in which texts have the largest probability, by SentencePiece's unigram model.

    Parameters
    ----------
    texts : iterable of str
        Normalised.
    count : int
        Pieces; fewer if the texts do not hold so many.

    Returns
    -------
    PieceAlphabet
        The same for the same texts. Every character of the texts is a piece. Without a space in all texts, no piece
        begins a word.

    Raises
    ------
    MissingPackageError
        If SentencePiece is not installed.
    ConfigError
        If there is no text, or it has more characters than pieces.
    """
    require_packages("sentencepiece", extra="train", purpose="alphabet.unit=pieces")
    import io

    import sentencepiece

    lines = [line for text in texts if (line := text.replace(WORD_START, " ").strip())]
    characters = set().union(*lines) - {" "}
    spaced = any(" " in line for line in lines)
    if not characters:
        raise ConfigError("alphabet.unit=pieces needs training texts, and they are all empty")
    if count < len(characters) + spaced:
        raise ConfigError(
            f"alphabet.pieces must be at least {len(characters) + spaced}, the number of characters of the training "
            f"texts, not {count}"
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="unigram",
            vocab_size=count + 1,  # the unknown piece
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=spaced,
            max_sentence_length=_MOST_BYTES,
            num_threads=1,  # the same pieces on every machine
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(f"alphabet.unit=pieces: no pieces can be chosen from {len(lines)} texts: {reason}") from error
    found = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    scores = {found.id_to_piece(number): found.get_score(number) for number in range(1, found.get_piece_size())}
    # A corpus of few words may have every character in longer pieces only.
    lowest = min(scores.values(), default=0.0)
    for piece in sorted(characters | ({WORD_START} if spaced else set())):
        scores.setdefault(piece, lowest - 1)
    return PieceAlphabet(tuple(scores), tuple(scores.values()))


def make_alphabet(settings: AlphabetConfig, texts: Iterable[str]) -> Alphabet:
    """The alphabet that the settings describe.

    Parameters
    ----------
    settings : AlphabetConfig
    texts : iterable of str
        Normalised training texts.

    Raises
    ------
    ConfigError
        If the settings or the texts cannot make one.
    """
    if settings.unit is AlphabetUnit.characters:
        return Alphabet.from_texts(texts) if settings.from_data else Alphabet(settings.symbols)
    if not settings.vocabulary:
        return train_pieces(texts, settings.pieces)
    pieces, scores = [], []
    for entry in settings.vocabulary:
        piece, _, score = entry.rpartition(" ")
        try:
            scores.append(float(score))
        except ValueError:
            raise ConfigError(f"alphabet.vocabulary: {entry!r} must be a piece, a space and a score") from None
        pieces.append(piece)
    return PieceAlphabet(tuple(pieces), tuple(scores))


def alphabet_settings(alphabet: Alphabet) -> AlphabetConfig:
    """The settings of which `make_alphabet` makes this alphabet, whatever the texts."""
    if isinstance(alphabet, PieceAlphabet):
        entries = [f"{piece} {score!r}" for piece, score in zip(alphabet.symbols, alphabet.scores, strict=True)]
        return AlphabetConfig(unit=AlphabetUnit.pieces, pieces=len(entries), vocabulary=entries)
    return AlphabetConfig(symbols="".join(alphabet.symbols))
