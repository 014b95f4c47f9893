"""`asr doctor`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer, with_init
from asr.errors import ConfigError, ManifestError, OutputError
from asr.files import OutputJournal, is_url, output_error, typed_path
from asr.packages import require_packages
from asr.settings.commands import DoctorConfig
from asr.settings.features import Normalization
from asr.text.counts import counted

if TYPE_CHECKING:
    from asr.audio.measure import Sound
    from asr.corpus.manifest import Utterance
    from asr.doctor.examination import Diagnosis
    from asr.errors import AudioError

_log = logging.getLogger(__name__)

USAGE = "asr doctor [MANIFEST...] [key=value...]"
TEXT = """
Decodes every recording and reads every text of manifests, and reports their faults: files that are missing, damaged,
silent, clipped or at another sample rate, durations and texts that do not fit the audio, duplicates, characters outside
the alphabet, and speakers or recordings in several manifests. Each MANIFEST counts as one set; without a MANIFEST,
data.train is compared with data.valid, as in `asr train`, whose settings all apply. The exit code is 1 if more than
data.max_faulty of the utterances are unusable. output_dir=FOLDER adds a page with players and histograms, all findings
as JSON, and quarantine.jsonl, a list of the unusable and suspicious utterances: delete from it those that are good, and
train with data.quarantine=FOLDER/quarantine.jsonl. --show-augmented FOLDER writes some utterances as augmented by the
settings of augment, as audio and pictures.
"""
EXAMPLES = """\
  asr doctor train.jsonl valid.jsonl
  asr doctor train.jsonl output_dir=checkup
  asr doctor data.train=train.jsonl data.valid=valid.jsonl model=small
  asr doctor train.jsonl cluster=auto
  asr doctor s3://bucket/corpus/train.jsonl output_dir=checkup
  asr doctor train.jsonl augment=robust --show-augmented examples
"""
_SHOW = "--show-augmented"


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(_as_setting(arguments))
    settings: DoctorConfig | None = settings_or_answer(
        "doctor", split, usage=USAGE, text=TEXT, examples=EXAMPLES, files_required=False
    )
    if settings is None:
        return 0
    from asr.cli.overrides import chosen_names

    settings = with_init(settings, chosen_names(split.overrides))
    if not split.files and not settings.data.train:
        raise ConfigError("no manifest is named; `asr doctor --help` shows examples")
    _check_outputs(settings)
    return _examine(split.files, settings)


def _check_outputs(settings: DoctorConfig) -> None:
    """Refuse outputs that cannot be written, before the recordings are read."""
    from asr.doctor.findings_report import REPORT_FILES

    journal = OutputJournal(overwrite=settings.overwrite)
    if settings.output_dir:
        journal.check(typed_path(settings.output_dir) / name for name in REPORT_FILES)
    if settings.show_augmented:
        require_packages("librosa", "matplotlib", extra="train", purpose="show_augmented")
        from asr.training.augmentation_preview import SHOWN_NAME

        folder = typed_path(settings.show_augmented)
        journal.check([folder / "00-.wav"])  # checks that files can be written there
        # Which utterances are shown, and under which names, is only known later.
        journal.check(sorted(path for path in folder.glob("*") if SHOWN_NAME.fullmatch(path.name)))


def _as_setting(arguments: Sequence[str]) -> list[str]:
    """`--show-augmented FOLDER` as a setting."""
    result = list(arguments)
    for place, argument in enumerate(result):
        if argument == "--":
            break
        if argument.startswith("--show-a") and argument.partition("=")[0] != _SHOW:
            raise ConfigError(f"there is no flag {argument}; did you mean {_SHOW}?")
        if argument.startswith(f"{_SHOW}="):
            result[place] = "show_augmented=" + argument.partition("=")[2]
        elif argument == _SHOW:
            if place + 1 == len(result):
                raise ConfigError(f"{_SHOW} needs a folder to write to")
            return _as_setting([*result[:place], f"show_augmented={result[place + 1]}", *result[place + 2 :]])
    return result


def _examine(manifests: Sequence[str], settings: DoctorConfig) -> int:
    from asr.doctor.examination import examine
    from asr.doctor.findings_report import format_table, write_report

    is_elsewhere = settings.cluster is not None or any(map(is_url, manifests))
    elsewhere = partial(_measure, settings) if is_elsewhere else None
    diagnosis = examine(settings, parts=manifests, workers=settings.workers, measure=elsewhere)
    _refuse_what_is_no_manifest(diagnosis)
    print(format_table(diagnosis))
    if settings.output_dir:
        page = write_report(typed_path(settings.output_dir), diagnosis, overwrite=settings.overwrite)
        _log.info("report written to %s", page)
    elif diagnosis.faults:
        _log.info("output_dir=FOLDER writes a page with players, all findings as JSON, and a quarantine list")
    failed = _show(settings, diagnosis) if settings.show_augmented else 0
    if diagnosis.unusable_share > settings.data.max_faulty:
        _log.error(
            "%.2f %% of the utterances are unusable, more than data.max_faulty allows (%g %%): "
            "`asr train` would refuse",
            100 * diagnosis.unusable_share,
            100 * settings.data.max_faulty,
        )
        return 1
    return 1 if failed else 0


def _measure(settings: DoctorConfig, utterances: Sequence[Utterance]) -> Iterator[Sound | AudioError]:
    """The measures of recordings, by processes here or on other machines."""
    from asr.cli.distributed import common_folders, in_order, reason_of, run_items, size_of, work_of
    from asr.cluster.dispatch import Item
    from asr.cluster.worker_start import WorkerStart
    from asr.errors import AudioError

    paths = [one.audio_path for one in utterances if one.url is None]
    items = [Item(work_of(one), size_of(one)) for one in utterances]
    start = WorkerStart("asr.cluster.measure_work:make_measuring", None, tuple(common_folders(paths)))
    found = run_items(
        items,
        lambda: start,
        cluster=settings.cluster,
        workers=settings.workers,
        seconds=lambda sound: float(sound.seconds),
    )
    for one, done in zip(utterances, in_order(found, len(items)), strict=True):
        is_measured = not isinstance(done.result, Exception)
        is_plain = is_measured or isinstance(done.result, AudioError)
        yield done.result if is_plain else AudioError(one.url or one.audio_path, reason_of(done.result, done.node))


def _refuse_what_is_no_manifest(diagnosis: Diagnosis) -> None:
    """Refuse a mistyped name or a file of another kind: an error of usage, not a fault of the data."""
    problems = [str(fault) for fault in diagnosis.faults if fault.kind == "manifest"]
    broken = [fault for fault in diagnosis.faults if fault.kind == "line"]
    if not problems and broken and not diagnosis.utterances:
        problems = [f"{broken[0]}; it holds no line of a manifest (docs/manifests.md describes the format)"]
    if problems:
        raise ManifestError(problems)


def _show(settings: DoctorConfig, diagnosis: Diagnosis) -> int:
    """Write some utterances as the first epoch of a training would use them; returns the number of failures."""
    import numpy as np

    from asr.audio.augment import Augmenter
    from asr.audio.features import LogMel
    from asr.doctor.faults import Severity
    from asr.training.augmentation_preview import shown_files
    from asr.training.examples import Examples
    from asr.training.preflight import augmentation_recordings

    left_out = {fault.where for fault in diagnosis.faults if fault.kind in {"too_short", "too_long"}}
    left_out |= set(diagnosis.at_least(Severity.unusable))
    good = [one for part in diagnosis.parts if part.trained for one in part.utterances if one.where not in left_out]
    chosen = np.random.default_rng(settings.training.seed).permutation(len(good))[: settings.show_count]
    noises, rooms, problems = augmentation_recordings(settings)
    if problems:
        raise ManifestError(problems)
    features = replace(settings.features, normalization=Normalization.utterance)
    examples = Examples(
        [good[place] for place in chosen],
        diagnosis.alphabet,
        LogMel.from_librosa(features),
        settings.model,
        augmenter=Augmenter(settings.augment, features.sample_rate, noises, rooms),
        seed=settings.training.seed,
    )
    shown = [examples.show(index, epoch=0) for index in range(len(chosen))]
    folder, journal = typed_path(settings.show_augmented or ""), OutputJournal(overwrite=settings.overwrite)
    written = failed = 0
    for name, content in shown_files(shown, features.sample_rate):
        try:
            journal.write(folder / name, content)
            written += 1
        except (OutputError, OSError) as error:
            _log.error("%s", output_error(folder / name, error))
            failed += 1
    _log.info("%s written to %s", counted(written, "file"), folder)
    return failed
