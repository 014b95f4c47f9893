"""`asr evaluate`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.arguments import did_you_mean, split_arguments
from asr.cli.command import settings_or_answer
from asr.errors import ConfigError
from asr.files import temporary_folder, typed_path
from asr.settings.commands import EvaluateConfig
from asr.settings.decoding import BeamConfig
from asr.settings.language import LanguageUnit

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance
    from asr.evaluation.policy import ScoringPolicy
    from asr.evaluation.render.media import Medium
    from asr.evaluation.report import EvaluationReport
    from asr.evaluation.sets import ReferenceSet
    from asr.evaluation.sources import System
    from asr.recognition.evaluate import Candidate, UtteranceResult

REGRESSION = 3

_log = logging.getLogger(__name__)

USAGE = "asr evaluate REFERENCES... [key=value...]"
TEXT = """
Measures word and character error rates: of a bundle on the recordings of some manifests, or, with hypotheses=FILE, of
texts of another system (JSON lines, .ctm, .trn, .txt); references may be manifests, .trn, .stm, .ctm or .txt. Errors
are pooled over all utterances, with 95 % intervals; against=[...] compares systems. References and hypotheses are
normalised first (normalizer=standard: lower case, no punctuation; normalizer=none: as they are; english=true:
contractions, numbers and spellings too; numbers=en: figures as the words that they stand for). Every utterance counts:
an id missing on either side is refused, and a recording that cannot be read counts as an empty text, with exit code 1.
output_dir=FOLDER writes report.html, a page to read, listen and search, and the same data as JSON, text, Markdown and
tables.
"""
EXAMPLES = """\
  asr evaluate test.jsonl
  asr evaluate test.jsonl bundle=runs/mine/best against=[greedy] output_dir=report
  asr evaluate test.jsonl hypotheses=other_system.ctm against=[third.jsonl] english=true
  asr evaluate test.jsonl cluster=auto output_dir=report
  asr evaluate s3://bucket/corpus/test.jsonl output_dir=report
  asr evaluate references.txt hypotheses=hypotheses.txt
  asr evaluate references.stm hypotheses=words.ctm
  asr evaluate test.jsonl bundle=runs/new/best baseline=report/report.json max_regression=0.5
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: EvaluateConfig | None = settings_or_answer("evaluate", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    return _evaluate(split.files, settings)


def _evaluate(references: Sequence[str], settings: EvaluateConfig) -> int:
    # Two texts are compared without loading a model runtime.
    from asr.cli.systems import plan_systems
    from asr.evaluation.sets import make_sets_report, read_sets

    sets = read_sets(references, settings.names, pool=settings.pool)
    _check_slices(sets, settings.slice_by)
    folders = _folders(sets, settings)
    baselines = [_baseline(one, settings, is_alone=len(sets) == 1) for one in sets]
    planned = plan_systems(sets, settings)
    _scoring_policy(settings)  # a wrong file of rules is refused before the recordings are transcribed
    reports = []
    for one, folder, baseline, systems in zip(sets, folders, baselines, planned, strict=True):
        if len(sets) > 1:
            print(f"{'' if one is sets[0] else chr(10)}== {one.name}\n")
        reports.append(_report(one, systems, settings, folder=folder, baseline=baseline, is_alone=len(sets) == 1))
    if len(sets) > 1:
        from asr.evaluation.render.sets_text import format_sets

        whole = make_sets_report(sets, reports, settings.title)
        print(f"\n{format_sets(whole)}")
        if settings.output_dir:
            from asr.evaluation.sets_files import write_sets

            page = write_sets(typed_path(settings.output_dir), whole, overwrite=settings.overwrite)
            _log.info("report written to %s", page)
    worse = [report for report in reports if report.baseline and report.baseline.is_regression]
    for report in worse:
        where = f"{report.title}: " if len(sets) > 1 else ""
        _log.error(
            "%sworse than %s by more than max_regression=%g points", where, settings.baseline, settings.max_regression
        )
    if worse:
        return REGRESSION
    return 1 if any(system.unreadable for one in reports for system in one.systems) else 0


def _check_slices(sets: Sequence[ReferenceSet], wanted: Sequence[str]) -> None:
    """Refuse fields to slice by that no utterance of any set has."""
    fields = dict.fromkeys(["duration", "speaker", *(name for one in sets for u in one.utterances for name in u.other)])
    for name in wanted:
        if name not in fields:
            known = ", ".join(fields)
            raise ConfigError(
                f"slice_by: no utterance has a field {name!r}{did_you_mean(name, fields)}; there are {known}"
            )


def _folders(sets: Sequence[ReferenceSet], settings: EvaluateConfig) -> list[Path | None]:
    """The folder of each set's report, none if nothing is written; refused if files of others are in the way."""
    if not settings.output_dir:
        return [None] * len(sets)
    from asr.evaluation.report_files import check_report_folder

    folder = typed_path(settings.output_dir)
    if len(sets) == 1:
        check_report_folder(folder, overwrite=settings.overwrite)
        return [folder]
    from asr.evaluation.sets_files import check_sets_folder

    check_sets_folder(folder, overwrite=settings.overwrite)
    for one in sets:
        check_report_folder(folder / one.folder, overwrite=settings.overwrite)
    return [folder / one.folder for one in sets]


def _scoring_policy(settings: EvaluateConfig) -> ScoringPolicy:
    from asr.evaluation.policy import ScoringPolicy

    return ScoringPolicy(
        settings.normalizer,
        english=settings.english,
        rules=settings.scoring_rules,
        synonyms=settings.synonyms,
        numbers=settings.numbers,
    )


def _baseline(one: ReferenceSet, settings: EvaluateConfig, *, is_alone: bool) -> str | None:
    """The report.json to compare a set with; a wrong one is refused before the recordings are transcribed."""
    if not settings.baseline:
        return None
    from asr.evaluation.baseline import baseline_of_set, read_baseline
    from asr.evaluation.report import normalized_references

    path = baseline_of_set(settings.baseline, one.name, is_alone=is_alone)
    policy = _scoring_policy(settings)
    normalized = [str(text) for text in normalized_references(one.utterances, policy)]
    read_baseline(path, [utterance.id for utterance in one.utterances], normalized)
    return path


def _report(
    one: ReferenceSet,
    planned: Sequence[System | Candidate],
    settings: EvaluateConfig,
    *,
    folder: Path | None,
    baseline: str | None,
    is_alone: bool,
) -> EvaluationReport:
    """Run the systems on a set; print and write its report."""
    from asr.evaluation.report import make_report
    from asr.evaluation.sets import set_title

    vocabulary, vocabulary_name = _vocabulary(planned[0], settings)
    title = settings.title if is_alone else set_title(settings.title, one.name)
    with ExitStack() as stack:
        files = None
        if folder:
            from asr.evaluation.report_files import MEDIA_FOLDER, write_report

            files = stack.enter_context(temporary_folder(folder / MEDIA_FOLDER))
        systems, media = _run(planned, one.utterances, settings, files)
        report = make_report(
            one.utterances,
            systems,
            _scoring_policy(settings),
            references=one.shown,
            title=title,
            slice_by=settings.slice_by,
            vocabulary=vocabulary,
            vocabulary_name=vocabulary_name,
            baseline=baseline,
            max_regression=settings.max_regression,
        )
        _print(report, settings.worst)
        if folder:
            page = write_report(
                folder, report, media, embed_megabytes=settings.embed_megabytes, overwrite=settings.overwrite
            )
            if is_alone:
                _log.info("report written to %s", page)
    return report


def _run(
    planned: Sequence[System | Candidate], utterances: Sequence[Utterance], settings: EvaluateConfig, files: Path | None
) -> tuple[list[System], list[Medium | None]]:
    """The texts of all systems, and the recordings and pictures of the page in a folder, if it has any."""
    from asr.cli.systems import run_planned
    from asr.evaluation.sources import System

    main = planned[0]
    if files is None or not settings.page_audio or not any(one.audio_path.is_file() for one in utterances):
        return run_planned(planned, utterances, settings), []
    from asr.evaluation.render.media import LONGEST_PICTURE_SECONDS, write_media, write_medium

    if isinstance(main, System):  # no model reads the recordings
        from asr.bundle import load_bundle

        log_mel = load_bundle(settings.bundle).log_mel
        return run_planned(planned, utterances, settings), list(write_media(utterances, files, log_mel))
    log_mel = main.bundle.log_mel
    media: list[Medium | None] = [None] * len(utterances)

    def add(index: int, result: UtteranceResult) -> None:
        media[index] = write_medium(utterances[index], index + 1, files, log_mel, result.frames, result.seconds)

    systems = run_planned(planned, utterances, settings, frame_seconds=LONGEST_PICTURE_SECONDS, on_recording=add)
    return systems, media


def _print(report: EvaluationReport, worst: int) -> None:
    from asr.evaluation.render.text_report import format_alignment, format_report, worst_utterances

    print(format_report(report))
    shown = worst_utterances(report, worst)
    if shown:
        print("\nMost errors:")
    for one in shown:
        found = one.systems[0].score
        print(f"\n{one.utterance.id}  ({found.words.errors} of {found.words.reference_length} words)")
        print(format_alignment(found.alignment))


def _vocabulary(main: System | Candidate, settings: EvaluateConfig) -> tuple[Collection[str] | None, str | None]:
    """The known words, and the file they come from: a setting, or the language model of the evaluated decoder."""
    from asr.evaluation.sources import System

    path = settings.vocabulary
    if path is None and not isinstance(main, System) and isinstance(main.decoder, BeamConfig):
        path = main.decoder.lm
    if path is None:
        return None, None
    from asr.decoding.assembly import load_language_model, read_word_list

    if Path(path).suffix == ".txt":
        return frozenset(read_word_list(path)), Path(path).name
    model = load_language_model(path)
    return (None, None) if model.unit is not LanguageUnit.words else (model.numbers, Path(path).name)
