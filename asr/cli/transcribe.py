"""`asr transcribe`."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from asr.audio.load import AUDIO_SUFFIXES
from asr.cli.arguments import split_arguments
from asr.cli.console import configure_logging
from asr.config import TranscribeConfig, TranscriptFormat
from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import AudioError, ConfigError, ManifestError
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
    from asr.schema import Composer, to_yaml

    with Composer("transcribe") as composer:
        if "--help" in split.flags:
            from asr.cli.help import command_help

            print(command_help(composer, usage=USAGE, text=TEXT, examples=EXAMPLES))
            return 0
        settings: TranscribeConfig = composer.compose(split.overrides)
    if "--multirun" in split.flags:
        raise ConfigError("--multirun is for `asr train`")
    if "--show-config" in split.flags:
        print(to_yaml(settings), end="")
        return 0
    if not split.files:
        raise ConfigError("no recording is named; `asr transcribe --help` shows examples")
    configure_logging(settings.log, split.flags)
    with tempfile.TemporaryDirectory(prefix="asr-") as scratch:
        return _transcribe(split.files, settings, Path(scratch))


def _transcribe(files: Sequence[str], settings: TranscribeConfig, scratch: Path) -> int:
    from tqdm import tqdm

    from asr.bundle import load_bundle
    from asr.transcription.transcriber import Transcriber
    from asr.transcription.writers import format_transcript, json_document, output_paths

    transcriber = Transcriber(
        load_bundle(settings.bundle),
        decoder=settings.decoder,
        channel=settings.channel,
        workers=settings.workers,
    )
    not_found = 0
    paths: list[tuple[Path, Path]] = []  # a recording, and its name below the folder it was found in
    for name in files:
        try:
            paths += find_recordings(name, scratch)
        except (AudioError, ManifestError) as error:
            _log.error("%s", error)
            not_found += 1
    failed = not_found
    outputs = output_paths([name for _, name in paths], settings) if settings.output_dir else []
    alone = len(files) == 1 and len(paths) == 1 and not Path(files[0]).is_dir()
    document = settings.format is TranscriptFormat.json and not settings.output_dir
    collected = []
    bar = tqdm(total=len(paths), unit="file", disable=None if len(paths) > 1 else True, leave=False)
    try:
        for number, result in enumerate(transcriber.transcribe_files([path for path, _ in paths])):
            bar.update()
            if isinstance(result, AudioError):
                _log.error("%s", result)
                failed += 1
            elif settings.output_dir:
                write_atomically(outputs[number], format_transcript(result, settings.format).encode("utf-8"))
            elif document:
                collected.append(result)
            else:
                text = format_transcript(result, settings.format)
                if settings.format is TranscriptFormat.txt and not alone:
                    text = f"{result.path}\t{text}"
                tqdm.write(text, file=sys.stdout, end="")
                sys.stdout.flush()
    finally:
        bar.close()
    if document and (collected or not failed):
        print(json_document(collected, alone=alone), end="")
    if settings.output_dir:
        _log.info("%d transcripts written to %s", len(paths) + not_found - failed, settings.output_dir)
    if failed:
        _log.error("%d of %d inputs failed", failed, len(paths) + not_found)
    return 1 if failed else 0


def find_recordings(name: str, scratch: Path) -> Iterator[tuple[Path, Path]]:
    """The recordings that an argument stands for.

    Parameters
    ----------
    name : str
        A recording, a folder, a manifest, or - for standard input, which is kept in `scratch`.
    scratch : Path

    Returns
    -------
    iterator of (path, name)
        The name is relative to the folder that was searched, for the outputs.

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
        return iter([(spool, Path("stdin"))])
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in AUDIO_SUFFIXES and not one.is_dir())
        if not found:
            raise AudioError(path, f"the folder holds no recordings ({', '.join(sorted(AUDIO_SUFFIXES))})")
        return iter([(one, one.relative_to(path)) for one in found])
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        reading = read_manifest(path, text_required=False)
        if reading.problems:
            raise ManifestError(reading.problems)
        return iter([(one.audio_path, _inside(one.id + one.audio_path.suffix)) for one in reading.utterances])
    return iter([(path, Path(path.name))])


def _inside(name: str) -> Path:
    """A manifest's id as a path that cannot lead out of the output folder."""
    return Path(*[part for part in Path(name).parts if part not in {"..", "/"}])
