"""Runs exported graphs with ONNX Runtime: what transcription uses, without Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.network import NEXT_STATE
from asr.acoustic.runtime import State
from asr.acoustic.steps import step_counts
from asr.audio.features import Frames
from asr.errors import BundleError
from asr.settings.model import ModelConfig

_STREAMING = "a causal model's graph with carried state"


def load_onnx(
    graph: bytes,
    settings: ModelConfig,
    *,
    mels: int,
    symbols: int,
    name: str,
    arrays: Mapping[str, npt.NDArray[Any]] | None = None,
) -> OnnxEngine | OnnxStreamingEngine:
    """Load a graph of either kind: one for whole utterances, or one with carried state.

    Parameters
    ----------
    graph, settings, mels, symbols, name
        As for `OnnxEngine`.
    arrays : mapping of str to arrays, optional
        `graph_arrays`, where the graph is a structure without them.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot load the graph, or the graph does not take such frames and give so many symbols.
    """
    session = Graph(graph, name, arrays)
    kind = OnnxEngine if "frame_counts" in session.inputs else OnnxStreamingEngine
    return kind(session, settings, mels=mels, symbols=symbols, name=name)


class OnnxEngine:
    """A loaded graph for whole utterances. It runs in the caller's thread; several threads may call it.

    Parameters
    ----------
    graph : bytes or Graph
        An ONNX file as `export_onnx` makes it, or one that is loaded.
    settings : ModelConfig
    mels, symbols : int > 0
        Width of a frame and of the whole output.
    name : str
        Name of the graph in messages.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot load the graph, or the graph does not take such frames and give so many symbols.
    """

    def __init__(self, graph: bytes | Graph, settings: ModelConfig, *, mels: int, symbols: int, name: str) -> None:
        self._graph, self._settings = Graph.loaded(graph, name), settings
        self._graph.check_shapes(mels, symbols)
        if self._graph.inputs.keys() != {"frames", "frame_counts"} or self._graph.outputs.keys() != {"log_probs"}:
            raise BundleError(f"{name}: not a graph for whole utterances, from frames and frame_counts to log_probs")

    def run(self, frames: Frames) -> npt.NDArray[np.float32]:
        """As `AcousticModel.run`.

        Raises
        ------
        BundleError
            If the graph fails, or gives NaN or an array of another shape.
        """
        counts = np.array([len(frames)], np.int32)
        outputs = self._graph.run({"frames": frames[None], "frame_counts": counts})
        return self._graph.checked_log_probs(outputs, int(step_counts(len(frames), self._settings)), self._settings)


@dataclass(frozen=True, slots=True)
class _OnnxState:
    """State of one utterance between two blocks."""

    waiting: Frames
    """[shape=(fewer than subsampling, mels)], frames of a step that is not complete"""
    tensors: Mapping[str, npt.NDArray[np.float32]]
    """the graph's, by name"""
    late: int
    """steps that the graph gives before the first of the utterance: those that it looks ahead"""


class OnnxStreamingEngine:
    """A loaded graph with carried state, for causal models: runs an utterance whole, or block by block.

    Parameters
    ----------
    graph : bytes or Graph
        An ONNX file as `export_streaming_onnx` makes it, or one that is loaded.
    settings : ModelConfig
    mels, symbols : int > 0
        Width of a frame and of the whole output.
    name : str
        Name of the graph in messages.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot load the graph, it carries no state, or the graph does not take such frames and give so
        many symbols.

    Examples
    --------
    >>> from asr.acoustic.network import weight_shapes
    >>> from asr.acoustic.onnx_export import export_streaming_onnx
    >>> settings, widths = ModelConfig(bidirectional=False, depth=1), {"mels": 80, "symbols": 29}
    >>> weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(settings, **widths).items()}
    >>> graph = export_streaming_onnx(weights, settings, **widths)
    >>> model = OnnxStreamingEngine(graph, settings, **widths, name="causal.onnx")
    >>> log_probs, state = model.step(np.zeros((10, 80), np.float32))
    >>> log_probs.shape
    (2, 29)
    >>> log_probs, state = model.step(np.zeros((3, 80), np.float32), state, last=True)
    >>> log_probs.shape
    (2, 29)
    """

    def __init__(self, graph: bytes | Graph, settings: ModelConfig, *, mels: int, symbols: int, name: str) -> None:
        self._graph, self._settings, self._mels, self._symbols = Graph.loaded(graph, name), settings, mels, symbols
        self._graph.check_shapes(mels, symbols)
        shapes = {name: shape for name, shape in self._graph.inputs.items() if name != "frames"}
        carried = {name: shape for name, shape in self._graph.outputs.items() if name != "log_probs"}
        if not shapes or {NEXT_STATE + name: shape for name, shape in shapes.items()} != carried:
            raise BundleError(f"{name}: not {_STREAMING}: it has no pairs of inputs and outputs for a state")
        if not all(isinstance(size, int) for shape in shapes.values() for size in shape[1:]):
            raise BundleError(f"{name}: not {_STREAMING}: the sizes of its state are not fixed")
        tensors = {name: np.zeros((1, *shape[1:]), np.float32) for name, shape in shapes.items()}
        self._start = _OnnxState(np.zeros((0, mels), np.float32), tensors, settings.delay_steps)

    def run(self, frames: Frames) -> npt.NDArray[np.float32]:
        """As `AcousticModel.run`; errors as for `step`."""
        return self.step(frames, last=True)[0]

    def step(
        self, frames: Frames, state: State | None = None, *, last: bool = False
    ) -> tuple[npt.NDArray[np.float32], State]:
        """As `CausalAcousticModel.step`.

        Raises
        ------
        BundleError
            If the graph fails, or gives NaN or an array of another shape.
        """
        before: _OnnxState = self._start if state is None else state
        frames = np.concatenate([before.waiting, frames])
        subsampling = self._settings.subsampling
        # The graph reads whole steps; after the last one come zeros, as many as the model looks ahead.
        missing = -len(frames) % subsampling + self._settings.delay_steps * subsampling if last else 0
        steps, rest = divmod(len(frames) + missing, subsampling)
        if steps == 0:
            return np.zeros((0, self._symbols), np.float32), _OnnxState(frames, before.tensors, before.late)
        block, waiting = frames[: steps * subsampling], frames[len(frames) - rest :]
        block = np.pad(block, ((0, missing), (0, 0)))
        outputs = self._graph.run({"frames": block[None], **before.tensors})
        log_probs = self._graph.checked_log_probs(outputs, steps, self._settings)
        tensors = {name: outputs[NEXT_STATE + name] for name in before.tensors}
        return log_probs[before.late :], _OnnxState(waiting, tensors, max(0, before.late - steps))


class Graph:
    """A session of ONNX Runtime, with messages that name the graph."""

    def __init__(self, content: bytes, name: str, arrays: Mapping[str, npt.NDArray[Any]] | None = None) -> None:
        self._name = name
        try:
            self._session = open_session(content, arrays)
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise BundleError(f"{name}: ONNX Runtime cannot load the graph ({_first_line(error)})") from error
        self.inputs: dict[str, list[Any]] = {one.name: one.shape for one in self._session.get_inputs()}
        self.outputs: dict[str, list[Any]] = {one.name: one.shape for one in self._session.get_outputs()}

    @classmethod
    def loaded(cls, graph: bytes | Graph, name: str) -> Graph:
        """A graph as it is, or loaded from the content of a file."""
        return graph if isinstance(graph, Graph) else cls(graph, name)

    def check_shapes(self, mels: int, symbols: int) -> None:
        """Raise BundleError unless the graph takes frames of `mels` bands and gives `symbols` log-probabilities."""
        self._symbols = symbols
        if self.inputs.get("frames", [])[2:] != [mels] or self.outputs.get("log_probs", [])[2:] != [symbols]:
            raise BundleError(f"{self._name}: not a graph from frames of {mels} bands to {symbols} symbols")

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
        """All outputs by name."""
        try:
            results = self._session.run(list(self.outputs), inputs)
        except Exception as error:
            raise BundleError(f"{self._name}: ONNX Runtime cannot run the graph ({_first_line(error)})") from error
        return dict(zip(self.outputs, results, strict=True))

    def checked_log_probs(
        self, outputs: Mapping[str, npt.NDArray[np.float32]], steps: int, settings: ModelConfig
    ) -> npt.NDArray[np.float32]:
        """The log-probabilities of the only row, of so many steps."""
        result: npt.NDArray[np.float32] = outputs["log_probs"][0]
        if np.isnan(result).any():
            raise BundleError(f"{self._name}: the graph gives NaN for log-probabilities")
        if result.shape != (steps, self._symbols):
            raise BundleError(f"{self._name}: the graph does not give a step for every {settings.subsampling} frames")
        return result


def open_session(content: bytes, arrays: Mapping[str, npt.NDArray[Any]] | None = None) -> Any:
    """A session of ONNX Runtime for a graph, which runs in the caller's thread; its errors are any `Exception`.

    Parameters
    ----------
    content : bytes
        An ONNX file.
    arrays : mapping of str to arrays, optional
        Those that the file names and does not hold.
    """
    onnxruntime = _import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised anyway
    if arrays:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        options.add_external_initializers(list(arrays), values)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _import_onnxruntime() -> Any:
    """ONNX Runtime without its telemetry: from version 1.29 on it writes files and sends reports by default."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is imported
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # for a program that had imported it before
    return onnxruntime


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
