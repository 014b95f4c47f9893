"""The LSTM language model: word pieces, the graph against a NumPy LSTM, states, and the interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asr.errors import LanguageModelError
from asr.language.neural import NeuralHeader, NeuralLanguageModel, State
from asr.language.neural_export import export_language_model
from asr.language.neural_scoring import compare_with_ngram, score_sentences
from asr.language.neural_shapes import recurrent_name, weight_shapes
from asr.language.piece_text import BLOCK, is_piece_text, load_piece_text, make_piece_text, save_piece_text
from asr.language.word_pieces import END, WordPieces
from asr.settings.language import LstmConfig
from asr.text.pieces import WORD_START, PieceAlphabet

PIECES = (WORD_START, f"{WORD_START}eh", f"{WORD_START}gni", f"{WORD_START}a", "t", "e", "h", "g", "n", "i", "a", "'")
"""backwards, as they are kept"""
WORDS = ["the", "thing", "a", "hint", "'tea", "he"]


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    return WordPieces(PieceAlphabet(PIECES, tuple(-1.0 - 0.1 * place for place in range(len(PIECES)))))


def make(pieces: WordPieces, settings: LstmConfig) -> tuple[NeuralHeader, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    shapes = weight_shapes(settings, pieces.count)
    return NeuralHeader(settings, pieces), {
        name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()
    }


@pytest.fixture(scope="module", params=[8, 6], ids=["tied", "projected"])
def parts(request, pieces):
    return make(pieces, LstmConfig(pieces=pieces.count, units=8, embedding=request.param, depth=2))


@pytest.fixture(scope="module")
def model(parts) -> NeuralLanguageModel:
    header, weights = parts
    return NeuralLanguageModel(export_language_model(weights, header), "test.onnx")


def reference(weights: dict[str, np.ndarray], depth: int, numbers: list[int]) -> np.ndarray:
    """Log-probabilities [shape=(len(numbers) + 1, pieces)] of what follows `END` and each piece, in float64."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    units = weights[f"{recurrent_name(1)}/recurrent_kernel"].shape[0]
    hidden, memory = np.zeros((depth, units)), np.zeros((depth, units))
    found = []
    for number in [END, *numbers]:
        x = weights["vectors"][number] * math.sqrt(weights["vectors"].shape[1])
        for layer in range(depth):
            name = recurrent_name(layer + 1)
            gates = x @ weights[f"{name}/kernel"] + hidden[layer] @ weights[f"{name}/recurrent_kernel"]
            taken, forget, candidate, output = np.split(gates + weights[f"{name}/bias"], 4)
            memory[layer] = memory[layer] / (1 + np.exp(-forget)) + np.tanh(candidate) / (1 + np.exp(-taken))
            x = hidden[layer] = np.tanh(memory[layer]) / (1 + np.exp(-output))
        if "projection" in weights:
            x = x @ weights["projection"]
        logits = x @ weights["vectors"].T + weights["bias"]
        found.append(logits - np.log(np.exp(logits).sum()))
    return np.array(found)


def test_pieces_are_marked_where_a_word_ends(pieces):
    assert pieces.symbols[:3] == (WORD_START, f"he{WORD_START}", f"ing{WORD_START}")
    spelled = {word: [pieces.symbols[number - 1] for number in pieces.encode(word)] for word in WORDS}
    assert spelled["the"] == ["t", f"he{WORD_START}"]
    assert spelled["hint"] == ["h", "i", "n", "t", WORD_START]
    for numbers in map(pieces.encode, WORDS):
        assert [number in pieces.ends for number in numbers] == [False] * (len(numbers) - 1) + [True]
    assert pieces.encode("t\u00e9he") == pieces.encode("the")
    assert pieces.encode("\u4e2d") == (1,)  # the mark alone


def test_the_graph_is_the_lstm_that_numpy_computes(parts):
    header, weights = parts
    exact = NeuralLanguageModel(export_language_model(weights, header, quantized=False), "exact")
    numbers = [number for word in WORDS for number in header.pieces.encode(word)]
    wanted = reference(weights, header.settings.depth, numbers)
    score = 0
    state = exact.initial_state()
    for word in WORDS:
        log_probs, state = exact.advance(state, [word])
        own = header.pieces.encode(word)
        assert log_probs[0] == pytest.approx(sum(wanted[score + step, one] for step, one in enumerate(own)), abs=1e-4)
        score += len(own)
    assert exact.end(state)[0] == pytest.approx(wanted[-1, END], abs=1e-4)


def test_integers_are_near_it(model, parts):
    header, weights = parts
    numbers = [number for word in WORDS for number in header.pieces.encode(word)]
    wanted = reference(weights, header.settings.depth, numbers)
    scores = score_sentences(model, [WORDS])[0]
    exact = sum(wanted[step, one] for step, one in enumerate([*numbers, END]))
    assert scores.sum() == pytest.approx(exact, rel=0.02)


def test_the_probabilities_after_any_pieces_add_up_to_one(model, pieces):
    """Of all strings of two pieces: those that end at once, after a piece, and those that go on."""
    everything = np.arange(pieces.count)
    state = model.initial_state()
    first = np.exp(model.piece_log_probs(state.take([0] * len(everything)), everything).astype(np.float64))
    assert first.sum() == pytest.approx(1, abs=1e-5)
    behind = model.read_pieces(state.take([0] * len(everything)), everything)
    total = 0.0
    for number, prob in enumerate(first):
        after = np.exp(model.piece_log_probs(behind.take([number] * len(everything)), everything).astype(np.float64))
        total += prob * after.sum()
    assert total == pytest.approx(1, abs=1e-5)


def test_a_hypothesis_scores_the_same_alone_and_beside_others(model):
    start = model.initial_state()
    states = start.take([0] * len(WORDS))
    together, after = model.advance(states, WORDS)
    second, last = model.advance(after, WORDS[::-1])
    for row, word in enumerate(WORDS):
        alone, state = model.advance(start, [word])
        assert alone[0] == pytest.approx(together[row], abs=1e-6)
        np.testing.assert_allclose(state.layers[0], after.layers[row], atol=1e-6)
        again, end = model.advance(state, [WORDS[::-1][row]])
        assert again[0] == pytest.approx(second[row], abs=1e-5)
        assert model.end(end)[0] == pytest.approx(model.end(last)[row], abs=1e-5)
    np.testing.assert_array_equal(states.layers, start.take([0] * len(WORDS)).layers)  # not changed in place


def test_states_are_taken_and_joined(model):
    start = model.initial_state()
    _, after = model.advance(start.take([0, 0]), ["the", "a"])
    both = State.concatenate([start, after])
    assert (len(start), len(both)) == (1, 3)
    np.testing.assert_array_equal(both.take([2, 0, 2]).layers, both.layers[[2, 0, 2]])
    np.testing.assert_allclose(model.end(both)[[0]], model.end(start), atol=1e-6)
    scores, none = model.advance(both.take([]), [])
    assert (len(scores), len(none), len(model.end(none))) == (0, 0, 0)


def test_sentences_are_scored_word_by_word_whatever_their_lengths(model):
    sentences = [WORDS, ["a"], [], WORDS[2:5]]
    found = score_sentences(model, sentences)
    assert [len(one) for one in found] == [7, 2, 1, 4]
    for words, scores in zip(sentences, found, strict=True):
        state = model.initial_state()
        for word, score in zip(words, scores, strict=False):
            log_probs, state = model.advance(state, [word])
            assert log_probs[0] == pytest.approx(score, abs=1e-5)
        assert model.end(state)[0] == pytest.approx(scores[-1], abs=1e-5)


def test_the_best_interpolation_is_found(model, small_model):
    words = [word for word in small_model.words[3:] if word.isascii()][:4]
    sentences = [[*words, "unheard"], words[::-1], words[1:3]]
    scores = score_sentences(model, sentences)
    found = compare_with_ngram(scores, sentences, small_model)
    assert (found.words, found.unknown) == (sum(map(len, sentences)), 1)
    # The same by hand, over a grid of weights.
    left, right = [], []
    for words, own in zip(sentences, scores, strict=True):
        numbers = [1, *(small_model.numbers.get(word, 0) for word in words), 2]
        other = small_model.score_running(np.array(numbers))[1:]
        left += [one for one, number in zip(own, numbers[1:], strict=True) if number]
        right += [one for one, number in zip(other, numbers[1:], strict=True) if number]
    left, right = np.exp(left), np.exp(right)
    assert found.lstm == pytest.approx(np.exp(-np.log(left).mean()), rel=1e-5)
    assert found.ngram == pytest.approx(np.exp(-np.log(right).mean()), rel=1e-5)
    grid = [np.exp(-np.log(weight * left + (1 - weight) * right).mean()) for weight in np.linspace(0, 1, 201)]
    assert found.both == pytest.approx(min(grid), rel=1e-3)


def test_a_file_that_is_none_is_refused(tmp_path, parts):
    header, weights = parts
    content = export_language_model(weights, header)
    path = tmp_path / "lstm.onnx"
    for damaged in (b"", b"nothing", content[: len(content) // 2], content.replace(b'"format":1', b'"format":7')):
        path.write_bytes(damaged)
        with pytest.raises(LanguageModelError, match="is no LSTM language model"):
            NeuralLanguageModel.load(path)
    with pytest.raises(LanguageModelError, match="no such file"):
        NeuralLanguageModel.load(tmp_path / "other.onnx")


def test_a_text_in_pieces_survives_its_file_and_holds_out_blocks(tmp_path):
    pytest.importorskip("sentencepiece")
    lines = [f"the {'thing' if place % 3 else 'hint'} he had seen {'a' * (place % 4)}".strip() for place in range(3000)]
    lines = [f"{line} {chr(97 + place // BLOCK)}" for place, line in enumerate(lines)]
    text = make_piece_text(lines, count=30, held_out=0.4, provenance={"texts": ["some"]})
    words = sum(len(line.split()) for line in lines)
    assert text.words(text.numbers) == words
    blocks = text.held_out.reshape(-1, BLOCK)
    assert (blocks == blocks[:, :1]).all()
    assert 0 < blocks[:, 0].sum() < len(blocks)
    parts = [text.part(held_out=held_out) for held_out in (True, False)]
    assert [int((part == END).sum()) for part in parts] == [text.held_out.sum(), (~text.held_out).sum()]
    # Every sentence can be read in its pieces.
    symbols = ["\n", *text.pieces.symbols]
    read = "".join(symbols[number] for number in text.numbers).replace(f"{WORD_START}\n", "\n").replace(WORD_START, " ")
    assert read.splitlines() == lines
    path = tmp_path / "text.npz"
    save_piece_text(path, text)
    again = load_piece_text(path)
    assert is_piece_text(path)
    np.testing.assert_array_equal(again.numbers, text.numbers)
    np.testing.assert_array_equal(again.held_out, text.held_out)
    assert (again.pieces, again.provenance) == (text.pieces, text.provenance)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LanguageModelError, match="no text in word pieces"):
        load_piece_text(path)
    assert not is_piece_text(path)
