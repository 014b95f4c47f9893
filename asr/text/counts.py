"""Counts of things in messages."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """A number of things, whose plural ends with s.

    Examples
    --------
    >>> counted(1, "file"), counted(0, "file"), counted(12345, "file")
    ('1 file', '0 files', '12,345 files')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
