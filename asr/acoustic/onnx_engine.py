"""Runs an exported model with ONNX Runtime: what transcription uses, without Keras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.acoustic.steps import step_counts
from asr.audio.features import Frames
from asr.config import ModelConfig
from asr.errors import BundleError

# Utterances run together are at most this many frames, padding included: more does not make a CPU faster.
_BATCH_FRAMES = 16_000


class OnnxEngine:
    """A loaded graph.

    Parameters
    ----------
    path : Path
        An ONNX file as `export_onnx` makes it.
    settings : ModelConfig
    workers : int >= 0
        Processor cores to use; 0 for all.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot load the graph.
    """

    def __init__(self, path: Path, settings: ModelConfig, *, workers: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = workers
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise BundleError(f"{path}: ONNX Runtime cannot load the graph ({str(error).splitlines()[0]})") from error
        self._settings = settings

    def log_probs(self, utterances: Sequence[Frames]) -> list[npt.NDArray[np.float32]]:
        """Log-probabilities of some utterances, each the same as if it were alone.

        Parameters
        ----------
        utterances : sequence of float32 [shape=(frames, mels)]
            Normalised features, at least one frame each.

        Returns
        -------
        list of float32 [shape=(steps, symbols)]
            Natural log-probabilities, in the order of the utterances.
        """
        results: list[npt.NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(utterances)
        for batch in self._batches(utterances):
            counts = np.array([len(utterances[index]) for index in batch], np.int32)
            frames = np.zeros((len(batch), counts.max(), utterances[0].shape[1]), np.float32)
            for row, index in enumerate(batch):
                frames[row, : counts[row]] = utterances[index]
            (log_probs,) = self._session.run(["log_probs"], {"frames": frames, "frame_counts": counts})
            for row, (index, steps) in enumerate(zip(batch, step_counts(counts, self._settings), strict=True)):
                results[index] = log_probs[row, :steps]
        return results

    @staticmethod
    def _batches(utterances: Sequence[Frames]) -> list[list[int]]:
        """Neighbours in length share a batch, so that little is spent on padding."""
        batches: list[list[int]] = []
        for index in sorted(range(len(utterances)), key=lambda index: len(utterances[index])):
            if not batches or len(utterances[index]) * (len(batches[-1]) + 1) > _BATCH_FRAMES:
                batches.append([])
            batches[-1].append(index)
        return batches
