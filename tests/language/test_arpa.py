from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import LanguageModelError
from asr.language.arpa import read_arpa, write_arpa
from asr.language.lexicon import Lexicon
from asr.language.ngram import SPECIAL_WORDS, NgramModel
from asr.language.ngram_file import _read, is_ngram_file, load_ngram, read_provenance, save_ngram
from asr.language.trie import Trie
from asr.settings.language import LanguageUnit
from asr.tensors import pack_tensors
from asr.text.alphabet import Alphabet

from ..bundles import language_to_format_1, read_tensors
from ..conftest import oracle_module

SENTENCES = ["the cat sat on the mat", "the giraffe sat", "mat mat the on a cat", "cat"]

# As SRILM writes it: no backoff where it is 0, <s> at -99, tabs, a preamble.
HAND_MADE = """\

written by hand
\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.4\ta\t-0.25
-0.6\tb

\\2-grams:
-0.2 <s> a
-0.3 a b
-0.1 a a

\\end\\
"""


def arpa_bytes(model: NgramModel) -> bytes:
    file = io.BytesIO()
    write_arpa(file, model)
    return file.getvalue()


def same_scores(left: NgramModel, right: NgramModel, tolerance: float = 1e-5) -> None:
    for sentence in SENTENCES:
        assert left.score_text(sentence.split()) == pytest.approx(right.score_text(sentence.split()), abs=tolerance)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_a_model_survives_an_arpa_file(small_model, tmp_path, pack):
    (tmp_path / "lm").write_bytes(pack(arpa_bytes(small_model)))
    read = read_arpa(tmp_path / "lm")
    assert (read.words, read.counts, read.unit) == (small_model.words, small_model.counts, LanguageUnit.words)
    same_scores(read, small_model)
    assert arpa_bytes(read) == arpa_bytes(small_model)


def test_a_hand_made_file_backs_off(tmp_path):
    (tmp_path / "lm.arpa").write_text(HAND_MADE)
    model = read_arpa(tmp_path / "lm.arpa")
    ten = math.log(10)
    assert model.score_text(["a", "b"]) == pytest.approx([-0.2 * ten, -0.3 * ten, -0.7 * ten])
    assert model.score_text(["b", "a"]) == pytest.approx([-1.1 * ten, -0.4 * ten, -0.95 * ten], abs=1e-6)
    assert model.score_text(["zzz"])[0] == pytest.approx(-1.5 * ten)


def test_an_ngram_whose_suffix_is_missing_is_not_backed_off(tmp_path):
    """Programs that prune may keep `<s> a b` and drop `a b`: what backing off to `b` would cost is not paid then."""
    text = HAND_MADE.replace("-0.3 a b\n", "").replace("-0.2 <s> a", "-0.2 <s> a -0.9").replace("2=3", "2=2\nngram 3=1")
    (tmp_path / "lm.arpa").write_text(text.replace("\\end\\", "\\3-grams:\n-0.15 <s> a b\n\n\\end\\"))
    model = read_arpa(tmp_path / "lm.arpa")
    ten = math.log(10)
    assert model.score_text(["a", "b"])[:2] == pytest.approx([-0.2 * ten, -0.15 * ten])
    assert model.score_text(["a", "a"])[:2] == pytest.approx([-0.2 * ten, (-0.9 - 0.1) * ten])


def test_a_file_of_characters_is_known_as_such(character_model, tmp_path):
    (tmp_path / "lm.arpa").write_bytes(arpa_bytes(character_model))
    assert read_arpa(tmp_path / "lm.arpa").unit is LanguageUnit.characters


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("\\data\\", ""), r"lm.arpa: neither a language model of .asr lm. nor an ARPA file"),
        (lambda text: text.replace("\\end\\", ""), r"cut short: \\end\\ is missing"),
        (lambda text: text[: text.index("-0.1 a a")], "cut short: 2 of 3 2-grams are there"),
        (lambda text: text.replace("ngram 2=3", "ngram 2=2"), r"lm.arpa:17: expected .end. here, after 2 2-grams"),
        (lambda text: text.replace("-0.3 a b", "-0.3 a c"), r"lm.arpa:16: the word 'c' is not among the 1-grams"),
        (lambda text: text.replace("-0.3 a b", "0.3 a b"), r"lm.arpa:16: a log10-probability of 0.3"),
        (lambda text: text.replace("-0.3 a b", "nan a b"), r"lm.arpa:16: a log10-probability of nan"),
        (lambda text: text.replace("-0.3 a b", "x a b"), r"lm.arpa:16: could not convert"),
        (lambda text: text.replace("-0.3 a b", "-0.2 a a"), "the 2-gram 'a a' is listed twice"),
        (lambda text: text.replace("-0.6\tb", "-0.6\ta"), "the word 'a' is listed twice"),
        (lambda text: text.replace("-0.7\t</s>", "-0.7\tc"), "the 1-grams lack </s>"),
        (lambda text: text.replace("ngram 1=5", "ngram 2=5"), "the counts must be of orders 1, 2, 3"),
        (lambda text: text.replace("ngram 1=5\nngram 2=3", "nothing"), "number of n-grams of each order is missing"),
        (lambda text: text.replace("ngram 1=5", "ngram 1=" + 20 * "9"), r"lm.arpa:4: 9+ n-grams cannot be"),
        (lambda text: text.replace("ngram 1=5", "ngram 1=" + 5000 * "9"), r"lm.arpa:4: 9+ n-grams cannot be"),
        (lambda text: text.replace("ngram 1=5", "ngram 1=6"), r"lm.arpa:14: could not convert"),
        (lambda text: text.replace("ngram 2=3", "ngram 2=4"), r"lm.arpa:19: could not convert"),
        (
            lambda text: text.replace("-0.25", "1e300"),
            r"lm.arpa:11: a log10-probability of -0.4 with a .* 1e\+300",
        ),
        (lambda text: "", "nor an ARPA file"),
        (lambda text: "the cat\n" * 5000, "nor an ARPA file"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path, change, message):
    (tmp_path / "lm.arpa").write_text(change(HAND_MADE))
    with pytest.raises(LanguageModelError, match=message):
        read_arpa(tmp_path / "lm.arpa")


def test_an_ngram_without_its_context_is_refused(tmp_path):
    text = HAND_MADE.replace("ngram 2=3", "ngram 2=3\nngram 3=1").replace(
        "\\end\\", "\\3-grams:\n-0.1 b a b\n\n\\end\\"
    )
    (tmp_path / "lm.arpa").write_text(text)
    with pytest.raises(LanguageModelError, match="it has the 3-gram 'b a b' but not 'b a'"):
        read_arpa(tmp_path / "lm.arpa")


def test_words_are_separated_by_blanks_and_tabs_alone_as_kenlm_has_it(tmp_path):
    """The word with a no-break space is a word of the model, which no alphabet with a space as separator can spell."""
    text = HAND_MADE.replace("ngram 1=5", "ngram 1=6").replace("-0.6\tb", "-0.6\tb\n-2.0\tnew\u00a0york\t-0.1")
    (tmp_path / "lm.arpa").write_text(text, "utf-8")
    model = read_arpa(tmp_path / "lm.arpa")
    assert "new\u00a0york" in model.words
    assert model.score_text(["a", "b"]) == pytest.approx(np.array([-0.2, -0.3, -0.7]) * math.log(10))
    lexicon = Lexicon.build(model.words, np.ones(len(model.words)), Alphabet(" abenwyokr"))
    assert sorted(model.words[place] for place in lexicon.word[lexicon.word >= 0]) == ["a", "b"]


WORDLESS = """\\data\\
ngram 1=3

\\1-grams:
-1.0\t<unk>
-99\t<s>
-0.7\t</s>

\\end\\
"""


def test_a_model_without_words_is_refused_in_either_format(tmp_path):
    (tmp_path / "lm.arpa").write_text(WORDLESS)
    with pytest.raises(LanguageModelError, match=r"lm\.arpa: has no words but <unk>, <s>, </s>"):
        read_arpa(tmp_path / "lm.arpa")
    labels, values = np.arange(3), np.array([-1, -99, -0.7], np.float32)
    wordless = NgramModel(
        LanguageUnit.words, SPECIAL_WORDS, Trie.from_levels([(np.zeros(3, np.int64), labels)]), (values,), ()
    )
    save_ngram(tmp_path / "a.lm", wordless)
    with pytest.raises(LanguageModelError, match=r"a\.lm: has no words"):
        load_ngram(tmp_path / "a.lm")


PIECES = [*HAND_MADE.split(), *"\n\t -\u00a0\x00", "1e400", "nan", "-inf", "99999999999999999999", "<UNK>"]
CUT = st.tuples(st.integers(0, len(HAND_MADE)), st.integers(0, 12), st.sampled_from(["", *PIECES]), st.booleans())


@settings(max_examples=300)
@given(st.lists(CUT, min_size=1, max_size=4))
def test_any_change_of_a_file_gives_a_model_or_one_error(tmp_path_factory, cuts):
    content = HAND_MADE.encode()
    for place, length, piece, is_broken in cuts:
        content = content[:place] + piece.encode() + (b"\xff" if is_broken else b"") + content[place + length :]
    path = tmp_path_factory.getbasetemp() / "fuzzed.arpa"
    path.write_bytes(content)
    try:
        model = read_arpa(path)
    except LanguageModelError:
        return
    assert np.isfinite(model.score_text(["a", "b", "zzz"])).all()
    save_ngram(path.with_suffix(".lm"), model)
    assert load_ngram(path.with_suffix(".lm")).words == model.words


def test_a_binary_file_of_kenlm_is_refused_with_advice(tmp_path):
    (tmp_path / "lm.bin").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(100))
    with pytest.raises(LanguageModelError, match="give the ARPA file that it was made from"):
        read_arpa(tmp_path / "lm.bin")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_damaged_archive_is_refused(tmp_path, pack):
    content = pack(HAND_MADE.encode())
    (tmp_path / "lm").write_bytes(content[: len(content) // 2])
    with pytest.raises(LanguageModelError, match="cannot be unpacked"):
        read_arpa(tmp_path / "lm")


@pytest.mark.parametrize("quantized", [False, True])
def test_a_model_survives_its_own_file(small_model, character_model, tmp_path, quantized):
    for model in (small_model, character_model):
        save_ngram(tmp_path / "a.lm", model, quantized=quantized, provenance={"order": model.order})
        read = load_ngram(tmp_path / "a.lm")
        assert (read.unit, read.words, read.counts) == (model.unit, model.words, model.counts)
        same_scores(read, model)  # so few distinct values are kept as they are
        assert read_provenance(tmp_path / "a.lm") == {"order": model.order}
        save_ngram(tmp_path / "b.lm", read, quantized=quantized, provenance={"order": model.order})
        assert (tmp_path / "b.lm").read_bytes() == (tmp_path / "a.lm").read_bytes()
    assert is_ngram_file(tmp_path / "a.lm")


@pytest.fixture(params=[1, 2])
def save(request) -> Callable[..., None]:
    """Writes a language model in either format."""

    def write(path: Path, model: NgramModel, **settings: Any) -> None:
        save_ngram(path, model, **settings)
        if request.param == 1:
            language_to_format_1(path)

    return write


def test_a_model_of_format_1_is_read_as_it_was(small_model, tmp_path):
    save_ngram(tmp_path / "a.lm", small_model, provenance={"order": 3})
    before = load_ngram(tmp_path / "a.lm")
    language_to_format_1(tmp_path / "a.lm")
    assert (tmp_path / "a.lm").read_bytes().startswith(b"\x89asr-lm\n")
    assert is_ngram_file(tmp_path / "a.lm")
    same_scores(load_ngram(tmp_path / "a.lm"), before)
    assert read_provenance(tmp_path / "a.lm") == {"order": 3}


def test_every_cut_and_every_flipped_byte_of_the_outline_is_refused_or_harmless(small_model, tmp_path, save):
    path = tmp_path / "a.lm"
    save(path, small_model)
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(LanguageModelError, match=r"a\.lm: "):
            load_ngram(path)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 300):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            model = load_ngram(path)
        except LanguageModelError:
            continue
        for sentence in SENTENCES:
            model.score_text(sentence.split())


def rewrite(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A language model of format 1 or 2 with another header; the arrays stay where they are."""
    magic = b"\x89asr-lm\n" if content.startswith(b"\x89asr-lm\n") else b""
    start = len(magic) + 8
    end = start + int.from_bytes(content[start - 8 : start], "little")
    header = json.loads(content[start:end])
    if magic:
        change(header)
    else:
        ours = json.loads(header["__metadata__"]["asr"])
        whole = {**ours["description"], "arrays": {name: one for name, one in header.items() if name[0] != "_"}}
        change(whole)
        arrays = whole.pop("arrays", {})
        metadata = {"asr": json.dumps(ours | {"description": whole})}
        header = {"__metadata__": metadata, **arrays} if isinstance(arrays, dict) else arrays
    text = json.dumps(header).encode()
    return magic + len(text).to_bytes(8, "little") + text + content[end:]


def test_a_code_beyond_the_table_of_its_values_is_refused(small_model, tmp_path):
    path = tmp_path / "a.lm"
    save_ngram(path, small_model)
    language_to_format_1(path)
    content = path.read_bytes()
    tables = [name for name in _read(path)[1] if name.endswith("/values")]
    assert len(tables) == 3
    for name in tables:
        values = _read(path)[1][name]
        assert len(values) > 1
        path.write_bytes(rewrite(content, lambda header, name=name: header["arrays"][name].update(length=1)))
        with pytest.raises(LanguageModelError, match=f"its array {name.removesuffix('/values')} is damaged"):
            load_ngram(path)
        path.write_bytes(content)


def test_a_code_beyond_the_table_of_its_values_is_refused_in_format_2(small_model, tmp_path):
    path = tmp_path / "a.lm"
    save_ngram(path, small_model)
    arrays, description = read_tensors(path)
    for name in (one for one in arrays if one.endswith("/values")):
        path.write_bytes(pack_tensors(arrays | {name: arrays[name][:1]}, description))
        with pytest.raises(LanguageModelError, match=f"its array {name.removesuffix('/values')} is damaged"):
            load_ngram(path)


def test_an_array_of_another_type_is_refused_in_format_2(small_model, tmp_path):
    path = tmp_path / "a.lm"
    save_ngram(path, small_model)
    arrays, description = read_tensors(path)
    for name, array in arrays.items():
        for kind in {"uint8", "uint16", "uint32", "float32"} - {array.dtype.name}:
            if name == "labels" and kind == "uint32":
                continue  # as a model with many words has them
            path.write_bytes(pack_tensors(arrays | {name: array.astype(kind)}, description))
            with pytest.raises(LanguageModelError, match=r"a\.lm: "):
                load_ngram(path)


def test_a_file_of_other_arrays_is_no_language_model(tmp_path):
    (tmp_path / "a.lm").write_bytes(pack_tensors({"words": np.zeros(3)}, {}))
    assert not is_ngram_file(tmp_path / "a.lm")
    with pytest.raises(LanguageModelError, match="not a language model that `asr lm` wrote"):
        load_ngram(tmp_path / "a.lm")


def test_an_array_of_another_type_is_refused(small_model, tmp_path):
    path = tmp_path / "a.lm"
    save_ngram(path, small_model)
    language_to_format_1(path)
    content = path.read_bytes()
    for name, place in _read(path)[0]["arrays"].items():
        for kind in {"uint8", "uint16", "uint32", "float32"} - {place["type"]}:
            if name == "labels" and kind == "uint32":
                continue  # of models with many words; too few bytes here
            path.write_bytes(
                rewrite(content, lambda header, name=name, kind=kind: header["arrays"][name].update(type=kind))
            )
            with pytest.raises(LanguageModelError, match=r"a\.lm: "):
                load_ngram(path)


@pytest.mark.parametrize("quantized", [False, True])
def test_a_changed_header_is_refused_or_harmless(small_model, tmp_path, quantized, save):
    path = tmp_path / "a.lm"
    save(path, small_model, quantized=quantized, provenance={"made_for": "tests"})
    content = path.read_bytes()
    rng = random.Random(5)
    values = [
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        2**40,
        10**30,
        0.5,
        float("nan"),
        "",
        "uint8",
        "words",
        [],
        {},
        [1],
        {"a": 1},
    ]

    def change(header: dict[str, Any]) -> None:
        node: Any = header
        while True:
            key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
                node = node[key]
                continue
            if rng.random() < 0.2:
                del node[key]
            else:
                node[key] = rng.choice(values)
            return

    refused = 0
    for _ in range(300):
        path.write_bytes(rewrite(content, change))
        try:
            model = load_ngram(path)
            assert isinstance(read_provenance(path), dict)
        except LanguageModelError:
            refused += 1
            continue
        assert all(np.isfinite(model.score_text(sentence.split())).all() for sentence in SENTENCES)
    assert refused > 200


def test_a_header_that_is_nested_without_end_is_refused(small_model, tmp_path):
    text = b"[" * 200_000
    (tmp_path / "a.lm").write_bytes(b"\x89asr-lm\n" + len(text).to_bytes(8, "little") + text)
    with pytest.raises(LanguageModelError, match="its header is damaged"):
        load_ngram(tmp_path / "a.lm")


def test_kenlm_gives_the_same_scores(small_model, tmp_path):
    kenlm = oracle_module("kenlm")
    (tmp_path / "lm.arpa").write_bytes(arpa_bytes(small_model))
    peer = kenlm.Model(str(tmp_path / "lm.arpa"))
    ours = read_arpa(tmp_path / "lm.arpa")
    for sentence in SENTENCES:
        scores = [score for score, _, _ in peer.full_scores(sentence)]
        assert ours.score_text(sentence.split()) / math.log(10) == pytest.approx(scores, abs=1e-5)
