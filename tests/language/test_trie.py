from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asr.language.trie import NOT_FOUND, Trie

PATHS = st.sets(st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), max_size=30)


def build(paths: set[tuple[int, ...]]) -> tuple[Trie, dict[tuple[int, ...], int]]:
    """A trie of some paths and all their beginnings, and the node of each."""
    nodes = {(): 0}
    levels = []
    above = [()]
    for depth in range(1, 5):
        here = sorted({path[:depth] for path in paths if len(path) >= depth})
        if not here:
            break
        position = {path: index for index, path in enumerate(above)}
        levels.append((np.array([position[path[:-1]] for path in here]), np.array([path[-1] for path in here])))
        nodes |= {path: len(nodes) + index for index, path in enumerate(here)}
        above = here
    return Trie.from_levels(levels), nodes


@given(PATHS)
def test_a_search_without_keys_finds_the_same(paths):
    trie, nodes = build(paths)
    inside = np.array([NOT_FOUND, *nodes.values()]).repeat(6)
    labels = np.tile(np.arange(6), len(nodes) + 1)
    np.testing.assert_array_equal(trie._find_by_bisection(inside, labels), trie.find(inside, labels))


def test_the_keys_of_a_large_trie_are_made_when_they_save_time(monkeypatch):
    """In parts, which give what one part gives."""
    monkeypatch.setattr("asr.language.trie._SMALL", 10)
    monkeypatch.setattr("asr.language.trie._CALLS_WITHOUT_KEYS", 2)
    monkeypatch.setattr("asr.language.trie._NODES_AT_ONCE", 3)
    trie, nodes = build({(a, b, c) for a in range(4) for b in range(a) for c in range(b + 1)})
    asked = np.array(list(nodes.values())).repeat(4), np.tile(np.arange(4), len(nodes))
    found = []
    for _ in range(3):
        assert "_keys" not in trie.__dict__
        found.append(trie.find(*asked))
    assert (np.diff(trie._keys) > 0).all()
    assert len(trie._keys) == len(trie.labels) - 1
    assert [one.tolist() for one in found] == [trie.find(*asked).tolist()] * 3


@given(PATHS)
def test_every_child_is_found_and_nothing_else(paths):
    trie, nodes = build(paths)
    asked = [(node, label) for node in [NOT_FOUND, *nodes.values()] for label in range(5)]
    expected = {(nodes[path[:-1]], path[-1]): node for path, node in nodes.items() if path}
    found = trie.find(np.array([node for node, _ in asked]), np.array([label for _, label in asked]))
    assert found.tolist() == [expected.get(pair, NOT_FOUND) for pair in asked]
    table = trie.table(5)
    for node, label in asked:
        if node != NOT_FOUND:
            assert table[node, label] == expected.get((node, label), NOT_FOUND)
