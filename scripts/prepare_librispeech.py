"""Makes a manifest of a LibriSpeech folder as it is distributed.

    python scripts/prepare_librispeech.py LibriSpeech/dev-clean dev-clean.jsonl
    python scripts/prepare_librispeech.py LibriSpeech/dev-clean some.jsonl --speakers 1673 2086

The folder holds SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and the recordings beside it. Nothing is copied: the manifest
points at the recordings. An existing manifest is only replaced with --force.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from asr.audio.load import probe_seconds
from asr.config import NormalizerConfig
from asr.corpus.manifest import Utterance, write_manifest
from asr.errors import AudioError
from asr.text.normalize import normalize_text

SUFFIXES = (".flac", ".opus", ".ogg", ".wav", ".mp3")


def read_transcripts(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Id, text and folder of every utterance that the transcript files list."""
    for path in sorted(folder.rglob("*.trans.txt")):
        for line in path.read_text("utf-8").splitlines():
            name, _, text = line.strip().partition(" ")
            if name:
                yield name, text, path.parent


def speaker_of(name: str) -> str:
    """The speaker of an utterance: ids are SPEAKER-CHAPTER-NUMBER."""
    return name.split("-")[0]


def find_recording(folder: Path, name: str) -> Path:
    """The recording of an utterance.

    Raises
    ------
    AudioError
        If there is none.
    """
    for suffix in SUFFIXES:
        path = folder / (name + suffix)
        if path.exists():
            return path
    raise AudioError(folder / name, f"no such recording ({', '.join(SUFFIXES)})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a part of LibriSpeech, such as LibriSpeech/dev-clean")
    parser.add_argument("manifest", type=Path, help="the manifest to write (.jsonl)")
    parser.add_argument("--speakers", nargs="+", metavar="ID", help="only these speakers")
    parser.add_argument("--force", action="store_true", help="replace an existing manifest")
    arguments = parser.parse_args()
    if arguments.manifest.exists() and not arguments.force:
        parser.error(f"{arguments.manifest} exists; --force replaces it")
    listed = list(read_transcripts(arguments.folder))
    if not listed:
        parser.error(f"{arguments.folder} holds no *.trans.txt: is this a LibriSpeech folder?")
    if arguments.speakers:
        missing = set(arguments.speakers) - {speaker_of(name) for name, _, _ in listed}
        if missing:
            parser.error(f"{arguments.folder} has no speaker {', '.join(sorted(missing))}")
        listed = [entry for entry in listed if speaker_of(entry[0]) in arguments.speakers]
    utterances, failed = [], 0
    for name, text, folder in tqdm(listed, unit="file", disable=None):
        try:
            recording = find_recording(folder, name)
            seconds = probe_seconds(recording)
        except AudioError as error:
            print(error, file=sys.stderr)
            failed += 1
            continue
        utterances.append(
            Utterance(
                id=name,
                audio_path=recording,
                text=normalize_text(text, NormalizerConfig()),
                duration=seconds,
                speaker=speaker_of(name),
                where="",
            )
        )
    write_manifest(arguments.manifest, utterances)
    hours = sum(one.duration or 0 for one in utterances) / 3600
    speakers = len({one.speaker for one in utterances})
    print(f"{arguments.manifest}: {len(utterances)} utterances, {hours:.2f} h, {speakers} speakers; {failed} left out")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
