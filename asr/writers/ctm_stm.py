"""The formats of NIST's scoring programs: words with times (ctm) and segments (stm)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from asr.text.transcript import Transcript, Word
from asr.text.words import one_line
from asr.writers.writer import Context, Writer


def _ctm(transcript: Transcript, context: Context) -> str:
    fields = " ".join(_recording_and_channel(transcript, context))
    return "".join(
        f"{fields} {token.start:.3f} {token.end - token.start:.3f} {token.text}"
        + ("" if token.confidence is None else f" {token.confidence:.3f}")
        + "\n"
        for word in transcript.words
        for token in _tokens(word)
    )


def _stm(transcript: Transcript, context: Context) -> str:
    recording, channel = _recording_and_channel(transcript, context)
    rows = []
    for one in transcript.segments:
        # A text that begins with < would be read as the label that may precede the text.
        label = "<o> " if one.text.startswith("<") else ""
        rows.append(f"{recording} {channel} {recording} {one.start:.3f} {one.end:.3f} {label}{one.text}\n")
    return "".join(rows)


def _recording_and_channel(transcript: Transcript, context: Context) -> tuple[str, str]:
    """The first two fields."""
    recording = recording_field(context.name or Path(transcript.path).stem)
    return recording, "1" if context.channel == "mix" else context.channel


def recording_field(name: str) -> str:
    """The name of a recording as a field: spaces separate fields, and a line that begins with `;;` is a comment."""
    return re.sub("^;", "_", "_".join(one_line(name).split()) or "recording")


def _tokens(word: Word) -> list[Word]:
    """A word as tokens without white space: words of an aligned text may include a dash or a number.

    The first token with a letter gets the time of the word; those before and after it have no duration.
    """
    texts = one_line(word.text).split()
    timed = next((place for place, text in enumerate(texts) if any(map(str.isalpha, text))), 0)
    return [
        replace(
            word,
            text=text,
            start=word.start if place <= timed else word.end,
            end=word.start if place < timed else word.end,
        )
        for place, text in enumerate(texts)
    ]


WRITERS = {"ctm": Writer(_ctm, ".ctm", appendable=True), "stm": Writer(_stm, ".stm", appendable=True)}
