"""Draws the results of tuning a decoder."""

from __future__ import annotations

import io
from collections.abc import Sequence

from asr.tuning.search import Trial


def draw_surface(trials: Sequence[Trial], widths: Sequence[Trial], chosen: Trial, audio_seconds: float) -> bytes:
    """Draw the word error rate of all trials over the searched settings, and of beam widths over their time, as a PNG.

    Parameters
    ----------
    trials, widths : sequences of Trial
        Of the search, and of the beam widths.
    chosen : Trial
        The one that is marked.
    audio_seconds : float
        Seconds of audio that were decoded.
    """
    # Not pyplot: it would choose a window system and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(14, 4), layout="constrained")
    FigureCanvasAgg(figure)
    surface, priors, speed = figure.subplots(1, 3)
    rates = [trial.rate[0] for trial in trials]
    # Trials far from the best would otherwise take most of the colour scale.
    ceiling = sorted(rates)[int(0.7 * (len(rates) - 1))]
    points = surface.scatter(
        [trial.settings.lm_weight for trial in trials],
        [trial.settings.word_bonus for trial in trials],
        c=rates,
        s=[12 + 4 * (30 + trial.settings.unknown_score) for trial in trials],
        cmap="viridis_r",
        vmin=min(rates),
        vmax=max(ceiling, min(rates) + 1e-6),
        alpha=0.85,
    )
    surface.plot(
        chosen.settings.lm_weight, chosen.settings.word_bonus, "+", color="crimson", ms=18, mew=2, label="recommended"
    )
    surface.set(title="Word error rate (larger dots: unknown words cost less)", xlabel="lm_weight", ylabel="word_bonus")
    surface.legend(frameon=False)
    figure.colorbar(points, ax=surface, format=PercentFormatter(1, decimals=1), extend="max")
    priors.scatter([trial.settings.prior_weight for trial in trials], rates, s=14, alpha=0.85)
    priors.plot(chosen.settings.prior_weight, chosen.rate[0], "+", color="crimson", ms=18, mew=2)
    priors.set(title="Weight of the priors", xlabel="prior_weight", ylabel="word error rate")
    spread = max(ceiling - min(rates), 1e-3)
    priors.set_ylim(min(rates) - 0.1 * spread, min(rates) + 1.3 * spread)
    hours = audio_seconds / 3600
    speed.plot([trial.seconds / hours for trial in widths], [trial.rate[0] for trial in widths], ".-")
    for trial in widths:
        speed.annotate(
            f"{trial.settings.beam_width}",
            (trial.seconds / hours, trial.rate[0]),
            xytext=(4, 4),
            textcoords="offset points",
        )
    speed.set(title="Beam width", xlabel="core-seconds an hour of audio", ylabel="word error rate")
    speed.set_xlim(0, 1.12 * max(trial.seconds / hours for trial in widths))
    for axes in (priors, speed):
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    for axes in (surface, priors, speed):
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
