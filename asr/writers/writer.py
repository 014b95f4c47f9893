"""An output format: a function from a transcript to the content of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asr.text.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Context:
    """What a file contains about a recording besides its transcript."""

    name: str | None = None
    """the recording's id; None for its file name"""
    channel: str = "mix"
    """the channel that was transcribed: "mix" or a number, from 1"""


@dataclass(frozen=True, slots=True)
class Writer:
    """An output format.

    To add one: put it into the table `WRITERS` of a module in this package, under the name that it has in
    `asr.settings.transcripts.TranscriptFormat`.
    """

    write: Callable[[Transcript, Context], str]
    """a file's content; it ends in a line feed or is empty"""
    suffix: str
    """of file names"""
    appendable: bool = False
    """whether the contents for several recordings, one after the other, are a valid document"""
    for_people: bool = False
    """whether the text is written with capitals and punctuation; programs that count words get plain ones"""
