"""`asr tune`."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.arguments import split_arguments
from asr.cli.command import load_engine, settings_or_answer
from asr.corpus.manifest import Utterance, read_manifests
from asr.errors import AudioError, ConfigError, ManifestError
from asr.files import OutputJournal, typed_path
from asr.machine import available_cores
from asr.packages import require_packages
from asr.settings.commands import TuneConfig
from asr.settings.decoding import FROM_BUNDLE, AutoConfig, BeamConfig
from asr.text.normalize import normalize_text

if TYPE_CHECKING:
    from asr.bundle import Bundle
    from asr.decoding import Decoder
    from asr.decoding.confidence import Calibration
    from asr.recognition.acoustic_output import AcousticOutput
    from asr.tuning.search import Trial

_log = logging.getLogger(__name__)

USAGE = "asr tune MANIFEST... [decoder.lm=FILE] [key=value...]"
TEXT = """
Finds the weights of the language models and of the symbols' priors, the word bonus, the score of unknown words and the
beam width with the lowest error rate on transcribed recordings, and calibrates the confidences of words. The network
runs once; the search decodes many times, starting from the bundle's settings, at its beam width (decoder.beam_width=64
is faster). Without decoder.lm the bundle's own language model is used, if it has one; with decoder=greedy only
confidences are calibrated. Tune on recordings that are not training data, and report error rates on others.
"""
EXAMPLES = """\
  asr tune valid.jsonl decoder.lm=english.lm
  asr tune valid.jsonl decoder.lm=english.lm bundle=runs/mine/best output=runs/mine/with-lm report_dir=tuning
  asr transcribe talk.wav bundle=runs/mine/with-lm
"""

_SEARCH_FILES, _RELIABILITY = ("trials.csv", "decoder.yaml", "surface.png"), "reliability.png"
"""of report_dir"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: TuneConfig | None = settings_or_answer("tune", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    if settings.output:
        for name in ("lexicon", "hotwords", "hotwords_file"):
            if getattr(settings.decoder, name, None) not in (None, [], FROM_BUNDLE):
                raise ConfigError(f"a bundle does not store decoder.{name}: leave it out, or leave output out")
    _check_outputs(settings)
    reading = read_manifests(split.files)
    if reading.problems:
        raise ManifestError(reading.problems)
    return _tune(reading.utterances, settings)


def _check_outputs(settings: TuneConfig) -> None:
    """Refuse outputs that cannot be written, before hours of work."""
    from asr.bundle import check_bundle_output

    if settings.output:
        check_bundle_output(typed_path(settings.output), overwrite=settings.overwrite)
    if settings.report_dir:
        folder = typed_path(settings.report_dir)
        if settings.output and folder.resolve().is_relative_to(typed_path(settings.output).resolve()):
            raise ConfigError(f"report_dir={folder} is inside the bundle output={settings.output}: name another folder")
        OutputJournal(overwrite=settings.overwrite).check(folder / name for name in (*_SEARCH_FILES, _RELIABILITY))


def _tune(utterances: Sequence[Utterance], settings: TuneConfig) -> int:
    from tqdm import tqdm

    from asr.audio.readers import Limits, Readers
    from asr.bundle import bundle_argument, copy_bundle, load_bundle
    from asr.decoding import decoder_kind, make_decoder
    from asr.recognition.transcriber import Transcriber
    from asr.tuning.calibration import measure_priors

    bundle, decoder = load_bundle(settings.bundle), settings.decoder
    if isinstance(decoder, AutoConfig):
        # n_best is named, so that it is a beam search where the bundle recommends none.
        decoder = replace(decoder, n_best=1).resolve(bundle.decoder)
    if isinstance(decoder, BeamConfig):
        if not decoder.lm:
            raise ConfigError("no language model is named: decoder.lm=FILE (`asr lm` makes one)")
        decoder = replace(decoder, n_best=1)
    needed = (["optuna"] if isinstance(decoder, BeamConfig) else []) + (["matplotlib"] if settings.report_dir else [])
    require_packages(*needed, extra="tune", purpose="asr tune")
    # Unusable settings are refused before the network runs; priors for a new bundle are measured on the recordings.
    output = bundle.output_for(decoder)
    make_decoder(
        bundle.alphabet,
        decoder,
        priors=[1.0] * (output.stop - output.start) if settings.output else bundle.priors,
        normalizer=bundle.normalizer,
        phones=bundle.phones,
    )
    outputs, references, speakers, failed = [], [], [], 0
    with Readers(Limits(hours=settings.max_hours, timeout=settings.timeout)) as readers:
        transcriber = Transcriber(
            bundle,
            decoder=decoder,
            channel=settings.channel,
            track=settings.track,
            workers=settings.workers,
            engine=load_engine(bundle, settings.engine),
            readers=readers,
        )
        results = transcriber.run_model_on_files(one.audio for one in utterances)
        bar = tqdm(results, "running the model", len(utterances), unit="file", disable=None, leave=False)
        for utterance, result in zip(utterances, bar, strict=True):
            if isinstance(result, AudioError):
                _log.error("%s: %s", utterance.where, result)
                failed += 1
                continue
            for note in result.notes:
                _log.warning("%s: %s", utterance.where, note)
            outputs.append(result)
            references.append(normalize_text(utterance.text or "", settings.normalizer))
            speakers.append(utterance.speaker or utterance.id)
    if not any(references):
        raise ConfigError("there is nothing to tune on: no transcript has words")
    report_dir = typed_path(settings.report_dir) if settings.report_dir else None
    # Without output=, the results are for the unchanged bundle.
    # Priors are those of the output that the bundle's decoder reads, which greedy decoding may not use.
    is_measured = settings.output and (isinstance(decoder, BeamConfig) or bundle.decoder is None)
    priors = measure_priors(outputs) if is_measured else bundle.priors
    if isinstance(decoder, BeamConfig):
        decoder = _search(outputs, references, settings, decoder, bundle, priors, report_dir)
    made = make_decoder(bundle.alphabet, decoder, priors=priors, normalizer=bundle.normalizer, phones=bundle.phones)
    calibration = _calibrate(outputs, references, speakers, settings, made, report_dir)
    if report_dir:
        _log.info("report written to %s", report_dir)
    if settings.output:
        target = typed_path(settings.output)
        copy_bundle(
            bundle,
            target,
            decoder=decoder if isinstance(decoder, BeamConfig) else None,
            priors=priors,
            confidence={**bundle.confidence, **({decoder_kind(decoder): calibration} if calibration else {})},
            overwrite=settings.overwrite,
        )
        _log.info("bundle written to %s: asr transcribe FILE bundle=%s", target, bundle_argument(target))
    if failed:
        _log.error("%d of %d recordings cannot be read", failed, len(utterances))
    return 1 if failed else 0


def _search(
    outputs: Sequence[AcousticOutput],
    references: Sequence[str],
    settings: TuneConfig,
    decoder: BeamConfig,
    bundle: Bundle,
    priors: Sequence[float],
    report_dir: Path | None,
) -> BeamConfig:
    """Find, show and write the best settings of a beam search."""
    from tqdm import tqdm

    from asr.tuning.search import Tuner, recommend

    seconds = sum(one.duration for one in outputs)
    cores = settings.workers or available_cores()
    with Tuner(
        outputs,
        references,
        bundle.alphabet,
        settings.normalizer,
        settings=replace(decoder, second_pass=None),
        spelling=bundle.normalizer,
        phones=bundle.phones,
        priors=priors,
        seed=settings.seed,
        workers=cores,
    ) as tuner:
        with tqdm(total=settings.trials, desc="searching", unit="trial", disable=None, leave=False) as bar:
            best = math.inf

            def show(trial: Trial) -> None:
                nonlocal best
                best = min(best, trial.rate[0])
                bar.set_postfix_str(f"best WER {100 * best:.2f} %")
                bar.update()

            trials = tuner.search(settings.trials, show)
        _log.info("best of %d trials: %.2f %% WER; trying beam widths", len(trials), 100 * trials[0].rate[0])
        widths = tuner.try_widths(trials[0].settings, [*settings.beam_widths, decoder.beam_width])
        chosen, weights = recommend(widths), []
        if decoder.second_pass is not None:
            _log.info("trying weights of the second pass")
            weights = tuner.try_second_pass(replace(chosen.settings, second_pass=decoder.second_pass))
    print(_table(trials, widths, chosen, seconds))
    if weights:
        # Of equal ones, the lowest.
        chosen = min(weights, key=lambda trial: trial.rate)
        print(_table_of_weights(weights, chosen, seconds))
        if not chosen.settings.second_pass_weight:
            _log.warning("the second pass makes no fewer errors on these recordings: it is left out")
            chosen = replace(chosen, settings=replace(chosen.settings, second_pass=None))
    print(f"\n{_overrides(chosen.settings)}")
    if report_dir:
        journal = OutputJournal(overwrite=settings.overwrite)
        _report(journal, report_dir, trials, widths, weights, chosen, seconds)
    return chosen.settings


def _calibrate(
    outputs: Sequence[AcousticOutput],
    references: Sequence[str],
    speakers: Sequence[str],
    settings: TuneConfig,
    decoder: Decoder,
    report_dir: Path | None,
) -> Calibration | None:
    """Calibrate the confidences of words, and print how well they are calibrated."""
    import numpy as np

    from asr.decoding.confidence import word_features
    from asr.recognition.joining import decode_recordings
    from asr.tuning.calibration import draw_reliability, fit_calibration, measure_reliability, right_words

    features, right, owners = [], [], []
    found = decode_recordings(outputs, decoder)
    for recording, hypotheses, reference, speaker in zip(outputs, found, references, speakers, strict=True):
        best = hypotheses[0]
        # Confidences belong to the written words, the references are normalised: texts that differ are skipped.
        spans, normalized = decoder.alphabet.words(best.text), normalize_text(best.text, settings.normalizer)
        if spans and best.text.split() == normalized.split():
            language = decoder.language_scores(best.text)
            features.append(word_features(best, recording.log_probs(), language, spans=spans))
            words = [best.text[start:end] for start, end in spans]
            right.append(np.array(right_words(reference, normalized, words), np.float64))
            owners.append(speaker)
    truth = np.concatenate(right) if right else np.zeros(0)
    if len(truth) == 0 or truth.min() == truth.max():
        _log.warning("confidences are not calibrated: all of the %d words are correct, or all are wrong", len(truth))
        return None
    reliability, _ = measure_reliability(features, right, owners)
    print(
        f"\nconfidences, on held-out speakers: expected calibration error "
        f"{100 * reliability.expected_calibration_error:.2f} %, normalised cross-entropy "
        f"{reliability.normalized_cross_entropy:.3f} "
        f"({reliability.words:,} words, {100 * reliability.right:.1f} % correct)"
    )
    if report_dir:
        journal = OutputJournal(overwrite=settings.overwrite)
        journal.write(report_dir / _RELIABILITY, draw_reliability(reliability))
    return fit_calibration(np.concatenate(features), truth)


def _overrides(settings: BeamConfig) -> str:
    """Settings as overrides: those that were searched, and others that differ from the defaults."""
    import shlex

    from asr.cli.overrides import shown_value
    from asr.tuning.search import SEARCHED

    values = {name: f"{getattr(settings, name):.3f}" for name in SEARCHED}
    default = BeamConfig()
    for one in fields(settings):
        value = getattr(settings, one.name)
        if one.name not in SEARCHED and (one.name == "beam_width" or value != getattr(default, one.name)):
            values[one.name] = shown_value(value)
    return " ".join(["decoder=beam", *(shlex.quote(f"decoder.{name}={value}") for name, value in values.items())])


def _table(trials: Sequence[Trial], widths: Sequence[Trial], chosen: Trial, seconds: float) -> str:
    from asr.tuning.search import SEARCHED

    lines = ["  ".join(SEARCHED) + "      WER      CER"]
    for trial in trials[:5]:
        found = "  ".join(f"{getattr(trial.settings, name):{len(name)}.3f}" for name in SEARCHED)
        lines.append(f"{found}  {100 * trial.rate[0]:6.2f} % {100 * trial.rate[1]:6.2f} %")
    lines += ["", "beam_width      WER  core-seconds per hour of audio"]
    for trial in widths:
        width, hourly = trial.settings.beam_width, 3600 * trial.seconds / seconds
        mark = "  <- recommended" if trial is chosen else ""
        lines.append(f"{width:10d}  {100 * trial.rate[0]:6.2f} %  {hourly:29.1f}{mark}")
    return "\n".join(lines)


def _table_of_weights(weights: Sequence[Trial], chosen: Trial, seconds: float) -> str:
    hourly = 3600 * weights[0].seconds / seconds
    lines = ["", f"second_pass_weight      WER  ({hourly:.1f} core-seconds per hour of audio)"]
    for trial in weights:
        mark = "  <- recommended" if trial is chosen else ""
        lines.append(f"{trial.settings.second_pass_weight:18.1f}  {100 * trial.rate[0]:6.2f} %{mark}")
    return "\n".join(lines)


def _report(
    journal: OutputJournal,
    folder: Path,
    trials: Sequence[Trial],
    widths: Sequence[Trial],
    weights: Sequence[Trial],
    chosen: Trial,
    seconds: float,
) -> None:
    from asr.settings.yaml_text import to_yaml
    from asr.tuning.search import SEARCHED
    from asr.tuning.surface import draw_surface

    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    names = (*SEARCHED, "beam_width", *(["second_pass_weight"] if weights else []))
    writer.writerow([*names, "wer", "cer", "core_seconds"])
    for trial in [*trials, *widths, *weights]:
        writer.writerow([*(getattr(trial.settings, name) for name in names), *trial.rate, round(trial.seconds, 3)])
    contents = (
        rows.getvalue().encode(),
        to_yaml(chosen.settings).encode(),
        draw_surface(trials, widths, chosen, seconds),
    )
    for name, content in zip(_SEARCH_FILES, contents, strict=True):
        journal.write(folder / name, content)
