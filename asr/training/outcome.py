"""What a run leaves behind: bundles that say what they were made of, and the report of the best one."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

from asr.acoustic.keras_model import read_weights
from asr.audio.features import LogMel
from asr.bundle import Bundle, check_bundle_output, load_bundle, save_bundle
from asr.corpus.manifest import Utterance
from asr.decoding import describe_decoder
from asr.errors import AudioError
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.report import make_report
from asr.evaluation.report_files import DATA_FILES, PAGE, write_report
from asr.evaluation.scoring import Score
from asr.evaluation.sources import Output, System
from asr.files import OutputJournal
from asr.recognition.transcriber import Transcriber
from asr.settings.commands import TrainConfig
from asr.settings.decoding import GreedyConfig
from asr.training.engine import Engine
from asr.training.preflight import Corpus
from asr.training.validation import DECODER

BEST, LAST, VALIDATION = "best", "last", "validation"
"""of a run directory: the bundle with the lowest validation CER, that of the last epoch, the report of the best"""


def check_run_outputs(run_dir: Path) -> None:
    """Refuse, before a training, what others put in the place of its bundles and its report.

    Raises
    ------
    OutputError
        Naming what is in the way.
    """
    for name in (BEST, LAST):
        check_bundle_output(run_dir / name, overwrite=True)
    folder = run_dir / VALIDATION
    if not (folder / DATA_FILES[0]).exists():
        journal = OutputJournal(advice="move it away, or take another run_dir")
        journal.check(folder / name for name in (*DATA_FILES, PAGE))


def save_trained(
    path: Path,
    engine: Engine,
    result: Score,
    *,
    settings: TrainConfig,
    corpus: Corpus,
    log_mel: LogMel,
    valid_names: Sequence[str],
    init: Bundle | None,
    train_hours: float,
    epoch: int,
) -> None:
    """Save a model in training as a bundle.

    Parameters
    ----------
    path : Path
    engine : Engine
        With the weights to save.
    result : Score
        What they came to on the validation set.
    settings : TrainConfig
    corpus : Corpus
    log_mel : LogMel
    valid_names : sequence of str
        The manifests of the validation set.
    init : Bundle or None
        What the training began from.
    train_hours : float
        Hours of speech in an epoch.
    epoch : int
        Epochs trained.
    """
    # Who goes on from a model that listens to a language model gets one that does.
    heir = init if init and init.alphabet == corpus.alphabet else None
    provenance: dict[str, Any] = {
        "train": list(settings.data.train),
        "valid": list(valid_names),
        "train_hours": round(train_hours, 3),
        "train_utterances": len(corpus.train),
        "epoch": epoch,
        "seed": settings.training.seed,
        "backend": keras.backend.backend(),
        "init": init and {"bundle": str(init.path), "provenance": dict(init.provenance)},
        "versions": {package: metadata.version(package) for package in ("asr", "keras", "numpy")},
        "python": platform.python_version(),
    }
    rates = {
        "decoder": describe_decoder(DECODER),
        "wer": result.words.rate,
        "cer": result.characters.rate,
        "utterances": len(result.utterances),
        "note": "chosen on this set, so a little optimistic",
    }
    save_bundle(
        path,
        weights=read_weights(engine.model),
        log_mel=log_mel,
        normalizer=settings.normalizer,
        alphabet=corpus.alphabet,
        phones=corpus.phones,
        model=settings.model,
        decoder=heir.decoder if heir else None,
        priors=heir.priors if heir else (),
        provenance=provenance,
        error_rates={", ".join(valid_names): rates},
        overwrite=True,  # within its own run directory, where a damaged bundle may lie
    )


def report_best(
    run_dir: Path, settings: TrainConfig, utterances: Sequence[Utterance], valid_names: Sequence[str]
) -> list[Path]:
    """Report the best bundle's errors on the validation set, utterance by utterance; nothing if that is done.

    The recordings are decoded as the bundle will be used: by the decoder that it recommends, which a fine-tuned model
    inherits with its language model, else greedily.

    Returns
    -------
    list of Path
        The report's files.

    Raises
    ------
    AudioError
        If a recording can no longer be read.
    """
    best, folder = run_dir / BEST, run_dir / VALIDATION
    if not best.exists() or (folder / "report.json").exists():
        return []
    bundle = load_bundle(best)
    decoder = bundle.decoder or GreedyConfig()
    transcriber = Transcriber(bundle, decoder=decoder)
    outputs = []
    for transcript in tqdm(
        transcriber.transcribe_files([one.audio for one in utterances]),
        "reporting",
        len(utterances),
        unit="file",
        disable=None,
        leave=False,
    ):
        if isinstance(transcript, AudioError):
            raise transcript
        outputs.append(Output(transcript.text))
    label = describe_decoder(decoder)
    system = System(f"{BEST}, {label}", outputs, {"bundle": str(best), "decoder": label})
    report = make_report(utterances, [system], ScoringPolicy(settings.normalizer), references=list(valid_names))
    page = write_report(folder, report)
    return [folder / "report.json", page]
