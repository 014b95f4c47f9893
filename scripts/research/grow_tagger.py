"""Adds a smaller LSTM on top of a model of punctuation, makes the vectors of its words narrower, and exchanges words.

    python scripts/research/grow_tagger.py FILE|BUNDLE OUT.onnx [--top-units N] [--embedding N] [--words WORDS.txt]
        [--forget-spellings]

The tags see the new LSTM with weights of zero: at first they are what they were. Narrower vectors are the best
approximation of the inputs to the first LSTM, words weighted by their frequency as Zipf's law has it; the same size of
the file then has room for the new weights. The words of WORDS.txt, one a line, take the places of the least frequent
ones of the vocabulary; their vectors begin as that of all unknown words. `asr train-text init=OUT.onnx` trains what
this writes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.bundle.store import load_bundle
from asr.files import write_atomically
from asr.punctuation.tagger import TaggerHeader, read_tagger_file
from asr.punctuation.tagger_export import export_tagger
from asr.punctuation.tagger_import import read_tagger
from asr.punctuation.tagger_shapes import recurrent_name, weight_shapes
from asr.punctuation.word_numbers import UNKNOWN
from asr.punctuation.written_tags import WIDTH, Spellings

Array = npt.NDArray[np.float32]

_ZIPF_OFFSET = 10
_PIECES = 5
"""vectors of pieces that a word has"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--top-units", type=int, default=0)
    parser.add_argument("--embedding", type=int)
    parser.add_argument("--words", type=Path)
    parser.add_argument("--forget-spellings", action="store_true", help="those of the next texts alone count then")
    arguments = parser.parse_args()
    is_file = Path(arguments.model).is_file()
    content = read_tagger_file(arguments.model) if is_file else load_bundle(arguments.model).tagger_content()
    if content is None:
        parser.error(f"{arguments.model} has no model of punctuation")
    weights, header = read_tagger(content, arguments.model)
    if header.settings.top_units and arguments.top_units:
        parser.error(f"{arguments.model} has an LSTM on top already")
    if arguments.embedding:
        weights, header = narrower(weights, header, arguments.embedding)
    if arguments.top_units:
        weights, header = with_top(weights, header, arguments.top_units)
    if arguments.forget_spellings:
        header = replace(header, spellings=Spellings({}, frozenset(), frozenset()))
    if arguments.words:
        weights, header = with_words(weights, header, arguments.words.read_text("utf-8").split())
    file = export_tagger(weights, header)
    write_atomically(arguments.output, file)
    print(f"{arguments.output}: {len(file):,} bytes")


def narrower(weights: Mapping[str, Array], header: TaggerHeader, width: int) -> tuple[dict[str, Array], TaggerHeader]:
    """The model with narrower vectors of words, by a singular value decomposition."""
    pieces, kernel = weights["pieces"].astype(np.float64), weights["recurrent_1/kernel"].astype(np.float64)
    before, words = pieces.shape[1], len(header.vocabulary)
    counts = np.ones(len(pieces))
    counts[1 : 1 + words] = 1 / np.arange(_ZIPF_OFFSET, _ZIPF_OFFSET + words)
    counts[1 + words :] = counts[1 : 1 + words].sum() * _PIECES / header.settings.buckets
    # What the LSTM sees of a vector v is v @ seen: distances are measured there.
    seen = np.concatenate(list(kernel[:, :before]), axis=1)
    metric = np.linalg.cholesky(seen @ seen.T + 1e-6 * np.eye(before))
    _, _, directions = np.linalg.svd((pieces * np.sqrt(counts)[:, None]) @ metric, full_matrices=False)
    chosen = directions[:width].T
    vectors, back = pieces @ metric @ chosen, chosen.T @ np.linalg.inv(metric)
    scale = np.abs(pieces).mean() / np.abs(vectors).mean()
    first = np.einsum("eo,dog->deg", back / scale, kernel[:, :before])
    changed = {"pieces": vectors * scale, "recurrent_1/kernel": np.concatenate([first, kernel[:, before:]], axis=1)}
    settings = replace(header.settings, embedding=width)
    return {**weights, **{name: one.astype(np.float32) for name, one in changed.items()}}, replace(
        header, settings=settings
    )


def with_top(weights: Mapping[str, Array], header: TaggerHeader, units: int) -> tuple[dict[str, Array], TaggerHeader]:
    """The model with a further LSTM, of which the tags see nothing yet."""
    settings = replace(header.settings, top_units=units)
    name, shapes = recurrent_name(settings.depth + 1), weight_shapes(settings, header.features.size)
    rng = np.random.default_rng(0)
    grown = dict(weights)
    for part in ("kernel", "recurrent_kernel"):
        shape = shapes[f"{name}/{part}"]
        limit = np.sqrt(6 / (shape[1] + units))
        grown[f"{name}/{part}"] = rng.uniform(-limit, limit, shape).astype(np.float32)
    bias = np.zeros(shapes[f"{name}/bias"], np.float32)
    bias[:, 0, units : 2 * units] = 1  # of the gate that keeps the state
    grown[f"{name}/bias"] = bias
    grown["tags/kernel"] = np.concatenate([weights["tags/kernel"], np.zeros((2 * units, WIDTH), np.float32)])
    return grown, replace(header, settings=settings)


def with_words(
    weights: Mapping[str, Array], header: TaggerHeader, words: Sequence[str]
) -> tuple[dict[str, Array], TaggerHeader]:
    """The model with other words in the places of its last ones."""
    known = set(header.vocabulary)
    new = [word for word in dict.fromkeys(words) if word not in known]
    kept = len(header.vocabulary) - len(new)
    pieces = weights["pieces"].copy()
    pieces[1 + kept : 1 + len(header.vocabulary)] = pieces[UNKNOWN]
    return {**weights, "pieces": pieces}, replace(header, vocabulary=(*header.vocabulary[:kept], *new))


if __name__ == "__main__":
    main()
