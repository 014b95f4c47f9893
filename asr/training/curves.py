"""Draws the learning curves of a run."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from asr.files import write_atomically
from asr.training.epoch_record import EpochRecord
from asr.training.training_data import CTC


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
    if not history:
        return
    # Without pyplot, which would choose a window system and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = [record.epoch for record in history]
    # Fixed margins: an automatic layout takes twice the time, after every epoch.
    margins = {"left": 0.07, "right": 0.985, "bottom": 0.14, "top": 0.88, "wspace": 0.16}
    figure = Figure(figsize=(9, 3.6))
    FigureCanvasAgg(figure)
    loss, errors = figure.subplots(1, 2, gridspec_kw=margins)
    train_losses = [math.nan if record.train_loss is None else record.train_loss for record in history]
    title, valid_label = f"{CTC} loss", "validation"
    if loss_name != CTC:
        title, valid_label = f"Loss: {loss_name}", f"validation: {CTC} (characters)"
    loss.plot(epochs, train_losses, ".-", label="training (augmented)")
    validated = [record for record in history if record.valid_loss is not None]
    valid_epochs = [record.epoch for record in validated]
    loss.plot(valid_epochs, [record.valid_loss for record in validated], ".-", label=valid_label)
    loss.set(xlabel="epoch", ylabel="nats per symbol", ylim=(0, None))
    found = {"WER": [record.valid_wer for record in validated], "CER": [record.valid_cer for record in validated]}
    for label, values in found.items():
        rates = [float("nan") if value is None else value for value in values]
        best = f", best {100 * min(rates):.1f} %" if rates else ""
        errors.plot(valid_epochs, rates, ".-", label=f"{label}{best}")
    errors.set(xlabel="epoch", ylim=(0, None))
    errors.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes, heading in ((loss, title), (errors, f"Validation error, {decoder_label}")):
        axes.set_title(textwrap.fill(heading, 58), fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomically(path, buffer.getvalue())


def draw_tagger_curves(path: Path, history: Sequence[EpochRecord], scores: Sequence[Mapping[str, float]]) -> None:
    """Loss and F1 scores of a tagger by epoch, as a PNG; nothing is drawn of an empty history."""
    if not history:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [record.epoch for record in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, f1 = figure.subplots(1, 2)
    loss.plot(epochs, [record.train_loss or math.nan for record in history], ".-", label="training (with errors)")
    loss.plot(epochs, [record.valid_loss or math.nan for record in history], ".-", label="validation")
    loss.set(xlabel="epoch", ylabel="nats per word", ylim=(0, None))
    for name in scores[0]:
        f1.plot(epochs, [one[name] for one in scores], ".-", label=name.replace("_", " "))
    f1.set(xlabel="epoch", ylim=(0, 1))
    for axes, heading in ((loss, "Loss"), (f1, "F1 on validation texts")):
        axes.set_title(heading, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomically(path, buffer.getvalue())
