"""The systems that `asr evaluate` scores: bundles that it runs, and texts from files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import ConfigError
from asr.evaluation.sources import HYPOTHESIS_SUFFIXES, System, read_hypotheses
from asr.settings.commands import EvaluateConfig
from asr.settings.decoding import GreedyConfig

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance
    from asr.recognition.evaluate import Candidate

GREEDY = "greedy"

_log = logging.getLogger(__name__)


def plan_systems(utterances: Sequence[Utterance], settings: EvaluateConfig) -> list[System | Candidate]:
    """The system that is evaluated, then those that it is compared with: texts are read, bundles have still to run.

    Raises
    ------
    AsrError
        If a bundle or a file of hypotheses cannot be used, or two systems are the same.
    """
    planned: list[System | Candidate] = []
    for place, name in enumerate([settings.hypotheses, *settings.against]):
        if name and (place == 0 or Path(name).suffix.lower() in HYPOTHESIS_SUFFIXES):
            planned.append(_from_file(name, utterances))
        elif name == GREEDY and settings.hypotheses:
            raise ConfigError("against=[greedy] is for a bundle; hypotheses=FILE has no other decoder")
        else:
            # Texts from files need no bundle, and load nothing that runs one.
            from asr.recognition.evaluate import resolve_candidate

            decoder = GreedyConfig() if name == GREEDY else settings.decoder
            bundle = settings.bundle if name in (None, GREEDY) else str(name)
            planned.append(resolve_candidate(bundle, decoder))
    names = [one.name for one in planned]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{twice[0]!r} is compared with itself: name other systems in against=")
    return planned


def run_planned(
    planned: Sequence[System | Candidate], utterances: Sequence[Utterance], settings: EvaluateConfig, **options: Any
) -> list[System]:
    """Run the bundles among some systems; `options` are those of `run_systems`."""
    candidates = [one for one in planned if not isinstance(one, System)]
    if not candidates:
        return [one for one in planned if isinstance(one, System)]
    from asr.cli.command import load_engine, warn_of_unused_model
    from asr.recognition.evaluate import run_systems

    for one in candidates:
        warn_of_unused_model(one.bundle, one.decoder)
    found = iter(run_systems(utterances, candidates, settings, load_engine=load_engine, **options))
    return [one if isinstance(one, System) else next(found) for one in planned]


def _from_file(path: str, utterances: Sequence[Utterance]) -> System:
    outputs, notes = read_hypotheses(path, utterances)
    for note in notes:
        _log.warning("%s", note)
    return System(path, outputs, {"hypotheses": path})
