from __future__ import annotations

import keras
import numpy as np
import pytest

from asr.acoustic.metrics import TokenErrorRate, edit_distances, greedy_labels


def levenshtein(left: list[int], right: list[int]) -> int:
    """The textbook table."""
    table = np.zeros((len(left) + 1, len(right) + 1), int)
    table[:, 0], table[0] = np.arange(len(left) + 1), np.arange(len(right) + 1)
    for row, one in enumerate(left, start=1):
        for column, other in enumerate(right, start=1):
            table[row, column] = min(
                table[row - 1, column] + 1, table[row, column - 1] + 1, table[row - 1, column - 1] + (one != other)
            )
    return int(table[-1, -1])


def padded(rows: list[list[int]], width: int, padding: int) -> np.ndarray:
    array = np.full((len(rows), width), padding, np.int32)
    for row, tokens in enumerate(rows):
        array[row, : len(tokens)] = tokens
    return array


@pytest.mark.parametrize("padding", [-1, 0])
def test_edit_distances_are_those_of_the_textbook(rng, padding):
    """Rows of all lengths, empty ones too, few symbols, so that many alignments compete."""
    found = [rng.integers(1, 4, size).tolist() for size in (0, 0, 3, 5, 8, 8, 1, 7)]
    expected = [rng.integers(1, 4, size).tolist() for size in (0, 4, 0, 6, 8, 2, 6, 7)]
    distances = edit_distances(padded(found, 9, padding), padded(expected, 8, padding))
    assert keras.ops.convert_to_numpy(distances).tolist() == list(map(levenshtein, found, expected))


def test_greedy_decoding_merges_repeats_and_removes_blanks():
    """Also where all steps or none are blank, and where symbols tie."""
    paths = np.array([[0, 1, 1, 0, 1, 2], [0, 0, 0, 0, 0, 0], [2, 2, 2, 2, 2, 2], [1, 2, 1, 2, 1, 2]])
    assert greedy_labels(np.eye(3)[paths]) == [[1, 1, 2], [], [2], [1, 2, 1, 2, 1, 2]]
    assert greedy_labels([[[1, 1, 1], [0, 1, 1]]]) == [[1]]


def test_the_error_rate_pools_the_counts_of_all_batches():
    metric = TokenErrorRate()
    metric.update_state(np.array([[1, 2, 1, 2]]), np.eye(3, dtype=np.float32)[[[1, 2, 1, 2, 2]]])  # no error
    metric.update_state(np.array([[1, -1], [2, 2]]), np.eye(3, dtype=np.float32)[[[2, 1, 0], [0, 0, 0]]])
    assert float(metric.result()) == pytest.approx(3 / 7)
    metric.reset_state()
    assert np.isnan(float(metric.result()))
    with pytest.raises(ValueError, match="takes no sample weights"):
        metric.update_state(np.array([[1]]), np.eye(2, dtype=np.float32)[[[1]]], sample_weight=np.array([2.0]))
