"""Bundles that hold a neural language model for the second pass of decoding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from asr.bundle import Bundle, copy_bundle, load_bundle
from asr.decoding import make_decoder
from asr.errors import BundleError, LanguageModelError

from .bundles import put, save_random_language_model


@pytest.fixture(scope="module")
def neural(tmp_path_factory) -> Path:
    return save_random_language_model(tmp_path_factory.mktemp("neural") / "small.onnx")


@pytest.fixture
def bundle(tiny_bundle, neural, tmp_path) -> Bundle:
    decoder = load_bundle("en").decoder
    assert decoder is not None
    decoder = replace(
        decoder, pronunciations=None, g2p=None, beam_width=8, prior_weight=0.0,
        second_pass=str(neural), second_pass_weight=0.25,
    )  # fmt: skip
    copy_bundle(load_bundle(tiny_bundle), tmp_path / "two", decoder=decoder, share="en")
    return load_bundle(tmp_path / "two")


def test_a_bundle_keeps_the_model_of_the_second_pass(bundle, neural, tmp_path):
    assert bundle.decoder is not None
    assert bundle.decoder.second_pass == str(bundle.path / "second_pass.onnx")
    assert bundle.decoder.second_pass_weight == 0.25
    assert (bundle.path / "second_pass.onnx").read_bytes() == neural.read_bytes()
    bundle.verify()
    copy_bundle(bundle, tmp_path / "again", share="en")
    again = load_bundle(tmp_path / "again")
    assert again.digests == bundle.digests
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((40, bundle.alphabet.size))
    log_probs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    ((found, *_),) = make_decoder(bundle.alphabet, bundle.decoder).decode([log_probs])
    ((same, *_),) = make_decoder(bundle.alphabet, replace(bundle.decoder, second_pass=str(neural))).decode([log_probs])
    ((first, *_),) = make_decoder(bundle.alphabet, replace(bundle.decoder, second_pass=None)).decode([log_probs])
    assert found == same
    assert found.score != first.score


def test_a_missing_or_damaged_model_is_named(bundle):
    path = bundle.path / "second_pass.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(BundleError, match=r"second_pass\.onnx"):
        load_bundle(bundle.path)
    path.unlink()
    with pytest.raises(BundleError, match=r"second_pass\.onnx is missing"):
        load_bundle(bundle.path)


def test_a_graph_that_asr_did_not_write_is_not_run(bundle):
    graph = onnx.load(bundle.path / "second_pass.onnx")
    graph.graph.node[0].op_type = "Loop"
    put(bundle.path, "second_pass.onnx", graph.SerializeToString())
    with pytest.raises(BundleError, match="it uses the operator Loop: the graph was not written by asr"):
        load_bundle(bundle.path)


def test_another_file_is_not_put_into_a_bundle(bundle, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    decoder = replace(bundle.decoder, second_pass=str(tmp_path / "text.onnx"))
    with pytest.raises(LanguageModelError, match=r"text\.onnx"):
        copy_bundle(bundle, tmp_path / "other", decoder=decoder)
