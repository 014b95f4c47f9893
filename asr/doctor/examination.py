"""Examines data before training: every recording, every text, and the split into sets.

`examine` decodes the recordings, or, in its short form, only those for validation, and reads the headers of the others,
as every training does before its first step.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from asr.acoustic.steps import count_steps, fitting_speeds
from asr.audio.measure import SILENCE_DB, Sound
from asr.audio.readers import Readers
from asr.audio.segment import AudioSource
from asr.corpus.manifest import Utterance, read_manifests
from asr.corpus.split import hold_out
from asr.doctor.faults import Fault, Severity
from asr.errors import AudioError, ConfigError
from asr.files import typed_path
from asr.machine import available_cores
from asr.packages import is_installed
from asr.settings.commands import ExperimentConfig
from asr.text.alphabet import Alphabet, describe_character, steps_needed
from asr.text.normalize import normalize_text
from asr.text.numbers import check_language, has_digits, spell_numbers, unspoken_symbols
from asr.text.pieces import make_alphabet

# The clean utterances of LibriSpeech, AN4, ARCTIC, LJSpeech and speechocean762 are far within these limits.
_SILENT_DB, _STEADY_DB = -55.0, 6.0
_CLIPPED_SHARE, _DC_OFFSET = 5e-4, 0.01
_DURATION_SECONDS, _DURATION_SHARE = 0.1, 0.02
# A duration is suspicious if it differs from what the length of the text predicts by more than this factor, and by
# more than this many robust deviations.
_PACE_FACTOR, _PACE_DEVIATIONS, _PACE_UTTERANCES = 2.0, 5.0, 20
# Short texts ("yes") may occur twice.
_SENTENCE_WORDS = 4

Place = tuple[Path, float | None]
"""a recording, and the offset of a segment in it"""


@dataclass(frozen=True)
class Part:
    """The utterances of one set, with normalised texts."""

    name: str
    utterances: list[Utterance]
    trained: bool
    """whether it is a training set"""
    written: Mapping[str, str] = field(default_factory=dict)
    """texts with digits as the manifest has them, by `where`"""


@dataclass(frozen=True)
class Diagnosis:
    """The result of an examination."""

    parts: list[Part]
    """all utterances but those in quarantine; durations are those of the recordings where these can be read"""
    faults: list[Fault]
    """in the order of parts, utterances and kinds"""
    alphabet: Alphabet
    quarantined: int
    """utterances left out by the quarantine lists"""
    unmatched: int
    """lines of the quarantine lists that no utterance fits"""
    sounds: Mapping[str, Sound] = field(default_factory=dict)
    """measures by `where`, of the recordings that were listened to"""

    @property
    def utterances(self) -> list[Utterance]:
        """Those of all parts."""
        return [one for part in self.parts for one in part.utterances]

    @property
    def seconds(self) -> float:
        """Audio of all parts."""
        return sum(one.duration or 0.0 for one in self.utterances)

    def at_least(self, severity: Severity) -> dict[str, list[Fault]]:
        """Faults that are at least so bad, by `where`."""
        found: dict[str, list[Fault]] = defaultdict(list)
        for fault in self.faults:
            if fault.severity >= severity:
                found[fault.where].append(fault)
        return dict(found)

    @property
    def unusable_share(self) -> float:
        """Share of utterances, broken lines among them, that cannot be used; 1 if a manifest cannot be read."""
        if any(fault.kind == "manifest" for fault in self.faults):
            return 1.0
        broken = sum(fault.utterance is None for fault in self.faults)
        total = len(self.utterances) + broken
        return len(self.at_least(Severity.unusable)) / total if total else 0.0


def examine(
    settings: ExperimentConfig,
    *,
    parts: Sequence[str | Path] = (),
    listen: bool = True,
    workers: int = 0,
    measure: Callable[[Sequence[Utterance]], Iterator[Sound | AudioError]] | None = None,
) -> Diagnosis:
    """Find the faults of training data.

    Parameters
    ----------
    settings : ExperimentConfig
        Names the data (`data.train` and `data.valid`, or the share `data.hold_out` of the former) and the model that
        will be trained on it.
    parts : sequence of str or Path
        Manifests to examine instead, each as one set.
    listen : bool
        Decode every recording and measure it; otherwise read the headers of those for training, and decode those for
        validation, for which there is no substitute once training has begun.
    workers : int
        Processes that read recordings; 0 for one a processor core.
    measure : callable, optional
        Measures the recordings of utterances, in order, elsewhere than in this process: with `listen`. Manifests and
        recordings may then be named by URL.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ConfigError
        If no manifest is named.
    ManifestError
        If a part is to be held out of a single recording.
    """
    quarantine, quarantine_faults = _read_quarantine(settings.data.quarantine)
    read, faults = _read_parts(settings, parts, remote=measure is not None)
    faults += quarantine_faults
    everything = [one for part in read for one in part.utterances]
    banned = _in_quarantine(everything, quarantine)
    kept = [replace(part, utterances=[one for one in part.utterances if one.where not in banned]) for part in read]
    quarantined = sum(len(part.utterances) for part in read) - sum(len(part.utterances) for part in kept)
    if not parts and settings.data.hold_out and kept[0].utterances:
        left, held = hold_out(kept[0].utterances, settings.data.hold_out)
        kept = [replace(kept[0], utterances=left), replace(kept[0], name="held out", utterances=held, trained=False)]
    alphabet = _alphabet(settings, kept)
    sounds: dict[str, Sound] = {}
    examined = []
    elsewhere = measure([one for part in kept for one in part.utterances]) if measure else None
    with Readers() as readers:
        for part in kept:
            looked = (
                islice(elsewhere, len(part.utterances))
                if elsewhere is not None
                else _look_at(part, readers.measure if listen else _short_look(readers, part), workers)
            )
            utterances = []
            for utterance, found in zip(part.utterances, looked, strict=True):
                if isinstance(found, Sound):
                    sounds[utterance.where] = found
                utterance, found_faults = _examine_utterance(utterance, found, part, alphabet, settings)
                utterances.append(utterance)
                faults += found_faults
            examined.append(replace(part, utterances=utterances))
    unread = {fault.where for fault in faults if fault.kind in {"missing", "unreadable"}}
    faults += _pace_faults([one for part in examined for one in part.utterances if one.where not in unread])
    faults += _duplicates(examined, sounds)
    faults += _shared(examined, sounds)
    return Diagnosis(
        parts=examined,
        faults=faults,
        alphabet=alphabet,
        quarantined=quarantined,
        unmatched=len(set(quarantine) - set(map(_place, everything))),
        sounds=sounds,
    )


def _place(utterance: Utterance) -> Place:
    return utterance.audio_path.resolve(), utterance.offset


def _read_quarantine(paths: Iterable[str]) -> tuple[dict[Place, set[str]], list[Fault]]:
    """The ids by recording, or segment, of a list that `quarantine` made: a manifest like any other."""
    found = [typed_path(path) for path in paths]
    # Nothing was suspicious, or everything was good after all.
    lists = [path for path in found if not path.is_file() or path.stat().st_size]
    reading = read_manifests(lists, text_required=False, remote=True)
    ids: dict[Place, set[str]] = defaultdict(set)
    for one in reading.utterances:
        ids[_place(one)].add(one.id)
    return dict(ids), [_line_fault(problem) for problem in reading.problems]


def _in_quarantine(utterances: Sequence[Utterance], quarantine: Mapping[Place, set[str]]) -> set[str]:
    """`where` of the utterances whose recording is listed; where several share one, the id tells which is meant."""
    if not quarantine:
        return set()
    places = list(map(_place, utterances))
    counts = Counter(places)
    return {
        one.where
        for one, place in zip(utterances, places, strict=True)
        if place in quarantine and (counts[place] == 1 or one.id in quarantine[place])
    }


def _read_parts(
    settings: ExperimentConfig, parts: Sequence[str | Path], *, remote: bool
) -> tuple[list[Part], list[Fault]]:
    sides: list[tuple[str, list[str | Path], bool]]
    if parts:
        sides = [(str(path), [path], True) for path in parts]
    else:
        sides = [("train", list(map(typed_path, settings.data.train)), True)]
        if settings.data.valid:
            sides.append(("valid", list(map(typed_path, settings.data.valid)), False))
        if not settings.data.train:
            raise ConfigError("data.train names no manifest: give data.train=FILE, or experiment=NAME for a recipe")
    read, faults = [], []
    for name, manifests, trained in sides:
        reading = read_manifests(manifests, remote=remote)
        faults += [_line_fault(problem) for problem in reading.problems]
        utterances = [
            replace(one, text=normalize_text(one.text or "", settings.normalizer)) for one in reading.utterances
        ]
        written = {one.where: one.text for one in reading.utterances if one.text and has_digits(one.text)}
        read.append(Part(name, utterances, trained, written))
    return read, faults


def _line_fault(problem: str) -> Fault:
    where, _, message = problem.partition(": ")
    return Fault("line" if re.search(r":\d+$", where) else "manifest", where, message)


def _alphabet(settings: ExperimentConfig, parts: Sequence[Part]) -> Alphabet:
    trained = [part for part in parts if part.trained]
    return make_alphabet(settings.alphabet, (one.text or "" for part in trained for one in part.utterances))


def _look_at(
    part: Part, look: Callable[[AudioSource], Sound | float], workers: int
) -> Iterator[Sound | float | AudioError]:
    """The measures of each recording, or its duration, or the error."""

    def attempt(utterance: Utterance) -> Sound | float | AudioError:
        try:
            return look(utterance.audio)
        except AudioError as error:
            return error

    # Each thread waits for a reader process of its own.
    with ThreadPoolExecutor(workers or available_cores()) as pool:
        found = pool.map(attempt, part.utterances)
        yield from tqdm(found, f"examining {part.name}", len(part.utterances), unit="file", disable=None, leave=False)


def _short_look(readers: Readers, part: Part) -> Callable[[AudioSource], float]:
    """What finds the duration of a recording."""
    return readers.probe if part.trained else lambda source: readers.measure(source).seconds


def _examine_utterance(
    utterance: Utterance, found: Sound | float | AudioError, part: Part, alphabet: Alphabet, settings: ExperimentConfig
) -> tuple[Utterance, list[Fault]]:
    """An utterance with its true duration, and its faults."""
    if isinstance(found, AudioError):
        is_there = utterance.url is not None or os.path.exists(utterance.audio_path)
        kind = "unreadable" if is_there else "missing"
        return utterance, [Fault(kind, utterance.where, str(found), utterance)]
    faults = list(_sound_faults(utterance, found, settings)) if isinstance(found, Sound) else []
    seconds = found.seconds if isinstance(found, Sound) else found
    faults += _duration_faults(utterance, seconds)
    utterance = replace(utterance, duration=seconds)
    return utterance, [*faults, *_label_faults(utterance, part, alphabet, settings)]


def _sound_faults(utterance: Utterance, sound: Sound, settings: ExperimentConfig) -> Iterator[Fault]:
    def fault(kind: str, message: str) -> Fault:
        return Fault(kind, utterance.where, f"{utterance.shown}: {message}", utterance)

    if sound.loudest_db < _SILENT_DB:
        if utterance.text:  # silence without a text is what it should be
            level = f"its loudest moment is at {sound.loudest_db:.0f} dB of full scale"
            what = "digital silence" if sound.loudest_db <= SILENCE_DB else f"silent: {level}"
            yield fault("silent", f"{what}, but it has the text {utterance.text!r}")
    elif sound.range_db < _STEADY_DB:
        yield fault("no_speech", f"its level varies by {sound.range_db:.1f} dB only: a steady sound, not speech")
    if sound.clipped_share > _CLIPPED_SHARE:
        yield fault("clipping", f"{sound.clipped_share:.2%} of the samples are clipped")
    if abs(sound.dc_offset) > _DC_OFFSET:
        yield fault("dc_offset", f"its mean is {sound.dc_offset:+.3f} of full scale, not 0")
    if sound.sample_rate < settings.features.sample_rate:
        yield fault("low_rate", f"{sound.sample_rate} Hz; the features are made for {settings.features.sample_rate} Hz")
    if sound.channels > 1:
        yield fault("channels", f"{sound.channels} channels")


def _duration_faults(utterance: Utterance, seconds: float) -> Iterator[Fault]:
    stated = utterance.duration
    if stated is not None and abs(seconds - stated) > max(_DURATION_SECONDS, _DURATION_SHARE * stated):
        message = f"{utterance.shown}: lasts {seconds:.2f} s, the manifest has {stated:.2f} s"
        yield Fault("duration", utterance.where, message, utterance)


def _label_faults(utterance: Utterance, part: Part, alphabet: Alphabet, settings: ExperimentConfig) -> Iterator[Fault]:
    def fault(kind: str, message: str) -> Fault:
        return Fault(kind, utterance.where, message, utterance)

    text, seconds, data = utterance.text or "", utterance.duration or 0.0, settings.data
    if not text:
        yield fault("no_text", f"the text ({utterance.id}) is empty")
    unknown = alphabet.unknown(text)
    if unknown:
        names = ", ".join(map(describe_character, unknown))
        suggested = _with_spelled_numbers(part.written.get(utterance.where, ""), alphabet, settings)
        remedy = f"; with its numbers spelled out: {suggested!r}" if suggested else ""
        yield fault("characters", f"label {text!r} ({utterance.id}) has {names}, not in the alphabet{remedy}")
        return
    if part.trained and seconds > data.max_seconds:
        yield fault("too_long", f"{utterance.shown}: {seconds:.1f} s, more than data.max_seconds")
        return
    if part.trained and seconds < data.min_seconds:
        yield fault("too_short", f"{utterance.shown}: {seconds:.2f} s, less than data.min_seconds")
        return
    label, speeds = alphabet.encode(text), settings.augment.speeds if part.trained else [1.0]
    fitting = fitting_speeds(label, seconds, speeds, settings.features, settings.model)
    if not fitting:
        steps = count_steps(seconds, min(speeds), settings.features, settings.model)
        yield fault(
            "too_few_steps",
            f"label {text!r} ({utterance.id}) needs {steps_needed(label)} steps, "
            f"{seconds:.2f} s of audio make {steps}: a wrong label, or cut-off audio?",
        )
    elif len(fitting) < len(speeds):
        yield fault("only_slower", f"label {text!r} ({utterance.id}) fits at a speed of {max(fitting):g} at most")


def _with_spelled_numbers(written: str, alphabet: Alphabet, settings: ExperimentConfig) -> str:
    """A text with its numbers in words, normalised; empty if it cannot be spelled, or not in the alphabet."""
    if not has_digits(written) or unspoken_symbols(written) or not is_installed("num2words"):
        return ""
    try:
        check_language(settings.data.language)
        text = normalize_text(spell_numbers(written, settings.data.language), settings.normalizer)
    except ConfigError:  # a number without words, or a language without numbers: there is nothing to suggest
        return ""
    return "" if alphabet.unknown(text) else text


def _pace_faults(utterances: Sequence[Utterance]) -> Iterator[Fault]:
    """Utterances whose duration the length of their text does not explain, by a line fitted to all of them."""
    spoken = [one for one in utterances if one.text and one.duration]
    if len(spoken) < _PACE_UTTERANCES:
        return
    characters = np.array([len(one.text or "") for one in spoken], float)
    seconds = np.array([one.duration for one in spoken], float)
    pause, pace = _robust_line(characters, seconds)
    expected = pause + pace * characters
    ratios = np.log(seconds / expected)
    deviation = max(0.1, 1.4826 * float(np.median(np.abs(ratios - np.median(ratios)))))
    bound = max(math.log(_PACE_FACTOR), _PACE_DEVIATIONS * deviation)
    for utterance, ratio, likely in zip(spoken, ratios, expected, strict=True):
        if abs(ratio) > bound:
            yield Fault(
                "pace",
                utterance.where,
                f"{utterance.shown}: {utterance.duration:.2f} s for {len(utterance.text or '')} characters, where "
                f"{likely:.1f} s are usual here ({utterance.id}: {_shortened(utterance.text or '')!r})",
                utterance,
            )


def _robust_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Intercept, at least a tenth of a second, and slope of a line near most of the points (relative to their height).

    Iteratively reweighted least squares, as for least absolute deviations.
    """
    weights = 1 / y
    intercept, slope = 0.1, float(np.median(y / x))
    for _ in range(20):
        total, mean_x, mean_y = weights.sum(), np.average(x, weights=weights), np.average(y, weights=weights)
        spread = float((weights * (x - mean_x) ** 2).sum() / total)
        if spread <= 0:
            break
        slope = float((weights * (x - mean_x) * (y - mean_y)).sum() / total) / spread
        intercept = max(0.1, float(mean_y - slope * mean_x))
        if slope <= 0:
            return float(np.median(y)), 0.0
        expected = intercept + slope * x
        weights = 1 / (expected**2 * np.maximum(np.abs(y - expected) / expected, 0.01))
    return intercept, slope


def _shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _duplicates(parts: Sequence[Part], sounds: Mapping[str, Sound]) -> Iterator[Fault]:
    """Second and further utterances of a part with the same audio, or the same sentence of the same speaker."""
    for part in parts:
        by_audio: dict[str, Utterance] = {}
        by_text: dict[tuple[str | None, str], Utterance] = {}
        for one in part.utterances:
            audio = (
                sounds[one.where].digest
                if one.where in sounds
                else str((*_place(one), one.offset is not None and one.duration))
            )
            first = by_audio.setdefault(audio, one)
            if first is not one:
                message = f"{one.shown}: the same audio as {first.id} ({first.where})"
                yield Fault("duplicate_audio", one.where, message, one)
            text = one.text or ""
            if len(text.split()) < _SENTENCE_WORDS:
                continue
            again = by_text.setdefault((one.speaker, text), one)
            if again is not one and again is not first:
                message = f"the same text as {again.id} ({again.where}): {_shortened(text)!r}"
                yield Fault("duplicate_text", one.where, message, one)


def _shared(parts: Sequence[Part], sounds: Mapping[str, Sound]) -> Iterator[Fault]:
    """Recordings, speakers and sentences of a part that an earlier part has too."""
    seen_audio: dict[str, list[Utterance]] = defaultdict(list)
    seen_speakers: dict[str, str] = {}
    seen_texts: dict[str, Utterance] = {}
    for part in parts:
        keys = {one.where: _audio_keys(one, sounds) for one in part.utterances}
        for one in part.utterances:
            path, *digest = keys[one.where]
            neighbours = seen_audio.get(path, [])
            same = [*(other for other in neighbours if _overlap(one, other)), *seen_audio.get("".join(digest), [])]
            earlier = same[0] if same else None
            if earlier:
                message = f"{one.shown} is also in the training set ({earlier.where})"
                yield Fault("shared_recording", one.where, message, one)
            elif neighbours:
                message = (
                    f"{one.shown}: another segment of the recording is in the training set ({neighbours[0].where})"
                )
                yield Fault("shared_speaker", one.where, message, one)
            elif one.speaker and one.speaker in seen_speakers:
                message = f"the speaker of {one.id}, {one.speaker!r}, is also in {seen_speakers[one.speaker]}"
                yield Fault("shared_speaker", one.where, message, one)
            text = one.text or ""
            if not earlier and text in seen_texts and len(text.split()) >= _SENTENCE_WORDS:
                message = f"the text of {one.id} is also that of {seen_texts[text].id} ({seen_texts[text].where})"
                yield Fault("shared_text", one.where, message, one)
        for one in part.utterances:
            for key in keys[one.where]:
                seen_audio[key].append(one)
            seen_texts.setdefault(one.text or "", one)
            if one.speaker:
                seen_speakers.setdefault(one.speaker, part.name)


def _overlap(one: Utterance, other: Utterance) -> bool:
    """Whether two utterances of one recording have audio in common."""
    (start, end), (other_start, other_end) = (
        (each.offset or 0.0, math.inf if each.offset is None or each.duration is None else each.offset + each.duration)
        for each in (one, other)
    )
    return start < other_end and other_start < end


def _audio_keys(utterance: Utterance, sounds: Mapping[str, Sound]) -> list[str]:
    keys = [str(utterance.audio_path.resolve())]
    return [*keys, sounds[utterance.where].digest] if utterance.where in sounds else keys


def character_counts(utterances: Iterable[Utterance]) -> dict[str, tuple[int, str]]:
    """How often each character is written, and the id of an utterance that has it, most frequent first."""
    counts: Counter[str] = Counter()
    example: dict[str, str] = {}
    for one in utterances:
        counts.update(one.text or "")
        for character in set(one.text or ""):
            example.setdefault(character, one.id)
    return {character: (count, example[character]) for character, count in counts.most_common()}
