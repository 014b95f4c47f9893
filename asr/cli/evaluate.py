"""`asr evaluate`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.cli.page import MEDIA_FOLDER, PAGE, foreign_media, write_page
from asr.cli.systems import gather_systems, resolved_decoder
from asr.errors import ConfigError
from asr.files import OutputJournal, check_folder, typed_path
from asr.settings.commands import EvaluateConfig
from asr.settings.decoding import BeamConfig
from asr.settings.language import LanguageUnit

REGRESSION = 3

_log = logging.getLogger(__name__)

USAGE = "asr evaluate REFERENCES... [key=value...]"
TEXT = """
Measures word and character error rates: of a bundle on the recordings of some manifests, or, with hypotheses=FILE, of
texts made elsewhere (JSON lines, .ctm, .trn, .txt); references may be manifests, .trn, .stm, .ctm or .txt. Errors are
pooled over all utterances and come with 95 % intervals; against=[...] compares systems. References and hypotheses are
brought to one spelling first (normalizer=standard: lower case, no punctuation; normalizer=none: as they are;
english=true: contractions, numbers and spellings too). Every utterance counts: an id missing on either side is refused,
and a recording that cannot be read counts as an empty text, with exit code 1. output_dir=FOLDER writes report.html, a
page to read, listen and search, and the same as JSON, text, Markdown and tables.
"""
EXAMPLES = """\
  asr evaluate test.jsonl
  asr evaluate test.jsonl bundle=runs/mine/best against=[greedy] output_dir=report
  asr evaluate test.jsonl hypotheses=other_system.ctm against=[third.jsonl] english=true
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
    from asr.evaluation.policy import ScoringPolicy
    from asr.evaluation.report import make_report, normalized_references, read_baseline, write_report
    from asr.evaluation.sources import read_references
    from asr.evaluation.text import format_alignment, format_report, worst_utterances

    if settings.output_dir:
        _check_outputs(settings)
    utterances = read_references(references)
    policy = ScoringPolicy(
        settings.normalizer, english=settings.english, rules=settings.scoring_rules, synonyms=settings.synonyms
    )
    if settings.baseline:  # whatever is wrong with it is told before an hour of audio has been heard
        references_there = [str(text) for text in normalized_references(utterances, policy)]
        read_baseline(settings.baseline, [one.id for one in utterances], references_there)
    vocabulary, vocabulary_name = _vocabulary(settings)
    systems = gather_systems(utterances, settings)
    report = make_report(
        utterances,
        systems,
        policy,
        references=references,
        slice_by=settings.slice_by,
        vocabulary=vocabulary,
        vocabulary_name=vocabulary_name,
        baseline=settings.baseline,
        max_regression=settings.max_regression,
    )
    print(format_report(report))
    worst = worst_utterances(report, settings.worst)
    if worst:
        print("\nMost errors:")
    for one in worst:
        detail = one["systems"][0]
        counts = detail["words"]
        print(f"\n{one['id']}  ({counts['errors']} of {counts['reference_length']} words)")
        print(format_alignment(detail["alignment"]))
    if settings.output_dir:
        folder = typed_path(settings.output_dir)
        write_report(folder, report, overwrite=settings.overwrite)
        page = write_page(folder, report, utterances, settings)
        _log.info("report written to %s", page)
    if report["baseline"] and report["baseline"]["is_regression"]:
        _log.error("worse than %s by more than max_regression=%g points", settings.baseline, settings.max_regression)
        return REGRESSION
    return 1 if any(system.unreadable for system in systems) else 0


def _check_outputs(settings: EvaluateConfig) -> None:
    """Make the folder, and refuse what is in the way there, before an hour of work."""
    from asr.evaluation.report import REPORT_FILES

    folder = typed_path(settings.output_dir or "")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_dir={folder}: no folder can be made there ({error.strerror})") from error
    OutputJournal(overwrite=settings.overwrite).check(folder / name for name in (*REPORT_FILES, PAGE))
    check_folder(folder / MEDIA_FOLDER, foreign=lambda old: foreign_media(old, overwrite=settings.overwrite))


def _vocabulary(settings: EvaluateConfig) -> tuple[Collection[str] | None, str | None]:
    """The words that are known, and where that is written: a setting, or the language model of the decoder."""
    from asr.decoding.assembly import load_language_model, read_word_list

    path = settings.vocabulary
    if path is None:
        decoder = resolved_decoder(settings)
        path = decoder.lm if isinstance(decoder, BeamConfig) else None
    if path is None:
        return None, None
    if Path(path).suffix == ".txt":
        return frozenset(read_word_list(path)), Path(path).name
    model = load_language_model(path)
    return (None, None) if model.unit is not LanguageUnit.words else (model.numbers, Path(path).name)
