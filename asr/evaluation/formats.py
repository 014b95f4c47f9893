"""Recognises the formats of text files by their content, to name a file of another format as such."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePath

_LINES = 50
_NUMBER = r"\d+(?:\.\d*)?|\.\d+"


@dataclass(frozen=True, slots=True)
class Format:
    """A format of text files."""

    name: str
    suffix: str | None
    """of files that are read in this format; None if it is not supported"""
    advice: str = ""
    """advice for a file that is not supported"""


SRT, VTT = Format("SRT subtitles", ".srt"), Format("WebVTT subtitles", ".vtt")
JSON_LINES = Format("JSON lines", ".jsonl")
_OPENINGS = (
    (r"\d+\s*\n(?:\d+:)?\d+:\d\d[,.]\d+ --> ", SRT),
    (r"WEBVTT\b", VTT),
    (r'File type = "ooTextFile', Format("a TextGrid of Praat", None)),
    (r"\{\\rtf", Format("a text with formatting (RTF)", None)),
    (r"<(\?xml|!doctype|html)", Format("XML or HTML", None)),
    (r"\[\s*(\{|\])", Format("a JSON array, not JSON lines (one object per line)", None)),
)
# All lines are of such a form; the first that fits.
_LINE_FORMS = (
    (rf"\S+\s+\S+\s+({_NUMBER})\s+({_NUMBER})", Format("a UEM file", ".uem")),
    (rf"\S+\s+\S+\s+({_NUMBER})\s+({_NUMBER})\s+\S+(\s+\S+)?", Format("a CTM file", ".ctm")),
    (rf"\S+\s+\S+\s+\S+\s+({_NUMBER})\s+({_NUMBER})(\s.*)?", Format("an STM file", ".stm")),
    (
        r"(SPEAKER|LEXEME|SPKR-INFO|NON-SPEECH|NON-LEX|SEGMENT)\s.*",
        Format("an RTTM file", None, "it has no texts"),
    ),
    (r"(.*\s)?\([^()\s]+\)", Format("a trn file", ".trn")),
    (r"[^\t]*\t.*", Format("a table", None, "`asr prepare recordings` makes a manifest of it")),
)


def recognize_format(content: str) -> Format | None:
    """The format of a text file by its first lines; None if it may be any text.

    Parameters
    ----------
    content : str
        Whole lines.
    """
    beginning = content.lstrip("\ufeff \t\r\n")
    for pattern, kind in _OPENINGS:
        if re.match(pattern, beginning, re.IGNORECASE):
            return kind
    lines = [line.strip() for line in beginning.split("\n") if line.strip() and not line.lstrip().startswith(";;")]
    lines = lines[:_LINES]
    if not lines:
        return None
    if all(map(_is_object, lines)):
        return JSON_LINES
    return next((kind for form, kind in _LINE_FORMS if all(re.fullmatch(form, line) for line in lines)), None)


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def advise(path: str, found: Format, *, as_references: bool, wanted: str) -> str:
    """Advice for a file whose content has another format than its name."""
    if found in (SRT, VTT) and as_references:
        return f"{path}: {found.name}, which are read as hypotheses: hypotheses=FILE; as references, {wanted} is wanted"
    if found.suffix is None:
        advice = f" ({found.advice})" if found.advice else ""
        return f"{path}: {found.name}{advice}; {wanted} is wanted"
    if found.suffix == PurePath(path).suffix.lower():
        return f"{path}: {found.name}; {wanted} is wanted"
    if found.suffix == ".uem" and not as_references:
        return f"{path}: looks like {found.name}, which selects what is scored: name it among the references, as x.uem"
    return f"{path}: looks like {found.name}: rename it to {PurePath(path).stem}{found.suffix}, or name another file"
