from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from asr.bundle import _LARGEST, bundle_argument, copy_bundle, is_bundle_name, load_bundle, save_bundle
from asr.config import EngineKind
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
    bundle = load_bundle(tiny_bundle)
    quantized, exact, keras = (bundle.engine(kind) for kind in EngineKind)
    for length in (50, 31):
        frames = rng.standard_normal((length, 20)).astype(np.float32)
        np.testing.assert_allclose(exact.log_probs(frames), keras.log_probs(frames), atol=1e-4)
        difference = np.exp(quantized.log_probs(frames)) - np.exp(exact.log_probs(frames))
        assert np.abs(difference).mean() < 0.01


def test_weights_are_kept_in_half_precision_and_a_copy_changes_nothing(tiny_bundle, tmp_path):
    copy_bundle(load_bundle(tiny_bundle), tmp_path / "copy")
    for name in ("arrays.npz", "model.onnx"):
        assert (tmp_path / "copy" / name).read_bytes() == (tiny_bundle / name).read_bytes()
    with np.load(tiny_bundle / "arrays.npz") as arrays:
        assert {arrays[name].dtype.name for name in arrays.files if name.startswith("model/")} == {"float16"}


def test_a_weight_that_half_precision_cannot_hold_is_kept_as_it_is(tiny_bundle, tmp_path):
    bundle = load_bundle(tiny_bundle)
    weights = bundle.weights()
    weights["symbols/bias"] = weights["symbols/bias"] + 1e5
    save_bundle(
        tmp_path / "large",
        weights=weights,
        log_mel=bundle.log_mel,
        normalizer=bundle.normalizer,
        alphabet=bundle.alphabet,
        model=bundle.model,
    )
    np.testing.assert_array_equal(load_bundle(tmp_path / "large").weights()["symbols/bias"], weights["symbols/bias"])


@pytest.mark.parametrize("name", ["bundle.json", "arrays.npz", "model.onnx"])
def test_a_file_larger_than_any_bundle_has_is_not_read(copy, monkeypatch, name):
    monkeypatch.setitem(_LARGEST, name, 100)
    with pytest.raises(BundleError, match=f"{name}: .*more than a bundle's can have"):
        load_bundle(copy).engine()


def test_a_graph_from_elsewhere_is_looked_through_before_it_runs(copy):
    graph = onnx.load(copy / "model.onnx")
    graph.graph.node.append(onnx.helper.make_node("Evil", [], ["x"], domain="evil"))
    onnx.save(graph, copy / "model.onnx")
    with pytest.raises(BundleError, match=r"operator evil\.Evil: not a graph that asr has written, it is not run"):
        load_bundle(copy).engine()


def test_settings_come_back_as_they_were(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    assert bundle.model.units == 16
    assert bundle.log_mel.settings.mels == 20
    assert bundle.alphabet.size == 29
    assert bundle.name == "tiny"


def test_a_bundle_nobody_has_is_refused_with_those_that_ship():
    with pytest.raises(BundleError, match=r"no such bundle; give a bundle's folder, or the name of one that ships \("):
        load_bundle("enn")


def test_a_folder_does_not_hide_the_bundle_that_ships_under_its_name(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle, tmp_path / "en")
    shipped = load_bundle("en")
    assert shipped.path.parent != tmp_path
    for path in ("./en", f"../{tmp_path.name}/en", str(tmp_path / "en"), Path("en")):
        assert load_bundle(path).alphabet == load_bundle(tiny_bundle).alphabet
        assert load_bundle(path).path.resolve() == tmp_path / "en"


def test_a_name_without_separator_is_no_folder_and_the_message_says_what_to_type(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle, tmp_path / "mine")
    with pytest.raises(BundleError, match=r"mine: no such bundle ships \(en, tiny\); .* type \./mine$"):
        load_bundle("mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert load_bundle(".").model == load_bundle("../mine").model


@pytest.mark.parametrize("name", ["mine", "./mine", "/a/b", "..", ".", "runs/x/best"])
def test_a_folder_is_typed_with_a_separator(name):
    argument = bundle_argument(name)
    assert not is_bundle_name(argument)
    assert Path(argument) == Path(name)


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
        ({"alphabet": []}, r"bundle\.json"),
        ({"alphabet__symbols": 7}, r"bundle\.json"),
        ({"features__sample_rate": 2_000_000_000}, "sample_rate must be 1000 to 192000 Hz"),
        ({"features__window_seconds": 1e6}, "mel matrix is missing or does not fit"),
        ({"decoder": {"beam_width": 10**9}}, "beam_width must be 1 to 65536"),
        ({"decoder": {"_target_": "os.system"}}, "_target_, which this version of asr does not know"),
        ({"provenance": []}, "provenance must be an object"),
        ({"priors": [0.5, 0.5]}, "must be a list of 29 shares, or empty"),
        ({"confidence": {"greedy": [float("nan")] * 12}}, "must be a list of 12 numbers"),
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


def test_json_that_is_nested_without_end_is_refused(copy):
    (copy / "bundle.json").write_text("[" * 200_000)
    with pytest.raises(BundleError, match=r"bundle\.json: cannot be read"):
        load_bundle(copy)


def test_an_array_that_claims_to_be_endless_is_refused(copy):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 30)})
    with zipfile.ZipFile(copy / "arrays.npz", "w") as archive:
        archive.writestr("features/matrix.npy", header.getvalue())
    with pytest.raises(BundleError, match=r"arrays\.npz: cannot be read"):
        load_bundle(copy)


def test_arrays_that_unpack_to_gigabytes_are_refused(copy):
    with (
        zipfile.ZipFile(copy / "arrays.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("features/matrix.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(bytes(1 << 20))
    with pytest.raises(BundleError, match="unpacked are more than a bundle's can have"):
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
