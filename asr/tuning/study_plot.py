"""Draws the trials of a study."""

from __future__ import annotations

import io
from collections.abc import Sequence

from asr.tuning.study import Attempt, Interval, Space, best_attempts


def draw_study(attempts: Sequence[Attempt], space: Space, *, metric: str, step: str) -> bytes:
    """Draw the value of every trial, the course of each, and the value over each of the settings tried, as a PNG.

    Parameters
    ----------
    attempts : sequence of Attempt
    space : mapping from str to Interval or Choices
    metric, step : str
        What values and steps are.
    """
    # Not pyplot: it would choose a window system and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 2 + len(space)
    figure = Figure(figsize=(4.2 * columns, 4), layout="constrained")
    FigureCanvasAgg(figure)
    course, curves, *panels = figure.subplots(1, columns)
    complete = [one for one in attempts if one.value is not None]
    course.plot([one.number for one in complete], [one.value for one in complete], "o", label="complete")
    stopped = [one for one in attempts if one.pruned and one.steps]
    if stopped:
        last = [one.steps[max(one.steps)] for one in stopped]
        course.plot([one.number for one in stopped], last, "x", color="grey", label="stopped early")
    best = [min(one.value for one in complete[: place + 1] if one.value is not None) for place in range(len(complete))]
    course.step([one.number for one in complete], best, where="post", color="crimson", label="best so far")
    course.set(title="Trials", xlabel="trial", ylabel=metric)
    course.legend(frameon=False)
    for one in attempts:
        steps = sorted(one.steps)
        curves.plot(steps, [one.steps[place] for place in steps], color="grey" if one.pruned else "C0", alpha=0.6)
    curves.set(title="Course of each trial", xlabel=step, ylabel=metric)
    found = best_attempts(attempts)
    for panel, (name, kind) in zip(panels, space.items(), strict=True):
        shown = [one for one in complete if name in one.values]
        panel.plot([one.values[name] for one in shown], [one.value for one in shown], "o", alpha=0.85)
        if found:
            panel.plot([found[0].values[name]], [found[0].value], "+", color="crimson", ms=18, mew=2)
        if isinstance(kind, Interval) and kind.log:
            panel.set_xscale("log")
        panel.set(title=name, xlabel=name, ylabel=metric)
    for axes in (course, curves, *panels):
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
