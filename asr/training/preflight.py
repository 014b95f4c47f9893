"""Checks all training data before the first step, and reports all problems together."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asr.audio.segment import AudioSource
from asr.bundle import load_bundle
from asr.corpus.manifest import Utterance, read_manifests, with_distinct_ids
from asr.doctor.examination import Diagnosis, examine
from asr.doctor.faults import KINDS, Fault, Severity
from asr.errors import ConfigError, ManifestError
from asr.files import typed_path
from asr.pronunciation.dictionary import Pronunciation, read_dictionary
from asr.pronunciation.g2p import G2p
from asr.pronunciation.lookup import look_up
from asr.pronunciation.packed import load_dictionary
from asr.pronunciation.phones import PHONES, PhoneSet
from asr.settings.commands import ExperimentConfig
from asr.text.alphabet import Alphabet

# A fault in more utterances than this, in number and as a share, is probably caused by a setting.
_MANY, _LARGE_SHARE = 10, 0.2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """The usable utterances, with normalised texts and checked durations."""

    train: list[Utterance]
    valid: list[Utterance]
    alphabet: Alphabet
    too_short: int = 0
    """training utterances left out for `data.min_seconds`"""
    too_long: int = 0
    """training utterances left out for `data.max_seconds`"""
    quarantined: int = 0
    """utterances left out by `data.quarantine`"""
    unusable: int = 0
    """utterances left out because they cannot be used, as `data.max_faulty` allows"""
    noises: list[AudioSource] = field(default_factory=list)
    """recordings of `augment.noise_manifests`"""
    rooms: list[AudioSource] = field(default_factory=list)
    """impulse responses of `augment.reverb_manifests`"""
    phones: PhoneSet | None = None
    """for a model with an output layer over phones"""
    lexicon: Mapping[str, Sequence[Pronunciation]] | None = None
    """of `data.lexicon`, or of the bundle that the run starts from"""

    def phone_labels(self, utterances: Sequence[Utterance]) -> list[list[int]] | None:
        """The preferred pronunciation of each utterance's words; None for a model without an output over phones."""
        if self.phones is None or self.lexicon is None:
            return None
        encoded = {
            word: self.phones.encode(self.lexicon[word][0])
            for word in {word for one in utterances for word in (one.text or "").split()}
        }
        return [[number for word in (one.text or "").split() for number in encoded[word]] for one in utterances]


def read_corpus(settings: ExperimentConfig) -> Corpus:
    """Read the manifests and examine every utterance, in the doctor's short form.

    Parameters
    ----------
    settings : ExperimentConfig

    Returns
    -------
    Corpus

    Raises
    ------
    ConfigError
        If no manifest is named. To overfit, those to train on are enough.
    ManifestError
        Naming, with file and line, every broken line, missing or unreadable recording, character outside the
        alphabet, label that cannot fit its audio, and recording that is both trained and validated on: where there
        are more of them than `data.max_faulty` allows.
    """
    data = settings.data
    if data.train and not data.valid and not data.hold_out and not settings.training.overfit:
        raise ConfigError(
            "data.valid names no manifest: give data.valid=FILE, some utterances kept out of training, or "
            "data.hold_out=0.1 to hold out a tenth"
        )
    diagnosis = examine(settings, listen=False)
    noises, rooms, problems = augmentation_recordings(settings)
    bad = diagnosis.at_least(Severity.unusable)
    if problems or diagnosis.unusable_share > data.max_faulty:
        faults = [fault for faults in bad.values() for fault in faults]
        summary = _widespread(faults, len(diagnosis.utterances))
        if len(faults) > _MANY:
            summary.append(
                "`asr doctor` with the same settings shows all, and writes a list that data.quarantine leaves out"
            )
        raise ManifestError([*problems, *map(str, faults)], summary=summary)
    _warn(diagnosis, bad)
    kinds = {kind: {fault.where for fault in diagnosis.faults if fault.kind == kind} for kind in KINDS}
    left_out = set(bad) | kinds["too_short"] | kinds["too_long"]
    fit = [[one for one in part.utterances if one.where not in left_out] for part in diagnosis.parts]
    if not fit[0]:
        raise ManifestError(
            [
                f"no training utterance is left: {len(kinds['too_short'])} are shorter than "
                f"data.min_seconds={data.min_seconds}, {len(kinds['too_long'])} longer than "
                f"data.max_seconds={data.max_seconds}"
            ]
        )
    valid = fit[1] if len(fit) > 1 else []
    if data.hold_out:
        valid = with_distinct_ids(valid)  # which make one manifest
    phones, lexicon = _read_lexicon(settings, [one for part in fit for one in part])
    return Corpus(
        train=fit[0],
        valid=valid,
        phones=phones,
        lexicon=lexicon,
        alphabet=diagnosis.alphabet,
        too_short=len(kinds["too_short"]),
        too_long=len(kinds["too_long"]),
        quarantined=diagnosis.quarantined,
        unusable=len(bad),
        noises=noises,
        rooms=rooms,
    )


def _read_lexicon(
    settings: ExperimentConfig, utterances: Sequence[Utterance]
) -> tuple[PhoneSet | None, Mapping[str, Sequence[Pronunciation]] | None]:
    """The phones and the lexicon of a model with an output layer over phones."""
    if not settings.model.phone_output:
        return None, None
    words: dict[str, str] = {}
    for one in utterances:
        for word in (one.text or "").split():
            words.setdefault(word, one.where)
    if settings.data.lexicon:
        lexicon: Mapping[str, Sequence[Pronunciation]] = read_dictionary(settings.data.lexicon)
        source = f"data.lexicon={settings.data.lexicon}"
    else:
        lexicon, source = _bundle_lexicon(settings, words)
    lacking = {word: where for word, where in words.items() if word not in lexicon}
    if lacking:
        raise ManifestError(
            [f"{where}: {word!r} has no pronunciation" for word, where in list(lacking.items())[:_MANY]],
            summary=[
                f"{source} lacks {len(lacking)} words of the texts: `asr lexicon MANIFEST... output=FILE` makes a "
                "lexicon with all words of manifests, for data.lexicon=FILE"
            ],
        )
    return PhoneSet(PHONES), lexicon


def _bundle_lexicon(
    settings: ExperimentConfig, words: Iterable[str]
) -> tuple[Mapping[str, Sequence[Pronunciation]], str]:
    """The pronunciations of words by the lexicon and the G2P model of the bundle that the run starts from."""
    bundle = load_bundle(settings.init) if settings.init else None
    decoder = bundle.decoder if bundle else None
    if decoder is None or decoder.pronunciations is None:
        raise ConfigError(
            "model.phone_output=true needs the pronunciations of the words: data.lexicon=FILE (`asr lexicon` makes one)"
        )
    dictionary = load_dictionary(decoder.pronunciations).pronunciations
    g2p = None if decoder.g2p is None else G2p.load(Path(decoder.g2p))
    found = look_up([word for word in words if word not in dictionary], dictionary, g2p)
    known = {word: dictionary[word] for word in words if word in dictionary}
    return known | {word: one.pronunciations for word, one in found.items()}, f"the bundle init={settings.init}"


def augmentation_recordings(settings: ExperimentConfig) -> tuple[list[AudioSource], list[AudioSource], list[str]]:
    """Recordings of noise, impulse responses of rooms, and the problems of their manifests."""
    found: list[list[AudioSource]] = []
    problems: list[str] = []
    for manifests in (settings.augment.noise_manifests, settings.augment.reverb_manifests):
        reading = read_manifests([typed_path(one) for one in manifests], text_required=False)
        problems += reading.problems
        problems += [
            f"{one.where}: {one.audio_path}: no such file"
            for one in reading.utterances
            if not os.path.isfile(one.audio_path)
        ]
        found.append([one.audio for one in reading.utterances])
    return found[0], found[1], problems


def _widespread(faults: list[Fault], utterances: int) -> list[str]:
    """A line for each kind of fault that a setting removes, or that is so frequent that one is probably its cause."""
    counts = Counter(kind for kind, _ in {(fault.kind, fault.where) for fault in faults})
    return [
        f"{counts[kind]} of {utterances} utterances: {KINDS[kind].title}: {KINDS[kind].advice}"
        for kind in KINDS
        if counts[kind] > max(_MANY, _LARGE_SHARE * utterances) or (kind == "characters" and counts[kind])
    ]


def _warn(diagnosis: Diagnosis, bad: dict[str, list[Fault]]) -> None:
    """Log what is left out, and what is suspicious, in a line each."""
    if diagnosis.quarantined:
        _log.info("left out by data.quarantine: %d utterances", diagnosis.quarantined)
    if diagnosis.unmatched:  # `asr doctor` writes one list for all manifests that it is given
        _log.info("%d lines of data.quarantine match no utterance in these manifests", diagnosis.unmatched)
    for faults in bad.values():
        _log.warning("left out: %s", faults[0])
    suspicious = [fault for fault in diagnosis.faults if fault.severity is Severity.suspicious]
    for kind, count in Counter(fault.kind for fault in suspicious).items():
        names = _some(fault.utterance.id for fault in suspicious if fault.kind == kind and fault.utterance)
        _log.warning("%s: %d utterances (%s); `asr doctor` shows details", KINDS[kind].title, count, names)


def _some(names: Iterable[str], most: int = 3) -> str:
    found = list(dict.fromkeys(names))
    return ", ".join(found[:most]) + (", ..." if len(found) > most else "")
