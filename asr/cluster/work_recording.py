"""Recordings as workers get them, by path or by URL, and the recogniser of a worker."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from asr import remote
from asr.audio.readers import Limits, Readers
from asr.audio.segment import AudioSegment, AudioSource, split_source
from asr.bundle import Bundle, bundle_folder, is_bundle_name, load_bundle
from asr.cluster.worker_start import WorkerStart
from asr.errors import AudioError, UnfitNodeError
from asr.files import typed_path
from asr.recognition.transcriber import Transcriber
from asr.settings.commands import RecognitionJob
from asr.settings.decoding import FROM_BUNDLE, DecoderConfig
from asr.settings.model import EngineKind

Result = TypeVar("Result")

# Settings of a decoder that name files.
_FILE_SETTINGS = ("lm", "lexicon", "pronunciations", "g2p", "hotwords_file", "second_pass")
# Stands for the folder of the bundle, which may be another one on each node.
_IN_BUNDLE = "<bundle>"


@dataclass(frozen=True, slots=True)
class Recognizer:
    """What makes the recogniser of a worker."""

    bundle: str
    """the name of one that ships, or an absolute path"""
    bundle_digest: str
    decoder: DecoderConfig
    engine: EngineKind
    channel: str
    track: int | None
    max_hours: float
    timeout: float

    @classmethod
    def of(cls, bundle: Bundle, decoder: DecoderConfig, job: RecognitionJob, *, name: str) -> Recognizer:
        """That of a command's settings; `name` is the bundle's as the user typed it."""
        return cls(
            name if is_bundle_name(name) else str(bundle.path.absolute()),
            bundle_digest(bundle.path),
            _on_any_node(decoder, bundle),
            job.engine,
            job.channel,
            job.track,
            job.max_hours,
            job.timeout,
        )

    def load_bundle(self) -> Bundle:
        """Load the bundle of this node.

        Raises
        ------
        UnfitNodeError
            If it is not the one of the command.
        """
        bundle = load_bundle(self.bundle)
        if bundle_digest(bundle.path) != self.bundle_digest:
            raise UnfitNodeError(
                f"the bundle {self.bundle} has other content there than where the command was started: copy it, or "
                "name one on a shared file system"
            )
        return bundle

    def readers(self) -> Readers:
        """Processes that read recordings, within the limits of the command."""
        return Readers(Limits(hours=self.max_hours, timeout=self.timeout))

    def transcriber(self, bundle: Bundle, readers: Readers, decoder: DecoderConfig | None = None) -> Transcriber:
        """A recogniser on one core."""
        return Transcriber(
            bundle,
            decoder=on_this_node(decoder or self.decoder, bundle),
            channel=self.channel,
            track=self.track,
            workers=1,
            engine=bundle.engine(self.engine),
            readers=readers,
        )


@dataclass(frozen=True, slots=True)
class WorkRecording:
    """A recording, or a segment of one, for a worker."""

    place: str
    """absolute path, or URL"""
    shown: str
    """its name in messages and outputs"""
    offset: float | None = None
    """seconds, of a segment"""
    duration: float | None = None
    exists: bool = True
    """whether the file exists where the command was started"""

    @classmethod
    def of(cls, source: AudioSource, shown: str) -> WorkRecording:
        """That of a local source."""
        path, segment = split_source(source)
        place, exists = str(path.absolute()), os.path.lexists(path)
        if segment is None:
            return cls(place, shown, exists=exists)
        return cls(place, shown, segment.offset, segment.duration, exists)

    @classmethod
    def remote(cls, url: str, shown: str, segment: AudioSegment | None = None) -> WorkRecording:
        """That of a URL."""
        return cls(url, shown) if segment is None else cls(url, shown, segment.offset, segment.duration)

    def source(self, path: Path) -> AudioSource:
        """What to read, of a local file."""
        return path if self.offset is None else AudioSegment(path, self.offset, self.duration)


class Copies:
    """Where a worker keeps copies of remote recordings while it reads them."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @contextmanager
    def local(self, recording: WorkRecording) -> Iterator[AudioSource]:
        """Lends a recording as a local file.

        Raises
        ------
        AudioError
            If it cannot be downloaded.
        """
        if not remote.is_url(recording.place):
            yield recording.source(Path(recording.place))
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="asr-")
        with remote.local_copy(recording.place, Path(self._folder.name)) as copy:
            yield recording.source(copy)


def recognize_group(
    recordings: Sequence[WorkRecording],
    copies: Copies,
    recognize: Callable[[Iterable[AudioSource]], Iterator[Result | AudioError]],
) -> Iterator[tuple[int, Result | AudioError]]:
    """Have recordings recognised together.

    Parameters
    ----------
    recordings : sequence of WorkRecording
    copies : Copies
    recognize : callable
        Takes local files, gives their results in order.

    Yields
    ------
    (int, result or AudioError)
        The place of each recording and its result, in any order.
    """
    lent: deque[tuple[int, ExitStack]] = deque()
    failed: list[tuple[int, AudioError]] = []

    def sources() -> Iterator[AudioSource]:
        for place, recording in enumerate(recordings):
            stack = ExitStack()
            try:
                source = stack.enter_context(copies.local(recording))
            except AudioError as error:
                failed.append((place, shown_error(error, recording)))
                continue
            lent.append((place, stack))
            yield source

    try:
        for result in recognize(sources()):
            place, stack = lent.popleft()
            with stack:
                yield place, shown_error(result, recordings[place]) if isinstance(result, AudioError) else result
        yield from failed
    finally:
        for _, stack in lent:
            stack.close()


def shown_error(error: AudioError, recording: WorkRecording) -> AudioError:
    """The error of a recording, by the name that the user knows; a file that is missing may be so on this node only."""
    if recording.exists and not remote.is_url(recording.place) and not os.path.lexists(recording.place):
        return AudioError(recording.shown, f"no such file on {socket.gethostname()}")
    return AudioError(recording.shown, error.reason)


def recognizer_start(
    function: str,
    first: object,
    recognizer: Recognizer,
    *,
    shared: Sequence[Path],
    contents: Sequence[tuple[Path, bytes]] = (),
) -> WorkerStart:
    """The start of workers that recognise; `shared` and `contents` as in `WorkerStart`."""
    paths = list(shared)
    if not is_bundle_name(recognizer.bundle):
        paths.append(Path(recognizer.bundle))
    paths += [Path(path) for path in _files(recognizer.decoder).values() if not path.startswith(_IN_BUNDLE)]
    return WorkerStart(function, first, tuple(paths), tuple(contents))


def _on_any_node(decoder: DecoderConfig, bundle: Bundle) -> DecoderConfig:
    """A decoder whose files are named by absolute paths, or relative to the bundle: for other working directories."""
    paths = {name: typed_path(path).absolute() for name, path in _files(decoder).items()}
    top = bundle.path.absolute()
    return _with_files(
        decoder,
        {
            name: f"{_IN_BUNDLE}/{path.relative_to(top)}" if path.is_relative_to(top) else str(path)
            for name, path in paths.items()
        },
    )


def on_this_node(decoder: DecoderConfig, bundle: Bundle) -> DecoderConfig:
    """The same decoder with the files of this node's bundle."""
    return _with_files(
        decoder,
        {name: path.replace(_IN_BUNDLE, str(bundle.path.absolute()), 1) for name, path in _files(decoder).items()},
    )


def _files(decoder: DecoderConfig) -> dict[str, str]:
    """The settings of a decoder that name files."""
    values = {name: getattr(decoder, name, None) for name in _FILE_SETTINGS}
    return {name: value for name, value in values.items() if isinstance(value, str) and value not in ("", FROM_BUNDLE)}


def _with_files(decoder: DecoderConfig, files: dict[str, str]) -> DecoderConfig:
    return replace(decoder, **files) if files else decoder


def bundle_digest(folder: Path | str) -> str:
    """A digest of the files of a bundle."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(bundle_folder(folder).iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()
