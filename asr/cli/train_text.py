"""`asr train-text`."""

from __future__ import annotations

import logging
import shlex
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.cli.training_run import import_keras
from asr.errors import ConfigError
from asr.files import typed_path
from asr.settings.commands import TrainTextConfig

if TYPE_CHECKING:
    from asr.training.stop import StopRequest
    from asr.training.tagger_run import TaggerScores

_log = logging.getLogger(__name__)

USAGE = "asr train-text TEXT... [key=value...]"
TEXT = """
Trains a model that predicts punctuation, capitals and the ends of sentences, on texts that have them: one paragraph a
line, an empty line between documents (books, articles), plain or compressed (.gz, .bz2, .xz). Some documents are held
out for validation. Ctrl-C saves and stops; the same command with run_dir=FOLDER resumes there. The model is
punctuation.onnx in the folder of the run. KERAS_BACKEND=torch is the fastest on processors.
"""
EXAMPLES = """\
  asr train-text books.txt.xz
  asr train-text news.txt articles.txt.gz language=de training.epochs=3 run_dir=runs/german-text
  asr train-text books.txt training.minutes=60 training.bfloat16=true
  asr train-text books.txt confusions=report/confusions.csv
  asr transcribe talk.wav punctuation=runs/german-text/punctuation.onnx bundle=runs/german/best
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: TrainTextConfig | None = settings_or_answer(
        "train-text", split, usage=USAGE, text=TEXT, examples=EXAMPLES
    )
    if settings is None:
        return 0
    for name in split.files:
        if not typed_path(name).is_file():
            raise ConfigError(f"{name}: no such text")
    if settings.run_dir is None:
        settings = replace(settings, run_dir=f"runs/{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    import_keras("asr train-text")
    from asr.training.stop import StopRequest
    from asr.training.tagger_run import TAGGER

    stop = StopRequest()
    with stop.handling_signals():
        scores = _train(split.files, settings, stop)
    if scores is None:
        again = shlex.join(["asr", "train-text", *split.files, f"run_dir={settings.run_dir}"])
        _log.warning("stopped and saved; to resume, with the same settings: %s", again)
        return 143 if stop.signal == signal.SIGTERM else 130
    print(
        f"F1 on held-out texts: full stop {scores.full_stop:.1%}, comma {scores.comma:.1%}, question mark "
        f"{scores.question_mark:.1%}, capitals {scores.case:.1%}, ends of sentences {scores.sentences:.1%}"
    )
    print(typed_path(str(settings.run_dir)) / TAGGER)
    return 0


def _train(files: Sequence[str], settings: TrainTextConfig, stop: StopRequest) -> TaggerScores | None:
    from tqdm import tqdm

    from asr.training.tagger_run import train_tagger

    shown = "{desc}: {percentage:.1f} % [{elapsed}<{remaining}]{postfix}"
    with tqdm(total=100, desc="training", bar_format=shown, disable=None) as bar:
        mean = 0.0

        def show(step: int, share: float, loss: float) -> None:
            nonlocal mean
            mean += (loss - mean) / min(step, 100)
            bar.set_postfix_str(f"{mean:.3f} nats a word", refresh=False)
            bar.update(min(100.0, 100 * share) - bar.n)

        return train_tagger(files, settings, stop, on_step=show)
