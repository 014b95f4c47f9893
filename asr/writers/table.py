"""The output formats by name: the tables of all modules in this package."""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from asr import writers
from asr.errors import ConfigError
from asr.settings.transcripts import TranscriptFormat
from asr.text.transcript import Transcript
from asr.writers.writer import Context, Writer

_MODULES = [f"asr.writers.{one.name}" for one in pkgutil.iter_modules(writers.__path__)]
WRITERS: dict[TranscriptFormat, Writer] = {
    TranscriptFormat[name]: writer
    for module in sorted({*_MODULES} - {__name__, Writer.__module__})
    for name, writer in import_module(module).WRITERS.items()
}
"""every output format"""


def shows_written(kind: TranscriptFormat) -> bool:
    """Whether a format has the text as people write it, alone or beside the plain words."""
    return WRITERS[kind].for_people or kind in (TranscriptFormat.json, TranscriptFormat.jsonl)


def write(
    transcript: Transcript,
    format: TranscriptFormat | str,  # noqa: A002 (as the setting of the commands is called)
    *,
    name: str | None = None,
    channel: str = "mix",
) -> str:
    """A transcript as the content of a file.

    Parameters
    ----------
    transcript : Transcript
    format : TranscriptFormat or str
        As in `asr transcribe format=`, for example txt, json or srt.
    name : str, optional
        The recording's id, for the formats that have one; its file name without suffix by default.
    channel : str
        The channel that was transcribed, for ctm and stm: "mix" or its number, from 1.

    Returns
    -------
    str
        It ends in a line feed, or is empty where the format has no content for it. UTF-8 can encode it.

    Raises
    ------
    ConfigError
        If there is no such format.

    Examples
    --------
    >>> from asr.text.transcript import Word
    >>> words = (Word("good", 0.5, 0.7), Word("morning", 0.8, 1.3))
    >>> transcript = Transcript("call.wav", "good morning", 2.0, -3.2, words, ())
    >>> print(write(transcript, "srt"))
    1
    00:00:00,500 --> 00:00:01,500
    good morning
    <BLANKLINE>
    """
    try:
        writer = WRITERS[TranscriptFormat(format)]
    except ValueError:
        names = ", ".join(one.value for one in TranscriptFormat)
        raise ConfigError(f"format={format!r}: there is no such output format; use one of {names}") from None
    return writer.write(transcript.to_read if writer.for_people else transcript, Context(name, channel))


def output_paths(names: Sequence[Path], kind: TranscriptFormat, folder: Path) -> list[Path]:
    """The output file of each recording.

    Parameters
    ----------
    names : sequence of Path
        Of the recordings, relative to the folders in which they were found.
    kind : TranscriptFormat
    folder : Path

    Returns
    -------
    list of Path
        `talk.wav` becomes `talk.txt`, or `talk.wav.txt` where there is a `talk.mp3` too.

    Raises
    ------
    ConfigError
        If two recordings of the same name would be written to the same file.
    """
    suffix = WRITERS[kind].suffix
    short = [name.with_suffix(suffix) for name in names]
    taken = Counter(short)
    relative = [
        one if taken[one] == 1 else name.with_name(name.name + suffix) for name, one in zip(names, short, strict=True)
    ]
    twice = [str(path) for path, count in Counter(relative).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two recordings would both be written to {folder / twice[0]}: name the folder above them instead, "
            "and each is written to a folder of its own; utterances of two manifests need different ids, or a command "
            "and a folder for each manifest"
        )
    return [folder / path for path in relative]
