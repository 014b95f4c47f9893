from __future__ import annotations

import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.language.arpa import write_arpa
from asr.language.ngram import END, SPECIAL_WORDS, START, UNKNOWN, NgramModel
from asr.language.ngram_training import measure_perplexity, tokenize
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageUnit

from ..decoding.conftest import SENTENCES, train


def contexts(model: NgramModel, length: int) -> list[tuple[int, ...]]:
    return list(itertools.product([UNKNOWN, *range(3, len(model.words))], repeat=length))


def next_words(model: NgramModel, context: tuple[int, ...]) -> np.ndarray:
    state = model.begin(1)
    for word in context:
        _, state = model.score(state, np.array([word]))
    count = len(model.words)
    scores, _ = model.score(np.repeat(state, count, axis=0), np.arange(count))
    return np.exp(np.delete(scores, START))


@pytest.mark.parametrize(
    "settings",
    [{}, {"order": 1}, {"order": 2}, {"order": 4}, {"min_count": 2}, {"vocabulary": 3}, {"max_ngrams": 12},
     {"order": 4, "max_ngrams": 5}, {"threshold": 1e-3}, {"max_ngrams": 0}],
)  # fmt: skip
def test_the_words_after_any_context_add_up_to_one(settings):
    model = train(SENTENCES, **settings)
    for length in range(4):
        for context in contexts(model, length)[:: 1 + 7 * length]:
            assert next_words(model, context).sum() == pytest.approx(1, abs=1e-5)


def test_a_hand_computed_bigram():
    # "a b", "a a": unigrams by what they follow: a after <s> and a; b after a; </s> after b and a.
    model = train(["a b", "a a"], order=2)
    # Continuation counts: a 2, b 1, </s> 2, <unk> 0. Once: 1 type, twice: 2 types, so Y = 1 / (1 + 2 * 2) = 0.2,
    # D1 = 1 - 2 * 0.2 * 2 / 1 = 0.2, D2 = 2 - 3 * 0.2 * 0 / 2 = 2, out of bounds: 1.
    left = (1 + 0.2 + 1) / 5
    uniform = left / 4
    unigram = {"a": 1 / 5 + uniform, "b": 0.8 / 5 + uniform, "</s>": 1 / 5 + uniform, "<unk>": uniform}
    for word, prob in unigram.items():
        assert math.exp(model.log_probs[0][model.numbers[word]]) == pytest.approx(prob)
    # Bigrams: <s> a twice, a b, a a, a </s>, b </s> once: n1 = 4, n2 = 1, Y = 4 / 6, D1 = 1 - 2 * Y * 1 / 4 = 2 / 3,
    # D2 = 2 - 3 * Y * 0 / 1 = 2, out of bounds: 1.
    scores = np.exp(model.score_text(["a", "b"]))
    assert scores[0] == pytest.approx((2 - 1) / 2 + 1 / 2 * unigram["a"])
    assert scores[1] == pytest.approx((1 - 2 / 3) / 3 + 2 / 3 * unigram["b"])
    assert scores[2] == pytest.approx((1 - 2 / 3) / 1 + 2 / 3 * unigram["</s>"])


def arpa_entries(text: str) -> dict[str, list[float]]:
    """The n-grams of an ARPA file with their log10 probabilities and back-offs, 0 where none is written."""
    entries = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) > 1:
            entries[fields[1]] = [float(fields[0]), float(fields[2]) if len(fields) > 2 else 0.0]
    return entries


def test_every_probability_and_backoff_is_that_of_kenlms_lmplz():
    folder = Path(__file__).parent
    file = io.BytesIO()
    write_arpa(file, train((folder / "lmplz.txt").read_text().splitlines(), order=3))
    ours, theirs = (arpa_entries(text) for text in (file.getvalue().decode(), (folder / "lmplz.arpa").read_text()))
    assert ours.keys() == theirs.keys()
    ours["<s>"][0] = theirs["<s>"][0]  # the start of a sentence is never predicted
    for ngram, numbers in theirs.items():
        assert ours[ngram] == pytest.approx(numbers, abs=1e-5), ngram


def test_a_word_that_was_never_seen_has_the_probability_of_the_unknown(small_model):
    assert small_model.score_text(["the", "giraffe"])[1] == small_model.score_text(["the", "<unk>"])[1]


def test_pruning_keeps_what_begins_and_ends_a_kept_ngram():
    full, pruned = train(SENTENCES), train(SENTENCES, max_ngrams=20)
    assert sum(full.counts[1:]) > 20 >= sum(pruned.counts[1:]) > 0
    assert full.words == pruned.words
    starts = np.cumsum([1, *pruned.counts])
    # Every 3-gram's last two words are a 2-gram of the model.
    pairs = np.repeat(np.arange(len(pruned.trie.first) - 1), np.diff(pruned.trie.first))
    for node in range(starts[2], starts[3]):
        middle = pruned.trie.labels[pairs[node - 1]]
        found = pruned.trie.find(np.array([1 + middle]), np.array([pruned.trie.labels[node]]))
        assert found[0] != -1


def test_pruning_costs_little_and_less_where_more_is_kept():
    perplexity = [
        measure_perplexity(train(SENTENCES, max_ngrams=most), SENTENCES).perplexity for most in (0, 10, 20, 40, None)
    ]
    assert perplexity == sorted(perplexity, reverse=True)


def test_the_perplexity_is_that_of_scoring_word_by_word(small_model):
    sentences = ["the cat saw the dog", "a zebra sat on the mat", "mat"]
    measured = measure_perplexity(small_model, sentences)
    scores = [small_model.score_text(sentence.split()) for sentence in sentences]
    assert measured.log_prob == pytest.approx(sum(score.sum() for score in scores))
    assert (measured.words, measured.sentences, measured.unknown) == (12, 3, 1)
    known = np.concatenate([*scores])[[i for i in range(15) if i != 7]]
    assert measured.perplexity == pytest.approx(math.exp(-known.mean()))


def test_the_vocabulary_is_the_most_frequent_words():
    tokens = tokenize(["b a c", "b c", "b"], LmConfig(vocabulary=2, min_count=1))
    assert tokens.words == ["<unk>", "<s>", "</s>", "b", "c"]
    assert tokens.numbers.tolist() == [START, 3, UNKNOWN, 4, END, START, 3, 4, END, START, 3, END]
    assert tokens.unknown == 1


def test_a_character_model_writes_the_space(character_model):
    assert character_model.unit is LanguageUnit.characters
    assert "<space>" in character_model.words
    assert all(len(word) == 1 for word in character_model.words[4:])


def test_a_text_without_words_is_refused():
    with pytest.raises(ConfigError, match="holds no words"):
        tokenize(["", " "], LmConfig())


def test_a_text_with_the_special_words_is_refused():
    with pytest.raises(ConfigError, match="'</s>', which is reserved"):
        tokenize(["a </s> b"], LmConfig())


def test_words_seen_once_are_known_in_a_small_text_and_unknown_in_a_large_one():
    grammar = ["turn on the kitchen light", "open a window please"]
    assert set(tokenize(grammar, LmConfig()).words) == {*SPECIAL_WORDS, *" ".join(grammar).split()}
    large = tokenize([*grammar, *["the same words again and again"] * 2000], LmConfig())
    assert set(large.words) == {*SPECIAL_WORDS, *["the", "same", "words", "again", "and"]}


def test_a_vocabulary_without_words_is_refused_by_the_setting_that_empties_it():
    with pytest.raises(ConfigError, match=r"min_count=3 .* words: the most frequent of 3, 'a', is counted 2 times"):
        tokenize(["a b", "a c"], LmConfig(min_count=3))
