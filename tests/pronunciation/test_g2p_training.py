from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from asr.pronunciation.g2p import G2pSettings
from asr.pronunciation.g2p_training import (
    G2pTraining,
    build_network,
    measure,
    pack,
    split_dictionary,
    to_g2p,
    train_network,
    usable_examples,
)

SETTINGS = G2pSettings(letters="abcx'", phones=("AH", "B", "K", "S"), embedding=8, units=16, steps_per_letter=2)
SOUNDS = {"a": ("AH",), "b": ("B",), "c": ("K",), "x": ("K", "S")}


def spelled(word: str) -> tuple[str, ...]:
    return tuple(phone for letter in word for phone in SOUNDS[letter])


@pytest.fixture
def network():
    keras.utils.set_random_seed(3)
    return build_network(SETTINGS, dropout=0.2)


def test_the_numpy_model_gives_the_log_probabilities_of_the_keras_model(network):
    for variable in network.trainable_variables:  # biases, too, are to matter
        variable.assign(np.random.default_rng(variable.shape[-1]).uniform(-1, 1, variable.shape))
    words = ["a", "cab", "ab'cx", "xxx"]
    letters, counts, _ = pack([(word, ("B",)) for word in words], SETTINGS)
    expected = ops.convert_to_numpy(ops.log_softmax(network([letters, counts], training=False)))
    for word, found, row in zip(words, to_g2p(network, SETTINGS).log_probs(words), expected, strict=True):
        np.testing.assert_allclose(found, row[: 2 * len(word)], atol=2e-5)


def test_training_lowers_the_loss_of_its_words(network):
    examples = [(word, spelled(word)) for word in ("abc", "bca", "cab", "xab", "bax", "cxa", "bbb", "axc")]
    losses: list[float] = []
    training = G2pTraining(epochs=40, batch_words=8, learning_rate=0.03)
    train_network(network, examples, SETTINGS, training, on_step=lambda step, steps, loss: losses.append(loss))
    assert len(losses) == 40
    assert losses[-1] < losses[0] / 2


@pytest.mark.slow
def test_training_learns_a_spelling_of_one_and_two_phones_a_letter(network):
    rng = np.random.default_rng(0)
    # All of one length: back ends that compile do so once.
    words = ["".join(rng.choice(list("abcx"), 4)) for _ in range(400)]
    dictionary = {word: (spelled(word),) for word in words}
    train, held_out = split_dictionary(dictionary, share=0.2)
    losses = []
    train_network(
        network,
        usable_examples(train, SETTINGS),
        SETTINGS,
        G2pTraining(epochs=20, batch_words=32, learning_rate=0.02),
        on_step=lambda step, steps, loss: losses.append((step, steps, loss)),
    )
    assert [step for step, _, _ in losses] == list(range(1, losses[0][1] + 1))
    errors = measure(to_g2p(network, SETTINGS), held_out)
    assert errors.words == len(held_out) > 20
    assert errors.word_error_rate < 0.05


def test_words_that_the_network_cannot_spell_are_no_examples():
    dictionary = {
        "ab": (("AH", "B"),),
        "a.b": (("AH", "B"),),  # no such letter
        "a": (
            ("AH", "B"),
            ("B", "B"),
            ("AH", "B", "K"),
        ),  # CTC wants a step between equal phones; three phones are too many
    }
    assert usable_examples(dictionary, SETTINGS) == [("ab", ("AH", "B")), ("a", ("AH", "B"))]


def test_held_out_words_are_the_same_in_any_order_and_their_share_is_as_asked():
    words = {f"word{number}": (("B",),) for number in range(4000)}
    train, held_out = split_dictionary(words)
    assert not train.keys() & held_out.keys()
    assert train.keys() | held_out.keys() == words.keys()
    assert len(held_out) == pytest.approx(200, abs=60)
    assert split_dictionary(dict(reversed(words.items())))[1].keys() == held_out.keys()


def test_errors_are_counted_against_the_nearest_variant(network):
    g2p = to_g2p(network, SETTINGS)
    held_out = {
        "ab": (("K",), ("AH", "B")),  # right by the second variant
        "ba": (("B", "AH", "K"), ("S", "S", "S", "S")),  # one phone missing
        "c.": (("K",),),  # not counted
    }
    errors = measure(g2p, held_out, pronounce=lambda words: [spelled(word) for word in words])
    assert (errors.words, errors.wrong_words, errors.phones, errors.wrong_phones) == (2, 1, 5, 1)
    assert errors.phone_error_rate == 0.2
