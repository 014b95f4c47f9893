"""The automaton of hot words against its definition."""

from __future__ import annotations

import random
import time
import tracemalloc
from itertools import product

import numpy as np
import pytest

from asr.decoding import hotwords as module
from asr.decoding.assembly import hotword_weights, make_scorers
from asr.decoding.hotwords import HotWords
from asr.errors import ConfigError, LanguageModelError
from asr.settings.decoding import BeamConfig
from asr.settings.text import NormalizerConfig
from asr.text.alphabet import Alphabet

ENGLISH = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
PLAIN, SPACED = Alphabet("abc"), Alphabet(" ab")


def gains(text: str, weights: dict[str, float], edge: str) -> float:
    """By definition: the weights of all phrases in a text, and the credit of the longest one that it breaks off in."""
    phrases = {edge + phrase + edge: weight for phrase, weight in weights.items()}
    won = sum(
        weight for phrase, weight in phrases.items() for end in range(len(text) + 1) if text[:end].endswith(phrase)
    )
    for start in range(len(text)):
        # Of phrases that begin so, the credit of the one that has most at stake.
        shares = [
            weight * max(len(text) - start - len(edge), 0) / (len(phrase) - len(edge))
            for phrase, weight in phrases.items()
            if phrase.startswith(text[start:]) and len(phrase) > len(text) - start
        ]
        if credit := max(shares, key=abs, default=0.0):
            return won + credit
    return won


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(
    ("alphabet", "weights"),
    [
        (PLAIN, {"ab": 2.0, "bca": 3.0}),
        (PLAIN, {"abc": 5.0, "ab": -1.0, "bcab": 2.0, "c": 0.5}),
        (PLAIN, {"aab": 4.0, "aa": 1.0, "abaabc": 7.0, "b": -0.25}),
        (PLAIN, {}),
        (SPACED, {"ab": 2.0, "a ba": 3.0, "b": 1.0}),
        (SPACED, {"a": 1.0, "aa": -2.0, "a a b": 6.0}),
    ],
)
def test_every_text_scores_as_defined(alphabet, weights, table, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST_TABLE", 1 << 22 if table else 0)
    hotwords = HotWords.build(weights, alphabet)
    assert (hotwords._table is not None) is table
    edge = alphabet.separator
    for length in range(7):
        texts = ["".join(one) for one in product(alphabet.symbols, repeat=length)]
        numbers = np.array([alphabet.encode(text) for text in texts], np.int64).reshape(len(texts), length)
        states, totals = np.full(len(texts), hotwords.start), np.zeros(len(texts))
        for column in numbers.T:
            states, more = hotwords.step(states, column)
            totals += more
        # The beginning of a recording is the beginning of a word.
        np.testing.assert_allclose(totals, [gains(edge + text, weights, edge) for text in texts], atol=1e-9)


def test_a_phrase_that_breaks_off_into_another_keeps_the_credit_of_that_one():
    hotwords = HotWords.build({"ab": 2.0, "bca": 3.0}, PLAIN)
    states, total = np.array([hotwords.start]), 0.0
    for symbol, expected in zip("abc", (1.0, 2.0 + 1.0, 2.0 + 2.0), strict=True):
        states, more = hotwords.step(states, np.array(PLAIN.encode(symbol)))
        total += float(more[0])
        assert total == pytest.approx(expected)


def many_names(separator: str) -> tuple[Alphabet, BeamConfig]:
    symbols = "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))
    draw = random.Random(0)
    names = ["".join(draw.choices(symbols, k=draw.randint(2, 5))) for _ in range(10_000)]
    return Alphabet(separator + symbols), BeamConfig(hotwords=names)


@pytest.mark.parametrize("separator", ["", " "])
def test_ten_thousand_names_over_four_thousand_symbols_take_two_seconds(separator):
    alphabet, settings = many_names(separator)
    started = time.process_time()
    (scorer,) = make_scorers(alphabet, settings, None, NormalizerConfig())
    states = scorer.begin(1000)
    for number in range(1, 5):
        _, states = scorer.extend(states, np.arange(1000), np.full(1000, number))
    assert time.process_time() - started < 2


def test_ten_thousand_names_over_four_thousand_symbols_take_less_than_100_mb():
    alphabet, settings = many_names(" ")
    tracemalloc.start()
    (scorer,) = make_scorers(alphabet, settings, None)
    scorer.extend(scorer.begin(1000), np.arange(1000), np.ones(1000, np.int64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_hot_words_are_brought_to_the_models_spelling(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Kathleen\nO\u2019Brien\nCafe\n\uff2e\uff45\uff57 York:8\nLeft-handed\n", "utf-8")
    settings = BeamConfig(hotwords=["  St.  John "], hotwords_file=str(names), hotword_weight=3)
    assert hotword_weights(settings, ENGLISH, NormalizerConfig()) == {
        "kathleen": 3.0, "o'brien": 3.0, "cafe": 3.0, "new york": 8.0, "left handed": 3.0, "st john": 3.0,
    }  # fmt: skip


def test_hot_words_of_a_script_without_spaces_have_none():
    settings = BeamConfig(hotwords=["漢 字:2"])
    assert hotword_weights(settings, Alphabet("漢字"), NormalizerConfig()) == {"漢字": 2.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("R2D2", r"names.txt: 'R2D2' has '2' \(U\+0032, DIGIT TWO\), which the model cannot write"),
        ("Zoë", r"'Zoë' has 'ë'"),
        ("--", "nothing is left of '--' after normalisation"),
        ("ab" * 51, r"names.txt: 'abab[ab]*\.\.\.[ab]*' has more than 100 characters"),
        ("ab " * 168, r"names.txt: 'ab ab[ab ]*\.\.\.[ab ]*' has more than 500 characters"),
        ("ë" * 500, r"'ëë+\.\.\.ë+' has more than 100 characters"),
    ],
)
def test_a_hot_word_that_the_model_still_cannot_write_is_named(tmp_path, name, message):
    (tmp_path / "names.txt").write_text(f"Kathleen\n{name}\n", "utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        make_scorers(ENGLISH, BeamConfig(hotwords_file=str(tmp_path / "names.txt")), None, NormalizerConfig())
    assert len(str(error.value)) < 250 + len(str(tmp_path))


def test_the_longest_hot_words_are_taken():
    phrase = " ".join(["a" * 100] * 4 + ["b" * 96])
    assert len(phrase) == 500
    assert hotword_weights(BeamConfig(hotwords=[f"{phrase}:2"]), ENGLISH, NormalizerConfig()) == {phrase: 2.0}
    characters = "漢字" * 250
    settings = BeamConfig(hotwords=[f"{characters}:2"])
    assert hotword_weights(settings, Alphabet("漢字"), NormalizerConfig()) == {characters: 2.0}


def test_listed_words_are_brought_to_the_models_spelling(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("Kathleen\nO\u2019Brien\nleft-handed\n\u2014\n", "utf-8")
    settings = BeamConfig(lexicon=str(path), open_vocabulary=False)
    (scorer,) = make_scorers(ENGLISH, settings, None, NormalizerConfig())
    lexicon = scorer.lexicon
    for word in ("kathleen", "o'brien", "left", "handed"):
        nodes = np.zeros(1, np.int64)
        for number in ENGLISH.encode(word):
            nodes = lexicon.follow(nodes, np.array([number]))
        assert lexicon.word[nodes[0]] >= 0
    path.write_text("\u2014\n", "utf-8")
    with pytest.raises(LanguageModelError, match="holds no words that the model can write"):
        make_scorers(ENGLISH, settings, None, NormalizerConfig())
