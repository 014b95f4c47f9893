"""Plain text, one line per recording."""

from __future__ import annotations

from asr.text.transcript import Transcript
from asr.text.words import one_line
from asr.writers.writer import Context, Writer


def _txt(transcript: Transcript, context: Context) -> str:
    return one_line(transcript.text) + "\n"


WRITERS = {"txt": Writer(_txt, ".txt", appendable=True, for_people=True)}
