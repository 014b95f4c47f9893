"""Joins the texts of a recording's stretches, which are decoded one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from asr.decoding import Decoder, Hypothesis
from asr.recognition.acoustic_output import AcousticOutput

Item = TypeVar("Item")


def decode_recordings(recordings: Sequence[AcousticOutput], decoder: Decoder) -> list[list[Hypothesis]]:
    """Decode recordings: the texts of each, best first, with the steps of the whole recording."""
    found = decoder.decode([stretch.log_probs for one in recordings for stretch in one.stretches])
    return join_recordings(recordings, found, decoder.alphabet.separator)


def join_recordings(
    recordings: Sequence[AcousticOutput], texts: Sequence[list[Hypothesis]], separator: str
) -> list[list[Hypothesis]]:
    """As `decode_recordings`, of the texts of all stretches."""
    found = iter(texts)
    return [_join([(stretch.first_step, next(found)) for stretch in one.stretches], separator) for one in recordings]


def _join(stretches: Sequence[tuple[int, list[Hypothesis]]], separator: str) -> list[Hypothesis]:
    """The best texts of a recording from those of its stretches, given with their first steps."""
    joined = []
    for parts, score in best_combinations([[(one, one.score) for one in found] for _, found in stretches]):
        text: list[str] = []
        steps: list[int] = []
        log_probs: list[float] = []
        for (first, _), part in zip(stretches, parts, strict=True):
            if separator and text and part.text:
                # The model did not write this separator: it is put at the step before the second text.
                text.append(separator)
                steps.append(max(first - 1, steps[-1]))
                log_probs.append(0.0)
            text.append(part.text)
            steps += [first + step for step in part.steps]
            log_probs += part.log_probs
        joined.append(Hypothesis("".join(text), score, tuple(steps), tuple(log_probs)))
    return joined


def best_combinations(choices: Sequence[Sequence[tuple[Item, float]]]) -> list[tuple[tuple[Item, ...], float]]:
    """The combinations of one item of each choice with the highest sums of scores, best first: as many as the longest
    choice has items."""
    count = max((len(some) for some in choices), default=1)
    if count == 1:
        return [(tuple(part for ((part, _),) in choices), float(sum(score for ((_, score),) in choices)))]
    best: list[tuple[tuple[Item, ...], float]] = [((), 0.0)]
    for some in choices:
        longer = [((*parts, part), score + more) for parts, score in best for part, more in some]
        best = sorted(longer, key=lambda one: -one[1])[:count]
    return best
