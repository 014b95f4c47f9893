"""Draws the learning curves of a run."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.files import write_atomically
from asr.training.epoch_record import EpochRecord
from asr.training.training_data import CTC

Line = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class _Panel:
    """One of the two drawings of a picture."""

    title: str
    lines: Mapping[str, Line]
    """by label, a value for each epoch; None where it was not measured"""
    unit: str = ""
    percent: bool = False
    highest: float | None = None
    """of the axis; None fits it to the values"""


def draw_curves(path: Path, history: Sequence[EpochRecord], *, loss_name: str, decoder_label: str) -> None:
    """Loss and error rates by epoch, as a PNG; nothing is drawn of an empty history.

    Parameters
    ----------
    path : Path
    history : sequence of EpochRecord
    loss_name : str
        The loss of training; that of validation is CTC.
    decoder_label : str
        The decoder of validation, in a few words.
    """
    title, valid_label = f"{CTC} loss", "validation"
    if loss_name != CTC:
        title, valid_label = f"Loss: {loss_name}", f"validation: {CTC} (characters)"
    losses = _losses(history, "training (augmented)", valid_label)
    found: dict[str, Line] = {
        "WER": [record.valid_wer for record in history],
        "CER": [record.valid_cer for record in history],
    }
    errors = {
        f"{name}, best {100 * min(measured):.1f} %" if (measured := _measured(rates)) else name: rates
        for name, rates in found.items()
    }
    loss = _Panel(title, losses, "nats per symbol")
    _draw(path, history, loss, _Panel(f"Validation error, {decoder_label}", errors, percent=True))


def draw_tagger_curves(path: Path, history: Sequence[EpochRecord], scores: Sequence[Mapping[str, float]]) -> None:
    """Loss and F1 scores of a tagger by epoch, as a PNG; nothing is drawn of an empty history."""
    names = scores[0] if scores else ()
    f1: dict[str, Line] = {name.replace("_", " "): [one[name] for one in scores] for name in names}
    loss = _Panel("Loss", _losses(history, "training (with errors)", "validation"), "nats per word")
    _draw(path, history, loss, _Panel("F1 on validation texts", f1, highest=1.0))


def _losses(history: Sequence[EpochRecord], train_label: str, valid_label: str) -> dict[str, Line]:
    return {
        train_label: [record.train_loss for record in history],
        valid_label: [record.valid_loss for record in history],
    }


def _measured(values: Line) -> list[float]:
    return [one for one in values if one is not None]


def _draw(path: Path, history: Sequence[EpochRecord], *panels: _Panel) -> None:
    if not history:
        return
    # Without pyplot, which would choose a window system and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    # Fixed margins: an automatic layout takes twice the time, after every epoch.
    margins = {"left": 0.07, "right": 0.985, "bottom": 0.14, "top": 0.88, "wspace": 0.16}
    figure = Figure(figsize=(9, 3.6))
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), gridspec_kw=margins), panels, strict=True):
        for label, values in panel.lines.items():
            # Points of epochs without a value are left out, and the line goes on to the next.
            points = [(one.epoch, value) for one, value in zip(history, values, strict=True) if value is not None]
            axes.plot([epoch for epoch, _ in points], [value for _, value in points], ".-", label=label)
        axes.set(xlabel="epoch", ylabel=panel.unit, ylim=(0, panel.highest))
        axes.set_title(textwrap.fill(panel.title, 58), fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if panel.percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomically(path, buffer.getvalue())
