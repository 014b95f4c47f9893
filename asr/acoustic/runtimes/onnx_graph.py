"""Runs an exported model with ONNX Runtime: what transcription uses, without Keras."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.steps import step_counts
from asr.audio.features import Frames
from asr.errors import BundleError
from asr.settings.model import ModelConfig


class OnnxEngine:
    """A loaded graph. It runs in the caller's thread; as many threads may call it as there are cores.

    Parameters
    ----------
    graph : bytes
        An ONNX file as `export_onnx` makes it.
    settings : ModelConfig
    mels, symbols : int > 0
        Width of a frame and of the output.
    name : str
        What messages call it.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot load the graph, or it is not one from such frames to such symbols.
    """

    def __init__(self, graph: bytes, settings: ModelConfig, *, mels: int, symbols: int, name: str) -> None:
        onnxruntime = _import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised besides
        self._name, self._settings, self._symbols = name, settings, symbols
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise BundleError(f"{name}: ONNX Runtime cannot load the graph ({_first_line(error)})") from error
        inputs = {one.name: one.shape for one in self._session.get_inputs()}
        outputs = {one.name: one.shape for one in self._session.get_outputs()}
        if (
            set(inputs) != {"frames", "frame_counts"}
            or set(outputs) != {"log_probs"}
            or inputs["frames"][2:] != [mels]
            or outputs["log_probs"][2:] != [symbols]
        ):
            raise BundleError(f"{name}: not a graph from frames of {mels} bands to {symbols} symbols")

    def log_probs(self, frames: Frames) -> npt.NDArray[np.float32]:
        """As `AcousticModel.log_probs`.

        Raises
        ------
        BundleError
            If the graph does not run, or gives NaN or something of another shape.
        """
        counts = np.array([len(frames)], np.int32)
        try:
            (log_probs,) = self._session.run(["log_probs"], {"frames": frames[None], "frame_counts": counts})
        except Exception as error:
            raise BundleError(f"{self._name}: ONNX Runtime cannot run the graph ({_first_line(error)})") from error
        result: npt.NDArray[np.float32] = log_probs[0]
        if np.isnan(result).any():
            raise BundleError(f"{self._name}: the graph gives NaN for log-probabilities")
        if result.shape != (int(step_counts(len(frames), self._settings)), self._symbols):
            raise BundleError(
                f"{self._name}: the graph does not give a step for every {self._settings.subsampling} frames"
            )
        return result


def _import_onnxruntime() -> Any:
    """ONNX Runtime, without its telemetry: from version 1.29 on it writes files and calls its maker by default."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it looks when it is imported
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # for a program that had imported it before
    return onnxruntime


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
