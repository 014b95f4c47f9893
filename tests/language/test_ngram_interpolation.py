from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from asr.language.arpa import read_arpa
from asr.language.ngram import END, START, UNKNOWN, NgramModel, quantize
from asr.language.ngram_interpolation import find_weights, interpolate_ngrams
from asr.language.ngram_training import measure_perplexity

from ..decoding.conftest import SENTENCES, train

LETTERS = ["a b c", "c a t", "the cat a", "b e e", "o h o h cat sat", "a dog b"]


def contexts(model: NgramModel, longest: int) -> list[tuple[str, ...]]:
    words = [word for word in model.words if word not in {"<s>", "</s>"}]
    return [(*start, *rest) for length in range(longest) for rest in itertools.product(words, repeat=length)
            for start in ((), ("<s>",))]  # fmt: skip


def prob(model: NgramModel, context: tuple[str, ...], word: str) -> float:
    """By definition: the longest n-gram that the model has, times the back-off weights of the contexts that lack it."""
    if word not in model.numbers:
        return 0.0
    while any(one not in model.numbers for one in context):  # a word that the model lacks ends the context
        context = context[1:]
    ngrams = _ngrams(model)
    context = context[max(len(context) - model.order + 1, 0) :]
    weight = 1.0
    while True:
        if (*context, word) in ngrams:
            return weight * math.exp(ngrams[*context, word][0])
        weight *= math.exp(ngrams.get(context, (0.0, 0.0))[1])
        context = context[1:]


_TABLES: dict[int, tuple[NgramModel, dict[tuple[str, ...], tuple[float, float]]]] = {}


def _ngrams(model: NgramModel) -> dict[tuple[str, ...], tuple[float, float]]:
    """Log-probability and back-off of every n-gram, read off the tree node by node."""
    if id(model) not in _TABLES:
        table: dict[tuple[str, ...], tuple[float, float]] = {}
        paths: dict[int, tuple[str, ...]] = {0: ()}
        node = 1
        for order, count in enumerate(model.counts):
            for place in range(count):
                parent = int(np.searchsorted(model.trie.first, node, side="right")) - 1
                paths[node] = (*paths[parent], model.words[model.trie.labels[node]])
                backoff = float(model.backoffs[order][place]) if order < model.order - 1 else 0.0
                table[paths[node]] = float(model.log_probs[order][place]), backoff
                node += 1
        _TABLES[id(model)] = model, table
    return _TABLES[id(model)][1]


@pytest.fixture(scope="module", params=[(3, 3), (4, 2), (2, 3), (1, 3), (3, 1)], ids=str)
def mixed(request):
    first, second = request.param
    base, text = train(SENTENCES, order=first, min_count=2), train(LETTERS, order=second)
    return base, text, interpolate_ngrams([base, text], [0.3, 0.7])


def test_the_probability_of_every_ngram_is_the_weighted_mean_of_the_models(mixed):
    base, text, model = mixed
    ngrams = _ngrams(model)
    assert set(ngrams) >= set(_ngrams(base)) | set(_ngrams(text))
    for ngram, (log_prob, _) in ngrams.items():
        if ngram[-1] != "<s>":
            *context, word = ngram
            wanted = 0.3 * prob(base, tuple(context), word) + 0.7 * prob(text, tuple(context), word)
            assert math.exp(log_prob) == pytest.approx(wanted, rel=1e-4), ngram


def test_the_words_after_any_context_add_up_to_one(mixed):
    _, _, model = mixed
    for context in contexts(model, 3)[::7]:
        total = sum(prob(model, context, word) for word in model.words if word != "<s>")
        assert total == pytest.approx(1, abs=1e-4), context


def test_the_search_scores_it_as_the_definition_does(mixed):
    _, _, model = mixed
    sentence = ["the", "cat", "a", "b", "c"]
    wanted = [prob(model, ("<s>", *sentence[:place]), word) for place, word in enumerate([*sentence, "</s>"])]
    assert np.exp(model.score_text(sentence)) == pytest.approx(wanted, rel=1e-4)


def test_a_model_interpolated_with_itself_stays_as_it_is():
    model = train(SENTENCES, order=4, max_ngrams=30)
    same = interpolate_ngrams([model, model], [0.4, 0.6])
    assert same.words == model.words
    assert same.counts == model.counts
    for ours, theirs in zip((*same.log_probs, *same.backoffs), (*model.log_probs, *model.backoffs), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_the_order_of_the_models_means_nothing():
    models = [train(SENTENCES), train(LETTERS), train(["z y x"])]
    one = interpolate_ngrams(models, [0.2, 0.5, 0.3])
    other = interpolate_ngrams(models[::-1], [0.3, 0.5, 0.2])
    assert one.words == other.words
    for ours, theirs in zip((*one.log_probs, *one.backoffs), (*other.log_probs, *other.backoffs), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_a_model_of_another_program_that_lacks_the_suffix_of_an_ngram_is_mixed_too(tmp_path):
    (tmp_path / "x.arpa").write_text(
        "\\data\\\nngram 1=5\nngram 2=2\nngram 3=1\n\n\\1-grams:\n-1\t<unk>\n-99\t<s>\t-0.1\n-0.5\t</s>\n"
        "-0.4\ta\t-0.2\n-0.6\tb\t-0.3\n\n\\2-grams:\n-0.3\t<s> a\t-0.1\n-0.2\tb b\n\n\\3-grams:\n"
        "-0.1\t<s> a b\n\n\\end\\\n"
    )
    base, text = read_arpa(tmp_path / "x.arpa"), train(["a b", "b a"])
    model = interpolate_ngrams([base, text], [0.5, 0.5])
    wanted = 0.5 * prob(base, ("<s>", "a"), "b") + 0.5 * prob(text, ("<s>", "a"), "b")
    assert prob(model, ("<s>", "a"), "b") == pytest.approx(wanted, rel=1e-4)
    assert ("a", "b") in _ngrams(model)


def test_the_weights_found_predict_the_text_best():
    base, text = train(SENTENCES), train(LETTERS)
    heldout = ["the cat sat", "a b b", "c a t a", "the dog sat on a mat"]
    words = [("<s>", *line.split(), "</s>") for line in heldout]
    places = [(line[:place], line[place]) for line in words for place in range(1, len(line))]
    places = [(context, word) for context, word in places if word in base.numbers and word in text.numbers]
    probs = np.array([[prob(model, context, word) for context, word in places] for model in (base, text)])

    def likelihood(weight: float) -> float:  # with the imagined word of each model
        mixture = np.log(weight * probs[0] + (1 - weight) * probs[1]).sum()
        return float(mixture + np.log(weight) + np.log(1 - weight))

    best = max(np.linspace(0.001, 0.999, 999), key=likelihood)
    assert find_weights(np.log(probs)) == pytest.approx([best, 1 - best], abs=2e-3)


def test_a_model_that_knows_nothing_of_a_text_keeps_a_share():
    with np.errstate(divide="ignore"):
        weights = find_weights(np.log([[0.0, 0.0, 0.0], [0.5, 0.1, 0.0]]))
    assert weights == pytest.approx([1 / 4, 3 / 4])


def test_adding_a_text_helps_where_it_is_spoken_and_costs_little_elsewhere():
    base, text = train(SENTENCES), train([*LETTERS, "the cat sat on the mat"])
    model = interpolate_ngrams([base, text], [0.9, 0.1])
    assert measure_perplexity(model, LETTERS).unknown == 0
    loss = measure_perplexity(model, SENTENCES).log_prob - measure_perplexity(base, SENTENCES).log_prob
    words = sum(len(line.split()) + 1 for line in SENTENCES)
    assert loss > words * math.log(0.9) - 1e-6  # no word loses more than a tenth of its probability


def test_the_ngrams_of_a_small_text_keep_their_probabilities_when_they_are_quantized():
    rng = np.random.default_rng(1)
    many, few = rng.normal(-9, 1.5, 100_000), np.linspace(-0.9, 0, 200)
    numbers = np.concatenate([many, few]).astype(np.float32)
    quantized = quantize(numbers)
    assert len(quantized.values) <= 256
    error = np.abs(quantized[np.arange(len(numbers))] - numbers)
    assert error[-200:].max() < 0.1  # by equal shares alone: 0.5
    assert error[:100_000].mean() < 0.03


def test_special_words_keep_their_places():
    model = interpolate_ngrams([train(SENTENCES), train(LETTERS)], [0.5, 0.5])
    assert [model.numbers[word] for word in ("<unk>", "<s>", "</s>")] == [UNKNOWN, START, END]
