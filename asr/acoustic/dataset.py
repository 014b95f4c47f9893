"""Log-mel frames and labels as batches for `keras.Model.fit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from asr.acoustic.steps import step_counts
from asr.audio.features import Frames, LogMel, frame_count
from asr.audio.load import Samples
from asr.corpus.batching import Shape, collate
from asr.settings.model import ModelConfig
from asr.text.alphabet import BLANK, steps_needed

# Back ends compile for every new shape: batches are padded to multiples of these.
_FRAMES, _SYMBOLS = 128, 32

Arrays = tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]], npt.NDArray[np.int32]]


def pad_batch(frames: Sequence[Frames], labels: Sequence[Sequence[int]]) -> Arrays:
    """Pad utterances of different lengths with zeros to the arrays of one batch.

    Parameters
    ----------
    frames : sequence of float32 [shape=(frames, mels)]
    labels : sequence of sequences of int
        Symbol numbers from 1 on, one sequence for each utterance.

    Returns
    -------
    (frames, frame_counts), labels : float32 [shape=(batch, frames, mels)], int32 [shape=(batch,)], and \
int32 [shape=(batch, label symbols)]
        Inputs and targets of a model of `asr.acoustic.build_model` with `asr.acoustic.CtcLoss`. There are a multiple of
        128 frames and of 32 label symbols: back ends compile for every new shape, and padding changes no result.

    Raises
    ------
    ValueError
        If there are not as many labels as utterances, or none, or a label holds a number below 1.

    Examples
    --------
    >>> (frames, frame_counts), labels = pad_batch([np.ones((5, 80)), np.ones((9, 80))], [[1, 2], [3]])
    >>> frames.shape, frame_counts.tolist(), labels[:, :2].tolist()
    ((2, 128, 80), [5, 9], [[1, 2], [3, 0]])
    """
    if not len(frames) or len(frames) != len(labels):
        raise ValueError(f"a batch needs a label for each utterance, not {len(labels)} for {len(frames)}")
    for row, label in enumerate(labels):
        if any(number <= BLANK for number in label):
            raise ValueError(f"symbols are numbered from {BLANK + 1}: label {row} holds {min(label)}")
    longest, most = max(map(len, frames)), max(1, *map(len, labels))
    shape = Shape(len(frames), -(-longest // _FRAMES) * _FRAMES, -(-most // _SYMBOLS) * _SYMBOLS)
    batch = collate([np.asarray(one, np.float32) for one in frames], labels, shape)
    return (batch.frames, batch.frame_counts), batch.labels


class LogMelDataset(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of log-mel frames and labels, made of recordings in memory when they are asked for.

    Parameters
    ----------
    recordings : sequence of float32 [shape=(samples,)]
        Mono, full scale 1, at `log_mel.settings.sample_rate`. `asr.audio.load.load_audio` reads and resamples files.
    labels : sequence of sequences of int
        Symbol numbers from 1 on, as `asr.text.alphabet.Alphabet.encode` gives them.
    log_mel : LogMel
        The feature extractor, such as `LogMel.from_librosa(FeatureConfig())` or that of a bundle.
    settings : ModelConfig
        Of the model that reads the batches; its subsampling decides whether labels fit.
    batch_size : int > 0
        Utterances in a batch; the last batch of an epoch may have fewer.
    shuffle_seed : int, optional
        Shuffles the utterances before each epoch; None keeps their order.
    **kwargs
        `workers`, `use_multiprocessing` and `max_queue_size`, as for every `keras.utils.PyDataset`.

    Raises
    ------
    ValueError
        If there are not as many labels as recordings, or none, or `batch_size` is below 1, or CTC cannot align a label
        to its recording: the recording has fewer steps than the label has symbols, plus one between equal neighbours.

    Notes
    -----
    An item is `((frames, frame_counts), labels)`, as `pad_batch` returns it.
    """

    def __init__(
        self,
        recordings: Sequence[Samples],
        labels: Sequence[Sequence[int]],
        *,
        log_mel: LogMel,
        settings: ModelConfig,
        batch_size: int = 16,
        shuffle_seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not len(recordings) or len(recordings) != len(labels):
            raise ValueError(f"each recording needs a label, not {len(labels)} labels for {len(recordings)} recordings")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        for number, (samples, label) in enumerate(zip(recordings, labels, strict=True)):
            steps, needed = int(step_counts(frame_count(len(samples), log_mel.settings), settings)), steps_needed(label)
            if steps < needed:
                raise ValueError(
                    f"recording {number} has {steps} steps, its label needs {needed}: leave it out, or lower "
                    f"model.subsampling ({settings.subsampling})"
                )
        self._recordings, self._labels, self._log_mel, self._batch_size = recordings, labels, log_mel, batch_size
        self._rng = None if shuffle_seed is None else np.random.default_rng(shuffle_seed)
        self._order = np.arange(len(recordings))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> Arrays:
        places = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        frames = [self._log_mel(np.asarray(self._recordings[place], np.float32)) for place in places]
        return pad_batch(frames, [self._labels[place] for place in places])

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch, if the dataset shuffles; Keras calls this."""
        if self._rng is not None:
            self._order = self._rng.permutation(len(self._order))

    def to_tf_data(self) -> Any:
        """The same batches as a `tf.data.Dataset`; each pass over it is an epoch."""
        import tensorflow as tf

        def batches() -> Iterator[Arrays]:
            for index in range(len(self)):
                yield self[index]
            self.on_epoch_end()

        frames = tf.TensorSpec((None, None, self._log_mel.settings.mels), tf.float32)
        signature = (frames, tf.TensorSpec((None,), tf.int32)), tf.TensorSpec((None, None), tf.int32)
        data = tf.data.Dataset.from_generator(batches, output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(len(self)))
