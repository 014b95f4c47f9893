"""`asr listen`."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.arguments import Arguments, split_arguments
from asr.cli.command import load_engine, settings_or_answer, warn_of_unused_model
from asr.errors import AudioError, ConfigError
from asr.files import typed_path
from asr.processes import stopping_signals
from asr.settings.commands import ListenConfig, Pace

if TYPE_CHECKING:
    from asr.audio.live import LiveReader
    from asr.audio.load import Samples
    from asr.cli.live_output import LiveOutput
    from asr.recognition.live_events import LiveEvent
    from asr.recognition.session import Session
    from asr.recognition.transcriber import Transcriber

_log = logging.getLogger(__name__)

USAGE = "asr listen [FILE|-] [key=value...]"
TEXT = """
Recognises speech while it is spoken. The audio comes from the microphone, from standard input (-) or a pipe, or from a
FILE that is read in real time. In a terminal the text grows: text that may still change is dim, and a segment is final
when the speaker pauses. Elsewhere, each segment is a line as soon as it is final. Ctrl-C stops after the last words.
Standard input is a container that can be decoded while it arrives (WAV, Ogg, FLAC, MP3, WebM, MPEG-TS), or, with rate=,
raw signed 16-bit samples. The microphone needs the extra `live`: pip install 'asr[live]'. endpoint.NAME is short for
live.endpoint.NAME.
"""
EXAMPLES = """\
  asr listen
  asr listen devices=true
  asr listen device=USB output=meeting.vtt format=vtt
  asr listen interview.mp3
  asr listen interview.mp3 pace=fast format=jsonl
  ffmpeg -loglevel error -i rtsp://camera/audio -f wav - | asr listen -
  arecord -q -t raw -f S16_LE -r 16000 | asr listen - rate=16000
  asr listen endpoint.silence_seconds=1.5
  asr listen written=plain
"""
_ENDPOINT = "endpoint."
# Seconds of waiting audio from which a warning is given, if recognition is slower than speech.
_LATE_SECONDS = 3.0


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    split.overrides = [f"live.{one}" if one.startswith(_ENDPOINT) else one for one in split.overrides]
    settings: ListenConfig | None = settings_or_answer(
        "listen", split, usage=USAGE, text=TEXT, examples=EXAMPLES, files_required=False
    )
    if settings is None:
        return 0
    if settings.devices:
        from asr.audio.microphone import list_devices

        print(list_devices(), end="")
        return 0
    return _listen(split, settings)


def _listen(split: Arguments, settings: ListenConfig) -> int:
    from asr.bundle import load_bundle
    from asr.cli.live_output import check_output, open_outputs
    from asr.decoding.assembly import hot_phrases
    from asr.punctuation.text_writer import load_text_writer
    from asr.recognition.session import Session
    from asr.recognition.transcriber import Transcriber

    source, name = _source(split.files, settings)
    output = None if settings.output is None else typed_path(settings.output)
    if output is not None:
        check_output(output, overwrite=settings.overwrite)
    bundle = load_bundle(settings.bundle)
    warn_of_unused_model(bundle, settings.decoder)
    writer = load_text_writer(bundle.tagger, settings.written, settings.punctuation, hot_phrases(settings.decoder))
    engine = load_engine(bundle, settings.engine)
    with Transcriber(bundle, decoder=settings.decoder, workers=settings.workers, engine=engine) as transcriber:
        session = Session(transcriber, live=settings.live, writer=writer)
        _warm_up(transcriber)
        with open_outputs(settings.format, output, overwrite=settings.overwrite) as outputs:
            if not split.files:
                _log.info("recording from %s; Ctrl-C ends", name)
            rate = bundle.log_mel.settings.sample_rate
            return _recognise(session, source, outputs, name=name, rate=rate, pace=settings.pace)


def _warm_up(transcriber: Transcriber) -> None:
    """The first run of a model is slower, and audio would wait for it."""
    import numpy as np

    transcriber.transcribe_samples(np.zeros(transcriber.bundle.log_mel.settings.sample_rate, np.float32))


def _source(files: Sequence[str], settings: ListenConfig) -> tuple[Callable[[LiveReader], Iterator[Samples]], str]:
    """The source of samples, and its name in messages."""
    from asr.audio.live import RawFormat, read_file, read_pipe
    from asr.cli.inputs import is_pipe

    if len(files) > 1:
        raise ConfigError(f"`asr listen` takes one input, not {len(files)}: `asr transcribe` takes several")
    raw = None if settings.rate is None else RawFormat(settings.rate, settings.channels)
    if not files:
        from asr.audio.microphone import find_microphone, read_microphone

        if raw:
            raise ConfigError("rate is for raw input: a file, a pipe or - for standard input")
        number, name = find_microphone(settings.device)
        return partial(read_microphone, number, name, channel=settings.channel), name
    if settings.device is not None:
        raise ConfigError(f"device is for the microphone, and the input is {files[0]}: leave out one of them")
    (name,) = files
    if name == "-" or is_pipe(Path(name)):
        source = partial(read_pipe, name, raw=raw, channel=settings.channel, track=settings.track)
        return source, "standard input" if name == "-" else name
    realtime = settings.pace is Pace.realtime
    return partial(
        read_file, Path(name), raw=raw, channel=settings.channel, track=settings.track, realtime=realtime
    ), name


def _recognise(
    session: Session,
    source: Callable[[LiveReader], Iterator[Samples]],
    outputs: Sequence[LiveOutput],
    *,
    name: str,
    rate: int,
    pace: Pace,
) -> int:
    """Recognise until the source ends or a signal comes; returns the exit code."""
    from asr.audio.live import LiveReader

    def write(events: Sequence[LiveEvent]) -> None:
        for event in events:
            for output in outputs:
                output.write(event)

    reader = LiveReader(source, sample_rate=rate)
    error: AudioError | None = None
    try:
        with _stopped_by_signals(reader) as received:
            lateness = _Lateness(reader)
            try:
                for item in reader:
                    if isinstance(item, str):
                        _warn(outputs, f"{name}: {item}")
                        continue
                    with lateness.measured(len(item) / rate):
                        write(session.push(item))
                    if lateness.is_new and pace is Pace.realtime:
                        _warn(outputs, f"recognition is slower than speech: the text is {reader.backlog:.0f} s late")
            except AudioError as problem:
                error = problem
            write(session.finish())
    finally:
        reader.close()
    if error is not None:
        _log.error("%s", error)
        return 1
    return 128 + received[0] if received else 0


def _warn(outputs: Sequence[LiveOutput], message: str) -> None:
    for output in outputs:
        output.hide()
    _log.warning("%s", message)
    for output in outputs:
        output.redraw()


class _Lateness:
    """Whether recognition is slower than speech."""

    def __init__(self, reader: LiveReader) -> None:
        self._reader = reader
        self._recent: list[tuple[float, float]] = []
        self._known = False
        self.is_new = False

    @contextmanager
    def measured(self, seconds: float) -> Iterator[None]:
        """Measure the recognition of some seconds of audio."""
        begin = time.monotonic()
        yield
        self.is_new = False
        if self._known or self._reader.backlog < _LATE_SECONDS:
            self._recent.clear()
            return
        self._recent.append((time.monotonic() - begin, seconds))
        spent, spoken = map(sum, zip(*self._recent, strict=True))
        if spoken >= _LATE_SECONDS:
            self.is_new = self._known = spent > spoken
            self._recent.clear()


@contextmanager
def _stopped_by_signals(reader: LiveReader) -> Iterator[list[int]]:
    """Lets the first signal end the audio, so that its last words are recognised; a second one ends all."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in stopping_signals()}

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        for one, handler in before.items():
            if one != number or number in (signal.SIGINT, signal.SIGTERM):  # a shell repeats the other one
                signal.signal(one, handler)
        reader.stop.set()

    for number in before:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
