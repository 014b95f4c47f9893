"""`asr card`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer
from asr.errors import ConfigError
from asr.files import OutputJournal, typed_path
from asr.settings.commands import CardConfig

if TYPE_CHECKING:
    from asr.bundle import Bundle

USAGE = "asr card BUNDLE [key=value...]"
TEXT = """
Writes the model card of a bundle in the format of the Hugging Face hub: README.md with a YAML header that has the error
rates as a `model-index`. The rates come from report.json files of `asr evaluate` (report=...), or from the
bundle itself. Without output=FILE, the card is written to standard output.
"""
EXAMPLES = """\
  asr card en language=[en] license=apache-2.0
  asr card runs/mine/best report=[report/report.json] name=my-model output=README.md
"""

_log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: CardConfig | None = settings_or_answer("card", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    if len(split.files) != 1:
        raise ConfigError(f"asr card takes one bundle, not {len(split.files)}: asr card BUNDLE")
    output, journal = settings.output and typed_path(settings.output), OutputJournal(overwrite=settings.overwrite)
    if output:
        journal.check([output])
    from asr.bundle import load_bundle

    card = model_card(load_bundle(split.files[0]), settings)
    if output:
        journal.write(output, card.encode("utf-8"))
        _log.info("model card written to %s", output)
    else:
        print(card, end="")
    return 0


def model_card(bundle: Bundle, settings: CardConfig, source: str | None = None) -> str:
    """The card of a bundle by the settings of a command."""
    from asr.sharing.model_card import read_measurements, render_model_card, stored_measurements

    measured = [one for path in settings.report for one in read_measurements(path, system=settings.system)]
    return render_model_card(
        bundle,
        measured or stored_measurements(bundle),
        name=settings.name or bundle.name,
        languages=settings.language,
        license_name=settings.license,
        source=source,
    )
