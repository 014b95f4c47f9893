"""`asr evaluate`."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr.cli.arguments import split_arguments
from asr.cli.command import load_engine, settings_or_answer
from asr.config import AutoConfig, BeamConfig, EvaluateConfig
from asr.corpus.manifest import Utterance, read_manifests, read_rows, utterance_id
from asr.errors import AudioError, ManifestError

REGRESSION = 3

_log = logging.getLogger(__name__)

USAGE = "asr evaluate MANIFEST... [key=value...]"
TEXT = """
Measures word and character error rates: of a bundle on the recordings of some manifests, or, with hypotheses=FILE, of
texts made elsewhere. Errors are pooled over all utterances. References and hypotheses are brought to one spelling first
(normalizer=standard: lower case, no punctuation; normalizer=none: as they are). Every utterance counts: an id missing
on either side is refused, and a recording that cannot be read counts as an empty text, with exit code 1.
"""
EXAMPLES = """\
  asr evaluate test.jsonl
  asr evaluate test.jsonl bundle=runs/mine/best decoder=beam output_dir=report
  asr evaluate test.jsonl hypotheses=other_system.jsonl normalizer=none
  asr evaluate test.jsonl bundle=runs/new/best baseline=report/report.json max_regression=0.5
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: EvaluateConfig | None = settings_or_answer("evaluate", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    return _evaluate(split.files, settings)


def _evaluate(manifests: Sequence[str], settings: EvaluateConfig) -> int:
    from asr.evaluation.report import (
        format_alignment,
        format_comparison,
        format_intervals,
        format_table,
        read_baseline,
        worst_utterances,
        write_report,
    )
    from asr.evaluation.scoring import score
    from asr.evaluation.statistics import compare, enough_speakers, is_regression, rate_intervals
    from asr.text.normalize import normalize_text

    reading = read_manifests(manifests)
    problems = reading.problems + _repeated_ids(reading.utterances)
    if problems:
        raise ManifestError(problems)
    utterances = reading.utterances
    about: dict[str, Any] = {"manifests": list(manifests), "normalizer": _normalizer_object(settings)}
    if settings.hypotheses:
        texts, failed = _read_hypotheses(settings.hypotheses, utterances), 0
        about["hypotheses"] = settings.hypotheses
    else:
        started = time.monotonic()
        texts, failed, seconds = _transcribe(utterances, settings)
        spent = time.monotonic() - started
        about |= {
            "bundle": settings.bundle,
            "decoder": _decoder_text(settings),
            "audio_seconds": round(seconds, 1),
            "wall_seconds": round(spent, 1),
            "unreadable": failed,
        }
    result = score(
        [normalize_text(one.text or "", settings.normalizer) for one in utterances],
        [normalize_text(text, settings.normalizer) for text in texts],
    )
    ids = [one.id for one in utterances]
    intervals = rate_intervals(result, [one.speaker for one in utterances])
    what = settings.hypotheses or f"{settings.bundle}, {about['decoder']}"
    print(f"{', '.join(manifests)}  ({what})\n\n{format_table(result)}")
    if intervals:
        print(f"\nWord error rate: {format_intervals(intervals[:1])}")
        for line in format_intervals(intervals[1:]).splitlines():
            print(f"                 {line}")
    worse = False
    if settings.baseline:
        before = read_baseline(settings.baseline, ids, [one.reference for one in result.utterances])
        comparison = compare(result, before, enough_speakers([one.speaker for one in utterances]))
        print(f"\n{format_comparison(comparison, settings.baseline)}")
        about["baseline"] = {"report": settings.baseline} | asdict(comparison)
        worse = is_regression(comparison, settings.max_regression)
    if not settings.hypotheses and seconds:
        print(f"\n{seconds / 3600:.2f} h of audio in {spent:.1f} s: {seconds / spent:.0f} times real time")
    if failed:
        print(f"\n{failed} unreadable recordings count as empty texts")
    worst = worst_utterances(result, ids, settings.worst)
    if worst:
        print("\nMost errors:")
    for name, one in worst:
        print(f"\n{name}  ({one.words.errors} of {one.words.reference_length} words)\n{format_alignment(one)}")
    if settings.output_dir:
        write_report(settings.output_dir, ids, result, about, intervals)
        _log.info("report written to %s", settings.output_dir)
    if worse:
        _log.error("worse than %s by more than max_regression=%g points", settings.baseline, settings.max_regression)
        return REGRESSION
    return 1 if failed else 0


def _decoder_text(settings: EvaluateConfig) -> str:
    decoder = settings.decoder
    if isinstance(decoder, AutoConfig):
        from asr.bundle import load_bundle

        decoder = decoder.resolve(load_bundle(settings.bundle).decoder)
    if isinstance(decoder, BeamConfig) and decoder.lm:
        return f"beam of {decoder.beam_width}, language model {Path(decoder.lm).name}"
    return f"beam of {decoder.beam_width}" if isinstance(decoder, BeamConfig) else "greedy"


def _normalizer_object(settings: EvaluateConfig) -> dict[str, Any]:
    normalizer = settings.normalizer
    return {
        "unicode_form": normalizer.unicode_form.value,
        "lowercase": normalizer.lowercase,
        "strip_punctuation": normalizer.strip_punctuation,
        "keep": normalizer.keep,
    }


def _transcribe(utterances: Sequence[Utterance], settings: EvaluateConfig) -> tuple[list[str], int, float]:
    """Texts, the number of unreadable recordings, and seconds of audio."""
    from tqdm import tqdm

    from asr.bundle import load_bundle
    from asr.transcription.transcriber import Transcriber

    bundle = load_bundle(settings.bundle)
    transcriber = Transcriber(
        bundle,
        decoder=settings.decoder,
        channel=settings.channel,
        workers=settings.workers,
        engine=load_engine(bundle, settings.engine),
    )
    texts, failed, seconds = [], 0, 0.0
    results = transcriber.transcribe_files(one.audio_path for one in utterances)
    for utterance, result in tqdm(
        zip(utterances, results, strict=True), "transcribing", len(utterances), unit="file", disable=None, leave=False
    ):
        if isinstance(result, AudioError):
            _log.error("%s: %s", utterance.where, result)
            failed += 1
            texts.append("")
        else:
            texts.append(result.text)
            seconds += result.duration
    return texts, failed, seconds


def _repeated_ids(utterances: Sequence[Utterance]) -> list[str]:
    """Ids that two manifests share: no hypothesis could be told apart."""
    first: dict[str, str] = {}
    problems = []
    for one in utterances:
        if one.id in first:
            problems.append(f"{one.where}: the id {one.id!r} is that of {first[one.id]} already")
        first.setdefault(one.id, one.where)
    return problems


def _read_hypotheses(path: str, utterances: Sequence[Utterance]) -> list[str]:
    """Texts from a file of JSON lines, in the utterances' order; ids must match exactly."""
    rows, problems = read_rows(path)
    texts: dict[str, str] = {}
    for where, row in rows:
        if row.get("id") is None and not isinstance(row.get("audio_filepath"), str):
            problems.append(f"{where}: neither id nor audio_filepath says whose text this is")
        elif not isinstance(row.get("text"), str):
            problems.append(f"{where}: text is missing")
        elif utterance_id(row) in texts:
            problems.append(f"{where}: a second text for {utterance_id(row)!r}")
        else:
            texts[utterance_id(row)] = row["text"]
    wanted = {one.id: one.where for one in utterances}
    problems += [f"{where}: {name!r} has no text in {path}" for name, where in wanted.items() if name not in texts]
    problems += [f"{path}: {name!r} is in none of the manifests" for name in texts if name not in wanted]
    if problems:
        raise ManifestError(problems)
    return [texts[one.id] for one in utterances]
