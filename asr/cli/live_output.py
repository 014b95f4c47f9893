"""Outputs of the events of live recognition: a terminal, standard output, a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from asr.cli.terminal import GrowingText, is_capable
from asr.errors import printable
from asr.files import OutputJournal, check_file, is_stream, new_digest, output_error
from asr.recognition.live_events import Final, LiveEvent, Partial
from asr.settings.transcripts import LiveFormat
from asr.text.transcript import Segment, Transcript
from asr.text.words import one_line
from asr.writers.json_objects import json_text
from asr.writers.subtitles import VTT_HEADER, srt_cues, vtt_cues


class LiveOutput(Protocol):
    """Shows or writes events as they arrive."""

    def write(self, event: LiveEvent) -> None: ...

    def hide(self) -> None:
        """Before a message is written to stderr."""

    def redraw(self) -> None:
        """After it."""


class TerminalOutput:
    """Text that grows in a terminal."""

    def __init__(self, text: GrowingText) -> None:
        self._text = text
        self.hide, self.redraw = text.hide, text.redraw

    def write(self, event: LiveEvent) -> None:
        if isinstance(event, Partial):
            self._text.show(event.text, event.settled)
        elif isinstance(event, Final):
            self._text.finish(event.to_read.text)


class LineOutput:
    """Events in a format, each written and flushed at once.

    Parameters
    ----------
    write : callable
        Takes text and flushes it.
    kind : LiveFormat
    """

    def __init__(self, write: Callable[[str], None], kind: LiveFormat) -> None:
        self._write = write
        self._format = _FORMATS[kind]()
        if kind is LiveFormat.vtt:
            write(VTT_HEADER)

    def write(self, event: LiveEvent) -> None:
        content = self._format(event)
        if content:
            self._write(printable(content))

    def hide(self) -> None:
        pass

    def redraw(self) -> None:
        pass


def _text(event: LiveEvent) -> str:
    return one_line(event.to_read.text) + "\n" if isinstance(event, Final) else ""


def _json(event: LiveEvent) -> str:
    return json_text(event.to_json(), indent=None)


class _Subtitles:
    """Numbered cues, each with the empty line that ends it, so that a player that follows can show it."""

    def __init__(self, cues: Callable[..., list[str]]) -> None:
        self._cues, self._next = cues, 1

    def __call__(self, event: LiveEvent) -> str:
        if not isinstance(event, Final):
            return ""
        cues = self._cues(segments_of(event), first=self._next)
        self._next += len(cues)
        return "".join(cue + "\n" for cue in cues)


def segments_of(final: Final) -> Sequence[Segment]:
    """The subtitles of a segment of speech. Each ends before the next one can begin."""
    shown = final.to_read
    return Transcript("", shown.text, final.end, 0.0, shown.words, ()).segments


_FORMATS: dict[LiveFormat, Callable[[], Callable[[LiveEvent], str]]] = {
    LiveFormat.text: lambda: _text,
    LiveFormat.jsonl: lambda: _json,
    LiveFormat.vtt: lambda: _Subtitles(vtt_cues),
    LiveFormat.srt: lambda: _Subtitles(srt_cues),
}


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written or must not be replaced, before any work.

    Raises
    ------
    OutputError
        Naming it and the reason.
    """
    check_file(path, is_ours=OutputJournal().is_ours, overwrite=overwrite)


@contextmanager
def open_outputs(kind: LiveFormat, path: Path | None, *, overwrite: bool) -> Iterator[list[LiveOutput]]:
    """The outputs of a command: a file or standard output, and the terminal.

    Parameters
    ----------
    kind : LiveFormat
    path : Path, optional
        The file; it grows while speech is recognised.
    overwrite : bool
        As in `check_output`.

    Raises
    ------
    OutputError
        As `check_output` does.
    OSError
        While it is written: if the disk is full, or the reader of standard output was closed.
    """
    outputs: list[LiveOutput] = []
    with ExitStack() as stack:
        if path is not None:
            outputs.append(LineOutput(stack.enter_context(_growing_file(path, overwrite=overwrite)), kind))
        if (path is not None or kind is LiveFormat.text) and is_capable(sys.stdout):
            outputs.append(TerminalOutput(GrowingText(sys.stdout)))
        elif path is None:
            outputs.append(LineOutput(lambda content: _write(sys.stdout, content), kind))
        yield outputs


def _write(file: TextIO, content: str) -> None:
    file.write(content)
    file.flush()


@contextmanager
def _growing_file(path: Path, *, overwrite: bool) -> Iterator[Callable[[str], None]]:
    """A file that is written while others read it. When it is closed, the journal of its folder gets its digest."""
    check_output(path, overwrite=overwrite)
    digest = new_digest()
    try:
        os.makedirs(path.parent, exist_ok=True)
        file = open(path, "wb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise output_error(path, error) from error

    def write(content: str) -> None:
        data = content.encode("utf-8", "surrogateescape")
        try:
            file.write(data)
            file.flush()
        except BrokenPipeError:  # the reader of a pipe was closed
            raise
        except OSError as error:
            raise output_error(path, error) from error
        digest.update(data)

    try:
        yield write
    finally:
        file.close()
        if not is_stream(path):
            OutputJournal().record_digest(path, digest.hexdigest())
