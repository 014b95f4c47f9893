"""Holds out utterances of a corpus for validation: whole speakers where they are known."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from asr.corpus.manifest import Utterance
from asr.errors import ManifestError


def hold_out(utterances: Sequence[Utterance], share: float) -> tuple[list[Utterance], list[Utterance]]:
    """Split a corpus in two that share no speaker, or, where speakers are not known, no recording.

    Parameters
    ----------
    utterances : sequence of Utterance
        Speakers count if every utterance names one, and there are several.
    share : float
        About the share of utterances to hold out, at least one speaker or recording.

    Returns
    -------
    kept, held : lists of Utterance
        In the order given. Which speakers are held out depends only on their names and numbers of utterances: it is
        the same in every run, with any seed.

    Raises
    ------
    ManifestError
        If there is only one recording.
    """
    by_speaker = all(one.speaker for one in utterances) and len({one.speaker for one in utterances}) > 1
    # By name first, so that a corpus that was moved is divided alike; recordings of one name follow by their folders.
    groups: dict[tuple[str, str], list[Utterance]] = defaultdict(list)
    for one in utterances:
        path = one.audio_path
        groups[(one.speaker, "") if by_speaker and one.speaker else (path.name, str(path.parent))].append(one)
    if len(groups) < 2:
        raise ManifestError([f"{len(groups)} recording leaves nothing to hold out: validate on other recordings"])
    order = sorted(groups, key=lambda one: (hashlib.sha256(one[0].encode("utf-8", "surrogateescape")).digest(), one[1]))
    wanted, held, count = share * len(utterances), set[tuple[str, str]](), 0
    for name in order:
        # A speaker with half the corpus is too much for a tenth of it: the next one may fit.
        if count < wanted and count + len(groups[name]) <= 1.5 * wanted:
            held.add(name)
            count += len(groups[name])
    if not held:
        held = {min(order, key=lambda name: len(groups[name]))}
    chosen = {id(one) for name in held for one in groups[name]}
    kept = [one for one in utterances if id(one) not in chosen]
    return kept, [one for one in utterances if id(one) in chosen]
