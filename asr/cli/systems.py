"""The systems that `asr evaluate` scores: bundles that it runs, and texts from files."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from asr.errors import ConfigError
from asr.evaluation.sources import System, is_hypotheses, read_hypotheses
from asr.settings.commands import EvaluateConfig
from asr.settings.decoding import GreedyConfig

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance
    from asr.evaluation.sets import ReferenceSet
    from asr.recognition.evaluate import Candidate

GREEDY, SET = "greedy", "{set}"

_log = logging.getLogger(__name__)


def plan_systems(sets: Sequence[ReferenceSet], settings: EvaluateConfig) -> list[list[System | Candidate]]:
    """For each test set the system that is evaluated, then those that it is compared with.

    Texts are read; bundles are not run yet.

    Raises
    ------
    AsrError
        If a bundle or a file of hypotheses cannot be used, or two systems are the same.
    """
    planned: list[Sequence[System | Candidate]] = []
    shown = _names_without_set([name for name in (settings.hypotheses, *settings.against) if name])
    for place, name in enumerate([settings.hypotheses, *settings.against]):
        if name and (place == 0 or is_hypotheses(name)):
            planned.append(_from_file(name, sets, shown[name]))
        elif name == GREEDY and settings.hypotheses:
            raise ConfigError("against=[greedy] is for a bundle; hypotheses=FILE has no decoder")
        else:
            # Texts from files need no bundle and no runtime.
            from asr.recognition.evaluate import resolve_candidate

            decoder = GreedyConfig() if name == GREEDY else settings.decoder
            bundle = settings.bundle if name in (None, GREEDY) else str(name)
            planned.append([resolve_candidate(bundle, decoder)] * len(sets))
    names = [some[0].name for some in planned]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{twice[0]!r} is compared with itself: name other systems in against=")
    return [list(one) for one in zip(*planned, strict=True)]


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
    if settings.cluster is not None or any(one.url for one in utterances):
        from asr.cli.evaluate_distributed import recognize_elsewhere

        options["elsewhere"] = recognize_elsewhere(settings)
    found = iter(run_systems(utterances, candidates, settings, load_engine=load_engine, **options))
    return [one if isinstance(one, System) else next(found) for one in planned]


def _names_without_set(names: Sequence[str]) -> dict[str, str]:
    """The names of systems from files: `ours` for `ours-{set}.ctm`, a file for each set, if no other is named so."""
    short = {}
    for name in names:
        if SET in name:
            parts = PurePath(name).with_suffix("").parts
            rest = [part.replace(SET, "").strip("-_. ") if SET in part else part for part in parts]
            short[name] = str(PurePath(*filter(None, rest)))
    count = Counter([*short.values(), *(name for name in names if name not in short)])
    return {
        name: short[name] if name in short and count[short[name]] == 1 and short[name] != "." else name
        for name in names
    }


def _from_file(name: str, sets: Sequence[ReferenceSet], shown: str) -> list[System]:
    """The texts of a file for each set; `{set}` in its name stands for the name of the set."""
    if SET in name or len(sets) == 1:
        return [_system(shown, name.replace(SET, one.name), one.utterances) for one in sets]
    all_of_them = [utterance for one in sets for utterance in one.utterances]
    twice = [identity for identity, count in Counter(one.id for one in all_of_them).items() if count > 1]
    if twice:
        raise ConfigError(
            f"{name}: several test sets have an utterance {twice[0]!r}: name a file for each set, such as "
            f"{PurePath(name).stem}-{SET}{PurePath(name).suffix}, where {SET} stands for "
            f"{' and '.join(one.name for one in sets)}"
        )
    joined = _system(name, name, all_of_them)
    outputs = iter(joined.outputs)
    return [replace(joined, outputs=list(islice(outputs, len(one.utterances)))) for one in sets]


def _system(name: str, path: str, utterances: Sequence[Utterance]) -> System:
    outputs, notes = read_hypotheses(path, utterances)
    for note in notes:
        _log.warning("%s", note)
    return System(name, outputs, {"hypotheses": path})
