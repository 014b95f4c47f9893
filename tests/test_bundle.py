from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from asr.bundle import copy_bundle, load_bundle
from asr.errors import BundleError


@pytest.fixture
def copy(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def edit(path: Path, **changes) -> None:
    card = json.loads((path / "bundle.json").read_text())
    for dotted, value in changes.items():
        *parents, key = dotted.split("__")
        node = card
        for parent in parents:
            node = node[parent]
        node[key] = value
    (path / "bundle.json").write_text(json.dumps(card))


def test_graph_and_keras_model_of_a_bundle_agree(tiny_bundle, rng):
    from asr.acoustic.model import predict_log_probs

    bundle = load_bundle(tiny_bundle)
    utterances = [rng.standard_normal((length, 20)).astype(np.float32) for length in (50, 31)]
    model = bundle.keras_model()
    for one, result in zip(utterances, bundle.engine().log_probs(utterances), strict=True):
        (expected,) = predict_log_probs(model, one[None], np.array([len(one)], np.int32), bundle.model)
        np.testing.assert_allclose(result, expected, atol=1e-4)


def test_half_precision_halves_the_arrays_and_graph_and_model_still_agree(tiny_bundle, tmp_path, rng):
    from asr.acoustic.model import predict_log_probs

    copy_bundle(load_bundle(tiny_bundle), tmp_path / "half", half_precision=True)
    half = load_bundle(tmp_path / "half")
    whole_size = (tiny_bundle / "arrays.npz").stat().st_size
    assert (tmp_path / "half" / "arrays.npz").stat().st_size < 0.7 * whole_size
    frames = rng.standard_normal((40, 20)).astype(np.float32)
    (expected,) = predict_log_probs(half.keras_model(), frames[None], np.array([40], np.int32), half.model)
    np.testing.assert_allclose(half.engine().log_probs([frames])[0], expected, atol=1e-4)


def test_settings_come_back_as_they_were(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    assert bundle.model.units == 16
    assert bundle.log_mel.settings.mels == 20
    assert bundle.alphabet.size == 29
    assert bundle.name == "tiny"


def test_a_bundle_nobody_has_is_refused_with_those_that_ship():
    with pytest.raises(BundleError, match=r"no such bundle; give a bundle's folder, or the name of one that ships \("):
        load_bundle("enn")


@pytest.mark.parametrize("name", ["bundle.json", "arrays.npz", "model.onnx"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "written by a newer version"),
        ({"format": "x"}, "format number is missing"),
        ({"model__cell": "rnn"}, r"model\.cell must be one of lstm, gru, not 'rnn'"),
        ({"model__depth": "3"}, r"model\.depth must be a int, not '3'"),
        ({"model__depth": 0}, r"model\.depth must be at least 1"),
        ({"model__depht": 3}, "depht, which this version of asr does not know"),
        ({"features": []}, "features must be an object"),
        ({"features__mels": 21}, "mel matrix is missing or does not fit"),
        ({"alphabet": {}}, "'symbols' is missing"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused_by_field(copy, changes, message):
    edit(copy, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


def test_a_card_that_is_no_json_is_refused(copy):
    (copy / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match=r"bundle\.json: cannot be read"):
        load_bundle(copy)


def test_damaged_arrays_are_refused(copy):
    content = (copy / "arrays.npz").read_bytes()
    (copy / "arrays.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=r"arrays\.npz: cannot be read"):
        load_bundle(copy)


def test_weights_of_another_model_are_refused(copy):
    edit(copy, model__units=17)
    with pytest.raises(BundleError, match="must have shape"):
        load_bundle(copy).keras_model()


def test_pickled_objects_are_refused(copy):
    np.savez(copy / "arrays.npz", **{"features/matrix": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(BundleError):
        load_bundle(copy)


def test_a_failed_save_leaves_the_old_bundle_as_it_was(copy, monkeypatch):
    before = (copy / "arrays.npz").read_bytes()

    def fail(*_arguments, **_settings):
        raise OSError("disk full")

    monkeypatch.setattr("asr.acoustic.onnx_export.export_onnx", fail)
    with pytest.raises(OSError, match="disk full"):
        copy_bundle(load_bundle(copy), copy)
    assert (copy / "arrays.npz").read_bytes() == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
