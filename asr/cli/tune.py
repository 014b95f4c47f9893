"""`asr tune`."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.config import BeamConfig, TuneConfig
from asr.corpus.manifest import Utterance, read_manifests
from asr.errors import AudioError, ConfigError, ManifestError
from asr.files import write_atomically
from asr.text.normalize import normalize_text

if TYPE_CHECKING:
    from asr.tuning.search import Trial

_log = logging.getLogger(__name__)

USAGE = "asr tune MANIFEST... decoder.lm=FILE [key=value...]"
TEXT = """
Finds the weight of a language model, the bonus for words, the price of unknown words and the width of the beam that
write the fewest errors on some transcribed recordings. The model hears them once; the search decodes them many times.
Tune on recordings that were not trained on, and report error rates on yet others.
"""
EXAMPLES = """\
  asr tune valid.jsonl decoder.lm=english.lm
  asr tune valid.jsonl decoder.lm=english.lm bundle=runs/mine/best output=runs/mine/with-lm report_dir=tuning
  asr transcribe talk.wav bundle=runs/mine/with-lm
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: TuneConfig | None = settings_or_answer("tune", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    decoder = settings.decoder
    if not isinstance(decoder, BeamConfig):
        raise ConfigError("only decoder=beam has anything to tune")
    if decoder.lm is None:
        raise ConfigError("name the language model whose weight is to be found: decoder.lm=FILE (`asr lm` makes one)")
    reading = read_manifests([Path(name) for name in split.files])
    if reading.problems:
        raise ManifestError(reading.problems)
    return _tune(reading.utterances, settings, replace(decoder, n_best=1))


def _tune(utterances: Sequence[Utterance], settings: TuneConfig, decoder: BeamConfig) -> int:
    from tqdm import tqdm

    from asr.bundle import copy_bundle, load_bundle
    from asr.decoding import make_decoder
    from asr.transcription.transcriber import Transcriber
    from asr.tuning.search import Tuner, recommend

    bundle = load_bundle(settings.bundle)
    make_decoder(bundle.alphabet, decoder)  # what cannot be used is refused before the recordings are heard
    transcriber = Transcriber(bundle, channel=settings.channel, workers=settings.workers)
    heard, references, failed = [], [], 0
    results = transcriber.hear_files(one.audio_path for one in utterances)
    for utterance, result in tqdm(
        zip(utterances, results, strict=True), "listening", len(utterances), unit="file", disable=None, leave=False
    ):
        if isinstance(result, AudioError):
            _log.error("%s: %s", utterance.where, result)
            failed += 1
        else:
            heard.append(result)
            references.append(normalize_text(utterance.text or "", settings.normalizer))
    if not any(references):
        raise ConfigError("there is nothing to tune on: no recording has words")
    seconds = sum(one.duration for one in heard)
    cores = settings.workers or os.cpu_count() or 1
    with Tuner(
        heard, references, bundle.alphabet, settings.normalizer, settings=decoder, seed=settings.seed, workers=cores
    ) as tuner:
        with tqdm(total=settings.trials, desc="searching", unit="trial", disable=None, leave=False) as bar:
            best = 1.0

            def show(trial: Trial) -> None:
                nonlocal best
                best = min(best, trial.rate[0])
                bar.set_postfix_str(f"best WER {100 * best:.2f} %")
                bar.update()

            trials = tuner.search(settings.trials, show)
        _log.info("best of %d trials: %.2f %% WER; trying beam widths", len(trials), 100 * trials[0].rate[0])
        widths = tuner.try_widths(trials[0].settings, [*settings.beam_widths, decoder.beam_width])
    chosen = recommend(widths)
    print(_table(trials, widths, chosen, seconds))
    if settings.report_dir:
        folder = Path(settings.report_dir).expanduser()
        _report(folder, trials, widths, chosen, seconds)
        _log.info("report written to %s", folder)
    if settings.output:
        target = Path(settings.output).expanduser()
        copy_bundle(bundle, target, decoder=chosen.settings)
        _log.info("bundle written to %s: asr transcribe FILE bundle=%s", target, target)
    if failed:
        _log.error("%d of %d recordings cannot be read", failed, len(utterances))
    return 1 if failed else 0


def _overrides(settings: BeamConfig) -> str:
    return (
        f"decoder=beam decoder.lm={settings.lm} decoder.lm_weight={settings.lm_weight:.3f} "
        f"decoder.word_bonus={settings.word_bonus:.3f} decoder.unknown_score={settings.unknown_score:.3f} "
        f"decoder.beam_width={settings.beam_width}"
    )


def _table(trials: Sequence[Trial], widths: Sequence[Trial], chosen: Trial, seconds: float) -> str:
    lines = ["lm_weight  word_bonus  unknown_score      WER      CER"]
    for trial in trials[:5]:
        one = trial.settings
        lines.append(
            f"{one.lm_weight:9.3f}  {one.word_bonus:10.3f}  {one.unknown_score:13.3f}  {100 * trial.rate[0]:6.2f} %"
            f" {100 * trial.rate[1]:6.2f} %"
        )
    lines += ["", "beam_width      WER  core-seconds an hour of audio"]
    for trial in widths:
        width, hourly = trial.settings.beam_width, 3600 * trial.seconds / seconds
        mark = "  <- recommended" if trial is chosen else ""
        lines.append(f"{width:10d}  {100 * trial.rate[0]:6.2f} %  {hourly:29.1f}{mark}")
    return "\n".join([*lines, "", _overrides(chosen.settings)])


def _report(folder: Path, trials: Sequence[Trial], widths: Sequence[Trial], chosen: Trial, seconds: float) -> None:
    from asr.schema import to_yaml
    from asr.tuning.surface import draw_surface

    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    names = ("lm_weight", "word_bonus", "unknown_score", "beam_width")
    writer.writerow([*names, "wer", "cer", "core_seconds"])
    for trial in [*trials, *widths]:
        writer.writerow([*(getattr(trial.settings, name) for name in names), *trial.rate, round(trial.seconds, 3)])
    write_atomically(folder / "trials.csv", rows.getvalue().encode())
    write_atomically(folder / "decoder.yaml", to_yaml(chosen.settings).encode())
    draw_surface(folder / "surface.png", trials, widths, chosen, seconds)
