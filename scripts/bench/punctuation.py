"""Measures punctuation and capitals on held-out texts and on recognised speech, beside two baselines.

    python scripts/bench/punctuation.py TEXT... [--punctuation FILE] [--against FILE] [--words N]
        [--before TEXT...] [--hypotheses HYPOTHESES.jsonl --originals ORIGINALS.jsonl]

TEXT is what `asr train-text` was trained on: its test documents are read as plain words and tagged; with `--untrained`,
all documents are (needs `--ngram-words 0`). Trainings before
the version that keeps editions of a work together held out documents, not works; `--before` names the texts of such
trainings: of the test documents, those that share a fiftieth of their longer paragraphs with what these trained on are
left out.
HYPOTHESES are from `asr transcribe format=jsonl written=plain`; a line of ORIGINALS has the `audio_filepath` and, as
`text`, the words that were read, as they are printed. Recordings of the same folder and chapter are one text: the name
of a file is speaker-chapter-number, as in LibriSpeech, which was cut at pauses: the silence at both sides of a cut is
one pause.

The baselines: rules (a full stop at a pause of 0.4 s, capitals behind it, "I"), and a 4-gram over words and marks,
trained on as many words of the same texts as `--ngram-words`, which chooses marks by a beam search (A. Stolcke,
E. Shriberg, "Automatic Linguistic Segmentation of Conversational Speech", ICSLP 1996) and has the rules' capitals.

A mark counts as right if the same mark stands behind the same word. "All marks" pools them. Case F1 is that of words
with a capital; "inside" leaves out those that begin a sentence of the reference, and "names" does so without the
capitals that only a predicted end of a sentence gives: those of the words themselves. Words in capitals that mostly
have none (emphasis, names of speakers in plays) have no right case, and are left out. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import numpy.typing as npt

from asr import load_bundle
from asr.language.ngram import UNKNOWN, NgramModel
from asr.language.ngram_training import tokenize, train_ngram
from asr.punctuation.tagger import Tagger, Tags
from asr.punctuation.written_tags import (
    COMMA,
    FULL_STOP,
    LOWER,
    MARKS,
    NO_BREAK,
    NO_MARK,
    QUESTION_MARK,
    SENTENCE,
    UNKNOWN_CASE,
    Spellings,
    WrittenWord,
    case_of,
    read_words,
    tag_paragraphs,
)
from asr.settings.commands import LmConfig
from asr.training.held_out import (
    LONG_PARAGRAPH,
    SHARED_AT_MOST,
    TEST,
    TRAIN,
    document_parts,
    documents_of,
    part_of,
)
from asr.training.tagger_data import Document

Floats = npt.NDArray[np.float64]
System = Callable[[Sequence[str], Floats], Tags]

PAUSE_OF_A_SENTENCE = 0.4
_BEAM = 8
_ROW = 60
_NGRAM_MARKS = (NO_MARK, COMMA, FULL_STOP, QUESTION_MARK, 4, 6)


@dataclass(frozen=True)
class Sample:
    """A text to be written: words, pauses, and for each word the place of its reference (-1 for none)."""

    words: list[str]
    pauses: Floats
    places: npt.NDArray[np.int64]
    reference: Tags
    capitals: npt.NDArray[np.bool_]
    """of the reference, sentence starts included"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument(
        "--punctuation", type=Path, help="a model of `asr train-text`; by default that of the bundle en"
    )
    parser.add_argument("--against", type=Path, help="another model, measured on the same texts")
    parser.add_argument("--words", type=int, default=200_000, help="of the held-out texts (default 200,000)")
    parser.add_argument("--ngram-words", type=int, default=2_000_000, help="0 leaves the n-gram out")
    parser.add_argument("--held-out", type=float, default=0.02, help="batches.held_out of the training")
    parser.add_argument("--untrained", action="store_true", help="nothing was trained on these texts: all are tests")
    parser.add_argument("--before", nargs="+", type=Path, default=[], help="texts of trainings of earlier versions")
    parser.add_argument("--hypotheses", type=Path)
    parser.add_argument("--originals", type=Path)
    arguments = parser.parse_args()
    tagger = Tagger.load(arguments.punctuation) if arguments.punctuation else load_bundle("en").tagger()
    assert tagger is not None
    if arguments.untrained:
        parts = [TEST for _ in documents_of(arguments.texts)]
    else:
        parts = document_parts(arguments.texts, arguments.held_out)
    share = arguments.ngram_words // max(1, parts.count(TRAIN)) + 1
    tests: list[Document] = []
    beginnings: list[Document] = []
    for part, document in zip(parts, documents_of(arguments.texts), strict=True):
        if part == TEST:
            tests.append(document)
        elif part == TRAIN and arguments.ngram_words:
            beginnings.append(beginning(document, share))
    if arguments.before:
        tests = unseen(tests, arguments.before, arguments.held_out)
    spellings = tagger.header.spellings
    systems: dict[str, System] = {"rules": rules}
    if arguments.ngram_words:
        model = train_marks(beginnings)
        systems["4-gram"] = lambda words, pauses: ngram_tags(model, words)
    if arguments.against:
        systems["other tagger"] = Tagger.load(arguments.against).tag
    systems["tagger"] = tagger.tag
    sets = {"held-out texts": list(reference_samples(tests, spellings, arguments.words))}
    if arguments.hypotheses:
        pairs = chapters(arguments.hypotheses, arguments.originals)
        sets["speech, reference words"] = [as_read(one, spellings) for one in pairs]
        sets["speech, recognised words"] = [as_recognised(one, spellings) for one in pairs]
    results: dict[str, Any] = {}
    for title, samples in sets.items():
        count = sum(len(one.words) for one in samples)
        print(f"{title}: {count:,} words in {len(samples)} texts")
        heads = zip(HEADS, WIDTHS, strict=True)
        print(f"  {'F1, %':22}" + "".join(f"{head:>{width}}" for head, width in heads))
        for name, system in systems.items():
            scores = measure(samples, system)
            results.setdefault(title, {"words": count})[name] = scores
            f1 = [scores[one]["f1"] for one in MEASURES]
            print(
                f"  {name:22}" + "".join(f"{100 * value:{width}.1f}" for value, width in zip(f1, WIDTHS, strict=True))
            )
        best = results[title]["tagger"]
        for one in MEASURES:
            values = best[one]
            print(f"    {one}: precision {values['precision']:.1%}, recall {values['recall']:.1%}")
    words = [word for one in sets["held-out texts"] for word in one.words][:50_000]
    tagger.tag(words[:1000])
    started = time.process_time()
    tagger.tag(words)
    speed = len(words) / (time.process_time() - started)
    print(f"speed: {speed:,.0f} words per processor second")
    print(json.dumps({"results": results, "words_per_core_second": round(speed)}))


MEASURES = ("full stop", "comma", "question mark", "all marks", "sentences", "case", "case inside sentences", "names")
HEADS = ("full stop", "comma", "question", "all", "sentences", "case", "inside", "names")
WIDTHS = (10, 8, 10, 7, 11, 7, 8, 7)
"""of the columns of these"""


def unseen(documents: Sequence[Document], trained_on: Sequence[Path], held_out: float) -> list[Document]:
    """The documents that share at most a fiftieth of their longer paragraphs with what earlier versions trained on."""
    passages = [{_words_of(one) for one in document if len(one) >= LONG_PARAGRAPH} for document in documents]
    wanted = set().union(*passages)
    seen = {
        words
        for document in documents_of(trained_on)
        if part_of(document, held_out) == TRAIN
        for one in document
        if len(one) >= LONG_PARAGRAPH and (words := _words_of(one)) in wanted
    }
    kept = [
        one for one, found in zip(documents, passages, strict=True) if len(found & seen) <= SHARED_AT_MOST * len(found)
    ]
    print(f"{len(documents) - len(kept)} of {len(documents)} test documents were trained on earlier, and are left out")
    return kept


def _words_of(paragraph: Sequence[WrittenWord]) -> str:
    return " ".join(one.word for one in paragraph)


def reference_samples(documents: Sequence[Document], spellings: Spellings, most: int) -> Iterator[Sample]:
    """Equal parts of the documents, so many words in all, without pauses."""
    share = most // max(1, len(documents))
    for document in documents:
        yield sample_of(beginning(document, share), spellings)


def beginning(document: Document, words: int) -> Document:
    """The first paragraphs until there are so many words."""
    ends = np.cumsum([len(one) for one in document])
    return document[: int(np.searchsorted(ends, words)) + 1]


def sample_of(paragraphs: Sequence[list[WrittenWord]], spellings: Spellings) -> Sample:
    tagged = tag_paragraphs(paragraphs, spellings)
    capitals = [case_of(one.written) != LOWER for paragraph in paragraphs for one in paragraph]
    # Capitals of emphasis are none.
    kept = np.array(capitals) & (tagged.cases != LOWER)
    return Sample(
        tagged.words,
        np.full(len(tagged.words), np.nan),
        np.arange(len(tagged.words)),
        Tags(*(one.astype(np.int64) for one in (tagged.marks, tagged.cases, tagged.breaks))),
        kept,
    )


def chapters(hypotheses: Path, originals: Path) -> list[list[tuple[dict[str, Any], str]]]:
    """Recordings with their originals, by chapter and in order."""
    texts = {Path(row["audio_filepath"]).stem: row["text"] for row in _rows(originals)}
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for row in _rows(hypotheses):
        stem = Path(row["audio_filepath"]).stem
        if stem in texts:
            groups[stem.rpartition("-")[0]].append((stem, row))
    return [[(row, texts[stem]) for stem, row in sorted(rows, key=lambda one: one[0])] for rows in groups.values()]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def as_read(chapter: Sequence[tuple[dict[str, Any], str]], spellings: Spellings) -> Sample:
    """The words that were read, without pauses."""
    return sample_of([[word for _, text in chapter for word in read_words(text)]], spellings)


def as_recognised(chapter: Sequence[tuple[dict[str, Any], str]], spellings: Spellings) -> Sample:
    """The recognised words with their pauses, aligned to those that were read, recording by recording."""
    reference = as_read(chapter, spellings)
    words: list[str] = []
    pauses: list[float] = []
    places: list[int] = []
    before = 0
    for (row, text), following in zip_longest(chapter, [row for row, _ in chapter[1:]]):
        read = [one.word for one in read_words(text)]
        found = row["words"]
        aligned = np.full(len(found), -1)
        if read and found:
            alignment = jiwer.process_words(" ".join(read), " ".join(one["text"] for one in found)).alignments[0]
            for chunk in alignment:
                if chunk.type in ("equal", "substitute"):
                    aligned[chunk.hyp_start_idx : chunk.hyp_end_idx] = range(chunk.ref_start_idx, chunk.ref_end_idx)
        words += [one["text"] for one in found]
        pauses += [max(0.0, after["start"] - one["end"]) for one, after in pairwise(found)]
        pauses += [_pause_at_cut(row, following)] * bool(found)
        places += [before + place if place >= 0 else -1 for place in aligned.tolist()]
        before += len(read)
    return Sample(words, np.array(pauses), np.array(places), reference.reference, reference.capitals)


def _pause_at_cut(row: dict[str, Any], following: dict[str, Any] | None) -> float:
    """The pause behind the last word of a recording; NaN where the next one of the chapter is missing."""
    if following is None or not following["words"]:
        return float("nan")
    number, after = (int(Path(one["audio_filepath"]).stem.rpartition("-")[2]) for one in (row, following))
    if after != number + 1:
        return float("nan")
    return max(0.0, float(row["duration"] - row["words"][-1]["end"] + following["words"][0]["start"]))


def measure(samples: Sequence[Sample], system: System) -> dict[str, dict[str, float]]:
    """Precision, recall and F1, pooled over the samples."""
    counts = {name: np.zeros(3) for name in MEASURES}
    for sample in samples:
        tags = system(sample.words, sample.pauses)
        known = np.flatnonzero(sample.places >= 0)
        count = len(sample.reference)
        found = np.zeros((2, count), np.int64)
        found[:, sample.places[known]] = tags.marks[known], tags.breaks[known]
        starts = np.concatenate([[True], tags.breaks[:-1] != NO_BREAK])
        own, capitals = np.zeros((2, count), bool)
        own[sample.places[known]] = (tags.cases != LOWER)[known]
        capitals[sample.places[known]] = ((tags.cases != LOWER) | starts)[known]
        extra = sample.places < 0
        truth = sample.reference
        for name, mark in (("full stop", FULL_STOP), ("comma", COMMA), ("question mark", QUESTION_MARK)):
            counts[name] += _counts(truth.marks == mark, found[0] == mark, extra=int((tags.marks[extra] == mark).sum()))
        right = (truth.marks == found[0]) & (truth.marks != NO_MARK)
        extra_marks = int((tags.marks[extra] != NO_MARK).sum())
        counts["all marks"] += right.sum(), (found[0] != NO_MARK).sum() + extra_marks, (truth.marks != NO_MARK).sum()
        extra_ends = int((tags.breaks[extra] != NO_BREAK).sum())
        counts["sentences"] += _counts(truth.breaks != NO_BREAK, found[1] != NO_BREAK, extra=extra_ends)
        is_start = np.concatenate([[True], truth.breaks[:-1] != NO_BREAK])
        said = (truth.cases != UNKNOWN_CASE) | is_start
        counts["case"] += _counts(sample.capitals[said], capitals[said])
        inside = said & ~is_start
        counts["case inside sentences"] += _counts(sample.capitals[inside], capitals[inside])
        counts["names"] += _counts(sample.capitals[inside], own[inside])
    return {name: _scores(*map(float, three)) for name, three in counts.items()}


def _counts(truth: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_], *, extra: int = 0) -> tuple[int, int, int]:
    return int((truth & found).sum()), int(found.sum()) + extra, int(truth.sum())


def _scores(right: float, found: float, true: float) -> dict[str, float]:
    return {
        "precision": right / found if found else 0.0,
        "recall": right / true if true else 0.0,
        "f1": 2 * right / (found + true) if found + true else 0.0,
    }


def rules(words: Sequence[str], pauses: Floats) -> Tags:
    """A full stop at long pauses and at the end, and "I"."""
    marks = np.where(pauses >= PAUSE_OF_A_SENTENCE, FULL_STOP, NO_MARK)
    marks[-1:] = FULL_STOP
    return Tags(marks, _case_of_i(words), np.where(marks == FULL_STOP, SENTENCE, NO_BREAK))


def _case_of_i(words: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([word == "i" or word.startswith("i'") for word in words], np.int64)


def train_marks(documents: Sequence[Document]) -> NgramModel:
    """A 4-gram over words and marks."""
    paragraphs = (one for document in documents for one in document)
    texts = [" ".join(f"{one.word} {MARKS[one.mark]}".strip() for one in paragraph) for paragraph in paragraphs]
    settings = LmConfig(order=4, vocabulary=60_000)
    return train_ngram(tokenize(texts, settings), settings)


def ngram_tags(model: NgramModel, words: Sequence[str]) -> Tags:
    """The likeliest marks by a beam search, in rows of 60 words that are searched at once."""
    numbers = [model.numbers.get(word, UNKNOWN) for word in words]
    marks = [model.numbers.get(MARKS[one], UNKNOWN) for one in _NGRAM_MARKS[1:]]
    rows = -(-len(words) // _ROW)
    table = np.full((rows, _ROW), -1)
    table.reshape(-1)[: len(words)] = numbers
    states, scores = model.begin(rows * _BEAM), np.full((rows, _BEAM), -np.inf)
    scores[:, 0] = 0.0
    width = states.shape[1]
    back = np.zeros((_ROW, rows, _BEAM, 2), np.int64)
    for step in range(_ROW):
        present = np.repeat(np.maximum(table[:, step], 0), _BEAM)
        gained, after = model.score(states, present)
        scores = scores + gained.reshape(rows, _BEAM)
        options, following = [scores], [after]
        for mark in marks:
            gained, marked = model.score(after, np.full(len(after), mark))
            options.append(scores + gained.reshape(rows, _BEAM))
            following.append(marked)

        every = np.stack(options, axis=2).reshape(rows, -1)
        best = np.argsort(-every, axis=1)[:, :_BEAM]
        scores = np.take_along_axis(every, best, axis=1)
        back[step, :, :, 0], back[step, :, :, 1] = best // len(options), best % len(options)
        stacked = np.stack(following, axis=1).reshape(rows, _BEAM * len(options), width)
        states = np.take_along_axis(stacked, best[:, :, None], axis=1).reshape(-1, width)
    found = np.zeros((rows, _ROW), np.int64)
    place = scores.argmax(axis=1)
    for step in range(_ROW - 1, -1, -1):
        chosen = back[step, np.arange(rows), place]
        found[:, step] = np.array(_NGRAM_MARKS)[chosen[:, 1]]
        place = chosen[:, 0]
    result = found.reshape(-1)[: len(words)]
    ends = np.isin(result, (FULL_STOP, QUESTION_MARK, 4))
    return Tags(result, _case_of_i(words), np.where(ends, SENTENCE, NO_BREAK))


if __name__ == "__main__":
    main()
