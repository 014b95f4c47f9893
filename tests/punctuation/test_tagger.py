"""The tagger at run time: its file, its windows, and the equality with Keras."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest

from asr.acoustic.onnx_check import check_graph
from asr.errors import ConfigError, LanguageModelError
from asr.punctuation.tagger import CONTEXT, HEADER, STEP, Tagger, TaggerHeader, agree_on_cases, choose_tags
from asr.punctuation.tagger_export import export_tagger
from asr.punctuation.tagger_import import read_tagger
from asr.punctuation.word_numbers import SLOTS, UNKNOWN, Features, pause_classes
from asr.punctuation.written_tags import (
    CAPITAL,
    CASES,
    FULL_STOP,
    MARKS,
    MIXED,
    NO_BREAK,
    NO_MARK,
    SENTENCE,
    UPPER,
    WIDTH,
)

from .conftest import VOCABULARY, random_weights


def some_words(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    names = [*VOCABULARY, "xylophone", "Ann's", "z\u00fcrich", "x"]
    return [names[one] for one in rng.integers(0, len(names), count)], rng.uniform(0, 1.5, count)


@pytest.mark.parametrize("count", [0, 1, STEP, STEP + CONTEXT, STEP + CONTEXT + 1, 3 * STEP + 7])
def test_any_cut_of_the_input_gives_the_same_tags(tagger: Tagger, count: int) -> None:
    words, pauses = some_words(count)
    whole = tagger.stream().push(words, pauses, last=True)
    assert len(whole) == count
    rng = np.random.default_rng(count)
    for _ in range(4):
        cuts = sorted({0, count, *rng.integers(0, count + 1, int(rng.integers(0, 9))).tolist()})
        stream = tagger.stream()
        parts = [stream.push(words[a:b], pauses[a:b]) for a, b in pairwise(cuts)]
        parts.append(stream.push([], [], last=True))
        for name in ("marks", "cases", "breaks"):
            np.testing.assert_array_equal(
                np.concatenate([getattr(one, name) for one in parts]), getattr(whole, name), err_msg=str(cuts)
            )


def test_words_are_tagged_as_soon_as_their_window_is_complete(tagger: Tagger) -> None:
    words, _ = some_words(STEP + CONTEXT)
    stream = tagger.stream()
    assert len(stream.push(words[:-1])) == 0
    assert len(stream.push(words[-1:])) == STEP


def test_words_far_away_do_not_matter(tagger: Tagger) -> None:
    words, pauses = some_words(4 * STEP)
    before = tagger.tag(words, pauses)
    after = tagger.tag([*words[: 3 * STEP], *["the"] * STEP], pauses)
    np.testing.assert_array_equal(before.marks[: 2 * STEP], after.marks[: 2 * STEP])


@pytest.mark.parametrize("top_units", [0, 8])
def test_the_graph_gives_what_keras_gives(header: TaggerHeader, top_units: int) -> None:
    """But for the rounding of weights and activations."""
    from asr.training.tagger_network import build_tagger, tagger_weights

    header = replace(header, settings=replace(header.settings, top_units=top_units))
    network = build_tagger(header.settings, size=header.features.size)
    weights = tagger_weights(network)
    words, pauses = some_words(60)
    features, classes = header.features.of_words(word.lower() for word in words), pause_classes(pauses)
    expected = np.asarray(network.predict_on_batch([features[None], classes[None], np.array([60], np.int32)]))[0]
    found = Tagger(export_tagger(weights, header), "fresh").logits(features, classes)
    assert found.shape == expected.shape == (60, WIDTH)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_a_full_stop_ends_a_sentence_and_nothing_else_does() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5000, WIDTH)).astype(np.float32)
    tags = choose_tags(logits)
    assert ((tags.breaks != NO_BREAK) | (tags.marks != FULL_STOP)).all()
    assert {MARKS[one] for one in tags.marks[tags.breaks != NO_BREAK]} == {".", "?", "!"}
    certain = np.full((1, WIDTH), -9, np.float32)
    certain[0, [FULL_STOP, len(MARKS), len(MARKS) + 4 + SENTENCE]] = 9
    tags = choose_tags(certain)
    assert (tags.marks[0], tags.cases[0], tags.breaks[0]) == (FULL_STOP, 0, SENTENCE)


def test_places_of_a_rare_word_agree_on_its_case() -> None:
    # A place that is sure, three that are not, and a frequent word.
    evidence = [-9, 3, -9, -1, -9, -1, -9, -1, -9, 3, 3, -1]
    logits = np.zeros((len(evidence), WIDTH), np.float32)
    logits[:, len(MARKS) + CAPITAL] = evidence
    logits[:, [len(MARKS) + UPPER, len(MARKS) + MIXED]] = -20
    logits[:, [NO_MARK, len(MARKS) + CASES + NO_BREAK]] = 5
    assert choose_tags(logits).cases.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]
    groups = np.array([-1, 0, -1, 0, -1, 0, -1, 0, -1, -1, -1, -1])
    agreed = agree_on_cases(groups, logits)
    changed = np.flatnonzero((agreed != logits).any(axis=1)).tolist()
    assert changed == [1, 3, 5, 7]
    # -1 and the mean of 3, -1 and -1; 3 and that of -1, -1 and -1.
    odds = (agreed[:, len(MARKS) + CAPITAL] - agreed[:, len(MARKS)])[changed]
    np.testing.assert_allclose(odds, [2, -2 / 3, -2 / 3, -2 / 3], rtol=1e-6)
    logits[1, len(MARKS) + CAPITAL] = 4.5  # counts as 4
    assert choose_tags(agree_on_cases(groups, logits)).cases.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]
    logits[7, len(MARKS) + CAPITAL] = 0.5
    assert choose_tags(agree_on_cases(groups, logits)).cases.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0]
    # The first word of a sentence says nothing about its case elsewhere.
    logits[0, [FULL_STOP, len(MARKS) + CASES + SENTENCE]] = 20
    assert choose_tags(agree_on_cases(groups, logits)).cases.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]


def test_rare_words_are_numbered(header: TaggerHeader) -> None:
    assert header.rare([VOCABULARY[0], "leiter", "hunstanton", VOCABULARY[0], "leiter"]).tolist() == [-1, 0, 1, -1, 0]
    assert header.rare([]).shape == (0,)


def test_any_spelling_has_numbers() -> None:
    features = Features(("the",), 10)
    rows = features.of_words(["the", "thesaurus", "\u6f22", "x", ""])
    assert rows.shape == (5, SLOTS)
    assert rows[:, 0].tolist() == [1, *[UNKNOWN] * 4]
    assert rows[:, 1:].min() >= 2
    assert rows.max() < features.size


def test_classes_of_pauses() -> None:
    assert pause_classes([np.nan, 0.0, 0.05, 0.2, 9.0]).tolist() == [0, 1, 2, 4, 8]


def test_a_file_survives_and_damage_is_one_line(tagger_content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "punctuation.onnx"
    path.write_bytes(tagger_content)
    assert Tagger.load(path).header.vocabulary == VOCABULARY
    check_graph(tagger_content, "tagger")
    for content in (b"", b"nonsense", tagger_content[: len(tagger_content) // 2]):
        path.write_bytes(content)
        with pytest.raises(LanguageModelError, match="no model that predicts punctuation"):
            Tagger.load(path)
    with pytest.raises(LanguageModelError, match="no such file"):
        Tagger.load(tmp_path / "none.onnx")


def test_a_spelling_that_is_another_word_is_refused(tagger_content: bytes) -> None:
    model = onnx.load_from_string(tagger_content)
    for one in model.metadata_props:
        if one.key == HEADER:
            one.value = json.dumps(json.loads(one.value) | {"mixed": {"ann": "Bob"}})
    with pytest.raises(LanguageModelError, match="another word"):
        Tagger(model.SerializeToString(), "changed")


def test_weights_of_another_shape_are_refused(header: TaggerHeader) -> None:
    weights = random_weights(header.settings, header.features.size)
    with pytest.raises(ConfigError, match="tags/bias"):
        export_tagger(weights | {"tags/bias": np.zeros(3, np.float32)}, header)


@pytest.mark.parametrize("top_units", [0, 8])
def test_weights_read_from_a_file_make_the_same_file_again(header: TaggerHeader, top_units: int) -> None:
    header = replace(header, settings=replace(header.settings, top_units=top_units))
    content = export_tagger(random_weights(header.settings, header.features.size), header)
    weights, found = read_tagger(content, "random")
    assert found == header
    assert export_tagger(weights, found) == content


def test_a_graph_of_another_kind_is_refused(tagger_content: bytes) -> None:
    model = onnx.load_model_from_string(tagger_content)
    gathers = [one for one in model.graph.node if one.op_type == "Gather"]
    model.graph.node.append(onnx.helper.make_node("Gather", gathers[-1].input, ["further"], name="further"))
    with pytest.raises(LanguageModelError, match="has another graph than this version writes"):
        read_tagger(model.SerializeToString(), "random")


def test_what_is_no_model_is_said_to_be_none() -> None:
    with pytest.raises(LanguageModelError, match=r"text\.txt: is no model that predicts punctuation, or damaged"):
        read_tagger(b"Chapter 1. Of the weather.", "text.txt")
