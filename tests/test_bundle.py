from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from asr.bundle import bundle_argument, copy_bundle, is_bundle_name, load_bundle, save_bundle
from asr.bundle.store import _LARGEST, shipped_bundles
from asr.decoding.confidence import FEATURES, Calibration
from asr.errors import BundleError, LanguageModelError
from asr.language.ngram_file import read_provenance, save_ngram
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import BeamConfig
from asr.settings.model import EngineKind

from .bundles import change_tensors, put, read_tensors, to_format_1
from .conftest import SAMPLES, oracle_module
from .decoding.conftest import SENTENCES, train


@pytest.fixture
def copy(tiny_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


@pytest.fixture
def old(copy) -> Path:
    """A bundle of format 1."""
    return to_format_1(copy)


@pytest.fixture
def other(tiny_bundle, tmp_path) -> Path:
    """A bundle of the same settings with other weights."""
    one = load_bundle(tiny_bundle)
    weights = {name: array + np.float32(0.01) for name, array in one.weights().items()}
    copy_bundle(one, tmp_path / "other", weights=weights)
    return tmp_path / "other"


NESTED: list = []
for _ in range(300):
    NESTED = [NESTED]


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
        np.testing.assert_allclose(exact.run(frames), keras.run(frames), atol=1e-4)
        difference = np.exp(quantized.run(frames)) - np.exp(exact.run(frames))
        assert np.abs(difference).mean() < 0.01


def test_weights_are_kept_in_half_precision_and_a_copy_changes_nothing(tiny_bundle, tmp_path):
    copy_bundle(load_bundle(tiny_bundle), tmp_path / "copy")
    for name in ("weights.safetensors", "statistics.safetensors", "model.onnx"):
        assert (tmp_path / "copy" / name).read_bytes() == (tiny_bundle / name).read_bytes()
    weights = read_tensors(tiny_bundle / "weights.safetensors")[0]
    assert {array.dtype.name for array in weights.values()} == {"float16"}


@pytest.mark.parametrize("name", ["tiny"])
def test_a_shipped_bundle_of_format_1_is_copied_into_format_2_with_all_that_it_has(name, tmp_path, rng):
    shipped = load_bundle(name)
    assert not shipped.digests  # of format 1
    copy_bundle(shipped, tmp_path / name)
    copied = load_bundle(tmp_path / name)
    assert set(copied.digests) == {path.name for path in (tmp_path / name).iterdir()} - {"bundle.json"}
    np.testing.assert_array_equal(copied.log_mel.matrix, shipped.log_mel.matrix)
    for key, array in shipped.weights().items():
        np.testing.assert_array_equal(copied.weights()[key], array)
    assert (copied.priors, copied.confidence) == (shipped.priors, shipped.confidence)
    assert (copied.alphabet, copied.model, copied.provenance) == (shipped.alphabet, shipped.model, shipped.provenance)
    samples = 0.1 * rng.standard_normal(16000).astype(np.float32)
    transcripts = [Transcriber(one).transcribe_samples(samples) for one in (shipped, copied)]
    assert transcripts[0] == transcripts[1]
    if shipped.decoder:
        assert copied.decoder == replace(shipped.decoder, lm=str(tmp_path / name / "language.lm"))
        assert read_provenance(copied.decoder.lm) == read_provenance(shipped.decoder.lm)


@pytest.mark.parametrize("name", shipped_bundles())
def test_every_shipped_bundle_is_whole_and_writes_a_sample(name, asr_command):
    """With the files that it shares, whatever was exchanged last."""
    load_bundle(name).verify()
    outcome = asr_command("transcribe", str(SAMPLES / "1673-143396-0002.opus"), f"bundle={name}")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.out.split()) > 5


def test_any_reader_of_safetensors_reads_the_weights(tiny_bundle):
    library = oracle_module("safetensors.numpy")
    found = library.load_file(tiny_bundle / "weights.safetensors")
    weights = load_bundle(tiny_bundle).weights()
    assert found.keys() == weights.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array.astype(np.float32), weights[name])


@pytest.mark.parametrize("name", ["weights.safetensors", "statistics.safetensors", "model.onnx"])
def test_a_file_of_another_bundle_does_not_belong(copy, other, name):
    """The shapes are the same: only the digests tell."""
    if name == "statistics.safetensors":
        change_tensors(other, name, features__matrix=np.zeros((20, 257), np.float32))
    shutil.copy(other / name, copy / name)
    with pytest.raises(BundleError, match=rf"copy/{re.escape(name)}: does not belong to this bundle"):
        load_bundle(copy).engine()


def test_a_card_that_names_no_digest_of_a_file_is_refused(copy):
    edit(copy, digests={"model.onnx": "0" * 64})
    with pytest.raises(BundleError, match=r"bundle\.json: digests.weights\.safetensors is missing"):
        load_bundle(copy)
    edit(copy, digests={"model.onnx": "x"})
    with pytest.raises(BundleError, match=r"bundle\.json: digests.model\.onnx must be a SHA-256"):
        load_bundle(copy)
    edit(copy, digests={})
    with pytest.raises(BundleError, match="is missing"):
        load_bundle(copy)


def test_priors_and_calibrations_come_back_to_the_last_bit(copy, tmp_path, rng):
    priors = rng.dirichlet(np.ones(29)).tolist()
    confidence = {"greedy": Calibration(tuple(rng.standard_normal(len(FEATURES)).tolist()))}
    copy_bundle(load_bundle(copy), tmp_path / "tuned", priors=priors, confidence=confidence)
    read = load_bundle(tmp_path / "tuned")
    assert (list(read.priors), read.confidence) == (priors, confidence)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"priors": np.full(29, 1.5)}, "priors must be a list of 29 shares, or empty"),
        ({"priors": np.full(28, 0.5)}, "priors must be a list of 29 shares, or empty"),
        ({"priors": np.full((29, 1), 0.5)}, "priors must be a list of 29 shares, or empty"),
        ({"priors": np.full(29, np.nan)}, "priors must be a list of 29 shares, or empty"),
        ({"confidence__greedy": np.full(12, np.nan)}, r"confidence\.greedy must be a list of 12 numbers"),
        ({"confidence__greedy": np.full(3, 1.0)}, r"confidence\.greedy must be a list of 12 numbers"),
        ({"confidence__greedy": np.full(12, 1e300)}, r"confidence\.greedy must be a list of 12 numbers"),
        ({"other": np.zeros(3)}, "'other' is none of a bundle's statistics"),
        ({"features__matrix": np.zeros((20, 257), np.uint8)}, "features/matrix must hold floating-point numbers"),
        ({"features__matrix": np.full((20, 257), np.nan)}, "features/matrix must hold finite numbers from 0 to 1000"),
        ({"features__matrix": np.full((20, 257), -1.0)}, "features/matrix must hold finite numbers from 0 to 1000"),
        ({"features__matrix": None}, "features/matrix must be of"),
        ({"features__mean": np.zeros(3)}, r"features/mean must have shape \(20,\), not \(3,\)"),
        ({"features__deviation": np.full(20, -1.0)}, "features/deviation must hold finite numbers from 0"),
    ],
    ids=lambda value: "",
)
def test_statistics_that_make_no_sense_are_refused_by_name(copy, changes, message):
    change_tensors(copy, "statistics.safetensors", **changes)
    with pytest.raises(BundleError, match=rf"statistics\.safetensors: .*{message}"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols__bias": np.full(29, np.nan)}, "symbols/bias must hold finite numbers"),
        ({"symbols__bias": np.full(29, 1e300)}, "symbols/bias must hold finite numbers"),
        ({"symbols__bias": np.zeros(28)}, r"symbols/bias must have shape \(29,\), not \(28,\)"),
        ({"symbols__bias": np.zeros(29, np.uint32)}, "symbols/bias must hold floating-point numbers, not uint32"),
        ({"symbols__bias": None}, "weight symbols/bias is missing"),
        ({"symbols__bias2": np.zeros(3)}, "weight 'symbols/bias2' has no place in the model"),
    ],
    ids=lambda value: "",
)
def test_weights_of_format_2_that_make_no_sense_are_refused_by_name(copy, changes, message):
    change_tensors(copy, "weights.safetensors", **changes)
    with pytest.raises(BundleError, match=rf"weights\.safetensors: .*{message}"):
        load_bundle(copy).weights()


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
def test_a_file_larger_than_any_bundle_has_is_not_read(old, monkeypatch, name):
    monkeypatch.setitem(_LARGEST, name, 100)
    with pytest.raises(BundleError, match=f"{name}: .*more than a bundle's can have"):
        load_bundle(old).engine()


def test_a_graph_from_elsewhere_is_looked_through_before_it_runs(copy):
    graph = onnx.load(copy / "model.onnx")
    graph.graph.node.append(onnx.helper.make_node("Evil", [], ["x"], domain="evil"))
    put(copy, "model.onnx", graph.SerializeToString())
    with pytest.raises(BundleError, match=r"operator evil\.Evil: the graph was not written by asr and is not run"):
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


@pytest.mark.parametrize(("typed", "meant"), [("smal", "small"), ("tinny", "tiny"), ("lvie", "live")])
def test_a_mistyped_bundle_is_refused_with_the_one_that_was_meant(typed, meant):
    with pytest.raises(BundleError, match=rf"{typed}: no such bundle; .*; did you mean {meant}\?$"):
        load_bundle(typed)


def test_the_folder_of_a_run_is_answered_with_the_bundles_in_it(tiny_bundle, tmp_path):
    for name in ("last", "best"):
        shutil.copytree(tiny_bundle, tmp_path / "run" / name)
    with pytest.raises(BundleError, match=r"run: not a bundle, .*; the bundles in it: \S+run/best, \S+run/last$"):
        load_bundle(tmp_path / "run")
    with pytest.raises(BundleError, match=r"not a bundle, bundle\.json is missing$"):
        load_bundle(tmp_path)


def test_the_name_of_a_bundle_is_not_empty():
    with pytest.raises(BundleError, match="the name of the bundle is empty"):
        load_bundle("")


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
    with pytest.raises(BundleError, match=r"mine: no such bundle ships \(en, live, small, tiny\); .* type \./mine$"):
        load_bundle("mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert load_bundle(".").model == load_bundle("../mine").model


@pytest.mark.parametrize("name", ["mine", "./mine", "/a/b", "..", ".", "runs/x/best"])
def test_a_folder_is_typed_with_a_separator(name):
    argument = bundle_argument(name)
    assert not is_bundle_name(argument)
    assert Path(argument) == Path(name)


@pytest.mark.parametrize("name", ["bundle.json", "weights.safetensors", "statistics.safetensors", "model.onnx"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["bundle.json", "arrays.npz", "model.onnx"])
def test_a_missing_file_of_format_1_is_named(old, name):
    (old / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(old)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "written by a newer version"),
        ({"format": "x"}, "format number is missing"),
        ({"model__cell": "rnn"}, r"model\.cell must be one of lstm, gru, not 'rnn'"),
        ({"model__depth": "3"}, r"model\.depth must be a whole number, not '3'"),
        ({"model__depth": 0}, r"model\.depth must be at least 1"),
        ({"model__depht": 3}, "depht, which this version of asr does not know"),
        ({"features": []}, "features must be an object"),
        ({"features__mels": 21}, "mel matrix is missing or does not fit"),
        ({"alphabet": {}}, "'symbols' is missing"),
        ({"alphabet": []}, r"bundle\.json"),
        ({"alphabet__symbols": 7}, r"bundle\.json"),
        ({"features__sample_rate": 2_000_000_000}, "sample_rate must be 1000 to 192000 Hz"),
        ({"features__window_seconds": 1e6}, "window_seconds must be between 0.001 and 1, not 1000000.0"),
        ({"features__window_seconds": 0.1}, "mel matrix is missing or does not fit"),
        ({"decoder": {"beam_width": 10**9}}, "beam_width must be 1 to 65536"),
        ({"decoder": {"_target_": "os.system"}}, "_target_, which this version of asr does not know"),
        ({"provenance": []}, "provenance must be an object"),
        ({"format": True}, "format number is missing or none"),
        ({"format": -5}, "format number is missing or none"),
        ({"format": 1.0}, "format number is missing or none"),
        ({"features__window_seconds": float("inf")}, r"features\.window_seconds must be between 0.001 and 1, not inf"),
        ({"features__log_floor": float("inf")}, r"features\.log_floor must be between 1e-30 and 1, not inf"),
        ({"features__log_floor": 1e-300}, r"features\.log_floor must be between 1e-30 and 1, not 1e-300"),
        ({"features__mels": True}, r"features\.mels must be a whole number, not True"),
        ({"model__subsampling": 2**40}, r"model\.subsampling must be at most 64, not 1099511627776"),
        ({"model__units": 10**400}, r"model\.units must be at most 16384, not a whole number of 1329 bits"),
        ({"model__cell": ["lstm"]}, r"model\.cell must be one of lstm, gru, not \['lstm'\]"),
        ({"decoder": {"word_bonus": float("nan")}}, r"decoder\.word_bonus must be between -1000 and 1000, not nan"),
        ({"decoder": {"lexicon": "/etc/passwd"}}, "decoder has lexicon, which a bundle does not keep"),
        ({"decoder": {"lm": "yes"}}, r"decoder\.lm must be true or false, not 'yes'"),
        ({"alphabet__symbols": ["<script>", "a"]}, r"alphabet\.symbols must be a text, not \['<script>', 'a'\]"),
        ({"alphabet__symbols": "ab\n"}, r"alphabet\.symbols holds '\\n'"),
        ({"priors": [1.5] + [0.0] * 28}, "priors must be a list of 29 shares, or empty"),
        ({"priors": [-0.1] + [0.0] * 28}, "priors must be a list of 29 shares, or empty"),
        ({"priors": [float("nan")] * 29}, "priors must be a list of 29 shares, or empty"),
        ({"priors": [True] * 29}, "priors must be a list of 29 shares, or empty"),
        ({"confidence": {"greedy": [1e300] * 12}}, r"confidence\.greedy must be a list of 12 numbers"),
        ({"provenance": {"a": [{"loss": float("inf")}]}}, r"provenance\.a\[0\]\.loss must be a finite number, not inf"),
        ({"provenance": {"a": "\x1b[2J"}}, r"provenance\.a must be plain text"),
        ({"error_rates": {"\ud800": 1}}, "error_rates has the key"),
        ({"versions": NESTED}, "versions.* is nested more than 100 levels deep"),
        ({"priors": [0.5, 0.5]}, "must be a list of 29 shares, or empty"),
        ({"confidence": {"greedy": [float("nan")] * 12}}, "must be a list of 12 numbers"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused_by_field(copy, changes, message):
    if "priors" in changes or "confidence" in changes:
        to_format_1(copy)
    edit(copy, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


def test_a_card_that_is_no_json_is_refused(copy):
    (copy / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match=r"bundle\.json: cannot be read"):
        load_bundle(copy)


def test_damaged_arrays_are_refused(old):
    content = (old / "arrays.npz").read_bytes()
    (old / "arrays.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=r"arrays\.npz: cannot be read"):
        load_bundle(old)


def test_weights_of_another_model_are_refused(copy):
    edit(copy, model__units=17)
    with pytest.raises(BundleError, match="must have shape"):
        load_bundle(copy).keras_model()


def change_arrays(path: Path, **changes) -> None:
    """Replace arrays of a bundle, or drop those that are None; `__` stands for a slash."""
    with np.load(path / "arrays.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays |= {name.replace("__", "/"): array for name, array in changes.items()}
    np.savez(path / "arrays.npz", **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features__matrix": np.full((20, 257), "a")}, "features/matrix must hold floating-point numbers, not <U1"),
        ({"features__matrix": np.zeros((20, 257), complex)}, "features/matrix must hold floating-point numbers"),
        ({"features__matrix": np.zeros((20, 257), int)}, "features/matrix must hold floating-point numbers"),
        ({"features__matrix": np.full((20, 257), np.nan)}, "features/matrix must hold finite numbers from 0 to 1000"),
        ({"features__matrix": np.full((20, 257), 1e300)}, "features/matrix must hold finite numbers from 0 to 1000"),
        ({"features__matrix": np.full((20, 257), -1.0)}, "features/matrix must hold finite numbers from 0 to 1000"),
        ({"features__mean": np.zeros(3)}, r"features/mean must have shape \(20,\), not \(3,\)"),
        ({"features__mean": np.full(20, np.inf)}, "features/mean must hold finite numbers"),
        ({"features__deviation": np.full(20, -1.0)}, "features/deviation must hold finite numbers from 0"),
        ({"model__symbols/bias": None}, "weight symbols/bias is missing"),
        ({"model__symbols/bias2": np.zeros(3)}, "weight 'symbols/bias2' has no place in the model"),
    ],
    ids=lambda value: "",
)
def test_arrays_that_make_no_sense_are_refused_by_name(old, changes, message):
    change_arrays(old, **changes)
    with pytest.raises(BundleError, match=rf"arrays\.npz: .*{message}"):
        load_bundle(old)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full(29, np.nan), "model/symbols/bias must hold finite numbers"),
        (np.full(29, 1e300), "model/symbols/bias must hold finite numbers"),
        (np.zeros(28), r"model/symbols/bias must have shape \(29,\), not \(28,\)"),
        (np.zeros(29, int), "model/symbols/bias must hold floating-point numbers, not int64"),
    ],
)
def test_weights_that_make_no_sense_are_refused_before_any_model_is_made_of_them(old, array, message):
    change_arrays(old, **{"model__symbols/bias": array})
    bundle = load_bundle(old)
    for use in (bundle.weights, bundle.keras_model, lambda: bundle.engine(EngineKind.onnx_float32)):
        with pytest.raises(BundleError, match=message):
            use()


def test_statistics_that_the_normalisation_needs_are_not_missing(old):
    edit(old, features__normalization="corpus")
    with pytest.raises(BundleError, match=r"features/mean is missing, which features\.normalization=corpus needs"):
        load_bundle(old)
    change_arrays(old, features__mean=np.zeros(20), features__deviation=np.zeros(20))
    features = load_bundle(old).log_mel(np.zeros(1600, np.float32))
    assert np.isfinite(features).all()  # a band that never varied in training


def test_an_array_that_an_older_numpy_added_by_itself_is_passed_over(old):
    """`numpy.savez(..., allow_pickle=False)` stored an array of that name before NumPy 2.2."""
    with zipfile.ZipFile(old / "arrays.npz", "a") as archive, archive.open("allow_pickle.npy", "w") as member:
        np.lib.format.write_array(member, np.array(False))
    assert len(load_bundle(old).weights()) > 5


def test_a_provenance_that_json_cannot_hold_is_written_as_near_as_it_can(tiny_bundle, tmp_path):
    endless: dict = {}
    for _ in range(300):
        endless = {"init": endless}
    provenance = {"loss": float("nan"), "train": ["a\udce9.jsonl", "b\x1b[2J"], "init": endless}
    copy_bundle(load_bundle(tiny_bundle), tmp_path / "copy", provenance=provenance)
    read = load_bundle(tmp_path / "copy").provenance
    assert (read["loss"], read["train"]) == (None, ["a\\udce9.jsonl", "b\\x1b[2J"])


def test_a_card_that_could_not_be_read_again_is_not_written(tiny_bundle, tmp_path):
    bundle = load_bundle(tiny_bundle)
    with pytest.raises(BundleError, match="priors must be a list of 29 shares"):
        copy_bundle(bundle, tmp_path / "copy", priors=[2.0] * 29)
    assert not (tmp_path / "copy").exists()


def test_a_key_that_comes_twice_is_refused(copy):
    text = (copy / "bundle.json").read_text()
    (copy / "bundle.json").write_text(text.replace('"depth": 1,', '"depth": 1, "depth": 2,'))
    with pytest.raises(BundleError, match=r"bundle\.json: the key 'depth' comes twice"):
        load_bundle(copy)


def test_pickled_objects_are_refused(old):
    np.savez(old / "arrays.npz", **{"features/matrix": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(BundleError):
        load_bundle(old)


def test_json_that_is_nested_without_end_is_refused(copy):
    (copy / "bundle.json").write_text("[" * 200_000)
    with pytest.raises(BundleError, match=r"bundle\.json: cannot be read"):
        load_bundle(copy)


def test_an_array_that_claims_to_be_endless_is_refused(old):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 20, 1 << 30)})
    with zipfile.ZipFile(old / "arrays.npz", "w") as archive:
        archive.writestr("features/matrix.npy", header.getvalue())
    with pytest.raises(BundleError, match=r"arrays\.npz: cannot be read"):
        load_bundle(old)


def test_arrays_that_unpack_to_gigabytes_are_refused(old):
    with (
        zipfile.ZipFile(old / "arrays.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("features/matrix.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(bytes(1 << 20))
    with pytest.raises(BundleError, match="unpacked are more than a bundle's can have"):
        load_bundle(old)


def test_a_failed_save_leaves_the_old_bundle_as_it_was(copy, monkeypatch):
    before = (copy / "weights.safetensors").read_bytes()

    def fail(*_arguments, **_settings):
        raise OSError("disk full")

    monkeypatch.setattr("asr.acoustic.onnx_export.export_onnx", fail)
    with pytest.raises(OSError, match="disk full"):
        copy_bundle(load_bundle(copy), copy)
    assert (copy / "weights.safetensors").read_bytes() == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_language_model_whose_numbers_are_damaged_is_not_copied_into_a_new_bundle(tiny_bundle, tmp_path):
    save_ngram(tmp_path / "pets.lm", train(SENTENCES))
    decoder = BeamConfig(beam_width=4, lm=str(tmp_path / "pets.lm"))
    copy_bundle(load_bundle(tiny_bundle), tmp_path / "good", decoder=decoder)
    path = tmp_path / "good" / "language.lm"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    damaged = load_bundle(tmp_path / "good")  # only its header is read
    with pytest.raises(LanguageModelError, match=r"language\.lm: is damaged"):
        copy_bundle(damaged, tmp_path / "next")
    assert not (tmp_path / "next").exists()
