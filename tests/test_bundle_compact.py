"""Compact bundles, and files that a bundle shares with one that ships."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.bundle import copy_bundle, load_bundle
from asr.errors import BundleError
from asr.recognition.transcriber import Transcriber
from asr.settings.model import EngineKind
from asr.sharing.copies import push

from .bundles import read_tensors


@pytest.fixture
def compact(tiny_bundle, tmp_path) -> Path:
    copy_bundle(load_bundle(tiny_bundle), tmp_path / "compact", compact=True)
    return tmp_path / "compact"


@pytest.fixture
def sharing(tiny_bundle, tmp_path) -> Path:
    """A bundle that decodes with the language model of `en`."""
    decoder = load_bundle("en").decoder
    assert decoder is not None
    decoder = replace(decoder, pronunciations=None, g2p=None, beam_width=8, prior_weight=0.0)
    copy_bundle(load_bundle(tiny_bundle), tmp_path / "sharing", decoder=decoder, share="en")
    return tmp_path / "sharing"


def test_a_compact_bundle_rounds_the_weights_of_large_products_by_half_a_step(compact, tiny_bundle):
    arrays = read_tensors(compact / "weights.safetensors")[0]
    rounded, weights = load_bundle(compact).weights(), load_bundle(tiny_bundle).weights()
    integers = {name for name, array in arrays.items() if array.dtype == np.int8}
    assert integers == {"recurrent_1/kernel", "recurrent_1/recurrent_kernel"}
    for name, array in weights.items():
        if name in integers:
            step = np.abs(array).max(axis=-2, keepdims=True) / 64
            assert (np.abs(rounded[name] - array) <= 0.501 * step).all()
        else:
            np.testing.assert_array_equal(rounded[name], array)


def test_a_copy_of_a_compact_bundle_changes_nothing(compact, tmp_path):
    copy_bundle(load_bundle(compact), tmp_path / "again")
    for name in ("weights.safetensors", "structure.onnx", "statistics.safetensors", "bundle.json"):
        assert (tmp_path / "again" / name).read_bytes() == (compact / name).read_bytes()
    load_bundle(tmp_path / "again").verify()


def test_the_graph_of_a_compact_bundle_is_that_of_its_weights(compact, tmp_path, rng):
    whole = tmp_path / "whole"
    copy_bundle(load_bundle(compact), whole, compact=False)
    assert not (compact / "model.onnx").exists()
    assert (whole / "model.onnx").is_file()
    frames = rng.standard_normal((50, 20)).astype(np.float32)
    found, wanted = (load_bundle(path).engine().run(frames) for path in (compact, whole))
    # float16 rounds the products of integers and scales
    np.testing.assert_allclose(np.exp(found), np.exp(wanted), atol=0.01)
    exact = load_bundle(compact).engine(EngineKind.onnx_float32).run(frames)
    assert np.abs(np.exp(found) - np.exp(exact)).mean() < 0.01


def test_integers_without_their_scales_are_refused(compact):
    from asr.bundle.store import pack_tensors
    from asr.tensors import header_digest

    arrays = read_tensors(compact / "weights.safetensors")[0]
    del arrays["recurrent_1/kernel.scales"]
    content = pack_tensors(arrays, {})
    (compact / "weights.safetensors").write_bytes(content)
    card = json.loads((compact / "bundle.json").read_text())
    card["digests"]["weights.safetensors"] = header_digest(content)
    (compact / "bundle.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match="recurrent_1/kernel must hold floating-point numbers, not int8"):
        load_bundle(compact).weights()


def test_a_shared_language_model_is_read_where_it_ships(sharing):
    assert not (sharing / "language.lm").exists()
    bundle = load_bundle(sharing)
    assert bundle.decoder is not None
    assert bundle.decoder.lm == load_bundle("en").decoder.lm
    bundle.verify()
    samples = 0.1 * np.random.default_rng(2).standard_normal(8000).astype(np.float32)
    Transcriber(bundle).transcribe_samples(samples)


def test_what_is_pushed_has_all_files(sharing, tmp_path):
    push(load_bundle(sharing), str(tmp_path / "elsewhere"), card="A model.\n")
    pushed = load_bundle(tmp_path / "elsewhere")
    assert not pushed.shared
    assert (tmp_path / "elsewhere" / "language.lm").is_file()
    pushed.verify()


@pytest.mark.parametrize(
    ("shared", "message"),
    [
        ({"language.lm": "no-such"}, "uses language.lm of the bundle no-such, which this version of asr does not have"),
        ({"language.lm": "../en"}, r"shared.language.lm must be the name of a shipped bundle, not '../en'"),
        ({"weights.safetensors": "en"}, "shared.weights.safetensors cannot be a file of another bundle"),
    ],
)
def test_only_some_files_of_bundles_that_ship_can_be_shared(sharing, shared, message):
    card = json.loads((sharing / "bundle.json").read_text())
    card["shared"] = shared
    (sharing / "bundle.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match=message):
        load_bundle(sharing)


def test_another_language_model_of_that_name_does_not_belong(sharing, monkeypatch, tmp_path):
    shipped = tmp_path / "models" / "en"
    shipped.parent.mkdir()
    shutil.copytree(load_bundle("en").path, shipped)
    content = bytearray((shipped / "language.lm").read_bytes())
    content[20] ^= 1
    (shipped / "language.lm").write_bytes(content)
    monkeypatch.setattr("asr.bundle.store._shipped_folder", lambda: shipped.parent)
    with pytest.raises(BundleError, match=r"language\.lm"):
        load_bundle(sharing)
