"""A learning-rate range test: the rate rises over some batches, and the loss is plotted against it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import keras
import numpy as np
from tqdm import tqdm

from asr.bundle import load_bundle
from asr.errors import ConfigError
from asr.files import OutputJournal, typed_path
from asr.settings.commands import TrainConfig
from asr.training.feed import Feed
from asr.training.finetune import check_fits
from asr.training.plan import TrainingPlan
from asr.training.preflight import read_corpus
from asr.training.run_folder import LR_FINDER_PICTURE, LR_FINDER_TABLE
from asr.training.setup import make_engine
from asr.training.teacher import load_teacher
from asr.training.training_data import describe_loss, make_training_data

_LOWEST, _HIGHEST, _BATCHES = 1e-6, 1.0, 100
# Weight of the past in the smoothed loss, and its highest ratio to its minimum before the test ends.
_SMOOTHING, _DIVERGED = 0.85, 3.0
# Batches in a running median.
_MEDIAN = 9
# So that the logarithm of a loss exists.
_SMALLEST = 1e-9
# A loss that falls by a smaller share than this suggests no rate.
_FALL = 0.05
_FEWEST = 10
"""least batches of a curve"""


@dataclass(frozen=True, slots=True)
class RateCurve:
    """The loss at every rate that was tried."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """nats per symbol, of one batch each"""
    smoothed: tuple[float, ...]
    suggested: float | None
    """the rate at which the smoothed loss falls fastest, in proportion to itself; None if it hardly falls"""


def find_learning_rate(
    settings: TrainConfig, run_dir: str | Path | None = None, *, batches: int = _BATCHES
) -> RateCurve:
    """Raise the learning rate from batch to batch, from 0.000001 to 1, until the loss diverges.

    Writes `lr_finder.png` and `lr_finder.csv` to the folder, and nothing else: the weights are dropped, and a run that
    the folder holds stays as it is.

    Parameters
    ----------
    settings : TrainConfig
    run_dir : str or Path, optional
        Instead of `settings.run_dir`.
    batches : int >= 2

    Raises
    ------
    ConfigError
        If no folder is named, or a setting cannot be used.
    ManifestError
        Naming all problems of the data.

    Notes
    -----
    Source: L. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, with rates that rise
    exponentially.
    """
    named = run_dir or settings.run_dir
    if named is None:
        raise ConfigError("no folder is named for the picture: run_dir=FOLDER")
    folder, journal = typed_path(named), OutputJournal(advice="move it away, or choose another run_dir")
    journal.check([folder / LR_FINDER_PICTURE, folder / LR_FINDER_TABLE])
    # Batches of all lengths from the first on, and one batch for each step.
    training = replace(settings.training, sorted_first_epoch=False, accumulate=1, average_epochs=0.0, workers=0)
    settings = replace(settings, training=training)
    corpus = read_corpus(settings)
    init = load_bundle(settings.init) if settings.init else None
    if init:
        check_fits(settings, init)
    teacher = load_teacher(settings)
    data = make_training_data(settings, corpus, init, teacher)
    plan = TrainingPlan(
        data.train, epochs=training.epochs, frames_per_second=1 / settings.features.hop_seconds, settings=training
    )
    engine = make_engine(settings, corpus, data, average_steps=0.0, init=init, teacher=teacher)
    curve: list[tuple[float, float]] = []
    jobs = itertools.islice(itertools.cycle(plan.batches_from(0)), batches)
    with Feed(data.train, workers=0, fixed_shapes=keras.backend.backend() != "torch") as feed:
        bar = tqdm(feed.batches(jobs), "rates", batches, unit="batch", disable=None, leave=False)
        for number, prepared in enumerate(bar):
            rate = _LOWEST * (_HIGHEST / _LOWEST) ** (number / max(1, batches - 1))
            engine.learning_rate = rate
            step = engine.step(prepared.batch)
            if step.fault:
                break
            curve.append((rate, step.loss))
            smoothed = smooth_centred([loss for _, loss in curve])
            if number >= _FEWEST and smoothed[-1] > _DIVERGED * min(smoothed):
                break
    found = make_curve(*zip(*curve, strict=True)) if curve else make_curve((), ())
    rows = "".join(
        f"{rate:.6g},{loss!r},{mean!r}\n"
        for rate, loss, mean in zip(found.rates, found.losses, found.smoothed, strict=True)
    )
    journal.write(folder / LR_FINDER_TABLE, ("learning_rate,loss,smoothed_loss\n" + rows).encode())
    journal.write(folder / LR_FINDER_PICTURE, draw_rate_curve(found, loss_name=describe_loss(settings)))
    return found


def smooth(losses: Sequence[float]) -> list[float]:
    """The exponential moving average of losses, corrected for its beginning."""
    means, mean = [], 0.0
    for number, loss in enumerate(losses, start=1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        means.append(mean / (1 - _SMOOTHING**number))
    return means


def smooth_centred(losses: Sequence[float]) -> list[float]:
    """The mean of the moving averages from both ends, which does not lag behind, over running medians.

    The loss per symbol of a batch of one or two short utterances may be several times that of the batches beside it.
    """
    half = _MEDIAN // 2
    medians = [median(losses[max(0, place - half) : place + half + 1]) for place in range(len(losses))]
    return [(one + other) / 2 for one, other in zip(smooth(medians), smooth(medians[::-1])[::-1], strict=True)]


def make_curve(rates: Sequence[float], losses: Sequence[float]) -> RateCurve:
    """The curve of some rates, ascending, and their losses, with the rate that it suggests."""
    smoothed, suggested = smooth_centred(losses), None
    if len(rates) >= _FEWEST:
        lowest = int(np.argmin(smoothed))
        slopes = np.gradient(np.log(np.maximum(smoothed, _SMALLEST)), np.log(rates))[: lowest + 1]
        steepest = int(np.argmin(slopes))
        if min(smoothed) < (1 - _FALL) * smoothed[0]:
            suggested = float(rates[steepest])
    return RateCurve(tuple(rates), tuple(losses), tuple(smoothed), suggested)


def draw_rate_curve(curve: RateCurve, *, loss_name: str) -> bytes:
    """The curve as a PNG: rates on a logarithmic axis, and the suggested one marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, ".", color="0.7", label="loss of a batch")
    axes.plot(curve.rates, curve.smoothed, label="smoothed")
    if curve.suggested is not None:
        axes.axvline(curve.suggested, color="C1", linestyle="--", label=f"suggested: {curve.suggested:.1e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="nats per symbol", title=f"Loss against rate: {loss_name}")
    if curve.smoothed:
        # A loss that diverges would flatten the rest.
        axes.set_ylim(0, 1.1 * max(curve.smoothed[0], 1.5 * min(curve.smoothed)) + 1e-9)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
