"""Measures the second pass of decoding: what lattices hold, error rates by weight, and processor time.

    python scripts/research/measure_second_pass.py MANIFEST [--neural FILE] [--every 4] [--margins 4 8 12]

Prints the word error rate of the first pass, of the best text in the list of the beam's 128 (a search without
recombination), and of the best text in the lattice; with a neural model, error rates by its weight, chosen on one half
of the speakers and measured on the other, both ways.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from asr.bundle import Bundle, load_bundle
from asr.decoding.decoder import BeamDecoder, DecodedLattice
from asr.decoding.second_pass import WordModel
from asr.language.neural import NeuralLanguageModel
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import BeamConfig
from asr.slices import run_slices
from asr.text.normalize import normalize_text

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class NoModel:
    """A language model that says nothing, where lattices alone are wanted."""

    def initial_state(self) -> Any:
        return None

    def advance(self, states: Any, words: Sequence[str]) -> tuple[Any, Any]:
        raise NotImplementedError

    def end(self, states: Any) -> Any:
        raise NotImplementedError


def distances(before: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Edit distances to each beginning of a reference, with a word more.

    Parameters
    ----------
    before : int [shape=(words + 1,)]
    wrong : bool [shape=(words,)]
        Whether each word of the reference is another one.
    """
    now = before + 1
    np.minimum(now[1:], before[:-1] + wrong, out=now[1:])
    places = np.arange(len(now))
    return np.minimum.accumulate(now - places) + places


def word_errors(words: Sequence[str], reference: np.ndarray) -> int:
    """Edit distance of two texts in words."""
    found = np.arange(len(reference) + 1)
    for word in words:
        found = distances(found, reference != word)
    return int(found[-1])


def lattice_errors(found: DecodedLattice, row: int, reference: np.ndarray) -> tuple[int, int]:
    """The fewest errors of a text in the lattice of an utterance, and how many places that lattice has."""
    texts = found.texts
    lattice, endings, words = texts.lattice, texts.endings, texts.words
    mine = [end for end in np.flatnonzero(lattice.likely).tolist() if endings.rows[end] == row]
    links: dict[int, list[int]] = {}
    for kept, dropped in zip(lattice.kept.tolist(), lattice.dropped.tolist(), strict=True):
        links.setdefault(kept, []).append(dropped)
    needed: set[int] = set()
    waiting = [int(lattice.ends[end]) for end in mine]
    while waiting:
        place = waiting.pop()
        if place != -1 and place not in needed:
            needed.add(place)
            waiting += [int(lattice.parents[place]), *links.get(place, [])]
    at: dict[int, np.ndarray] = {-1: np.arange(len(reference) + 1)}
    for place in sorted(needed):
        parent = int(lattice.parents[place])
        here = at[parent]
        if words.ends[place]:
            word = texts.word(words.nodes[parent], words.readings[place], ()).spelling
            here = distances(here, reference != word)
        for dropped in links.get(place, []):
            here = np.minimum(here, at[dropped])
        at[place] = here
    best = len(reference)
    for end in mine:
        place, reading = int(lattice.ends[end]), int(endings.readings[end])
        here = at[place]
        if place != -1 and reading >= 0:
            here = distances(here, reference != texts.word(words.nodes[place], reading, ()).spelling)
        best = min(best, int(here[-1]))
    return best, len(needed)


class Measurement:
    """The outputs of the network for some recordings, and their references."""

    def __init__(self, bundle: Bundle, rows: Sequence[dict[str, Any]], folder: Path) -> None:
        self.bundle = bundle
        transcriber = Transcriber(bundle, decoder=bundle.decoder, workers=1)
        self.outputs: list[AcousticOutput] = []
        for one in transcriber.run_model_on_files([folder / row["audio_filepath"] for row in rows]):
            assert isinstance(one, AcousticOutput)
            self.outputs.append(one)
        self.references = [np.array(normalize_text(row["text"], bundle.normalizer).split()) for row in rows]
        self.speakers = [row["speaker"] for row in rows]
        self.stretches = [
            (place, one.log_probs) for place, output in enumerate(self.outputs) for one in output.stretches
        ]
        self.hours = sum(one.duration for one in self.outputs) / 3600
        assert isinstance(bundle.decoder, BeamConfig)
        self.settings: BeamConfig = bundle.decoder

    def decoder(self, neural: WordModel | None = None, **changes: Any) -> BeamDecoder:
        bundle = self.bundle
        return BeamDecoder(
            bundle.alphabet,
            replace(self.settings, **changes),
            priors=bundle.priors,
            normalizer=bundle.normalizer,
            phones=bundle.phones,
            neural=neural,
        )

    @property
    def log_probs(self) -> list[np.ndarray]:
        return [one for _, one in self.stretches]

    def errors(self, texts: Sequence[str]) -> np.ndarray:
        """Errors of each recording, of the texts of all stretches."""
        joined: list[list[str]] = [[] for _ in self.outputs]
        for (place, _), text in zip(self.stretches, texts, strict=True):
            joined[place] += text.split()
        return np.array([word_errors(one, reference) for one, reference in zip(joined, self.references, strict=True)])

    @property
    def words(self) -> np.ndarray:
        return np.array([len(one) for one in self.references])


def seconds(decoder: BeamDecoder, log_probs: Sequence[np.ndarray]) -> tuple[float, list[str]]:
    """Processor seconds of decoding, and the texts."""
    started = time.thread_time()
    found = decoder.decode(log_probs)
    return time.thread_time() - started, [hypotheses[0].text for hypotheses in found]


def measure_lattices(measured: Measurement, margins: Sequence[float]) -> None:
    """Print what is in lists and lattices."""
    single = [place for place, output in enumerate(measured.outputs) if len(output.stretches) == 1]
    words = measured.words[single].sum()
    log_probs = [measured.outputs[place].stretches[0].log_probs for place in single]
    print(f"{len(single)} recordings, {words} words")

    def rate(errors: int) -> str:
        return f"{100 * errors / words:.2f} %"

    plain = measured.decoder()
    spent, texts = seconds(plain, log_probs)
    errors = [word_errors(text.split(), measured.references[place]) for text, place in zip(texts, single, strict=True)]
    print(f"first pass                      WER {rate(sum(errors))}, {spent / measured.hours:.1f} core-seconds an hour")
    listed = measured.decoder(n_best=measured.settings.beam_width)
    started = time.thread_time()
    lists = listed.decode(log_probs)
    spent = time.thread_time() - started
    errors = [
        min(word_errors(one.text.split(), measured.references[place]) for one in several)
        for several, place in zip(lists, single, strict=True)
    ]
    size = np.mean([len(one) for one in lists])
    hourly = spent / measured.hours
    print(f"best of the list ({size:.0f} texts)      WER {rate(sum(errors))}, {hourly:.1f} core-seconds an hour")
    for margin in margins:
        decoder = measured.decoder(NoModel(), second_pass="none", second_pass_margin=margin)
        started = time.thread_time()
        found = run_slices(decoder.lattices_in_slices(log_probs))
        spent = time.thread_time() - started
        total, places = 0, 0
        for one in found:
            for row, utterance in enumerate(one.utterances):
                errors_of_one, size_of_one = lattice_errors(one, row, measured.references[single[utterance]])
                total, places = total + errors_of_one, places + size_of_one
        hourly = spent / measured.hours
        print(
            f"best of the lattice, margin {margin:4.1f} WER {rate(total)}, {hourly:.1f} core-seconds an hour, "
            f"{places / len(single):.0f} places an utterance"
        )


def halves(speakers: Sequence[str]) -> Iterator[np.ndarray]:
    """The recordings of the first and of the second half of the speakers."""
    known = sorted(set(speakers))
    for half in (known[: len(known) // 2], known[len(known) // 2 :]):
        yield np.array([one in half for one in speakers])


def measure_weights(
    measured: Measurement,
    path: Path,
    histories: Sequence[int],
    margins: Sequence[float],
    score_margins: Sequence[float],
) -> None:
    """Print error rates by the weight of the neural model."""
    neural = NeuralLanguageModel.load(path)
    words = measured.words
    spent, texts = seconds(measured.decoder(), measured.log_probs)
    first = measured.errors(texts)
    print(f"first pass: WER {100 * first.sum() / words.sum():.2f} %, {spent / measured.hours:.1f} core-seconds an hour")
    for count, margin, score_margin in product(histories, margins, score_margins):
        decoder = measured.decoder(
            neural,
            second_pass=str(path),
            second_pass_histories=count,
            second_pass_margin=margin,
            second_pass_score_margin=score_margin,
        )
        started = time.thread_time()
        found = run_slices(decoder.lattices_in_slices(measured.log_probs))
        searched = time.thread_time() - started
        decoder.rescore(found, weight=0.5)
        rescored = time.thread_time() - started - searched
        scored = sum(one.texts.scored_words for one in found) / words.sum()
        hourly = searched / measured.hours, rescored / measured.hours
        print(
            f"histories {count}, margins {margin:g} and {score_margin:g}: search {hourly[0]:.1f}, second pass "
            f"{hourly[1]:.1f} core-seconds an hour, {scored:.1f} words scored a word"
        )
        by_weight = []
        for weight in WEIGHTS:
            texts = [one[0].text for one in decoder.rescore(found, weight=weight)]
            by_weight.append(measured.errors(texts))
        print(
            "  WER by weight: "
            + ", ".join(
                f"{weight:.1f}: {100 * one.sum() / words.sum():.2f} %"
                for weight, one in zip(WEIGHTS, by_weight, strict=True)
            )
        )
        tables = np.array(by_weight)
        tested, errors = [], 0
        for half in halves(measured.speakers):
            best = int(tables[:, half].sum(axis=1).argmin())
            tested.append(WEIGHTS[best])
            errors += tables[best, ~half].sum()
        print(
            f"  chosen on one half {tested}, measured on the other: WER {100 * errors / words.sum():.2f} %", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--neural", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take one of so many recordings")
    parser.add_argument("--margins", type=float, nargs="+", default=[6.0])
    parser.add_argument("--histories", type=int, nargs="+", default=[4])
    parser.add_argument("--score-margins", type=float, nargs="+", default=[3.0])
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.manifest.read_text().splitlines()][:: arguments.every]
    measured = Measurement(load_bundle(arguments.bundle), rows, arguments.manifest.parent)
    if arguments.neural is None:
        measure_lattices(measured, arguments.margins)
    else:
        measure_weights(measured, arguments.neural, arguments.histories, arguments.margins, arguments.score_margins)


if __name__ == "__main__":
    main()
