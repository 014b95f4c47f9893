from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from asr.errors import ConfigError, LanguageModelError
from asr.pronunciation.g2p import G2p, G2pSettings, prefix_search

SETTINGS = G2pSettings(letters="abc'", phones=("AH", "B", "K"), embedding=5, units=4, steps_per_letter=2)


def random_weights(rng: np.random.Generator, settings: G2pSettings = SETTINGS) -> dict[str, np.ndarray]:
    # Of values that half precision holds exactly.
    return {name: (rng.integers(-64, 64, shape) / 32).astype(np.float32) for name, shape in settings.shapes().items()}


@pytest.fixture
def g2p(rng) -> G2p:
    return G2p(SETTINGS, random_weights(rng))


def enumerate_labels(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every label sequence but the empty one: the sum over all alignments."""
    sums: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        label = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol)
        prob = math.exp(sum(float(log_probs[step, symbol]) for step, symbol in enumerate(path)))
        sums[label] = sums.get(label, 0.0) + prob
    del sums[()]
    return sums


def test_an_unpruned_prefix_search_gives_the_probabilities_of_enumeration(rng):
    for _ in range(5):
        logits = 2 * rng.standard_normal((6, 4))
        log_probs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        expected = sorted(enumerate_labels(log_probs).items(), key=lambda one: -one[1])
        found = prefix_search(log_probs, 10, beam_width=10_000)
        assert [label for label, _ in found] == [label for label, _ in expected[:10]]
        assert [prob for _, prob in found] == pytest.approx([math.log(prob) for _, prob in expected[:10]], abs=1e-6)


def test_the_n_best_pronunciations_of_a_small_model_are_those_of_enumeration(rng):
    weights = random_weights(rng)
    # As sure of most steps as a trained model is.
    g2p = G2p(SETTINGS, weights | {"symbols/kernel": 4 * weights["symbols/kernel"]})
    (log_probs,) = g2p.log_probs(["ab"])
    expected = sorted(enumerate_labels(log_probs).items(), key=lambda one: -one[1])[:3]
    (found,) = g2p.pronounce(["ab"], n_best=3)
    names = [tuple(SETTINGS.phones[number - 1] for number in label) for label, _ in expected]
    assert [phones for phones, _ in found] == names
    # A beam of 8 and symbols of at least 1e-3: a little probability is lost.
    assert [log_prob for _, log_prob in found] == pytest.approx([math.log(prob) for _, prob in expected], abs=0.05)


def test_a_symbol_below_the_limit_is_not_tried():
    log_probs = np.log(np.array([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1]], np.float32))
    found = prefix_search(log_probs, 10, beam_width=10, min_log_prob=math.log(0.2))
    assert [label for label, _ in found] == [(1,)]


def test_a_word_gives_the_same_alone_and_among_others_in_order(g2p):
    words = ["a", "abc", "b'a", "cab", "abcabc", "a"]
    together = g2p.log_probs(words)
    for word, log_probs in zip(words, together, strict=True):
        assert log_probs.shape == (2 * len(word), 4)
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(log_probs, g2p.log_probs([word])[0], atol=1e-5)


def test_case_and_diacritics_are_disregarded(g2p):
    assert g2p.pronounce(["\u00c4bC"]) == g2p.pronounce(["abc"])
    assert g2p.spells("\u00c4bC")


@pytest.mark.parametrize(("word", "message"), [("abx", "'abx' holds 'x'"), ("a b", "holds ' '"), ("", "empty")])
def test_what_the_model_cannot_spell_is_refused(g2p, word, message):
    assert not g2p.spells(word)
    with pytest.raises(ConfigError, match=message):
        g2p.pronounce(["a", word])


def test_at_least_one_pronunciation_is_asked_for(g2p):
    with pytest.raises(ConfigError, match="n_best"):
        g2p.pronounce(["a"], n_best=0)


def test_a_model_that_was_saved_gives_the_same(g2p, tmp_path):
    g2p.save(tmp_path / "g2p.npz", provenance={"words": 3})
    loaded = G2p.load(tmp_path / "g2p.npz")
    assert loaded.settings == SETTINGS
    assert loaded.pronounce(["abc", "b"], n_best=3) == g2p.pronounce(["abc", "b"], n_best=3)


def test_weights_must_fit_the_settings(rng):
    weights = random_weights(rng)
    for wrong in (
        {name: array for name, array in weights.items() if name != "embedding"},
        weights | {"more": np.zeros(3, np.float32)},
        weights | {"embedding": weights["embedding"][1:]},
        weights | {"embedding": np.full_like(weights["embedding"], np.nan)},
    ):
        with pytest.raises(ConfigError, match=r"embedding|more"):
            G2p(SETTINGS, wrong)


def test_a_file_that_is_no_model_is_refused(g2p, tmp_path):
    good = tmp_path / "g2p.npz"
    g2p.save(good)
    for name, content in (("cut", good.read_bytes()[:-300]), ("text", b"no model"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LanguageModelError, match=name):
            G2p.load(tmp_path / name)
    np.savez(tmp_path / "other.npz", header=np.zeros(3))
    with pytest.raises(LanguageModelError, match="other"):
        G2p.load(tmp_path / "other.npz")
    with pytest.raises(LanguageModelError, match="no such"):
        G2p.load(tmp_path / "missing.npz")


def test_pronouncing_needs_no_keras(g2p, tmp_path):
    g2p.save(tmp_path / "g2p.npz")
    code = f"""
import sys
for name in ("tensorflow", "keras", "torch", "jax", "onnxruntime"):
    sys.modules[name] = None
from asr.pronunciation.g2p import G2p
from asr.pronunciation.lookup import look_up
g2p = G2p.load({str(tmp_path / "g2p.npz")!r})
assert len(g2p.pronounce(["abc"], n_best=2)[0]) == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
