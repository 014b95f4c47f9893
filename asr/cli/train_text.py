"""`asr train-text`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.cli.text_training import train_on_text
from asr.cli.training_run import import_keras
from asr.errors import ConfigError
from asr.files import typed_path
from asr.settings.commands import TrainTextConfig
from asr.training.run_folder import new_run_dir

USAGE = "asr train-text TEXT... [key=value...]"
TEXT = """
Trains a model that predicts punctuation, capitals and the ends of sentences, on texts that have them: one paragraph a
line, an empty line between documents (books, articles), plain or compressed (.gz, .bz2, .xz). Some documents are held
out for validation; of one book, or of a few articles, the last paragraphs. Ctrl-C saves and stops; the same command
with run_dir=FOLDER resumes there. The model is punctuation.onnx in the folder of the run. KERAS_BACKEND=torch is the
fastest on processors.
"""
EXAMPLES = """\
  asr train-text books.txt.xz
  asr train-text news.txt articles.txt.gz language=de training.epochs=3 run_dir=runs/german-text
  asr train-text books.txt training.minutes=60 training.bfloat16=true
  asr train-text books.txt confusions=report/confusions.csv
  asr train-text mine.txt init=en training.learning_rate=0.001 training.epochs=10 batches.words=1000
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
        settings = replace(settings, run_dir=new_run_dir())
    import_keras("asr train-text")
    from asr.training.tagger_run import TAGGER, train_tagger

    scores, code = train_on_text(
        partial(train_tagger, split.files, settings),
        postfix="{loss:.3f} nats a word",
        again=["asr", "train-text", *split.files, f"run_dir={settings.run_dir}"],
    )
    if scores is None:
        return code
    texts = "held-out texts" if scores.is_held_out else "texts that it was trained on (too small to hold any out)"
    print(
        f"F1 on {texts}: full stop {scores.full_stop:.1%}, comma {scores.comma:.1%}, question mark "
        f"{scores.question_mark:.1%}, capitals {scores.case:.1%}, ends of sentences {scores.sentences:.1%}"
    )
    print(typed_path(str(settings.run_dir)) / TAGGER)
    return 0
