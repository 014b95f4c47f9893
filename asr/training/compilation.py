"""Estimates the time of compiling for new shapes of batches (TensorFlow, JAX) from the times of steps."""

from __future__ import annotations

from statistics import median


class CompilationTimer:
    """Collects the times of steps: the first step of every shape includes the compilation for it.

    Parameters
    ----------
    compiles : bool
        Whether the back end compiles for every shape; if not, `report` is always None.
    """

    def __init__(self, *, compiles: bool) -> None:
        self._compiles = compiles
        self._seconds: dict[tuple[int, ...], list[float]] = {}
        self._reported = 0

    def add(self, shape: tuple[int, ...], seconds: float) -> None:
        """Count a step.

        Parameters
        ----------
        shape : tuple of int
            Rows first, then frames.
        seconds : float
        """
        if self._compiles:
            self._seconds.setdefault(shape, []).append(seconds)

    def report(self) -> str | None:
        """The time for the new shapes since the last report, for the log; None if there are none."""
        new = list(self._seconds)[self._reported :]
        if not new:
            return None
        self._reported = len(self._seconds)
        rates = [one / (shape[0] * shape[1]) for shape, times in self._seconds.items() for one in times[1:]]
        if not rates:
            return f"compiled for {_shapes(len(new))}: {self._first(new):.0f} s, with their first steps"
        steps = sum(
            median(times[1:]) if (times := self._seconds[shape])[1:] else median(rates) * shape[0] * shape[1]
            for shape in new
        )
        return f"compiled for {_shapes(len(new))}: about {max(0.0, self._first(new) - steps):.0f} s"

    def _first(self, shapes: list[tuple[int, ...]]) -> float:
        return sum(self._seconds[shape][0] for shape in shapes)


def _shapes(count: int) -> str:
    return "1 shape of batches" if count == 1 else f"{count} shapes of batches"
