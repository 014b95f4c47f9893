"""Log-mel frames for an exported model, with NumPy alone, from the files card.json and features.npz beside this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SMALLEST_DEVIATION = 0.1  # a band that varies less, as in digital silence, is not scaled to deviation 1


class LogMel:
    """Turns samples into normalised frames: of a whole recording by a call, of a stream by `push`."""

    def __init__(self, folder: str | Path = Path(__file__).parent) -> None:
        self.card = json.loads((Path(folder) / "card.json").read_text("utf-8"))
        arrays = np.load(Path(folder) / "features.npz", allow_pickle=False)
        self.matrix, self.mean, self.deviation = (arrays.get(name) for name in ("matrix", "mean", "deviation"))
        settings = self.settings = self.card["features"]
        rate = settings["sample_rate"]
        self.window_samples, self.hop = round(settings["window_seconds"] * rate), round(settings["hop_seconds"] * rate)
        self.fft_size = 2 * (self.matrix.shape[1] - 1)
        phase = 2 * np.pi * np.arange(self.window_samples) / self.window_samples
        self.window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        # A frame is centred on its first sample.
        self.before = self.fft_size // 2 - (self.fft_size - self.window_samples) // 2
        self.reset()

    def reset(self) -> None:
        """Begin another stream."""
        self.waiting, self.pushed, self.made = np.zeros(self.before, np.float32), 0, 0
        if self.settings["normalization"] == "running":
            mean = self.mean.astype(np.float64)
            squares = np.square(self.deviation, dtype=np.float64) + mean**2
            frames = self.settings["prior_seconds"] / self.settings["hop_seconds"]
            self.prior = np.concatenate([[1.0], mean, squares]) * frames
            self.sums, self.position = np.zeros_like(self.prior), 0

    def __call__(self, samples: Array) -> Array:
        """The frames [shape=(1 + samples // hop, mels)] of a recording: samples of one channel, full scale 1."""
        self.reset()
        return self.normalize(self._take(samples, last=True))

    def push(self, samples: Array, last: bool = False) -> Array:
        """The frames that are complete with these samples of a stream; `last` completes the others with zeros."""
        if self.settings["normalization"] == "utterance":
            raise ValueError("this model normalises by the whole recording: call the object instead")
        return self.normalize(self._take(samples, last))

    def _take(self, samples: Array, last: bool) -> Array:
        samples = np.asarray(samples, np.float32)
        self.pushed += len(samples)
        self.waiting = np.concatenate([self.waiting, samples])
        if last:
            count = 1 + self.pushed // self.hop - self.made
            self.waiting = np.pad(self.waiting, (0, max(0, count * self.hop + self.window_samples - len(self.waiting))))
        else:
            count = max(0, (len(self.waiting) - self.window_samples) // self.hop + 1)
        if not count:
            return np.zeros((0, len(self.matrix)), np.float32)
        views = np.lib.stride_tricks.sliding_window_view(self.waiting, self.window_samples)[:: self.hop][:count]
        spectrum = np.fft.rfft(views * self.window, n=self.fft_size, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        self.waiting, self.made = self.waiting[count * self.hop :], self.made + count
        frames: Array = np.log(np.maximum(power @ self.matrix.T, np.float32(self.settings["log_floor"])))
        return frames

    def normalize(self, frames: Array) -> Array:
        """Shift and scale frames as the model was trained."""
        kind = self.settings["normalization"]
        if kind == "none" or not len(frames):
            return frames
        if kind == "utterance":
            mean, deviation = frames.mean(axis=0, dtype=np.float64), frames.std(axis=0, dtype=np.float64)
        elif kind == "corpus":
            mean, deviation = self.mean, self.deviation
        else:
            mean, deviation = self._running_statistics(frames)
        normalized: Array = ((frames - mean) / np.maximum(deviation, SMALLEST_DEVIATION)).astype(np.float32)
        return normalized

    def _running_statistics(self, frames: Array) -> tuple[Array, Array]:
        """Of each frame and those before it, which fade in steps of a second; digital silence does not count."""
        hop_seconds = self.settings["hop_seconds"]
        second = max(1, round(1 / hop_seconds))
        fading = np.exp(-second * hop_seconds / self.settings["memory_seconds"])
        silence = np.log(self.settings["log_floor"]) + SMALLEST_DEVIATION
        totals = []
        for frame in frames.astype(np.float64):
            if frame.max() > silence:
                self.sums = self.sums + np.concatenate([[1.0], frame, frame**2])
            totals.append(self.sums + self.prior)
            self.position += 1
            if self.position % second == 0:
                self.sums = self.sums * fading
        counts, values, squares = np.split(np.array(totals), [1, 1 + frames.shape[1]], axis=1)
        mean = values / counts
        return mean, np.sqrt(np.maximum(squares / counts - mean**2, 0))
