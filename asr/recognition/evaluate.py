"""Evaluates bundles on recordings whose texts are known.

The network runs once over each recording for all systems of a bundle; their texts, confidences and likely symbols, and
the pictures of a page, come from that pass.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
from tqdm import tqdm

from asr.acoustic.runtime import AcousticModel
from asr.audio.features import Frames
from asr.audio.readers import Limits, Readers
from asr.audio.segment import AudioSource
from asr.bundle import Bundle, load_bundle
from asr.corpus.manifest import Utterance
from asr.decoding import describe_decoder
from asr.errors import AudioError, ConfigError
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.report import EvaluationReport, make_report
from asr.evaluation.sets import SetsReport, make_sets_report, read_sets, set_title
from asr.evaluation.sources import Output, Speed, Spike, System, read_references
from asr.machine import Usage, available_cores, describe_machine, usage
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.transcriber import Recognition, Transcriber
from asr.settings.commands import RecognitionJob
from asr.settings.decoding import AutoConfig, BeamConfig, DecoderConfig
from asr.settings.model import EngineKind
from asr.settings.text import NormalizerConfig
from asr.text.alphabet import BLANK
from asr.text.normalize import NORMALIZERS

# Less likely symbols of a step are left out: a page with more would be unreadable.
_LEAST_PROBABILITY = 0.15

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle and a decoder that are evaluated together."""

    bundle: Bundle
    decoder: DecoderConfig
    """resolved: no `AutoConfig`"""
    bundle_name: str
    """its name as the user gave it"""

    @property
    def name(self) -> str:
        """The name of the system in reports."""
        return f"{self.bundle_name}, {describe_decoder(self.decoder)}"


def resolve_candidate(name: str | Path | Bundle, decoder: DecoderConfig | None = None) -> Candidate:
    """Load a bundle, and resolve `AutoConfig` (None is the same) to the decoder that it recommends.

    Raises
    ------
    BundleError
        If there is no such bundle.
    """
    bundle = name if isinstance(name, Bundle) else load_bundle(name)
    decoder = AutoConfig() if decoder is None else decoder
    resolved = decoder.resolve(bundle.decoder) if isinstance(decoder, AutoConfig) else decoder
    return Candidate(bundle, resolved, str(bundle.path if isinstance(name, Bundle) else name))


@dataclass(frozen=True, slots=True)
class UtteranceResult:
    """What the candidates of a bundle gave for a recording."""

    outputs: tuple[Output, ...]
    """of every candidate"""
    seconds: float
    """of the recording"""
    notes: tuple[str, ...]
    frames: Frames | None
    """log-mel frames before normalisation [shape=(frames, mels)], if they were asked for"""


Elsewhere = Callable[[Sequence[Candidate], Sequence[Utterance], float, bool], Iterator[UtteranceResult | AudioError]]
"""gives the results of candidates of one bundle for utterances, in order; the other arguments are those of
`recognize_recordings`"""


def recognize_recordings(
    transcribers: Sequence[Transcriber],
    group: Sequence[Candidate],
    sources: Iterable[AudioSource],
    *,
    frame_seconds: float,
    spikes: bool,
) -> Iterator[UtteranceResult | AudioError]:
    """The results of the candidates of one bundle for recordings, in order.

    Parameters
    ----------
    transcribers : sequence of Transcriber
        One for each candidate.
    group : sequence of Candidate
    sources : iterable of str, Path or AudioSegment
    frame_seconds : float >= 0
        Recordings up to this length get their log-mel frames.
    spikes : bool
        Whether the first candidate gets the likely symbols of its output layer.
    """
    first, *others = transcribers
    for result in first.recognize_files(sources, others=others, frame_seconds=frame_seconds):
        if isinstance(result, AudioError):
            yield result
        else:
            yield _utterance_result(result, group, first.step_seconds, spikes)


def _utterance_result(
    result: Recognition, group: Sequence[Candidate], step_seconds: float, spikes: bool
) -> UtteranceResult:
    found = _spikes(result.acoustic_output, group[0], step_seconds) if spikes else ()
    outputs = tuple(
        Output(transcript.text, transcript.words, () if number else found)
        for number, transcript in enumerate(result.transcripts)
    )
    first = result.transcripts[0]
    return UtteranceResult(outputs, first.duration, first.notes, result.frames)


def run_systems(
    utterances: Sequence[Utterance],
    candidates: Sequence[Candidate],
    job: RecognitionJob,
    *,
    load_engine: Callable[[Bundle, EngineKind], AcousticModel] = Bundle.engine,
    frame_seconds: float = 0.0,
    on_recording: Callable[[int, UtteranceResult], object] = lambda index, result: None,
    elsewhere: Elsewhere | None = None,
) -> list[System]:
    """Transcribe all recordings with every candidate; an unreadable one is logged and counts as an empty text.

    Parameters
    ----------
    utterances : sequence of Utterance
        With recordings.
    candidates : sequence of Candidate
        Those of one bundle share the pass of the network over the recordings.
    job : RecognitionJob
        Channel, track, engine, limits and processor cores.
    load_engine : callable
        Makes the runtime of a bundle's model.
    frame_seconds : float >= 0
        Recordings up to this length get their log-mel frames.
    on_recording : callable
        Called with the index of every readable recording and its results by the first candidate's bundle.
    elsewhere : callable, optional
        Recognises the recordings elsewhere than in this process; the systems then have no speed.

    Returns
    -------
    list of System
        In the order of the candidates. The first one has the spikes of its output layer.

    Raises
    ------
    ConfigError
        If an utterance has no recording.
    """
    missing = [one.where for one in utterances if one.audio_path == Path()]
    if missing:
        raise ConfigError(f"{missing[0]}: a text without a recording: hypotheses=FILE scores texts made elsewhere")
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(candidates):
        groups.setdefault(one.bundle_name, []).append(place)
    systems: dict[int, System] = {}
    for places in groups.values():
        group = [candidates[place] for place in places]
        is_first = places[0] == 0
        one_pass = _Pass(group, job, load_engine, is_first=is_first)
        wanted_seconds = frame_seconds if is_first else 0.0
        if elsewhere is None:
            results = one_pass.run(utterances, wanted_seconds)
        else:
            results = one_pass.collect(utterances, elsewhere(group, utterances, wanted_seconds, is_first))
        for index, result in results:
            if is_first:
                on_recording(index, result)
        systems |= dict(zip(places, one_pass.systems(), strict=True))
    return [systems[place] for place in range(len(candidates))]


@dataclass
class _Pass:
    """One pass over all recordings with the candidates of one bundle."""

    group: Sequence[Candidate]
    job: RecognitionJob
    load_engine: Callable[[Bundle, EngineKind], AcousticModel]
    is_first: bool
    """of all passes: it has the spikes, and the peak memory, which the system does not count per pass"""
    outputs: list[list[Output]] = field(init=False)
    unreadable: int = field(default=0, init=False)
    audio_seconds: float = field(default=0.0, init=False)
    wall_seconds: float = field(default=0.0, init=False)
    before: Usage = field(init=False)
    after: Usage | None = field(default=None, init=False)
    """None for recordings that were recognised elsewhere"""
    decoding_seconds: list[float] = field(init=False)

    def collect(
        self, utterances: Sequence[Utterance], results: Iterator[UtteranceResult | AudioError]
    ) -> Iterator[tuple[int, UtteranceResult]]:
        """Take the results of all recordings, in order; yields the index and the results of every readable one."""
        self.outputs = [[] for _ in self.group]
        for index, (utterance, result) in enumerate(zip(utterances, results, strict=True)):
            if isinstance(result, AudioError):
                _log.error("%s: %s", utterance.where, result)
                self.unreadable += 1
                for some in self.outputs:
                    some.append(Output(""))
                continue
            for note in result.notes:
                _log.warning("%s: %s", utterance.where, note)
            self.audio_seconds += result.seconds
            for some, output in zip(self.outputs, result.outputs, strict=True):
                some.append(output)
            yield index, result

    def run(self, utterances: Sequence[Utterance], frame_seconds: float) -> Iterator[tuple[int, UtteranceResult]]:
        """Transcribe; yields the index and the results of every readable recording."""
        bundle, job = self.group[0].bundle, self.job
        self.before, started = usage(), time.monotonic()
        readers = Readers(Limits(hours=job.max_hours, timeout=job.timeout))
        engine = self.load_engine(bundle, job.engine)
        transcribers = [
            Transcriber(
                bundle,
                decoder=one.decoder,
                channel=job.channel,
                track=job.track,
                workers=job.workers,
                engine=engine,
                readers=readers,
            )
            for one in self.group
        ]
        results = recognize_recordings(
            transcribers,
            self.group,
            (one.audio for one in utterances),
            frame_seconds=frame_seconds,
            spikes=self.is_first,
        )
        bar = tqdm(results, "transcribing", len(utterances), unit="file", disable=None, leave=False)
        try:
            yield from self.collect(utterances, iter(bar))
        finally:
            readers.close()  # which adds their processor time to the usage
        self.wall_seconds, self.after = time.monotonic() - started, usage()
        self.decoding_seconds = [one.decoding_core_seconds for one in transcribers]

    def systems(self) -> list[System]:
        """The systems, after `run`."""
        return [
            System(one.name, outputs, self._about(number), self.unreadable, self._speed(number))
            for number, (one, outputs) in enumerate(zip(self.group, self.outputs, strict=True))
        ]

    def _about(self, number: int) -> dict[str, Any]:
        candidate = self.group[number]
        settings = asdict(candidate.decoder)
        if settings.get("lm"):  # a report does not show its folder
            settings["lm"] = Path(settings["lm"]).name
        about = {
            "bundle": candidate.bundle_name,
            "decoder": describe_decoder(candidate.decoder),
            "decoder_settings": settings,
            "engine": self.job.engine.value,
        }
        others = [one.name for one in self.group if one is not candidate]
        return about | ({"shares_pass_with": others} if others else {})

    def _speed(self, number: int) -> Speed | None:
        if self.after is None:
            return None
        core_seconds = self.after.core_seconds - self.before.core_seconds
        core_seconds -= sum(self.decoding_seconds) - self.decoding_seconds[number]
        return Speed(
            audio_seconds=round(self.audio_seconds, 3),
            wall_seconds=round(self.wall_seconds, 3),
            core_seconds=round(core_seconds, 3),
            real_time_factor=round(self.wall_seconds / self.audio_seconds, 6) if self.audio_seconds else None,
            peak_memory_mb=round(self.after.peak_memory_mb, 1) if self.is_first and number == 0 else None,
            workers=self.job.workers or available_cores(),
            machine=describe_machine(),
        )


def _spikes(output: AcousticOutput, candidate: Candidate, step_seconds: float) -> tuple[Spike, ...]:
    """The likely symbols of the output layer that a candidate decodes, by time."""
    bundle, decoder, found = candidate.bundle, candidate.decoder, list[Spike]()
    reads_phones = isinstance(decoder, BeamConfig) and decoder.pronunciations is not None
    names = bundle.phones.names if reads_phones and bundle.phones else bundle.alphabet.symbols
    for stretch in output.stretches:
        steps, numbers = np.nonzero(stretch.log_probs >= np.log(_LEAST_PROBABILITY))
        probabilities = np.exp(stretch.log_probs[steps, numbers]).tolist()
        found += [
            Spike(step_seconds * (stretch.first_step + step + 0.5), names[number - 1], probability)
            for step, number, probability in zip(steps.tolist(), numbers.tolist(), probabilities, strict=True)
            if number != BLANK
        ]
    return tuple(found)


OneSet = str | Path | Sequence[str | Path] | Sequence[tuple[str | Path, str]]
"""a manifest, several manifests, or pairs of a recording and its text"""


class _Options(TypedDict, total=False):
    """The keyword arguments of `evaluate`, for its overloads."""

    bundle: str | Path | Bundle
    decoder: DecoderConfig | None
    normalizer: NormalizerConfig | Literal["none", "standard"]
    english: bool
    numbers: str | None
    slice_by: Sequence[str]
    title: str | None


@overload
def evaluate(references: OneSet, **options: Unpack[_Options]) -> EvaluationReport: ...


@overload
def evaluate(references: Mapping[str, str | Path], **options: Unpack[_Options]) -> SetsReport: ...


def evaluate(
    references: OneSet | Mapping[str, str | Path],
    *,
    bundle: str | Path | Bundle = "en",
    decoder: DecoderConfig | None = None,
    normalizer: NormalizerConfig | Literal["none", "standard"] = "standard",
    english: bool = False,
    numbers: str | None = None,
    slice_by: Sequence[str] = (),
    title: str | None = None,
) -> EvaluationReport | SetsReport:
    """Measure the error rates of a bundle on recordings whose texts are known, as `asr evaluate` does.

    Parameters
    ----------
    references : str, Path, sequence or mapping
        A manifest, several manifests, or pairs of a recording and its text: one test set. A mapping of names to
        manifests is several test sets.
    bundle : Bundle, str or Path
        A loaded bundle, its folder, or the name of one that ships.
    decoder : DecoderConfig, optional
        `GreedyConfig()`, `BeamConfig(...)` or `AutoConfig(...)`; the bundle's own by default.
    normalizer : NormalizerConfig, "none" or "standard"
        How both sides are normalised before they are compared: "standard" lowers the case and removes punctuation,
        "none" only normalises the Unicode form, white space and invisible characters.
    english : bool
        Also treat contractions, numbers, fillers and British spellings as equal, as OpenAI's Whisper is scored.
    numbers : str, optional
        Language in which numbers are read on both sides ("en"): figures then count as the words that they stand for.
    slice_by : sequence of str
        Fields of the manifests to slice by, besides those of few values, which are found.
    title : str, optional
        Of the report.

    Returns
    -------
    EvaluationReport or SetsReport
        With error rates, intervals, slices, confusions and every alignment. A recording that cannot be read is logged,
        counts as an empty text, and in `report.systems[0].unreadable`. `report.write(folder)` writes it with its page.
        Of several test sets, `report["clean"]` is the report on one of them.

    Raises
    ------
    ManifestError
        If a manifest cannot be used: it names every line.
    BundleError
        If the bundle cannot be loaded.
    ConfigError
        If there are no references, or no normaliser of that name.

    Examples
    --------
    >>> import asr
    >>> report = asr.evaluate("data/samples/samples.jsonl", bundle="tiny")
    >>> report.references.utterances, report.references.words
    (6, 129)
    >>> 0 < report.cer < report.wer < 1
    True
    >>> [one.field for one in report.systems[0].slices]
    ['speaker']
    """
    if isinstance(normalizer, str):
        if normalizer not in NORMALIZERS:
            raise ConfigError(
                f"normalizer={normalizer!r}: a NormalizerConfig is wanted, or one of {', '.join(NORMALIZERS)}"
            )
        normalizer = NORMALIZERS[normalizer]
    policy_settings = normalizer
    candidate = resolve_candidate(bundle, decoder)

    def report(utterances: Sequence[Utterance], names: Sequence[str], title: str | None) -> EvaluationReport:
        systems = run_systems(utterances, [candidate], RecognitionJob())
        policy = ScoringPolicy(policy_settings, english=english, numbers=numbers)
        log_mel = candidate.bundle.log_mel
        return make_report(
            utterances, systems, policy, references=names, title=title, slice_by=slice_by, log_mel=log_mel
        )

    if not isinstance(references, Mapping):
        return report(*_utterances(references), title)
    if not references:
        raise ConfigError("references: there are none; a mapping of names to manifests is wanted")
    sets = read_sets([str(path) for path in references.values()], list(references))
    reports = [report(one.utterances, one.shown, set_title(title, one.name)) for one in sets]
    return make_sets_report(sets, reports, title)


def _utterances(references: OneSet) -> tuple[list[Utterance], list[str]]:
    """The utterances, and the names of the manifests that they come from."""
    if isinstance(references, str | Path):
        return read_references([str(references)]), [str(references)]
    if not references:
        raise ConfigError("references: there are none; a manifest is wanted, or pairs of a recording and its text")
    names, utterances = list[str](), list[Utterance]()
    for place, one in enumerate(references):
        match one:
            case str() | Path():
                names.append(str(one))
            case (str() | Path() as path, str() as text):
                utterances.append(Utterance(str(path), Path(path), text, None, None, f"references[{place}]"))
            case _:
                raise ConfigError(f"references[{place}]: {one!r}; a manifest or a pair of a recording and its text")
    if names and utterances:
        raise ConfigError("references: manifests and pairs of a recording and its text cannot be mixed")
    return (read_references(names), names) if names else (utterances, [])
