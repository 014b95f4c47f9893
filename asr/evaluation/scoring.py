"""Error counts of texts against references: counts are pooled, and divided only when they are shown."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from asr.evaluation.alternatives import Alternatives
from asr.settings.text import NormalizerConfig
from asr.text.normalize import NORMALIZERS, normalize_text


class Unit(Enum):
    """The unit that is counted."""

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
        """Errors by reference length; None if the references are empty."""
        return self.errors / self.reference_length if self.reference_length else None

    def __str__(self) -> str:
        rate = self.rate
        return f"n/a ({self.insertions} insertions)" if rate is None else f"{100 * rate:.2f} %"


@dataclass(frozen=True, slots=True)
class Edit:
    """Consecutive words (or characters) of an alignment with the same kind of edit."""

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
    """the chosen one, if the reference has alternatives"""
    hypothesis: str
    words: ErrorCounts
    characters: ErrorCounts
    alignment: tuple[Edit, ...]
    """of words"""
    character_alignment: tuple[Edit, ...]
    allowed: str
    """the reference with all its alternatives"""


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


def score(
    references: Sequence[str | Alternatives],
    hypotheses: Sequence[str],
    *,
    normalizer: NormalizerConfig | Literal["none", "standard"] = "none",
) -> Score:
    """Count the errors of hypotheses.

    Parameters
    ----------
    references, hypotheses : lists of str
        Of one length, in one order. Empty texts are allowed on both sides. A reference may have alternatives.
    normalizer : NormalizerConfig, "none" or "standard"
        How both sides are normalised first, as by the settings of that name in `asr evaluate`. The default here is
        "none": only Unicode form, white space and invisible characters, so that capitals and punctuation count. The
        default of the command is "standard".

    Returns
    -------
    Score

    Raises
    ------
    TypeError
        If one side is a single text instead of a list, or contains values other than texts.
    ValueError
        If the two differ in length, or there is no normaliser of that name.

    Notes
    -----
    Levenshtein's distance over words and over characters, by jiwer. Of a reference with alternatives, the words are
    aligned as NIST's sclite aligns them (see `Alternatives.align`); the best alternative is then the reference of the
    result, also for its characters.

    Examples
    --------
    >>> result = score(["the cat sat"], ["the bat sat down"])
    >>> result.words
    ErrorCounts(hits=2, substitutions=1, deletions=0, insertions=1)
    >>> print(result.words)
    66.67 %
    >>> print(score(["The cat."], ["the cat"]).words, score(["The cat."], ["the cat"], normalizer="standard").words)
    100.00 % 0.00 %
    """
    references, hypotheses = _texts(references, "references"), _texts(hypotheses, "hypotheses")
    if len(references) != len(hypotheses):
        raise ValueError(
            f"{len(references)} references and {len(hypotheses)} hypotheses: give one hypothesis for each "
            "reference, in the same order; an empty text where nothing was recognised"
        )
    if isinstance(normalizer, str):
        if normalizer not in NORMALIZERS:
            raise ValueError(
                f"normalizer={normalizer!r}: a NormalizerConfig is wanted, or one of {', '.join(NORMALIZERS)}"
            )
        normalizer = NORMALIZERS[normalizer]
    return Score(
        tuple(
            _score_one(_normalize(reference, normalizer), normalize_text(hypothesis, normalizer))
            for reference, hypothesis in zip(references, hypotheses, strict=True)
        )
    )


def _texts(texts: Sequence[Any], side: str) -> list[Any]:
    if isinstance(texts, str | bytes):
        raise TypeError(f"{side} must be a list of texts, not one text: score(['the cat'], ['the bat'])")
    found = list(texts)
    for text in found:
        if not isinstance(text, str | Alternatives):
            raise TypeError(f"{side} must be texts, not {text!r}")
    return found


def _normalize(reference: str | Alternatives, normalizer: NormalizerConfig) -> str | Alternatives:
    if isinstance(reference, str):
        return normalize_text(reference, normalizer)
    return reference.map(lambda text: normalize_text(text, normalizer))


def _score_one(reference: str | Alternatives, hypothesis: str) -> UtteranceScore:
    allowed = str(reference)
    if isinstance(reference, str):
        words, alignment = _align(reference, hypothesis, Unit.word)
    else:
        chosen = reference.align(hypothesis)
        reference = chosen.reference
        words, alignment = _count(chosen.edits)
    characters, by_character = _align(reference, hypothesis, Unit.character)
    return UtteranceScore(reference, hypothesis, words, characters, alignment, by_character, allowed)


def _count(edits: Iterable[tuple[str, str, str]]) -> tuple[ErrorCounts, tuple[Edit, ...]]:
    """Counts of single edits, and the edits joined by kind."""
    stretches = []
    lengths: Counter[str] = Counter()
    for kind, some in itertools.groupby(edits, key=lambda edit: edit[0]):
        rows = list(some)
        lengths[kind] += len(rows)
        reference = tuple(word for _, word, _ in rows) if kind != "insert" else ()
        hypothesis = tuple(word for _, _, word in rows) if kind != "delete" else ()
        stretches.append(Edit(kind, reference, hypothesis))
    counts = ErrorCounts(lengths["equal"], lengths["substitute"], lengths["delete"], lengths["insert"])
    return counts, tuple(stretches)


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
