"""The session of a client of OpenAI's Realtime API: its settings, in the shape of the present API and of its beta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from asr.audio.load import Samples
from asr.audio.raw_samples import G711_RATE, decode_alaw, decode_pcm, decode_ulaw
from asr.recognition.pool_session import StreamOptions
from asr.serving.live_streams import Decode, decode_samples
from asr.serving.messages import Fields
from asr.serving.service import Service
from asr.serving.transcription_request import TranscriptionRequest, hotwords

LOGPROBS = "item.input_audio_transcription.logprobs"
_PCM = "audio/pcm"
DECODERS: Mapping[str, Decode] = {_PCM: decode_pcm, "audio/pcmu": decode_ulaw, "audio/pcma": decode_alaw}
BETA_FORMATS = {"pcm16": _PCM, "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
# OpenAI has 24 kHz alone; these are taken, too.
_RATE, LOWEST_RATE, HIGHEST_RATE = 24_000, 8000, 48_000
EAGERNESS = ("low", "medium", "high", "auto")
DELAYS = ("minimal", "low", "medium", "high", "xhigh")
NOISE = ("near_field", "far_field")
# What `live.endpoint` allows.
SHORTEST_SILENCE, LONGEST_SILENCE = 100, 10_000


@dataclass(frozen=True, kw_only=True)
class TurnDetection:
    """How the end of a turn is found: by the end points of live recognition."""

    kind: str = "server_vad"
    silence_ms: int | None = None
    """None is that of the server"""
    no_effect: Mapping[str, Any] | None = None
    """what was accepted, and is shown"""


@dataclass(frozen=True, kw_only=True)
class RealtimeSession:
    """The settings of a session."""

    encoding: str = _PCM
    rate: int = _RATE
    model: str | None = None
    language: str | None = None
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    turns: TurnDetection | None = TurnDetection()
    """None: the client says when a turn ends"""
    noise_reduction: Mapping[str, Any] | None = None
    """accepted, and shown; it has no effect"""
    include: tuple[str, ...] = ()

    def decode(self, content: bytes) -> Samples:
        """The samples of a message.

        Raises
        ------
        ApiError
            400 if they are no whole samples.
        """
        return decode_samples(DECODERS[self.encoding], content)

    def stream_options(self, service: Service) -> StreamOptions:
        """How the stream is recognised.

        Raises
        ------
        ApiError
            400 for keywords that the model cannot write.
        """
        words = hotwords(TranscriptionRequest(prompt=self.prompt, keywords=self.keywords), service)
        live = None
        if self.turns is not None and self.turns.silence_ms is not None:
            own, silence = service.settings.live, self.turns.silence_ms / 1000
            sentence_end = min(silence, own.endpoint.sentence_end_seconds)
            endpoint = replace(own.endpoint, silence_seconds=silence, sentence_end_seconds=sentence_end)
            live = replace(own, endpoint=endpoint)
        return StreamOptions(decoder=service.decoder(words), live=live, sample_rate=self.rate)

    def to_json(self, service: Service, *, number: str, beta: bool) -> dict[str, Any]:
        """The session as its client sees it.

        Parameters
        ----------
        service : Service
        number : str
            The name of the session.
        beta : bool
            Whether the client uses the beta of the API.
        """
        transcription = {
            "model": self.model or service.model,
            "language": self.language,
            "prompt": self.prompt or None,
        } | ({"keywords": list(self.keywords)} if self.keywords else {})
        turns = None if self.turns is None else self._turns_to_json(self.turns, service)
        noise = self.noise_reduction
        if beta:
            return {
                "object": "realtime.transcription_session",
                "id": number,
                "input_audio_format": {name: beta_name for beta_name, name in BETA_FORMATS.items()}[self.encoding],
                "input_audio_transcription": transcription,
                "turn_detection": turns,
                "input_audio_noise_reduction": noise,
                "include": list(self.include) or None,
            }
        audio_format = {"type": self.encoding} | ({"rate": self.rate} if self.encoding == _PCM else {})
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": number,
            "audio": {
                "input": {
                    "format": audio_format,
                    "transcription": transcription,
                    "noise_reduction": noise,
                    "turn_detection": turns,
                }
            },
            "include": list(self.include) or None,
        }

    @staticmethod
    def _turns_to_json(turns: TurnDetection, service: Service) -> dict[str, Any]:
        shown: dict[str, Any] = {"type": turns.kind} | dict(turns.no_effect or {})
        if turns.kind == "server_vad":
            own = round(1000 * service.settings.live.endpoint.silence_seconds)
            shown["silence_duration_ms"] = own if turns.silence_ms is None else turns.silence_ms
        return shown


def updated(session: RealtimeSession, fields: Fields, service: Service) -> RealtimeSession:
    """The session after an update by its client. What the update does not name stays.

    Parameters
    ----------
    session : RealtimeSession
    fields : Fields
        The value of `session`, in the shape of the present API or of its beta.
    service : Service

    Raises
    ------
    ApiError
        400 for a parameter that there is not, or a value that it cannot have; 404 for an unknown model.
    """
    kind = fields.text("type")
    if kind not in (None, "transcription"):
        fields.refuse("type", "must be transcription: this server has no conversations")
    session = _with_input(session, fields, service, beta="input_audio_")
    audio = fields.object("audio")
    if audio is not None:
        given = audio.object("input")
        audio.refuse_unknown()
        if given is not None:
            session = _with_input(session, given, service, beta="")
            given.refuse_unknown()
    if "include" in fields:
        include = fields.texts("include")
        if set(include) - {LOGPROBS}:
            fields.refuse("include", f"may have {LOGPROBS} and nothing else")
        session = replace(session, include=include)
    if set(fields.texts("modalities")) - {"text", "audio"}:  # of the beta
        fields.refuse("modalities", "may have text and audio")
    fields.take("id"), fields.take("object"), fields.take("expires_at"), fields.take("client_secret")
    fields.refuse_unknown()
    return session


def _with_input(session: RealtimeSession, fields: Fields, service: Service, *, beta: str) -> RealtimeSession:
    """The session with what an object says of the audio; the beta has it in the session, with longer names."""
    name = f"{beta}format"
    if beta and (given := fields.text(name, one_of=BETA_FORMATS)) is not None:
        session = _with_format(session, BETA_FORMATS[given], _RATE)
    elif not beta and (form := fields.object(name)) is not None:
        encoding = form.text("type", one_of=DECODERS) or _PCM
        session = _with_format(session, encoding, form.whole("rate", LOWEST_RATE, HIGHEST_RATE) or _RATE)
        form.refuse_unknown()
    name = f"{beta}transcription"
    if (transcription := fields.object(name)) is not None:
        session = _with_transcription(session, transcription, service)
    name = f"{beta}noise_reduction"
    if name in fields:
        session = replace(session, noise_reduction=_noise_reduction(fields.object(name)))
    if "turn_detection" in fields:
        session = replace(session, turns=_turns(fields.object("turn_detection")))
    return session


def _noise_reduction(fields: Fields | None) -> Mapping[str, Any] | None:
    if fields is None:
        return None
    given = {"type": fields.text("type", one_of=NOISE), "strength": fields.number("strength", 0, 100)}
    fields.refuse_unknown()
    return {name: value for name, value in given.items() if value is not None}


def _with_format(session: RealtimeSession, encoding: str, rate: int) -> RealtimeSession:
    return replace(session, encoding=encoding, rate=rate if encoding == _PCM else G711_RATE)


def _with_transcription(session: RealtimeSession, fields: Fields, service: Service) -> RealtimeSession:
    model, language = fields.text("model"), fields.text("language")
    service.check_model(model)
    languages = fields.texts("languages")
    if languages and language is None:
        language = service.language if service.language in languages else languages[0]
    service.check_language(language)
    fields.text("delay", one_of=DELAYS)  # the text is sent as soon as it is final
    session = replace(session, model=model or session.model, language=language or session.language)
    if "prompt" in fields:
        session = replace(session, prompt=fields.text("prompt") or "")
    if "keywords" in fields:
        session = replace(session, keywords=fields.texts("keywords", most=100))
    fields.refuse_unknown()
    return session


def _turns(fields: Fields | None) -> TurnDetection | None:
    if fields is None:
        return None
    kind = fields.text("type", one_of=("server_vad", "semantic_vad")) or "server_vad"
    no_effect = {
        "threshold": fields.number("threshold", 0, 1),
        "prefix_padding_ms": fields.whole("prefix_padding_ms", 0, 60_000),
        "eagerness": fields.text("eagerness", one_of=EAGERNESS),
        "create_response": fields.truth("create_response"),
        "interrupt_response": fields.truth("interrupt_response"),
        "idle_timeout_ms": fields.whole("idle_timeout_ms", 0, 3_600_000),
    }
    silence = fields.whole("silence_duration_ms", SHORTEST_SILENCE, LONGEST_SILENCE)
    fields.refuse_unknown()
    no_effect = {name: value for name, value in no_effect.items() if value is not None}
    return TurnDetection(kind=kind, silence_ms=silence if kind == "server_vad" else None, no_effect=no_effect)
