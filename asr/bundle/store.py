"""The model bundle: a folder with all that transcription needs. Only this room knows its file names.

    bundle.json              format number, settings of features, text and model, provenance, measured error rates, and
                             the digests of all other files
    model.onnx               the graph that transcription runs, with integer weights: of a causal model the graph with
                             carried state, which live recognition runs, too
    weights.safetensors      the weights, float16; in a compact bundle those of the large products in 7 bits, and there
                             is no model.onnx: the graph is made of the weights when it is needed
    structure.onnx           of a compact bundle, the graph without what is made of weights
    statistics.safetensors   the mel matrix, the normalisation of features, the symbols' priors, the calibration of
                             confidences
    language.lm              the language model, if the bundle has one
    pronunciations.npz       the pronunciation lexicon, if it decodes phones
    g2p.npz                  the model that predicts the phones of words which the lexicon lacks
    second_pass.onnx         the neural language model of the second pass, if the bundle has one
    punctuation.onnx         the model that predicts punctuation and capitals, if the bundle has one

Language models, lexicon, G2P model and the model of punctuation may be those of a bundle that ships: the card names it
under `shared`.

A bundle is data, and may come from anywhere: its files are bounded in size, its settings checked one by one, its arrays
plain, and its graph is examined before it runs. Digests show files of another bundle and damaged ones. What is large
and read only in part (weights, language model) is known by its header, which holds the digest of the rest: that is
compared when all of it is read.

Format 1, which earlier versions wrote, is still read. It has weights and features in `arrays.npz`, priors and
calibration in the card, and no digests.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from asr.acoustic.graph_arrays import Arithmetic, graph_arrays
from asr.acoustic.network import describe_network, weight_shapes
from asr.acoustic.outputs import decoded_output, output_slices, output_widths
from asr.acoustic.quantize import names_of_large_products, quantize_columns
from asr.acoustic.runtime import AcousticModel, CausalAcousticModel
from asr.acoustic.runtimes.onnx_graph import OnnxEngine, OnnxStreamingEngine, load_onnx
from asr.audio.features import LogMel
from asr.bundle.arrays import Arrays, check_digest, open_npz, open_tensors
from asr.bundle.card import checked_confidence, checked_priors, read_card, write_card
from asr.decoding.assembly import load_language_model, load_neural_language_model
from asr.decoding.confidence import Calibration
from asr.errors import BundleError, LanguageModelError
from asr.files import Kept, check_folder, folder_written_atomically, foreign_entry, typed_path
from asr.language.ngram_file import is_ngram_file, load_ngram, ngram_content, read_provenance
from asr.packages import require_keras
from asr.pronunciation.g2p import G2p
from asr.pronunciation.packed import load_dictionary
from asr.pronunciation.phones import PhoneSet
from asr.punctuation.tagger import Tagger
from asr.settings.decoding import BeamConfig, DecoderConfig
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import EngineKind, ModelConfig
from asr.settings.text import NormalizerConfig
from asr.tensors import header_digest, pack_tensors
from asr.text.alphabet import Alphabet

_JSON, _GRAPH, _LANGUAGE, _PRONUNCIATIONS = "bundle.json", "model.onnx", "language.lm", "pronunciations.npz"
_G2P, _PUNCTUATION, _SECOND_PASS = "g2p.npz", "punctuation.onnx", "second_pass.onnx"
_WEIGHTS, _STATISTICS, _STRUCTURE = "weights.safetensors", "statistics.safetensors", "structure.onnx"
_ARRAYS = "arrays.npz"
"""of format 1"""
BUNDLE_FILES = (
    _JSON, _GRAPH, _STRUCTURE, _WEIGHTS, _STATISTICS, _LANGUAGE, _SECOND_PASS, _PRONUNCIATIONS, _G2P, _PUNCTUATION,
    _ARRAYS,
)  # fmt: skip
"""what a bundle may consist of"""
# Bytes that a file, unpacked, can have at most; the largest models of this kind have a tenth.
_LARGEST = {
    _JSON: 10 << 20,
    _GRAPH: 1 << 30,
    _STRUCTURE: 1 << 20,
    _PRONUNCIATIONS: 1 << 28,
    _G2P: 1 << 28,
    _PUNCTUATION: 1 << 28,
    _SECOND_PASS: 1 << 28,
    _ARRAYS: 1 << 30,
}
_SHARABLE = (_LANGUAGE, _SECOND_PASS, _PRONUNCIATIONS, _G2P, _PUNCTUATION)
_SCALES = ".scales"
"""ends the names of the scales of weights that are kept as integers"""
_MODEL_PREFIX, _FEATURES_PREFIX = "model/", "features/"
"""of names of arrays; weights have none in format 2"""
_PRIORS, _CONFIDENCE_PREFIX = "priors", "confidence/"
# No number of a working model or feature comes near: products of larger ones overflow.
_LARGEST_WEIGHT, _LARGEST_FILTER, _LARGEST_LOG_MEL = 1e30, 1e3, 1e4


class _Widths(TypedDict):
    symbols: int
    phones: int


@dataclass(frozen=True)
class Bundle:
    """A trained model and everything needed to use it."""

    path: Path
    log_mel: LogMel
    """the feature extractor, with its settings"""
    normalizer: NormalizerConfig
    """how the texts it was trained on were spelled"""
    alphabet: Alphabet
    model: ModelConfig
    phones: PhoneSet | None = None
    """of the model's output layer over phones, if it has one"""
    decoder: BeamConfig | None = None
    """how to decode the output of the model, with its own language model; None for greedy"""
    priors: tuple[float, ...] = ()
    """share of each symbol (of each phone, where the decoder reads phones) in what the model says, the blank first, for
    the beam search; empty where it is unknown"""
    confidence: Mapping[str, Calibration] = field(default_factory=dict)
    """what the confidence of a word is worked out with, by the kind of decoder"""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """what it was trained on, when, and by which versions"""
    error_rates: Mapping[str, Any] = field(default_factory=dict)
    """measured error rates by the name of the data set"""
    digests: Mapping[str, str] = field(default_factory=dict)
    """of its files, by name; empty in format 1"""
    shared: Mapping[str, str] = field(default_factory=dict)
    """files that lie in a bundle that ships, and that bundle's name"""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def bytes_on_disk(self) -> int:
        """Size of all its files."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    @property
    def is_compact(self) -> bool:
        """Whether it keeps the weights of large products in 7 bits, and no graph."""
        return bool(self.digests) and _GRAPH not in self.digests

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files in its folder."""
        if self.digests:
            return (_JSON, *(name for name in self.digests if name not in self.shared))
        decoder = self.decoder
        optional = {
            _LANGUAGE: decoder is not None and decoder.lm is not None,
            _PRONUNCIATIONS: decoder is not None and decoder.pronunciations is not None,
            _G2P: decoder is not None and decoder.g2p is not None,
            _SECOND_PASS: decoder is not None and decoder.second_pass is not None,
        }
        return (_JSON, _GRAPH, _ARRAYS, *(name for name, is_there in optional.items() if is_there))

    @property
    def acoustic_digest(self) -> str:
        """Identifies what the acoustic output depends on: the graph, and the features that it reads."""
        names = (_WEIGHTS if self.is_compact else _GRAPH, _STATISTICS) if self.digests else (_GRAPH, _ARRAYS)
        digests = [self.digests.get(name) or sha256((self.path / name).read_bytes()).hexdigest() for name in names]
        return sha256(" ".join([*digests, repr(self.log_mel.settings)]).encode()).hexdigest()

    @property
    def has_tagger(self) -> bool:
        """Whether it has a model that predicts punctuation and capitals."""
        return _PUNCTUATION in self.digests

    def tagger(self) -> Tagger | None:
        """The model that predicts punctuation and capitals; None if it has none.

        Raises
        ------
        BundleError
            If its file is damaged, or is not one that `asr train-text` could have written.
        """
        content = self.tagger_content()
        if content is None:
            return None
        name = str(self.path / _PUNCTUATION)
        if self.path.parent != _shipped_folder():  # whose graph comes with this code
            from asr.acoustic.onnx_check import check_graph

            check_graph(content, name)
        try:
            return Tagger(content, name)
        except LanguageModelError as error:
            raise BundleError(str(error)) from error

    def tagger_content(self) -> bytes | None:
        """The file of that model; None if it has none."""
        if not self.has_tagger:
            return None
        return _read_checked(_location(self.path, _PUNCTUATION, self.shared), self.digests)

    def verify(self) -> None:
        """Compare the digests of all its files with those in its card, reading all of each file.

        Raises
        ------
        BundleError
            If a file is damaged, or belongs to another bundle.
        """
        for name, digest in self.digests.items():
            file = _location(self.path, name, self.shared)
            if name in (_WEIGHTS, _STATISTICS, _LANGUAGE):
                open_tensors(file, digest, whole=True)
            else:
                _read_checked(file, self.digests)
        self.weights()

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights of the model by name.

        Raises
        ------
        BundleError
            If one is damaged, does not fit the settings, or holds infinite numbers.
        """
        shapes = weight_shapes(self.model, mels=self.log_mel.settings.mels, **self._widths)
        with _open_weights(self.path, self.digests, whole=True) as (arrays, prefix):
            kept = _KeptWeights(arrays, shapes, prefix)
            return {name: kept[name] for name in _weight_names(arrays, shapes, prefix)}

    @property
    def _widths(self) -> _Widths:
        """Of the output layers over characters and over phones."""
        return {"symbols": self.alphabet.size, "phones": self.phones.size if self.phones else 0}

    @property
    def _width(self) -> int:
        """Of all output layers together."""
        return sum(output_widths(self.model, **self._widths).values())

    def output_for(self, decoder: DecoderConfig) -> slice:
        """Where the output layer that a decoder reads lies on the last axis of the model's log-probabilities."""
        return output_slices(self.model, **self._widths)[decoded_output(self.model, decoder)]

    def engine(self, kind: EngineKind = EngineKind.onnx) -> AcousticModel:
        """The model for transcription.

        Parameters
        ----------
        kind : EngineKind
            `onnx` runs the bundle's graph; `onnx_float32` a graph made of its weights on the spot, with weights and
            products in float32; `keras` the Keras model.

        Raises
        ------
        BundleError
            If the graph is damaged, or is not one that `save_bundle` could have written.
        """
        if kind is EngineKind.keras:
            require_keras("engine=keras")
            from asr.acoustic.runtimes.keras_network import KerasEngine

            return KerasEngine(self.keras_model(), self.model, phones=self._widths["phones"])
        if kind is EngineKind.onnx:
            return self._graph()
        from asr.acoustic.onnx_export import export_onnx

        mels = self.log_mel.settings.mels
        graph = export_onnx(self.weights(), self.model, quantized=False, mels=mels, **self._widths)
        return OnnxEngine(graph, self.model, mels=mels, symbols=self._width, name=str(self.path / _GRAPH))

    def causal_engine(self) -> CausalAcousticModel:
        """A causal model for live recognition: it runs block by block and carries its state.

        It runs the bundle's graph, with the results of `engine`. Causal bundles of earlier versions have a graph for
        whole utterances only: for them, one with carried state and weights in float32 is made on the spot.

        Raises
        ------
        ValueError
            If the model is bidirectional.
        BundleError
            If its graph or weights are damaged.
        """
        if not self.model.bidirectional and isinstance(engine := self._graph(), OnnxStreamingEngine):
            return engine
        from asr.acoustic.onnx_export import export_streaming_onnx

        mels = self.log_mel.settings.mels
        graph = export_streaming_onnx(self.weights(), self.model, quantized=False, mels=mels, **self._widths)
        name = f"{self.path}: the graph with carried state"
        return OnnxStreamingEngine(graph, self.model, mels=mels, symbols=self._width, name=name)

    def _graph(self) -> OnnxEngine | OnnxStreamingEngine:
        """The graph of the bundle, examined and loaded; made of its weights, if it is compact."""
        mels, name = self.log_mel.settings.mels, str(self.path / _GRAPH)
        ships = self.path.parent == _shipped_folder()  # so that its graph comes with this code
        arrays = None
        if self.is_compact and ships:
            graph, name = _read_checked(self.path / _STRUCTURE, self.digests), str(self.path / _STRUCTURE)
            arrays = self._graph_arrays()
        elif self.is_compact:  # whose structure would have to be examined first
            from asr.acoustic.onnx_export import export_onnx, export_streaming_onnx

            export = export_onnx if self.model.bidirectional else export_streaming_onnx
            graph = export(self.weights(), self.model, mels=mels, **self._widths, quantized=True)
        else:
            graph = _read_checked(self.path / _GRAPH, self.digests)
            if not ships:
                from asr.acoustic.onnx_check import check_graph

                check_graph(graph, name)
        return load_onnx(graph, self.model, mels=mels, symbols=self._width, name=name, arrays=arrays)

    def _graph_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the graph of a compact bundle has beside its structure."""
        mels, widths = self.log_mel.settings.mels, self._widths
        arithmetic = Arithmetic.integers if self.model.bidirectional else Arithmetic.stored_integers
        with _open_weights(self.path, self.digests, whole=True) as (arrays, _):
            kept = _KeptWeights(arrays, weight_shapes(self.model, mels=mels, **widths))
            return graph_arrays(describe_network(self.model, mels=mels, **widths), kept, arithmetic)

    def keras_model(self) -> Any:
        """The model as a `keras.Model`, on the Keras back end in use (see `asr.acoustic.build_model`).

        Raises
        ------
        BundleError
            If the weights do not fit the settings.
        ConfigError
            If Keras or its back end is not installed.
        """
        require_keras("the Keras model of a bundle")
        from asr.acoustic.keras_model import build_model, write_weights

        widths = self._widths
        model = build_model(
            self.model, mels=self.log_mel.settings.mels, symbols=widths["symbols"], phones=widths["phones"]
        )
        write_weights(model, self.weights())
        return model


def shipped_bundles() -> list[str]:
    """The names of the bundles that come with the package."""
    folder = _shipped_folder()
    return sorted(path.parent.name for path in folder.glob(f"*/{_JSON}"))


def _shipped_folder() -> Path:
    return Path(__file__).parent.parent / "models"


def load_bundle(name: str | Path = "en") -> Bundle:
    """Load a bundle.

    Parameters
    ----------
    name : str or Path
        The name of a bundle that ships with the package (`"en"`), or the path of a bundle's folder. A text without a
        separator is a name: the folder `en` of the working directory is `"./en"`, or `Path("en")`.

    Returns
    -------
    Bundle
        Weights and graph stay on disk until they are asked for.

    Raises
    ------
    BundleError
        If there is no such bundle, a file of it is missing or damaged, or it was written by a newer version.

    Examples
    --------
    >>> load_bundle("en").alphabet.symbols
    " 'abcdefghijklmnopqrstuvwxyz"
    """
    path = bundle_folder(name)
    if not (path / _JSON).is_file():
        # The folder of a run is named often, instead of `best` in it.
        within = ", ".join(bundle_argument(one.parent) for one in sorted(path.glob(f"*/{_JSON}"))[:5])
        hint = f"; the bundles in it: {within}" if within else ""
        raise BundleError(f"{path}: not a bundle, {_JSON} is missing{hint}")
    card = read_card(_read_bounded(path / _JSON), str(path / _JSON))
    files = [_WEIGHTS, _STATISTICS] if card.digests else [_ARRAYS, _GRAPH]
    files += [name for name in (_GRAPH, _STRUCTURE) if name in card.digests]
    files += [_LANGUAGE] * card.has_language_model + [_PRONUNCIATIONS] * card.has_pronunciations
    files += (
        [_G2P] * card.has_g2p + [_SECOND_PASS] * card.has_second_pass + [_PUNCTUATION] * (_PUNCTUATION in card.digests)
    )
    _check_shared(path, card.shared)
    for name in files:
        if not _location(path, name, card.shared).is_file():
            raise BundleError(f"{path}: {name} is missing")
        if card.digests and name not in card.digests:
            raise BundleError(f"{path / _JSON}: digests.{name} is missing")
    decoder = card.decoder
    if decoder is not None and card.has_language_model:
        file = _location(path, _LANGUAGE, card.shared)
        decoder = replace(decoder, lm=str(file))
        if card.digests:
            open_tensors(file, card.digests[_LANGUAGE], whole=False)
    if decoder is not None and card.has_pronunciations:
        file = _location(path, _PRONUNCIATIONS, card.shared)
        decoder = replace(decoder, pronunciations=str(file))
        _read_checked(file, card.digests)
    if decoder is not None and card.has_g2p:
        file = _location(path, _G2P, card.shared)
        decoder = replace(decoder, g2p=str(file))
        _read_checked(file, card.digests)
    if decoder is not None and card.has_second_pass:
        file = _location(path, _SECOND_PASS, card.shared)
        decoder = replace(decoder, second_pass=str(file))
        content = _read_checked(file, card.digests)
        if file.parent.parent != _shipped_folder():  # whose graphs come with this code
            from asr.acoustic.onnx_check import LANGUAGE_MODEL_OPERATORS, check_graph

            check_graph(content, str(file), operators=LANGUAGE_MODEL_OPERATORS)
    shapes = weight_shapes(
        card.model,
        mels=card.features.mels,
        symbols=card.alphabet.size,
        phones=card.phones.size if card.phones else 0,
    )
    with _open_weights(path, card.digests, whole=False) as (arrays, prefix):
        if not card.digests:
            log_mel, priors, confidence = _read_log_mel(arrays, card.features), card.priors, card.confidence
        _weight_names(arrays, shapes, prefix)  # their shapes are checked when they are read
    if card.digests:
        statistics = open_tensors(path / _STATISTICS, card.digests[_STATISTICS], whole=True)
        log_mel = _read_log_mel(statistics, card.features)
        priors, confidence = _read_decoding(statistics, card.decoder_width)
    return Bundle(
        path=path,
        log_mel=log_mel,
        normalizer=card.normalizer,
        alphabet=card.alphabet,
        model=card.model,
        phones=card.phones,
        decoder=decoder,
        priors=priors,
        confidence=confidence,
        provenance=card.provenance,
        error_rates=card.error_rates,
        digests=card.digests,
        shared=card.shared,
    )


def _location(path: Path, name: str, shared: Mapping[str, str]) -> Path:
    """Where a file of the bundle at `path` lies."""
    return (_shipped_folder() / shared[name] if name in shared else path) / name


def _check_shared(path: Path, shared: Mapping[str, str]) -> None:
    for name, owner in shared.items():
        if name not in _SHARABLE:
            raise BundleError(f"{path / _JSON}: shared.{name[:80]} cannot be a file of another bundle")
        if not _location(path, name, shared).is_file():
            raise BundleError(f"{path}: uses {name} of the bundle {owner}, which this version of asr does not have")


def bundle_folder(name: str | Path) -> Path:
    """The folder of a bundle that is named as `load_bundle` takes it; a foreign folder never hides a shipped bundle."""
    if name == "":
        raise BundleError("the name of the bundle is empty; a bundle's folder or one that ships is wanted: bundle=en")
    is_name = isinstance(name, str) and is_bundle_name(name)
    path = _shipped_folder() / name if is_name and name in shipped_bundles() else typed_path(name)
    if path.is_dir() and (not is_name or path.parent == _shipped_folder()):
        return path
    shipped = ", ".join(shipped_bundles()) or "none"
    if path.is_dir():
        raise BundleError(
            f"{name}: no such bundle ships ({shipped}); for the folder of that name type {bundle_argument(name)}"
        )
    near = difflib.get_close_matches(str(name), shipped_bundles(), n=1, cutoff=0.7) if is_name else []
    hint = f"; did you mean {near[0]}?" if near else ""
    raise BundleError(
        f"{name}: no such bundle; give a bundle's folder, or the name of one that ships ({shipped}){hint}"
    )


def is_bundle_name(text: str) -> bool:
    """Whether a text names a shipped bundle, and is no path: it has no separator."""
    return text not in {"", ".", "..", "~"} and os.sep not in text


def bundle_argument(path: str | Path) -> str:
    """The path of a bundle's folder as a user types it for `bundle=`: with a separator."""
    text = os.fspath(path)
    return f".{os.sep}{text}" if is_bundle_name(text) else text


def save_bundle(
    path: str | Path,
    *,
    weights: Mapping[str, npt.NDArray[np.float32]],
    log_mel: LogMel,
    normalizer: NormalizerConfig,
    alphabet: Alphabet,
    model: ModelConfig,
    phones: PhoneSet | None = None,
    decoder: BeamConfig | None = None,
    priors: Sequence[float] = (),
    confidence: Mapping[str, Calibration] | None = None,
    tagger: bytes | None = None,
    provenance: Mapping[str, Any] | None = None,
    error_rates: Mapping[str, Any] | None = None,
    compact: bool = False,
    share: str | None = None,
    overwrite: bool = False,
    keep: Kept | None = None,
) -> None:
    """Write a bundle beside `path`, then put it in its place; an older one there is replaced, and nothing else.

    Parameters
    ----------
    path : str or Path
    weights : mapping of str to float32 arrays
        As `acoustic.keras_model.read_weights` gives them.
    log_mel, normalizer, alphabet, model, phones
        What the model was trained with.
    decoder : BeamConfig, optional
        How to decode its output; its language models, pronunciations and G2P model, if any, are copied into the bundle.
    priors : sequence of float
        How often the model says each symbol, the blank first; empty where that is unknown.
    confidence : mapping of str to Calibration, optional
        By the kind of decoder.
    tagger : bytes, optional
        The file of a model that predicts punctuation and capitals.
    provenance, error_rates : mappings, optional
        Anything JSON can hold.
    compact : bool
        Keep the weights of large products in 7 bits, which is what the graph computes with, and no graph: a third of
        the size. It is made of the weights when the bundle is used, and training goes on from the rounded weights.
    share : str, optional
        The name of a bundle that ships: files that it has too are not copied, and used from there.
    overwrite : bool
        Replace a folder, too, that holds a damaged bundle, or some files that are called as a bundle's are.
    keep : callable, optional
        Whether another entry of an older folder is kept in the new one, rather than refused.

    Raises
    ------
    OutputError
        If there is something else at `path`: a file, or a folder with other files, whatever `overwrite` says.
    OSError
        If the folder cannot be written; an older bundle is then left as it was.
    """
    from asr.acoustic.onnx_export import export_onnx, export_streaming_onnx

    check_bundle_output(path, overwrite=overwrite, keep=keep)

    widths: dict[str, Any] = {
        "mels": log_mel.settings.mels,
        "symbols": alphabet.size,
        "phones": phones.size if phones else 0,
    }
    export = export_onnx if model.bidirectional else export_streaming_onnx
    kept = {name: _half(array) for name, array in weights.items()}
    # Read before anything is replaced: it may be the language model of an older bundle at the same path.
    contents = {_STATISTICS: _pack_statistics(log_mel, priors, confidence or {})}
    if compact:
        for name in names_of_large_products(describe_network(model, **widths)):
            kept[name], kept[name + _SCALES] = quantize_columns(np.asarray(weights[name], np.float32))
        contents[_STRUCTURE] = export(weights, model, **widths, quantized=True, structure=True)
    else:
        # The graph is made of what is kept.
        rounded = {name: array.astype(np.float32) for name, array in kept.items()}
        contents[_GRAPH] = export(rounded, model, **widths, quantized=True)
    contents[_WEIGHTS] = pack_tensors(kept, {})
    if decoder is not None and decoder.lm is not None:
        contents[_LANGUAGE] = _language_content(typed_path(decoder.lm))
    if decoder is not None and decoder.pronunciations is not None:
        contents[_PRONUNCIATIONS] = load_dictionary(typed_path(decoder.pronunciations)).to_bytes()
    if decoder is not None and decoder.g2p is not None:
        G2p.load(typed_path(decoder.g2p))  # which refuses any other file
        contents[_G2P] = typed_path(decoder.g2p).read_bytes()
    if decoder is not None and decoder.second_pass is not None:
        load_neural_language_model(decoder.second_pass)  # which refuses any other file
        contents[_SECOND_PASS] = typed_path(decoder.second_pass).read_bytes()
    if tagger is not None:
        Tagger(tagger, "tagger")  # which refuses any other file
        contents[_PUNCTUATION] = tagger
    digests = {name: file_digest(name, content) for name, content in contents.items()}
    owned = load_bundle(share).digests if share else {}
    shared = {name: share for name in _SHARABLE if share and name in digests and digests[name] == owned.get(name)}
    card = write_card(
        features=log_mel.settings,
        normalizer=normalizer,
        alphabet=alphabet,
        model=model,
        phones=phones,
        decoder=decoder,
        digests=digests,
        shared=shared,
        provenance=provenance or {},
        error_rates=error_rates or {},
    )
    # What cannot be read again is not written.
    checked_priors([float(one) for one in priors], read_card(card, _JSON).decoder_width, "priors")
    checked_confidence({kind: list(one.weights) for kind, one in (confidence or {}).items()}, _STATISTICS)
    with folder_written_atomically(
        path,
        foreign=lambda old: _foreign(old, overwrite=overwrite, keep=keep),
        kept=lambda entry: _is_kept(entry, keep),
    ) as folder:
        for name, content in {**contents, _JSON: card}.items():
            if name not in shared:
                (folder / name).write_bytes(content)


def _pack_statistics(log_mel: LogMel, priors: Sequence[float], confidence: Mapping[str, Calibration]) -> bytes:
    arrays: dict[str, npt.NDArray[Any]] = {
        _FEATURES_PREFIX + name: np.asarray(array, np.float32)
        for name in ("matrix", "mean", "deviation")
        if (array := getattr(log_mel, name)) is not None
    }
    if len(priors):
        arrays[_PRIORS] = np.array(priors, np.float64)
    arrays |= {_CONFIDENCE_PREFIX + kind: np.array(one.weights, np.float64) for kind, one in confidence.items()}
    return pack_tensors(arrays, {})


def _language_content(path: Path) -> bytes:
    """A language model as a bundle keeps it, from any file that the beam search takes."""
    try:
        if is_ngram_file(path):
            return ngram_content(load_ngram(path, whole=True), quantized=False, provenance=read_provenance(path))
        return ngram_content(load_language_model(path), quantized=False)
    except OSError as error:
        raise LanguageModelError(path, error.strerror or str(error)) from error


def file_digest(name: str, content: bytes) -> str:
    """The digest of a file of a bundle, as its card holds it."""
    return header_digest(content) if name in (_WEIGHTS, _STATISTICS, _LANGUAGE) else sha256(content).hexdigest()


def copy_bundle(
    source: Bundle,
    path: str | Path,
    *,
    weights: Mapping[str, npt.NDArray[np.float32]] | None = None,
    decoder: BeamConfig | None = None,
    priors: Sequence[float] | None = None,
    confidence: Mapping[str, Calibration] | None = None,
    tagger: bytes | None = None,
    provenance: Mapping[str, Any] | None = None,
    error_rates: Mapping[str, Any] | None = None,
    compact: bool | None = None,
    share: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a bundle again under another path, with another card; arguments and errors as in `save_bundle`.

    A compact one stays so, unless `compact` or other weights are given; shared files are copied, unless `share` is
    given.
    """
    save_bundle(
        path,
        weights=source.weights() if weights is None else weights,
        log_mel=source.log_mel,
        normalizer=source.normalizer,
        alphabet=source.alphabet,
        model=source.model,
        phones=source.phones,
        decoder=source.decoder if decoder is None else decoder,
        priors=source.priors if priors is None else priors,
        confidence=source.confidence if confidence is None else confidence,
        tagger=source.tagger_content() if tagger is None else tagger,
        provenance=source.provenance if provenance is None else provenance,
        error_rates=source.error_rates if error_rates is None else error_rates,
        compact=source.is_compact and weights is None if compact is None else compact,
        share=share,
        overwrite=overwrite,
    )


def check_bundle_output(
    path: str | Path, *, overwrite: bool = False, keep: Kept | None = None, advice: str = "name another output"
) -> None:
    """Refuse, before any work, to write a bundle over what is none; arguments and errors as in `save_bundle`.

    `advice` says what a user can do about a file of others.
    """
    check_folder(path, foreign=lambda old: _foreign(old, overwrite=overwrite, keep=keep, advice=advice))


def _is_kept(entry: Path, keep: Kept | None) -> bool:
    """Whether an entry is none of a bundle, the name of which is free, and is kept."""
    return keep is not None and entry.name not in BUNDLE_FILES and keep(entry)


def _foreign(
    folder: Path, *, overwrite: bool, keep: Kept | None = None, advice: str = "name another output"
) -> str | None:
    """What a folder holds besides a bundle and what is kept, in words."""

    def known(path: Path) -> bool:
        return (path.name in BUNDLE_FILES and path.is_file() and not path.is_symlink()) or _is_kept(path, keep)

    found = foreign_entry(folder, known, advice=advice)
    if found or overwrite or not any(folder.iterdir()):
        return found
    try:
        card = json.loads(_read_bounded(folder / _JSON))
    except (BundleError, ValueError, RecursionError):
        card = None
    if isinstance(card, dict) and type(card.get("format")) is int and isinstance(card.get("features"), dict):
        return None
    return f"holds no {_JSON} that asr wrote: it is only replaced with overwrite=true; or name another output"


def _half(array: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """As float16; as it is, if that cannot hold it."""
    return array.astype(np.float16) if np.abs(array).max(initial=0) < np.finfo(np.float16).max else array


def _read_bounded(file: Path) -> bytes:
    """A file of a bundle, if it is no larger than one can be."""
    try:
        if file.stat().st_size > _LARGEST[file.name]:
            raise BundleError(f"{file}: {file.stat().st_size / 1e6:,.0f} MB are more than a bundle's can have")
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror})") from error


def _read_checked(file: Path, digests: Mapping[str, str]) -> bytes:
    """A file that is read whole, if it is the one that the card names."""
    content = _read_bounded(file)
    if digests:
        check_digest(file, sha256(content).hexdigest(), digests[file.name])
    return content


@contextmanager
def _open_weights(path: Path, digests: Mapping[str, str], *, whole: bool) -> Iterator[tuple[Arrays, str]]:
    """The file that holds the weights, and what their names begin with."""
    if digests:
        yield open_tensors(path / _WEIGHTS, digests[_WEIGHTS], whole=whole), ""
        return
    with open_npz(path / _ARRAYS, largest=_LARGEST[_ARRAYS]) as arrays:
        yield arrays, _MODEL_PREFIX


def _read_log_mel(arrays: Arrays, settings: FeatureConfig) -> LogMel:
    """The feature extractor, with the mel matrix and the statistics that its settings call for."""
    where, shape = arrays.where, (settings.mels, settings.fft_size // 2 + 1)
    key = _FEATURES_PREFIX + "matrix"
    if key not in arrays.names or arrays.shape(key) != shape:
        raise BundleError(f"{where}: the mel matrix is missing or does not fit the features: {key} must be of {shape}")
    matrix = arrays.read(key, shape, least=0, largest=_LARGEST_FILTER)
    statistics = {}
    for name, least in (("mean", None), ("deviation", 0)):
        key = _FEATURES_PREFIX + name
        if key in arrays.names:
            statistics[name] = arrays.read(key, (settings.mels,), least=least, largest=_LARGEST_LOG_MEL)
        elif settings.normalization in (Normalization.corpus, Normalization.running):
            needed = f"features.normalization={settings.normalization}"
            raise BundleError(f"{where}: {key} is missing, which {needed} needs")
    return LogMel(settings, matrix, **statistics)


def _read_decoding(arrays: Arrays, width: int) -> tuple[tuple[float, ...], dict[str, Calibration]]:
    """The priors of symbols, and the calibration of confidences."""
    values = {name: arrays.numbers(name).tolist() for name in arrays.names if not name.startswith(_FEATURES_PREFIX)}
    priors = checked_priors(values.pop(_PRIORS, []), width, f"{arrays.where}: {_PRIORS}")
    if unknown := sorted(name for name in values if not name.startswith(_CONFIDENCE_PREFIX)):
        raise BundleError(f"{arrays.where}: {unknown[0][:80]!r} is none of a bundle's statistics")
    weights = {name.removeprefix(_CONFIDENCE_PREFIX): one for name, one in values.items()}
    return priors, checked_confidence(weights, arrays.where)


class _KeptWeights:
    """The weights in a file, each read when it is asked for; errors as those of `Bundle.weights`."""

    def __init__(self, arrays: Arrays, shapes: Mapping[str, tuple[int, ...]], prefix: str = "") -> None:
        self._arrays, self._shapes, self._prefix = arrays, shapes, prefix

    def __getitem__(self, name: str, /) -> npt.NDArray[np.float32]:
        """A weight, which may be kept as integers and the scales of its columns."""
        if self._prefix + name + _SCALES not in self._arrays.names:
            return self._arrays.read(self._prefix + name, self._shapes[name], largest=_LARGEST_WEIGHT)
        integers, scales = self.integers(name)
        return integers * scales[..., None, :]

    def integers(self, name: str) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
        """A weight that is kept so."""
        arrays, shape, name = self._arrays, self._shapes[name], self._prefix + name
        scales = arrays.read(name + _SCALES, (*shape[:-2], shape[-1]), least=0, largest=_LARGEST_WEIGHT)
        found, dtype = arrays.head(name)
        if found != shape or dtype != np.int8:
            raise BundleError(f"{arrays.where}: {name} must hold integers of 8 bits, of shape {shape}")
        return arrays.numbers(name), scales


def _weight_names(arrays: Arrays, wanted: Iterable[str], prefix: str) -> list[str]:
    """The names of the weights, in the file's order, which are those that the settings call for."""
    scaled = {name + _SCALES for name in arrays.names}
    names = [name.removeprefix(prefix) for name in arrays.names if name.startswith(prefix) and name not in scaled]
    problems = [f"weight {name} is missing" for name in sorted(set(wanted) - set(names))]
    problems += [f"weight {name!r} has no place in the model" for name in sorted(set(names) - set(wanted))]
    if problems:
        raise BundleError(f"{arrays.where}: the weights do not fit the model: " + "; ".join(problems[:3])[:300])
    return names
