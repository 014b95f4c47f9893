"""The files of a model as the page loads them: a description in JSON, and arrays that JavaScript maps.

    model.json       what a bundle's card says, as far as the page needs it, and the list of the other files
    graph.bin        the network, for ONNX Runtime Web: that of a causal model carries its state, for live recognition
    statistics.bin   the mel matrix, the normalisation of features, the priors of symbols
    language.bin     the language model, if the decoder has one
    lexicon.bin      words as paths of phones or pieces, if it decodes those

All but the first are compressed by gzip, which browsers unpack themselves: many hosts of static files send them as they
are. Arrays are in the format of safetensors. Nothing is lost: the numbers are those of the bundle.

The graph computes in float32, not in the integers of the graph that `asr transcribe` runs. WebAssembly runs both
equally fast, and texts of a graph of integers differ between kinds of processors: it rounds what each layer reads to
256 values, so that a difference in the seventh digit becomes one in the third.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.onnx_export import export_onnx, export_streaming_onnx
from asr.bundle import Bundle
from asr.decoding.assembly import load_language_model, make_piece_scorer, make_pronunciation_scorer, reads_words
from asr.decoding.decoder import decoder_kind, describe_decoder
from asr.decoding.pronunciation_lexicon import PronunciationLexicon
from asr.errors import ConfigError
from asr.language.ngram import NgramModel, Quantized
from asr.language.trie import Trie
from asr.settings.decoding import AutoConfig, BeamConfig, DecoderConfig
from asr.settings.features import Normalization
from asr.tensors import pack_tensors
from asr.text.pieces import PieceAlphabet

Arrays = dict[str, npt.NDArray[Any]]

FORMAT = 1
DESCRIPTION = "model.json"
# A node of a trie with more children than this has their number in an array of its own.
_MOST_COUNTED = 255
# Bytes of a number of the graph, and of the graph's length before them.
_PLANES, _LENGTH_BYTES = 4, 8
# Of gzip: the highest takes eight times as long for one per cent.
_LEVEL = 6
# What the page has no files for.
_UNUSED = ("hotwords", "hotwords_file", "lexicon")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the page loads of a model."""

    contents: Mapping[str, bytes]
    """by the name of the file"""
    decoder: str
    """the decoder in words"""

    @property
    def bytes(self) -> int:
        """Of all files together, as they are downloaded."""
        return sum(map(len, self.contents.values()))


def model_files(bundle: Bundle, decoder: DecoderConfig | None = None) -> ModelFiles:
    """Make the files of a model.

    Parameters
    ----------
    bundle : Bundle
    decoder : DecoderConfig, optional
        The bundle's own by default.

    Raises
    ------
    BundleError
        If a file of the bundle is damaged.
    ConfigError
        If the decoder has hot words or a list of words, which the page has no files for.
    LanguageModelError
        If the language model cannot be read, or does not fit the alphabet.
    """
    decoder = decoder or AutoConfig()
    if isinstance(decoder, AutoConfig):
        decoder = decoder.resolve(bundle.decoder)
    if isinstance(decoder, BeamConfig):
        decoder = replace(decoder, second_pass=None)  # the page decodes once
    if unused := [name for name in _UNUSED if getattr(decoder, name, None)]:
        raise ConfigError(f"the page has no decoder.{unused[0]}: leave it out")
    contents: dict[str, bytes] = {"graph.bin": _graph(bundle)}
    card = _card(bundle, decoder)
    statistics: Arrays = {
        name: np.asarray(array, np.float32)
        for name in ("matrix", "mean", "deviation")
        if (array := getattr(bundle.log_mel, name)) is not None
    }
    if isinstance(decoder, BeamConfig):
        if decoder.prior_weight:
            statistics["priors"] = np.array(bundle.priors, np.float64)
        _add_decoder(contents, card, bundle, decoder)
    contents["statistics.bin"] = pack_tensors(statistics, {})
    packed = {name: gzip.compress(content, _LEVEL, mtime=0) for name, content in contents.items()}
    card["files"] = {name: len(content) for name, content in packed.items()}
    text = json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return ModelFiles({DESCRIPTION: text.encode(), **packed}, card["decoder_name"])


def _card(bundle: Bundle, decoder: DecoderConfig) -> dict[str, Any]:
    features, alphabet, output = bundle.log_mel.settings, bundle.alphabet, bundle.output_for(decoder)
    calibration = bundle.confidence.get(decoder_kind(decoder))
    kept = ("sample_rate", "window_seconds", "hop_seconds", "mels", "log_floor", "prior_seconds", "memory_seconds")
    return {
        "format": FORMAT,
        "name": bundle.name,
        "decoder_name": describe_decoder(decoder),
        "licences": str(bundle.provenance.get("licences", "")),
        "language": None,
        "features": {name: getattr(features, name) for name in kept} | {"normalization": features.normalization.name},
        "subsampling": bundle.model.subsampling,
        "carries_state": _carries_state(bundle),
        "delay_steps": bundle.model.delay_steps,
        "alphabet": {"symbols": list(alphabet.symbols), "pieces": isinstance(alphabet, PieceAlphabet)},
        "output": [output.start, output.stop],
        "confidence": None if calibration is None else list(calibration.weights),
        "decoder": None,
        "lexicon": None,
    }


def _add_decoder(contents: dict[str, bytes], card: dict[str, Any], bundle: Bundle, decoder: BeamConfig) -> None:
    """Add the settings of a beam search, its language model and its lexicon."""
    names = (
        *("beam_width", "n_best", "min_symbol_log_prob", "score_margin", "prior_weight", "lm_weight", "word_bonus"),
        *("unknown_score", "open_vocabulary"),
    )
    card["decoder"] = {name: getattr(decoder, name) for name in names} | {"n_best": 1}
    model = None if decoder.lm is None else load_language_model(decoder.lm)
    if model is not None:
        card["language"] = {"unit": model.unit.value, "counts": list(model.counts)}
        contents["language.bin"] = pack_tensors(_language_arrays(model), {})
    lexicon: PronunciationLexicon | None = None
    if decoder.pronunciations is not None:
        if bundle.phones is None:
            raise ConfigError("decoder.pronunciations: the model has no output over phones")
        scorer = make_pronunciation_scorer(bundle.phones, bundle.alphabet, decoder, model, bundle.normalizer)
        lexicon = scorer.lexicon
    elif bundle.alphabet.word_starts and reads_words(decoder, model):
        lexicon = make_piece_scorer(bundle.alphabet, decoder, model, bundle.normalizer).lexicon
    if lexicon is not None:
        card["lexicon"] = {
            "phones": decoder.pronunciations is not None,
            "initial": lexicon.initial.astype(int).tolist(),
            "most_readings": lexicon.most_readings,
        }
        contents["lexicon.bin"] = pack_tensors(_lexicon_arrays(lexicon, model), {})


def _carries_state(bundle: Bundle) -> bool:
    """Whether the network can run block by block: it needs no later steps, and its frames no later frames."""
    return not bundle.model.bidirectional and bundle.log_mel.settings.normalization is not Normalization.utterance


def _graph(bundle: Bundle) -> bytes:
    """The graph that computes in float32, with weights of 7 bits if the bundle has such. The first bytes of all numbers
    come first, then the second ones: weights that differ in their low bytes alone are shorter so, compressed."""
    phones = bundle.phones.size if bundle.phones else 0
    export = export_streaming_onnx if _carries_state(bundle) else partial(export_onnx, float_products=True)
    mels, symbols, quantized = bundle.log_mel.settings.mels, bundle.alphabet.size, bundle.is_compact
    graph = export(bundle.weights(), bundle.model, mels=mels, symbols=symbols, phones=phones, quantized=quantized)
    rest = -len(graph) % _PLANES
    planes = np.frombuffer(graph + bytes(rest), np.uint8).reshape(-1, _PLANES).T
    return len(graph).to_bytes(_LENGTH_BYTES, "little") + planes.tobytes()


def _language_arrays(model: NgramModel) -> Arrays:
    arrays = _trie_arrays(model.trie) | {"words": np.frombuffer("\n".join(model.words).encode(), np.uint8)}
    for name, levels in (("log_probs", model.log_probs), ("backoffs", model.backoffs)):
        for level, numbers in enumerate(levels, start=1):
            if isinstance(numbers, Quantized):
                arrays[f"{name}/{level}/codes"], arrays[f"{name}/{level}/values"] = numbers.codes, numbers.values
            else:
                arrays[f"{name}/{level}"] = np.asarray(numbers, np.float32)
    return arrays


def _lexicon_arrays(lexicon: PronunciationLexicon, model: NgramModel | None) -> Arrays:
    """The tree, how many words end at each node, and which: words of the language model by its numbers, then others."""
    numbers = {} if model is None else model.numbers
    others: dict[str, int] = {}
    known = len(numbers)

    def place(word: str) -> int:
        number = numbers.get(word)
        return known + others.setdefault(word, len(others)) if number is None else number

    words = np.array([place(lexicon.spellings[word]) for word in lexicon.words.tolist()], np.uint32)
    counts = np.diff(lexicon.first)
    if counts.max(initial=0) > _MOST_COUNTED:
        raise ConfigError(f"the lexicon has {counts.max()} words of one pronunciation: at most {_MOST_COUNTED} can be")
    return _trie_arrays(lexicon.tree) | {
        "endings": counts.astype(np.uint8),
        "words": words,
        "spellings": np.frombuffer("\n".join(others).encode(), np.uint8),
    }


def _trie_arrays(trie: Trie) -> Arrays:
    """A trie in few bytes: the distance of each label from its left sibling's, byte by byte, and the children of each
    node. Equal numbers come together so, and gzip has less to do."""
    labels, first = trie.labels[1:].astype(np.int64), trie.first.astype(np.int64)
    counts = np.diff(first)
    distances = np.diff(labels, prepend=0)
    starts = first[:-1][counts > 0] - 1
    distances[starts] = labels[starts]
    arrays: Arrays = {
        "label_low": (distances & 255).astype(np.uint8),
        "label_high": (distances >> 8 & 255).astype(np.uint8),
        "label_top": (distances >> 16).astype(np.uint8),
        "counts": np.minimum(counts, _MOST_COUNTED).astype(np.uint8),
        "large_counts": counts[counts >= _MOST_COUNTED].astype(np.uint32),
    }
    return {name: array for name, array in arrays.items() if name != "label_top" or array.any()}
