"""Praat's TextGrid, with words and segments as tiers."""

from __future__ import annotations

from collections.abc import Sequence

from asr.text.transcript import Transcript
from asr.text.words import one_line
from asr.writers.writer import Context, Writer


def _text_grid(transcript: Transcript, context: Context) -> str:
    segments = transcript.segments
    end = max([transcript.duration, *(one.end for one in segments), *(word.end for word in transcript.words)])
    tiers = [
        ("words", [(word.start, word.end, one_line(word.text)) for word in transcript.words]),
        ("segments", [(one.start, one.end, one.text) for one in segments]),
    ]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end:.3f}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (title, intervals) in enumerate(tiers, 1):
        filled = _without_gaps(intervals, end)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{title}"',
            "        xmin = 0",
            f"        xmax = {end:.3f}",
            f"        intervals: size = {len(filled)}",
        ]
        for count, (start, stop, text) in enumerate(filled, 1):
            quoted = text.replace('"', '""')
            lines += [
                f"        intervals [{count}]:",
                f"            xmin = {start / 1000:.3f}",
                f"            xmax = {stop / 1000:.3f}",
                f'            text = "{quoted}"',
            ]
    return "\n".join(lines) + "\n"


def _without_gaps(intervals: Sequence[tuple[float, float, str]], end: float) -> list[tuple[int, int, str]]:
    """Intervals in milliseconds that cover a tier from 0 to its end, as Praat requires, each of at least one.

    An interval does not begin before the end of the previous one. Where no time is left for it, its text is appended to
    that of the previous one.
    """
    filled: list[tuple[int, int, str]] = []
    position, last = 0, max(round(1000 * end), 1)
    for begin, finish, text in intervals:
        start = min(max(round(1000 * begin), position), last - 1)
        stop = min(max(round(1000 * finish), start + 1), last)
        if start < position or (filled and round(1000 * finish) <= position):
            filled[-1] = (*filled[-1][:2], f"{filled[-1][2]} {text}")
            continue
        if start > position:
            filled.append((position, start, ""))
        filled.append((start, stop, text))
        position = stop
    if last > position:
        filled.append((position, last, ""))
    return filled


WRITERS = {"textgrid": Writer(_text_grid, ".TextGrid")}
