"""What commands share that train networks over text: a progress bar, and signals that stop the training."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from typing import TypeVar

from asr.cli.training_run import stopped_code

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


def train_on_text(
    train: Callable[..., Result | None], *, postfix: str, again: Sequence[str]
) -> tuple[Result | None, int]:
    """Train until the end, or until a signal arrives.

    Parameters
    ----------
    train : callable
        Takes a `StopRequest`, and `on_step` as `asr.training.text_run.OnStep`.
    postfix : str
        What the progress bar shows of `step` and `loss`, as a format.
    again : sequence of str
        The command that resumes the training.

    Returns
    -------
    Result or None
        None if a signal stopped the training.
    int
        The exit code.
    """
    from tqdm import tqdm

    from asr.training.stop import StopRequest

    stop, mean = StopRequest(), 0.0
    shown = "{desc}: {percentage:.1f} % [{elapsed}<{remaining}]{postfix}"
    with stop.handling_signals(), tqdm(total=100, desc="training", bar_format=shown, disable=None) as bar:

        def show(step: int, share: float, loss: float) -> None:
            nonlocal mean
            mean += (loss - mean) / min(step, 100)
            bar.set_postfix_str(postfix.format(step=step, loss=mean), refresh=False)
            bar.update(min(100.0, 100 * share) - bar.n)

        result = train(stop, on_step=show)
    if result is not None:
        return result, 0
    _log.warning("stopped and saved; to resume, with the same settings: %s", shlex.join(again))
    return None, stopped_code(stop.signal)
