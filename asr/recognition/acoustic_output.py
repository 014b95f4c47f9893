"""The output of the acoustic model for a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asr.acoustic.outputs import CHARACTERS
from asr.recognition.windows import LogProbs, Stretch
from asr.text.alphabet import BLANK


@dataclass(frozen=True, slots=True)
class AcousticOutput:
    """The log-probabilities of a recording."""

    path: str
    duration: float
    """seconds"""
    stretches: tuple[Stretch, ...]
    """in order; silence is left out"""
    notes: tuple[str, ...] = ()
    """as of a `Transcript`"""
    layer: str = CHARACTERS
    """the model's output layer that gave the log-probabilities, named as in `asr.acoustic.outputs`"""

    def log_probs(self) -> LogProbs:
        """All steps from the first one on [shape=(steps, symbols)], with certain blanks where there is
        silence."""
        blocks = self.blocks()
        return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)

    def blocks(self) -> list[LogProbs]:
        """The same without a copy: consecutive blocks [shape=(steps, symbols)], which must not be changed."""
        blocks: list[LogProbs] = []
        position = 0
        for one in self.stretches:
            if one.first_step > position:
                blank = np.full(one.log_probs.shape[1], -np.inf, np.float32)
                blank[BLANK] = 0
                blocks.append(np.broadcast_to(blank, (one.first_step - position, len(blank))))
            blocks.append(one.log_probs)
            position = one.first_step + len(one.log_probs)
        return blocks
