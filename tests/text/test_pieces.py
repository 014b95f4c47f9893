"""Word pieces: chosen by SentencePiece, written without it."""

from __future__ import annotations

import io
import itertools
import pickle
import subprocess
import sys

import pytest

from asr.errors import ConfigError
from asr.settings.text import AlphabetConfig, AlphabetUnit
from asr.text.alphabet import BLANK, Alphabet
from asr.text.pieces import WORD_START, PieceAlphabet, alphabet_settings, make_alphabet, train_pieces

TEXTS = [
    "the theme of the thesis is the theory of things",
    "he then thought of them and of the other things there",
    "other theories of the earth and the weather",
    "it's the weather that bothers the others",
    "together they gathered the feathers of another bird",
]
SMALL = PieceAlphabet(
    (WORD_START, "\u2581the", "he", "t", "h", "e", "\u2581t"), (-4.0, -1.0, -2.5, -3.0, -3.0, -3.0, -2.0)
)


@pytest.fixture(scope="module")
def trained() -> PieceAlphabet:
    pytest.importorskip("sentencepiece")
    return train_pieces(TEXTS, 60)


def segmentations(word: str, pieces: PieceAlphabet):
    """Every way to write a word."""
    for cuts in itertools.product([False, True], repeat=len(word) - 1):
        parts, start = [], 0
        for end in [*(place + 1 for place, cut in enumerate(cuts) if cut), len(word)]:
            parts.append(word[start:end])
            start = end
        numbers = [pieces.number(part) for part in parts]
        if None not in numbers:
            yield numbers, sum(pieces.scores[number - BLANK - 1] for number in numbers)


@pytest.mark.parametrize("word", ["the", "he", "t", "thehe", "heet", "tthe"])
def test_a_word_is_written_in_the_pieces_with_the_largest_sum_of_scores(word):
    best = max(segmentations(WORD_START + word, SMALL), key=lambda one: one[1])
    assert SMALL.encode(word) == best[0]


def test_every_text_of_known_characters_is_written_and_read_back(trained):
    """Also of words that were in no training text; a space is part of the next word."""
    for text in [*TEXTS, "hhh zzz".replace("z", "i"), "a", "", "strange weather"]:
        assert trained.decode(trained.encode(text)) == text
    assert trained.encode(" ") == []
    assert trained.encode("the thesis") == trained.encode("the") + trained.encode("thesis")


def test_texts_are_written_as_sentencepiece_writes_them(trained):
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, model_type="unigram", vocab_size=61, hard_vocab_limit=False,
        character_coverage=1.0, normalization_rule_name="identity", num_threads=1, unk_id=0, bos_id=-1, eos_id=-1,
        minloglevel=2,
    )  # fmt: skip
    oracle = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    for text in [*TEXTS, "thirst for another thing", "bird feed", "sss"]:
        assert [trained.symbols[number - 1] for number in trained.encode(text)] == oracle.encode(text, out_type=str)


def test_the_same_texts_give_the_same_pieces(trained):
    assert train_pieces(iter(TEXTS), 60) == trained
    assert len(trained.symbols) <= 60
    assert trained.separator == " "
    assert trained.unknown("the \u00fcber") == ["\u00fc"]


def test_characters_know_which_piece_wrote_them():
    text, owners = SMALL.spell([2, 1, 4, 3, 7])
    assert (text, owners) == ("the the t", [0, 0, 0, 1, 2, 3, 3, 4, 4])
    # A mark alone, twice, or at the end writes no second space and none around the text.
    assert SMALL.spell([1, 1, 2, 1]) == ("the", [2, 2, 2])
    assert Alphabet(" ab").spell([2, 1, 3]) == ("a b", [0, 1, 2])


def test_texts_without_spaces_have_pieces_that_begin_no_word():
    pytest.importorskip("sentencepiece")
    found = train_pieces(["\u4eca\u5929\u5929\u6c14", "\u5929\u6c14\u5f88\u597d", "\u4eca\u5929\u5f88\u597d"], 12)
    assert not found.word_starts
    assert found.separator == ""
    assert found.decode(found.encode("\u5929\u6c14\u4eca\u5929")) == "\u5929\u6c14\u4eca\u5929"


def test_settings_make_the_alphabet_and_carry_an_earlier_one(trained):
    assert make_alphabet(AlphabetConfig(), ["xyz"]) == Alphabet(AlphabetConfig().symbols)
    assert make_alphabet(AlphabetConfig(from_data=True), ["ba a"]) == Alphabet(" ab")
    assert make_alphabet(AlphabetConfig(unit=AlphabetUnit.pieces, pieces=60), TEXTS) == trained
    for one in (trained, SMALL, Alphabet(" 'ab")):
        assert make_alphabet(alphabet_settings(one), ["other texts"]) == one
    assert pickle.loads(pickle.dumps(trained)) == trained


def test_pieces_that_cannot_be_used_are_refused():
    for pieces, scores, message in [
        ("abc", (0, 0, 0), "must be a list of texts"),
        (("a", ""), (0, 0), "must be a list of texts"),
        ((), (), "must be 1 to 65535 pieces, not 0"),
        (("a", "b"), (0,), "a finite number for each of the 2 pieces"),
        (("a",), (float("nan"),), "a finite number"),
        (("a", "a"), (0, 0), "'a' more than once"),
        (("a b",), (0,), "without spaces"),
        (("a\u2581",), (0,), "at its beginning alone"),
        (("\u2581a", "a"), (0, 0), "lacks \u2581"),
        (("a\n",), (0,), "no control characters"),
    ]:
        with pytest.raises(ConfigError, match=message):
            PieceAlphabet(pieces, scores)
    with pytest.raises(ConfigError, match=r"'the b' has 'b' \(U\+0062.*not in the 7 pieces"):
        SMALL.encode("the b")
    with pytest.raises(ConfigError, match=r"alphabet\.vocabulary is for alphabet\.unit=pieces"):
        AlphabetConfig(vocabulary=["a -1"])
    with pytest.raises(ConfigError, match="'a' must be a piece, a space and a score"):
        make_alphabet(AlphabetConfig(unit=AlphabetUnit.pieces, vocabulary=["a"]), [])


def test_texts_that_no_pieces_can_be_chosen_from_are_refused():
    pytest.importorskip("sentencepiece")
    with pytest.raises(ConfigError, match="they are all empty"):
        train_pieces(["", " "], 60)
    with pytest.raises(ConfigError, match=r"at least 6, the number of characters .*, not 3"):
        train_pieces(["abc de"], 3)


def test_one_short_text_is_enough():
    pytest.importorskip("sentencepiece")
    found = train_pieces(["ab ba"], 20)
    assert found.decode(found.encode("abba a")) == "abba a"


def test_writing_pieces_needs_no_sentencepiece():
    code = (
        "import sys; sys.modules['sentencepiece'] = None\n"
        "from asr.text.pieces import PieceAlphabet\n"
        "print(PieceAlphabet(('\\u2581', 'a', 'ab', 'b'), (-1, -1, -1.5, -1)).encode('ab b'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1, 3, 1, 4]"
