"""What the requests of a server share: the recogniser, its limits, and the counters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from starlette.requests import HTTPConnection

from asr.audio.readers import Limits
from asr.bundle import Bundle, is_bundle_name
from asr.decoding.assembly import hot_phrases, hotword_weights
from asr.files import typed_path
from asr.punctuation.text_writer import make_text_writer
from asr.recognition.pool import Pool
from asr.serving.client_secrets import ClientSecrets
from asr.serving.corrections import Corrections
from asr.serving.counters import CounterMetricFamily, Counters, GaugeMetricFamily, Metric, resident_bytes
from asr.serving.languages import primary
from asr.serving.limits import Caller, Keys, OpenRequests
from asr.serving.realignment import Aligner, AlignerSettings
from asr.serving.refusals import ApiError, busy, stopping
from asr.serving.stopping import Stop
from asr.settings.checks import shown
from asr.settings.commands import ServeConfig
from asr.settings.decoding import AutoConfig, BeamConfig, BeamSettings, DecoderConfig
from asr.text.transcript import Transcript, Word

_MOST_HOTWORD_CHARACTERS = 50_000
"""of a request, all together: a decoder is made for new ones in some seconds"""
_SHIPPED_LANGUAGE = "en"
"""that the bundles that ship write"""


@dataclass
class Service:
    """The state of a server.

    Parameters
    ----------
    settings : ServeConfig
    bundle : Bundle
    pool : Pool
    keys : Keys
    folder : Path
        For uploads.
    """

    settings: ServeConfig
    bundle: Bundle
    pool: Pool
    keys: Keys
    folder: Path
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        self.open_requests = OpenRequests(self.settings.limits.requests)
        self.client_secrets = ClientSecrets()
        self.counters = Counters(self._reading)

        self.corrections: Corrections | None = None
        """None where the server saves none"""
        if self.settings.data_dir is not None:
            self.corrections = Corrections(typed_path(self.settings.data_dir), self.settings.bundle)
            self.corrections.make_folder()
        limits = Limits(hours=self.settings.limits.hours, timeout=self.settings.timeout)
        self.aligner = Aligner(AlignerSettings(str(self.bundle.path.absolute()), limits))

        names = hot_phrases(self.settings.decoder)
        self.text_writer = make_text_writer(self.bundle.tagger(), self.settings.written, names)
        """what writes texts for people; None where they stay plain"""

        self.created = int((self.bundle.path / "bundle.json").stat().st_mtime)
        """when the model was made, in seconds since 1970"""

    @property
    def model(self) -> str:
        """The name of the model: that of the bundle's folder."""
        return self.bundle.name

    @property
    def language(self) -> str | None:
        """The code of the language that the model writes; None if nobody said."""
        if self.settings.language is not None:
            return primary(self.settings.language)
        return _SHIPPED_LANGUAGE if is_bundle_name(self.settings.bundle) else None

    @property
    def is_full(self) -> bool:
        """Whether the audio that waits would take longer than `limits.wait_seconds`."""
        return self.pool.load.wait_seconds > self.settings.limits.wait_seconds

    async def written(self, transcript: Transcript, decoder: DecoderConfig | None = None) -> Transcript:
        """A transcript as people write it, if the server writes so, with the hot words of its request as they are in
        the decoder that `decoder` made for it."""
        writer = self.text_writer
        if writer is None:
            return transcript
        if decoder is not None:
            writer = make_text_writer(writer.tagger, writer.form, hot_phrases(decoder)) or writer
        return (await asyncio.to_thread(writer.write, transcript)).to_read

    async def written_words(
        self, text: str, words: Sequence[Word], decoder: DecoderConfig | None = None
    ) -> tuple[str, Sequence[Word]]:
        """The text of a turn, and its words, as `written` writes them."""
        shown = await self.written(Transcript("", text, 0.0, 0.0, tuple(words), ()), decoder)
        return shown.text, shown.words

    def refuse_if_stopping(self) -> None:
        """Refuse a new request where the server ends.

        Raises
        ------
        ApiError
            503.
        """
        if self.stop.begun:
            raise stopping()

    def refuse_if_full(self) -> None:
        """Refuse a request that would wait too long.

        Raises
        ------
        ApiError
            429, with the time after which it would not.
        """
        if self.is_full:
            load, most = self.pool.load, self.settings.limits.wait_seconds
            raise busy(
                f"The server is busy: {load.waiting_seconds:.0f} s of audio are waiting (limits.wait_seconds).",
                code="server_busy",
                wait_seconds=load.wait_seconds - most,
            )

    def check_model(self, name: str | None) -> None:
        """Refuse another model than this one; None is this one.

        Raises
        ------
        ApiError
            404.
        """
        if name not in (None, self.model, *self.settings.aliases):
            message = f"The model {shown(name)} does not exist. This server has {self.model!r}."
            raise ApiError(404, message, code="model_not_found", param="model")

    def check_language(self, code: str | None) -> str | None:
        """The language of a stream: that of the model if it is known, else the one that is asked for.

        Raises
        ------
        ApiError
            400 if the model writes another one.
        """
        if code is not None and self.language not in (None, primary(code)):
            message = f"The model {self.model!r} writes {self.language}, not {shown(code)}."
            raise ApiError(400, message, code="unsupported_language", param="language")
        return self.language or code

    def hotword(self, phrase: str) -> str:
        """A word or phrase as the settings of a decoder have it.

        Raises
        ------
        ConfigError
            If the model cannot write it, or it is too long.
        """
        entry = f"{' '.join(phrase.split())}:{self._hotword_weight:g}"  # a colon in the phrase is then no weight
        hotword_weights(BeamConfig(hotwords=[entry]), self.bundle.alphabet, self.bundle.normalizer)
        return entry

    def decoder(self, hotwords: Sequence[str]) -> DecoderConfig | None:
        """The decoder of a request with hot words; None without any, which is that of the pool.

        Raises
        ------
        ApiError
            400 for more hot words than a decoder is made for in some seconds.
        """
        if not hotwords:
            return None
        if (size := sum(map(len, hotwords))) > _MOST_HOTWORD_CHARACTERS:
            raise ApiError(
                400,
                f"The hot words have {size} characters together, and the most is {_MOST_HOTWORD_CHARACTERS}: "
                "leave out those that are not said.",
                code="invalid_value",
            )
        own = self.settings.decoder
        # Greedy decoding has no hot words: a beam search with the settings of the bundle does.
        base = own if isinstance(own, BeamSettings) else AutoConfig()
        return replace(base, hotwords=[*base.hotwords, *hotwords])

    @property
    def _hotword_weight(self) -> float:
        own = self.settings.decoder
        resolved = own.resolve(self.bundle.decoder) if isinstance(own, AutoConfig) else own
        return resolved.hotword_weight if isinstance(resolved, BeamSettings) else BeamConfig().hotword_weight

    def _reading(self) -> list[Metric]:
        """The values of this moment for Prometheus."""
        load = self.pool.load
        values = [
            ("asr_open_requests", "Requests that are uploading, waiting or computing.", len(self.open_requests)),
            ("asr_waiting_audio_seconds", "Audio that was accepted and is not transcribed yet.", load.waiting_seconds),
            ("asr_wait_seconds", "Estimated time until that audio is transcribed.", load.wait_seconds),
            ("asr_speed", "Seconds of audio that are transcribed in a second, as measured.", load.speed),
            ("asr_workers", "Processes that recognise.", load.workers),
            ("asr_live_streams", "Live streams that are open.", load.live_streams),
            ("asr_live_capacity", "Live streams that can be kept in real time.", load.live_capacity),
            ("asr_live_delay_seconds", "How long the oldest audio of a live stream waits.", load.live_delay),
            ("asr_resident_memory_bytes", "Memory of the server and its processes.", resident_bytes()),
        ]
        totals = [
            ("asr_audio_seconds", "Audio that was recognised.", load.audio_seconds),
            ("asr_computing_seconds", "Time that this took, of all processes together.", load.computing_seconds),
        ]
        return [
            *(GaugeMetricFamily(name, text, value=value) for name, text, value in values),
            *(CounterMetricFamily(name, text, value=value) for name, text, value in totals),
        ]


def service_of(connection: HTTPConnection) -> Service:
    """The service that a request or a WebSocket belongs to."""
    service: Service = connection.app.state.service
    return service


def caller_of(connection: HTTPConnection) -> Caller:
    """Who sent a request, whose key was checked."""
    caller: Caller = connection.state.caller
    return caller
