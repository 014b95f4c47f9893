"""Measures what the English model of punctuation learns from the beginning of a book, on the rest of it.

    KERAS_BACKEND=torch python scripts/bench/punctuation_adaptation.py TEXT... [--books N] [--before TEXT...]
        [key=value...]

TEXT is what the model was trained on; the books are those that were held out for validation. Of each, the first 60 % of
the words train a copy of the model (`asr train-text init=en`), and F1 is measured on the rest, before and after, as in
punctuation.py; means over the books. Settings are those of `asr train-text`. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from punctuation import HEADS, MEASURES, WIDTHS, measure, sample_of, unseen

from asr import load_bundle
from asr.cli.composition import Composer
from asr.punctuation.tagger import Tagger
from asr.punctuation.written_tags import DASH, MARKS, WrittenWord
from asr.settings.commands import TrainTextConfig
from asr.training.held_out import VALID, documents_by_part
from asr.training.stop import StopRequest
from asr.training.tagger_run import TAGGER, train_tagger

SETTINGS = [
    "training.learning_rate=0.001",
    "training.epochs=10",
    "training.warmup_steps=5",
    "batches.words=1000",
    "batches.held_out=0.05",
]
_LEAST = 8000
"""words of a book"""
_DOCUMENT = 12
"""paragraphs of the documents that a beginning is cut into, of which some are held out"""
_SHARE = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--books", type=int, default=6)
    parser.add_argument("--before", nargs="+", type=Path, default=[], help="as of punctuation.py")
    arguments, settings = parser.parse_known_args()
    english = load_bundle("en").tagger()
    assert english is not None
    books = [one for part, one in documents_by_part(arguments.texts, 0.02) if part == VALID]
    if arguments.before:
        books = unseen(books, arguments.before, 0.02)
    books = [one for one in books if sum(map(len, one)) >= _LEAST][: arguments.books]
    f1: dict[str, list[list[float]]] = {"before": [], "after": []}
    for book in books:
        first, rest = halves(book)
        for name, tagger in (("before", english), ("after", adapted(first, settings))):
            scores = measure([sample_of(rest, english.header.spellings)], tagger.tag)
            f1[name].append([scores[one]["f1"] for one in MEASURES])
    print(f"{len(books)} books; F1, %")
    print(f"{'':8}" + "".join(f"{head:>{width}}" for head, width in zip(HEADS, WIDTHS, strict=True)))
    means = {name: np.mean(rows, axis=0) for name, rows in f1.items()}
    for name, row in means.items():
        print(f"{name:8}" + "".join(f"{100 * one:{width}.1f}" for one, width in zip(row, WIDTHS, strict=True)))
    print(json.dumps({name: dict(zip(MEASURES, row.round(4).tolist(), strict=True)) for name, row in means.items()}))


def halves(book: Sequence[list[WrittenWord]]) -> tuple[list[list[WrittenWord]], list[list[WrittenWord]]]:
    """The paragraphs that begin within the first 60 % of the words, and the others."""
    begins = np.cumsum([0, *map(len, book[:-1])]) < _SHARE * sum(map(len, book))
    return list(book[: begins.sum()]), list(book[begins.sum() :])


def adapted(paragraphs: Sequence[list[WrittenWord]], settings: Sequence[str]) -> Tagger:
    """The English model, trained on these paragraphs."""
    marks = [" --" if mark == DASH else text for mark, text in enumerate(MARKS)]
    lines = [" ".join(f"{one.written}{marks[one.mark]}" for one in paragraph) for paragraph in paragraphs]
    documents = ["\n".join(lines[start : start + _DOCUMENT]) for start in range(0, len(lines), _DOCUMENT)]
    with tempfile.TemporaryDirectory() as folder:
        text, run_dir = Path(folder) / "text.txt", Path(folder) / "run"
        text.write_text("\n\n".join(documents), "utf-8")
        with Composer("train-text") as composer:
            configured: TrainTextConfig = composer.compose([*SETTINGS, *settings])
        train_tagger([text], replace(configured, init="en", run_dir=str(run_dir)), StopRequest())
        return Tagger.load(run_dir / TAGGER)


if __name__ == "__main__":
    main()
