"""The model bundle: a folder with all that transcription needs. Only this room knows its file names.

    bundle.json   format number, settings of features, text and model, provenance, measured error rates
    arrays.npz    the weights (float16) and the mel matrix, as plain arrays
    model.onnx    the graph that transcription runs, with weights of 7 bits
    language.lm   the language model, if the bundle has one
    pronunciations.npz   the pronunciation lexicon, if it decodes phones

A bundle is data, and may come from anywhere: its files are bounded in size, its settings checked one by one, its arrays
plain, and its graph is looked through before it runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.network import weight_shapes
from asr.acoustic.outputs import CHARACTERS, CHARACTERS_MMI, PHONES, output_slices, output_widths
from asr.acoustic.runtime import AcousticModel
from asr.acoustic.runtimes.onnx_graph import OnnxEngine
from asr.audio.features import LogMel
from asr.bundle.arrays import Arrays, open_arrays, pack_arrays
from asr.bundle.card import read_card, write_card
from asr.decoding.confidence import Calibration
from asr.errors import BundleError
from asr.files import check_folder, folder_written_atomically, foreign_entry, typed_path
from asr.packages import require_keras
from asr.pronunciation.packed import load_dictionary
from asr.pronunciation.phones import PhoneSet
from asr.settings.decoding import BeamConfig, DecoderConfig
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import EngineKind, ModelConfig
from asr.settings.text import NormalizerConfig
from asr.text.alphabet import Alphabet

_JSON, _ARRAYS, _GRAPH, _LANGUAGE = "bundle.json", "arrays.npz", "model.onnx", "language.lm"
_PRONUNCIATIONS = "pronunciations.npz"
# Bytes that a file, unpacked, can have at most; the largest models of this kind have a tenth.
_LARGEST = {_JSON: 10 << 20, _ARRAYS: 1 << 30, _GRAPH: 1 << 30}
_MODEL_PREFIX, _FEATURES_PREFIX = "model/", "features/"
# No number of a working model or feature comes near: products of larger ones overflow.
_LARGEST_WEIGHT, _LARGEST_FILTER, _LARGEST_LOG_MEL = 1e30, 1e3, 1e4


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

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def bytes_on_disk(self) -> int:
        """Size of all its files."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights of the model by name.

        Raises
        ------
        BundleError
            If one is damaged, does not fit the settings, or holds infinite numbers.
        """
        shapes = weight_shapes(self.model, mels=self.log_mel.settings.mels, **self._widths)
        with _open_arrays(self.path) as arrays:
            return {
                name: arrays.read(_MODEL_PREFIX + name, shapes[name], largest=_LARGEST_WEIGHT)
                for name in _weight_names(arrays, shapes, str(self.path / _ARRAYS))
            }

    @property
    def _widths(self) -> dict[str, int]:
        """Of the output layers over characters and over phones."""
        return {"symbols": self.alphabet.size, "phones": self.phones.size if self.phones else 0}

    def output_for(self, decoder: DecoderConfig) -> slice:
        """Where the output layer that a decoder reads lies on the last axis of the model's log-probabilities."""
        slices = output_slices(self.model, **self._widths)
        if isinstance(decoder, BeamConfig) and decoder.pronunciations is not None and PHONES in slices:
            return slices[PHONES]
        has_model = isinstance(decoder, BeamConfig) and decoder.lm is not None
        return slices[CHARACTERS_MMI if has_model and CHARACTERS_MMI in slices else CHARACTERS]

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
        mels = self.log_mel.settings.mels
        if kind is EngineKind.onnx_float32:
            from asr.acoustic.onnx_export import export_onnx

            widths = self._widths
            graph = export_onnx(
                self.weights(), self.model, mels=mels, symbols=widths["symbols"], phones=widths["phones"]
            )
        else:
            graph = _read_bounded(self.path / _GRAPH)
            if self.path.parent != _shipped_folder():  # whose graph comes with this code
                from asr.acoustic.onnx_check import check_graph

                check_graph(graph, str(self.path / _GRAPH))
        width = sum(output_widths(self.model, **self._widths).values())
        return OnnxEngine(graph, self.model, mels=mels, symbols=width, name=str(self.path / _GRAPH))

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

        model = build_model(self.model, mels=self.log_mel.settings.mels, **self._widths)
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
    for file in (_JSON, _ARRAYS, _GRAPH):
        if not (path / file).is_file():
            raise BundleError(f"{path}: not a bundle, {file} is missing")
    card = read_card(_read_bounded(path / _JSON), str(path / _JSON))
    decoder = card.decoder
    if decoder is not None and card.has_language_model:
        if not (path / _LANGUAGE).is_file():
            raise BundleError(f"{path}: {_LANGUAGE} is missing")
        decoder = replace(decoder, lm=str(path / _LANGUAGE))
    if decoder is not None and card.has_pronunciations:
        if not (path / _PRONUNCIATIONS).is_file():
            raise BundleError(f"{path}: {_PRONUNCIATIONS} is missing")
        decoder = replace(decoder, pronunciations=str(path / _PRONUNCIATIONS))
    with _open_arrays(path) as arrays:
        log_mel = _read_log_mel(arrays, card.features, str(path / _ARRAYS))
        phones = card.phones.size if card.phones else 0
        shapes = weight_shapes(card.model, mels=card.features.mels, symbols=card.alphabet.size, phones=phones)
        _weight_names(arrays, shapes, str(path / _ARRAYS))  # their shapes are checked when they are read
    return Bundle(
        path=path,
        log_mel=log_mel,
        normalizer=card.normalizer,
        alphabet=card.alphabet,
        model=card.model,
        phones=card.phones,
        decoder=decoder,
        priors=card.priors,
        confidence=card.confidence,
        provenance=card.provenance,
        error_rates=card.error_rates,
    )


def bundle_folder(name: str | Path) -> Path:
    """The folder of a bundle that is named as `load_bundle` takes it; a foreign folder never hides a shipped bundle."""
    is_name = isinstance(name, str) and is_bundle_name(name)
    path = _shipped_folder() / name if is_name and name in shipped_bundles() else typed_path(name)
    if path.is_dir() and (not is_name or path.parent == _shipped_folder()):
        return path
    shipped = ", ".join(shipped_bundles()) or "none"
    if path.is_dir():
        raise BundleError(
            f"{name}: no such bundle ships ({shipped}); for the folder of that name type {bundle_argument(name)}"
        )
    raise BundleError(f"{name}: no such bundle; give a bundle's folder, or the name of one that ships ({shipped})")


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
    provenance: Mapping[str, Any] | None = None,
    error_rates: Mapping[str, Any] | None = None,
    overwrite: bool = False,
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
        How to decode its output; its language model and pronunciations, if any, are copied into the bundle.
    priors : sequence of float
        How often the model says each symbol, the blank first; empty where that is unknown.
    confidence : mapping of str to Calibration, optional
        By the kind of decoder.
    provenance, error_rates : mappings, optional
        Anything JSON can hold.
    overwrite : bool
        Replace a folder, too, that holds a damaged bundle, or some files that are called as a bundle's are.

    Raises
    ------
    OutputError
        If there is something else at `path`: a file, or a folder with other files, whatever `overwrite` says.
    OSError
        If the folder cannot be written; an older bundle is then left as it was.
    """
    from asr.acoustic.onnx_export import export_onnx

    check_bundle_output(path, overwrite=overwrite)

    halves = {name: _half(array) for name, array in weights.items()}
    arrays: dict[str, npt.NDArray[Any]] = {_MODEL_PREFIX + name: array for name, array in halves.items()}
    # The graph is made of what is kept.
    weights = {name: array.astype(np.float32) for name, array in halves.items()}
    for name in ("matrix", "mean", "deviation"):
        if (array := getattr(log_mel, name)) is not None:
            arrays[_FEATURES_PREFIX + name] = np.asarray(array, np.float32)
    card = write_card(
        features=log_mel.settings,
        normalizer=normalizer,
        alphabet=alphabet,
        model=model,
        phones=phones,
        decoder=decoder,
        priors=priors,
        confidence=confidence or {},
        provenance=provenance or {},
        error_rates=error_rates or {},
    )
    # Read before anything is replaced: it may be the language model of an older bundle at the same path.
    language = typed_path(decoder.lm).read_bytes() if decoder is not None and decoder.lm is not None else b""
    pronunciations = b""
    if decoder is not None and decoder.pronunciations is not None:
        pronunciations = load_dictionary(typed_path(decoder.pronunciations)).to_bytes()
    with folder_written_atomically(path, foreign=lambda old: _foreign(old, overwrite=overwrite)) as folder:
        (folder / _ARRAYS).write_bytes(pack_arrays(arrays))
        (folder / _GRAPH).write_bytes(
            export_onnx(
                weights,
                model,
                mels=log_mel.settings.mels,
                symbols=alphabet.size,
                phones=phones.size if phones else 0,
                quantized=True,
            )
        )
        if decoder is not None and decoder.lm is not None:
            (folder / _LANGUAGE).write_bytes(language)
        if pronunciations:
            (folder / _PRONUNCIATIONS).write_bytes(pronunciations)
        (folder / _JSON).write_bytes(card)


def copy_bundle(
    source: Bundle,
    path: str | Path,
    *,
    weights: Mapping[str, npt.NDArray[np.float32]] | None = None,
    decoder: BeamConfig | None = None,
    priors: Sequence[float] | None = None,
    confidence: Mapping[str, Calibration] | None = None,
    provenance: Mapping[str, Any] | None = None,
    error_rates: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a bundle again under another path, with another card; arguments and errors as in `save_bundle`."""
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
        provenance=source.provenance if provenance is None else provenance,
        error_rates=source.error_rates if error_rates is None else error_rates,
        overwrite=overwrite,
    )


def check_bundle_output(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse, before any work, to write a bundle over what is none; arguments and errors as in `save_bundle`."""
    check_folder(path, foreign=lambda old: _foreign(old, overwrite=overwrite))


def _foreign(folder: Path, *, overwrite: bool) -> str | None:
    """What a folder holds besides a bundle, in words."""
    names = {_JSON, _ARRAYS, _GRAPH, _LANGUAGE, _PRONUNCIATIONS}
    found = foreign_entry(folder, lambda path: path.name in names and path.is_file() and not path.is_symlink())
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


def _open_arrays(path: Path) -> AbstractContextManager[Arrays]:
    return open_arrays(path / _ARRAYS, largest=_LARGEST[_ARRAYS])


def _read_log_mel(arrays: Arrays, settings: FeatureConfig, where: str) -> LogMel:
    """The feature extractor, with the mel matrix and the statistics that its settings call for."""
    shape = (settings.mels, settings.fft_size // 2 + 1)
    key = _FEATURES_PREFIX + "matrix"
    if key not in arrays.names or arrays.shape(key) != shape:
        raise BundleError(f"{where}: the mel matrix is missing or does not fit the features: {key} must be of {shape}")
    matrix = arrays.read(key, shape, least=0, largest=_LARGEST_FILTER)
    statistics = {}
    for name, least in (("mean", None), ("deviation", 0)):
        key = _FEATURES_PREFIX + name
        if key in arrays.names:
            statistics[name] = arrays.read(key, (settings.mels,), least=least, largest=_LARGEST_LOG_MEL)
        elif settings.normalization is Normalization.corpus:
            raise BundleError(f"{where}: {key} is missing, which features.normalization=corpus needs")
    return LogMel(settings, matrix, **statistics)


def _weight_names(arrays: Arrays, wanted: Iterable[str], where: str) -> list[str]:
    """The names of the weights, in the file's order, which are those that the settings call for."""
    names = [name.removeprefix(_MODEL_PREFIX) for name in arrays.names if name.startswith(_MODEL_PREFIX)]
    problems = [f"weight {name} is missing" for name in sorted(set(wanted) - set(names))]
    problems += [f"weight {name!r} has no place in the model" for name in sorted(set(names) - set(wanted))]
    if problems:
        raise BundleError(f"{where}: the weights do not fit the model: " + "; ".join(problems[:3])[:300])
    return names
