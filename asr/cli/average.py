"""`asr average`."""

from __future__ import annotations

from collections.abc import Sequence

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.cli.console import percent
from asr.cli.training_run import average_run
from asr.errors import ConfigError
from asr.settings.commands import AverageConfig

USAGE = "asr average RUN [epochs=best:5]"
TEXT = """
Averages the weights of several epochs of a finished training, and writes the result as the bundle RUN/average, with its
error rates on the validation set of the run. It often makes fewer errors than any epoch. The run keeps the
weights of its best epochs (training.keep_epochs).
"""
EXAMPLES = """\
  asr average runs/mine                      the best five
  asr average runs/mine epochs=best:3
  asr average runs/mine epochs=last:4
  asr average runs/mine epochs=7,9,12
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: AverageConfig | None = settings_or_answer("average", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    if len(split.files) != 1:
        raise ConfigError(f"asr average takes the folder of one run, not {len(split.files)}")
    average = average_run(split.files[0], settings.epochs)
    best, score = average.best, average.score
    print(
        f"mean of epochs {', '.join(map(str, average.epochs))}: CER {percent(score.characters.rate)}, "
        f"WER {percent(score.words.rate)} on the validation set (the best single epoch, {best.epoch}: "
        f"CER {percent(best.valid_cer)}, WER {percent(best.valid_wer)})\n{average.bundle}"
    )
    return 0
