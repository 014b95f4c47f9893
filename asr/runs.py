"""Runs of equal values in arrays, and distinct values: without `numpy.unique`, which imports masked arrays at first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def run_starts(values: npt.NDArray[Any]) -> Ints:
    """Where each run of equal values begins.

    Examples
    --------
    >>> run_starts(np.array([3, 3, 3, 5, 5, 8])).tolist()
    [0, 3, 5]
    """
    is_start = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)


def distinct(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Ints]:
    """The distinct values [shape=(values,)] in increasing order, and the place of each value among them.

    Examples
    --------
    >>> found, places = distinct(np.array([8, 3, 8, 5]))
    >>> found.tolist(), places.tolist()
    ([3, 5, 8], [2, 0, 2, 1])
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = run_starts(ordered)
    places = np.empty(len(values), np.int64)
    places[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))
    return ordered[starts], places
