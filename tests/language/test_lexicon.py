from __future__ import annotations

import numpy as np
import pytest

from asr.language.lexicon import sort_rows


@pytest.mark.parametrize(("largest", "longest"), [(1, 1), (3, 9), (79, 19), (300, 6), (70_000, 5)])
def test_rows_are_sorted_as_by_columns(rng, largest, longest):
    """Symbols of one, two and four bytes; many rows are equal, and many of these weigh the same."""
    rows = rng.integers(0, largest + 1, (400, longest)).astype(np.int32)
    rows[rng.integers(0, 400, 200)] = rows[0]
    rows[rng.integers(0, 400, 100), 1:] = 0
    weights = rng.integers(0, 3, 400).astype(float)
    np.testing.assert_array_equal(sort_rows(rows), np.lexsort(rows.T[::-1]))
    np.testing.assert_array_equal(sort_rows(rows, weights), np.lexsort([-weights, *rows.T[::-1]]))


def test_rows_without_symbols_stay_in_their_order():
    assert sort_rows(np.zeros((3, 0), np.int32)).tolist() == [0, 1, 2]
    assert sort_rows(np.zeros((3, 0), np.int32), np.array([1.0, 2.0, 1.0])).tolist() == [1, 0, 2]
    assert sort_rows(np.zeros((0, 4), np.int32)).tolist() == []
