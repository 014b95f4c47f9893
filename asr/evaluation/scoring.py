"""Error counts of texts against references: pooled, never averaged, divided only when shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """What is counted."""

    word = "word"
    character = "character"


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Hits, substitutions, deletions and insertions of a minimal alignment; sums of such counts."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_length(self) -> int:
        """Words (or characters) in the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float | None:
        """Errors by reference length; None where there is no reference."""
        return self.errors / self.reference_length if self.reference_length else None

    def __str__(self) -> str:
        rate = self.rate
        return f"n/a ({self.insertions} insertions)" if rate is None else f"{100 * rate:.2f} %"


@dataclass(frozen=True, slots=True)
class Edit:
    """A stretch of an alignment."""

    kind: str
    """equal, substitute, delete or insert"""
    reference: tuple[str, ...]
    """words (or characters) of the reference; none for an insertion"""
    hypothesis: tuple[str, ...]
    """words (or characters) of the hypothesis; none for a deletion"""


@dataclass(frozen=True, slots=True)
class UtteranceScore:
    """One utterance's texts and errors."""

    reference: str
    hypothesis: str
    words: ErrorCounts
    characters: ErrorCounts
    alignment: tuple[Edit, ...]
    """of words"""
    character_alignment: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """Errors of a set of utterances."""

    utterances: tuple[UtteranceScore, ...]

    @property
    def words(self) -> ErrorCounts:
        """Pooled over the utterances; its rate is the word error rate (WER)."""
        return sum((one.words for one in self.utterances), ErrorCounts())

    @property
    def characters(self) -> ErrorCounts:
        """Pooled over the utterances, spaces included; its rate is the character error rate (CER)."""
        return sum((one.characters for one in self.utterances), ErrorCounts())

    @property
    def wrong_utterances(self) -> int:
        """Utterances with at least one word error."""
        return sum(one.words.errors > 0 for one in self.utterances)


def score(references: Sequence[str], hypotheses: Sequence[str]) -> Score:
    """Count the errors of hypotheses.

    Parameters
    ----------
    references, hypotheses : sequences of str
        Of one length, in one order, already normalised as they shall be compared: every difference counts, only
        white space is taken as one space. Empty texts are allowed on both sides.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If the two differ in length.

    Notes
    -----
    Levenshtein's distance over words and over characters, by jiwer.

    Examples
    --------
    >>> result = score(["the cat sat"], ["the bat sat down"])
    >>> result.words
    ErrorCounts(hits=2, substitutions=1, deletions=0, insertions=1)
    >>> print(result.words)
    66.67 %
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references and {len(hypotheses)} hypotheses")
    references = [" ".join(text.split()) for text in references]
    hypotheses = [" ".join(text.split()) for text in hypotheses]
    utterances = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        words, alignment = _align(reference, hypothesis, Unit.word)
        characters, by_character = _align(reference, hypothesis, Unit.character)
        utterances.append(UtteranceScore(reference, hypothesis, words, characters, alignment, by_character))
    return Score(tuple(utterances))


def _align(reference: str, hypothesis: str, unit: Unit) -> tuple[ErrorCounts, tuple[Edit, ...]]:
    left = tuple(reference.split()) if unit is Unit.word else tuple(reference)
    right = tuple(hypothesis.split()) if unit is Unit.word else tuple(hypothesis)
    # jiwer has no alignment where one side is empty.
    if not left and not right:
        return ErrorCounts(), ()
    if not left:
        return ErrorCounts(insertions=len(right)), (Edit("insert", (), right),)
    if not right:
        return ErrorCounts(deletions=len(left)), (Edit("delete", left, ()),)
    import jiwer

    process = jiwer.process_words if unit is Unit.word else jiwer.process_characters
    output = process(reference, hypothesis)
    edits = tuple(
        Edit(chunk.type, left[chunk.ref_start_idx : chunk.ref_end_idx], right[chunk.hyp_start_idx : chunk.hyp_end_idx])
        for chunk in output.alignments[0]
    )
    return ErrorCounts(output.hits, output.substitutions, output.deletions, output.insertions), edits
