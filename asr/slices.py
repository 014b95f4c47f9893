"""Work in slices: a generator that yields None after each small piece of work, and returns the result.

One thread can take turns between many such jobs; the results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")

Slices = Generator[None, None, Result]


def run_slices(work: Slices[Result]) -> Result:
    """Do all of the work at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
