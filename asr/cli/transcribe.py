"""`asr transcribe`."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.audio.load import AUDIO_SUFFIXES
from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.config import TranscribeConfig, TranscriptFormat
from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import AudioError, ManifestError
from asr.files import write_atomically

_log = logging.getLogger(__name__)

USAGE = "asr transcribe FILE... [key=value...]"
TEXT = """
Writes down what is said in recordings: WAV, FLAC, OGG, Opus, MP3, M4A, MP4, WebM and more, of any length. A FILE is a
recording, a folder (searched for recordings, all levels deep), a manifest (.jsonl), or - for audio on standard input.
The text goes to standard output: alone for one recording, behind the file's name and a tab for several. A recording
that cannot be read is named on standard error, the rest go on, and the exit code is 1.
"""
EXAMPLES = """\
  asr transcribe interview.mp3
  asr transcribe recordings/ decoder=beam decoder.beam_width=32
  asr transcribe *.wav format=json output_dir=texts
  asr transcribe call.wav channel=2 bundle=runs/mine/best
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: TranscribeConfig | None = settings_or_answer(
        "transcribe", split, usage=USAGE, text=TEXT, examples=EXAMPLES
    )
    if settings is None:
        return 0
    with tempfile.TemporaryDirectory(prefix="asr-") as scratch:
        return _transcribe(split.files, settings, Path(scratch))


def _transcribe(files: Sequence[str], settings: TranscribeConfig, scratch: Path) -> int:
    from tqdm import tqdm

    from asr.bundle import load_bundle
    from asr.transcription.transcriber import Transcriber
    from asr.transcription.writers import format_transcript, json_text, output_paths, transcript_object

    transcriber = Transcriber(
        load_bundle(settings.bundle),
        decoder=settings.decoder,
        channel=settings.channel,
        workers=settings.workers,
    )
    not_found = 0
    recordings: list[Recording] = []
    for name in files:
        try:
            recordings += find_recordings(name, scratch)
        except (AudioError, ManifestError) as error:
            _log.error("%s", error)
            not_found += 1
    failed = not_found
    outputs = output_paths([one.name for one in recordings], settings) if settings.output_dir else []
    alone = len(files) == 1 and len(recordings) == 1 and not Path(files[0]).is_dir()
    document = settings.format is TranscriptFormat.json and not settings.output_dir
    objects = []
    bar = tqdm(total=len(recordings), unit="file", disable=None if len(recordings) > 1 else True, leave=False)
    try:
        results = transcriber.transcribe_files(one.path for one in recordings)
        for number, (recording, result) in enumerate(zip(recordings, results, strict=True)):
            bar.update()
            if isinstance(result, AudioError):
                _log.error("%s: %s", recording.shown, result.reason)
                failed += 1
                continue
            result = replace(result, path=recording.shown)
            if document:
                objects.append(transcript_object(result, recording.id))
                continue
            text = format_transcript(result, settings.format, recording.id)
            if settings.output_dir:
                write_atomically(outputs[number], text.encode("utf-8"))
                continue
            if settings.format is TranscriptFormat.txt and not alone:
                text = f"{result.path}\t{text}"
            tqdm.write(text, file=sys.stdout, end="")
            sys.stdout.flush()
    finally:
        bar.close()
    if objects:
        print(json_text(objects[0] if alone else objects, indent=2), end="")
    total = len(recordings) + not_found
    if settings.output_dir:
        _log.info("%d transcripts written to %s", total - failed, settings.output_dir)
    if failed:
        _log.error("%d of %d inputs failed", failed, total)
    return 1 if failed else 0


@dataclass(frozen=True)
class Recording:
    """A recording that was asked for."""

    path: Path
    shown: str
    """how messages and outputs call it"""
    name: Path
    """its path below the folder that was searched, for the outputs"""
    id: str | None = None
    """from a manifest"""


def find_recordings(name: str, scratch: Path) -> list[Recording]:
    """The recordings that an argument stands for.

    Parameters
    ----------
    name : str
        A recording, a folder, a manifest, or - for standard input, which is kept in `scratch`.
    scratch : Path

    Returns
    -------
    list of Recording

    Raises
    ------
    AudioError
        If a folder holds no recordings.
    ManifestError
        If a manifest has a broken line.
    """
    path = Path(name)
    if name == "-":
        spool = scratch / "stdin"
        spool.write_bytes(sys.stdin.buffer.read())
        return [Recording(spool, "standard input", Path("stdin"))]
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in AUDIO_SUFFIXES and not one.is_dir())
        if not found:
            raise AudioError(path, f"the folder holds no recordings ({', '.join(sorted(AUDIO_SUFFIXES))})")
        return [Recording(one, str(one), one.relative_to(path)) for one in found]
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        reading = read_manifest(path, text_required=False)
        if reading.problems:
            raise ManifestError(reading.problems)
        return [
            Recording(one.audio_path, str(one.audio_path), _inside(one.id + one.audio_path.suffix), one.id)
            for one in reading.utterances
        ]
    return [Recording(path, name, Path(path.name))]


def _inside(name: str) -> Path:
    """A manifest's id as a path that cannot lead out of the output folder."""
    return Path(*[part for part in Path(name).parts if part not in {"..", "/"}])
