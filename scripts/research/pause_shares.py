"""Counts how long the pauses are that a recogniser finds, by the mark that belongs there.

    asr transcribe MANIFEST.jsonl bundle=NAME format=jsonl written=plain > HYPOTHESES.jsonl
    python scripts/research/pause_shares.py MANIFEST.jsonl HYPOTHESES.jsonl...

The marks are those that the model of punctuation predicts from the true words alone, without pauses. Recordings of the
same chapter are one text: the name of a file is speaker-chapter-number, as in LibriSpeech, which was cut at pauses, so
that the silence at both sides of a cut is one pause. Prints a row for each kind of place, in the order of
`asr.training.tagger_data.DEFAULT_PAUSE_SHARES`; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from asr import load_bundle
from asr.punctuation.word_numbers import PAUSE_CLASSES, pause_classes
from asr.training.tagger_data import PAUSE_KINDS, pause_kinds

KINDS = ("no mark", "comma", "other mark", "sentence", "paragraph")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("hypotheses", type=Path, nargs="+")
    arguments = parser.parse_args()
    texts = {stem: row["text"].split() for stem, row in _rows(arguments.manifest).items()}
    kinds = predicted_kinds(texts)
    counts = np.zeros((PAUSE_KINDS, PAUSE_CLASSES), int)
    for path in arguments.hypotheses:
        rows = _rows(path)
        for stem in rows.keys() & texts.keys():
            add_pauses(counts, texts[stem], kinds[stem], rows[stem], rows.get(next_stem(stem)))
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for name, row, total in zip(KINDS, shares, counts.sum(axis=1), strict=True):
        print(f"{name:12}{total:8,}" + "".join(f"{one:8.3f}" for one in row))
    print(json.dumps({"counts": counts.tolist(), "shares": shares.round(4).tolist()}))


def next_stem(stem: str) -> str:
    """The name of the recording that follows in the chapter."""
    chapter, _, number = stem.rpartition("-")
    return f"{chapter}-{int(number) + 1:0{len(number)}}"


def predicted_kinds(texts: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """For each text the kinds of the places behind its words, as `pause_kinds` numbers them."""
    tagger = load_bundle("en").tagger()
    assert tagger is not None
    chapters: dict[str, list[str]] = defaultdict(list)
    for stem in sorted(texts):
        chapters[stem.rpartition("-")[0]].append(stem)
    kinds = {}
    for stems in chapters.values():
        tags = tagger.tag([word for stem in stems for word in texts[stem]])
        found = pause_kinds(tags.marks, tags.breaks)
        for stem in stems:
            kinds[stem], found = found[: len(texts[stem])], found[len(texts[stem]) :]
    return kinds


def add_pauses(
    counts: np.ndarray, words: list[str], kinds: np.ndarray, row: dict[str, Any], following: dict[str, Any] | None
) -> None:
    """Count the pauses behind the words of a recording that are recognised right."""
    found = row["words"]
    if not found or not words:
        return
    ends = [one["end"] for one in found]
    starts = [one["start"] for one in found[1:]]
    if following and following["words"]:
        starts.append(row["duration"] + following["words"][0]["start"])
    classes = pause_classes([max(0.0, start - end) for start, end in zip(starts, ends, strict=False)])
    alignment = jiwer.process_words(" ".join(words), " ".join(one["text"] for one in found)).alignments[0]
    for chunk in alignment:
        if chunk.type == "equal":
            some = classes[chunk.hyp_start_idx : chunk.hyp_end_idx]
            np.add.at(counts, (kinds[chunk.ref_start_idx : chunk.ref_start_idx + len(some)], some), 1)


def _rows(path: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {Path(row["audio_filepath"]).stem: row for row in rows}


if __name__ == "__main__":
    main()
