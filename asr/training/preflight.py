"""Looks at all the training data before the first step, and reports everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tqdm import tqdm

from asr.audio.load import probe_seconds
from asr.config import TrainConfig
from asr.corpus.manifest import Utterance, read_manifests
from asr.errors import AudioError, ConfigError, ManifestError
from asr.text.alphabet import Alphabet, describe_character, steps_needed
from asr.text.normalize import normalize_text
from asr.training.examples import count_steps, fitting_speeds

_PROBLEMS_SHOWN = 50


@dataclass(frozen=True)
class Corpus:
    """Utterances fit for training: normalised texts, true durations."""

    train: list[Utterance]
    valid: list[Utterance]
    alphabet: Alphabet
    too_short: int
    """training utterances left out for `data.min_seconds`"""
    too_long: int
    """training utterances left out for `data.max_seconds`"""


def read_corpus(settings: TrainConfig) -> Corpus:
    """Read the manifests and check every utterance.

    Parameters
    ----------
    settings : TrainConfig

    Returns
    -------
    Corpus

    Raises
    ------
    ConfigError
        If no manifest is named. To overfit, those to train on are enough.
    ManifestError
        Naming, with file and line, every broken line, missing or unreadable recording, character outside the
        alphabet, label that cannot fit its audio, and recording that is both trained and validated on.
    """
    if not settings.data.train:
        raise ConfigError("data.train names no manifest: give data.train=FILE, or experiment=NAME for a recipe")
    if not settings.data.valid and not settings.training.overfit:
        raise ConfigError("data.valid names no manifest: give data.valid=FILE, some utterances kept out of training")
    train = read_manifests(settings.data.train)
    valid = read_manifests(settings.data.valid)
    problems = train.problems + valid.problems
    train_utterances = [_normalized(one, settings) for one in train.utterances]
    valid_utterances = [_normalized(one, settings) for one in valid.utterances]
    if settings.alphabet.from_data:
        alphabet = Alphabet.from_texts(one.text or "" for one in train_utterances)
    else:
        alphabet = Alphabet(settings.alphabet.symbols)
    problems += _shared_recordings(train_utterances, valid_utterances)

    checked: list[list[Utterance]] = []
    too_short = too_long = 0
    for part, utterances in (("train", train_utterances), ("valid", valid_utterances)):
        speeds = settings.augment.speeds if part == "train" else [1.0]
        good = []
        for utterance, seconds in zip(utterances, _durations(utterances, part), strict=True):
            if isinstance(seconds, AudioError):
                problems.append(f"{utterance.where}: {seconds}")
                continue
            text = utterance.text or ""
            unknown = alphabet.unknown(text)
            if unknown:
                names = ", ".join(map(describe_character, unknown))
                problems.append(f"{utterance.where}: label {text!r} ({utterance.id}) has {names}, not in the alphabet")
                continue
            if part == "train" and seconds > settings.data.max_seconds:
                too_long += 1
                continue
            if part == "train" and seconds < settings.data.min_seconds:
                too_short += 1
                continue
            label = alphabet.encode(text)
            if not fitting_speeds(label, seconds, speeds, settings.features, settings.model):
                steps = count_steps(seconds, min(speeds), settings.features, settings.model)
                problems.append(
                    f"{utterance.where}: label {text!r} ({utterance.id}) needs {steps_needed(label)} steps, "
                    f"{seconds:.2f} s of audio make {steps}: a wrong label, or cut-off audio?"
                )
                continue
            good.append(replace(utterance, duration=seconds))
        checked.append(good)
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        raise ManifestError(problems[:_PROBLEMS_SHOWN] + ([f"... and {more} problems more"] if more > 0 else []))
    if not checked[0]:
        raise ManifestError(
            [
                f"no training utterance is left: {too_short} are shorter than "
                f"data.min_seconds={settings.data.min_seconds}, {too_long} longer than "
                f"data.max_seconds={settings.data.max_seconds}"
            ]
        )
    return Corpus(checked[0], checked[1], alphabet, too_short, too_long)


def _normalized(utterance: Utterance, settings: TrainConfig) -> Utterance:
    return replace(utterance, text=normalize_text(utterance.text or "", settings.normalizer))


def _durations(utterances: Sequence[Utterance], part: str) -> Iterable[float | AudioError]:
    """From the recordings' headers; a manifest's word is not taken for it."""

    def probe(utterance: Utterance) -> float | AudioError:
        try:
            return probe_seconds(utterance.audio_path)
        except AudioError as error:
            return error

    with ThreadPoolExecutor() as pool:
        found = pool.map(probe, utterances)
        return list(tqdm(found, f"checking {part}", len(utterances), unit="file", disable=None, leave=False))


def _shared_recordings(train: Sequence[Utterance], valid: Sequence[Utterance]) -> list[str]:
    trained = {one.audio_path.resolve(): one.where for one in train}
    return [
        f"{one.where}: {one.audio_path} is trained on too ({trained[path]})"
        for one in valid
        if (path := one.audio_path.resolve()) in trained
    ]
