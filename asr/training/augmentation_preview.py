"""Augmented utterances as audio and pictures, to check that they are still intelligible."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from asr.audio.load import Samples
from asr.training.examples import Shown


def shown_files(shown: Sequence[Shown], sample_rate: int) -> Iterator[tuple[str, bytes]]:
    """A WAV file of each utterance, and one picture of its features before and after: names and contents.

    Parameters
    ----------
    shown : sequence of Shown
    sample_rate : int
        Hz.
    """
    for number, one in enumerate(shown, start=1):
        name = f"{number:02d}-{Path(one.utterance.id).name}"
        yield f"{name}.wav", _wav(one.samples, sample_rate)
        yield f"{name}.png", _picture(one)


SHOWN_NAME = re.compile(r"\d{2,}-.*\.(?:wav|png)", re.DOTALL)
"""names that `shown_files` gives"""


def _wav(samples: Samples, sample_rate: int) -> bytes:
    buffer = io.BytesIO()
    # Augmented speech may exceed full scale.
    loudest = max(1.0, float(np.abs(samples).max(initial=0)))
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(samples / loudest * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _picture(one: Shown) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharey=True)
    for axes, frames, title in (
        (above, one.before, f"{one.utterance.id}: {one.utterance.text}"),
        (below, one.after, f"as used in training: {', '.join(one.changes) or 'sound unchanged'}; masks are flat areas"),
    ):
        axes.imshow(frames.T, origin="lower", aspect="auto", vmin=-3, vmax=3, cmap="magma", interpolation="nearest")
        axes.set_title(title, loc="left", fontsize=10, wrap=True, parse_math=False)
        axes.set(xlabel="frame", ylabel="mel band")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
