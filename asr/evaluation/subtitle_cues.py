"""Reads subtitles, SubRip (srt) and WebVTT (vtt), as words with times."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from asr.text.transcript import Word

_TIME = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_SRT_MARKUP = re.compile(r"</?(?:i|b|u|s|font)\b[^<>]*>|\{\\[^{}]*\}", re.IGNORECASE)
_VTT_MARKUP = re.compile(r"<[^<>]*>")
_VTT_BLOCK = re.compile(r"\ufeff?(WEBVTT|NOTE|STYLE|REGION)(?:\s.*)?")
# A line of times, right or wrong, where the empty line before it may be missing.
_NEXT_CUE = re.compile(r"\s*\d[\d:.,]*\s*-->.*")


def read_cues(lines: Sequence[tuple[str, str]], problems: list[str]) -> list[Word]:
    """The words of subtitles; the time of a cue is divided among them by their numbers of characters.

    Parameters
    ----------
    lines : sequence of (str, str)
        `file:line` and the line's text. A first line WEBVTT makes it WebVTT: then markup, escapes, notes and styles are
        removed; of SubRip, the usual markup. A cue may begin without an empty line before it.
    problems : list of str
        Gets a line for every block that is not a cue.
    """
    heading = _VTT_BLOCK.fullmatch(lines[0][1]) if lines else None
    is_vtt = heading is not None and heading[1] == "WEBVTT"
    words: list[Word] = []
    for block in _blocks(lines):
        heading = _VTT_BLOCK.fullmatch(block[0][1]) if is_vtt else None
        if heading and heading[1] != "WEBVTT":
            continue
        cues = _cues(block)
        if not cues and not heading:
            problems.append(f"{block[0][0]}: a cue is wanted: its times, `start --> end`, then its text")
        for (where, line), *rest in cues:
            match = _TIMES.fullmatch(line)
            start, end = (_seconds(match.groups()[:4]), _seconds(match.groups()[4:])) if match else (0.0, -1.0)
            if end < start:
                problems.append(f"{where}: the times of a cue are wanted, such as 00:00:01,500 --> 00:00:03,000")
                continue
            text = " ".join(line for _, line in rest)
            text = html.unescape(_VTT_MARKUP.sub("", text)) if is_vtt else _SRT_MARKUP.sub("", text)
            words += _spread(text.split(), start, end)
    return words


def _cues(block: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The cues of a block: each one's line of times, then its lines of text."""
    cues: list[list[tuple[str, str]]] = []
    for where, line in block:
        if _NEXT_CUE.fullmatch(line) or (not cues and "-->" in line):
            if cues and len(cues[-1]) > 1 and cues[-1][-1][1].strip().isdecimal():
                cues[-1].pop()  # the number of this cue
            cues.append([])
        if cues:
            cues[-1].append((where, line))
    return cues


def _blocks(lines: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Lines between empty ones."""
    blocks: list[list[tuple[str, str]]] = [[]]
    for where, line in lines:
        if line.strip():
            blocks[-1].append((where, line))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _spread(tokens: Sequence[str], start: float, end: float) -> list[Word]:
    total = sum(map(len, tokens))
    words, done = list[Word](), 0
    for token in tokens:
        first, done = done, done + len(token)
        words.append(Word(token, start + (end - start) * first / total, start + (end - start) * done / total, None))
    return words
