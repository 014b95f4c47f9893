"""Thousands of damaged bundles: each is loaded and transcribes, or is one `BundleError` that names the file."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.acoustic.network import weight_shapes
from asr.audio.features import LogMel
from asr.bundle import load_bundle, save_bundle
from asr.cli.info import _describe
from asr.decoding.confidence import FEATURES, Calibration
from asr.errors import BundleError
from asr.language.ngram_file import save_ngram
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import BeamConfig
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import ModelConfig
from asr.settings.text import NormalizerConfig
from asr.tensors import Tensors, TensorsError, pack_tensors
from asr.text.alphabet import Alphabet

from .bundles import put, read_tensors, replace, to_format_1
from .decoding.conftest import SENTENCES, train

SOUND = (0.1 * np.random.default_rng(5).standard_normal(3000)).astype(np.float32)
NESTED: Any = []
for _ in range(300):
    NESTED = [NESTED]
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 2**40, 10**400, -(10**400), 0.5, 1e308, -1e308, 5e-324, 1e-40, -0.0),
    *(float("nan"), float("inf"), -float("inf"), "", "x", "1", "NaN", "\x00", "\x1b[2J", "\ud800", "a" * 5000, "aa"),
    *([], {}, [1], [[]], {"a": 1}, ["<script>"], [None] * 3, NESTED, "lstm", "conv", "corpus", "../../etc/passwd"),
]


@pytest.fixture(scope="module")
def full_bundle(tmp_path_factory) -> Path:
    """A small bundle with everything that one can have; its weights are random, so that neither Keras nor librosa is
    needed."""
    return write_bundle(tmp_path_factory.mktemp("fuzz"))


def write_bundle(folder: Path) -> Path:
    save_ngram(folder / "pets.lm", train(SENTENCES))
    rng = np.random.default_rng(3)
    features = FeatureConfig(mels=20, normalization=Normalization.corpus)
    model = ModelConfig(depth=1, units=8, projection=0, channels=4)
    alphabet = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
    shapes = weight_shapes(model, mels=features.mels, symbols=alphabet.size)
    matrix = rng.random((features.mels, features.fft_size // 2 + 1), np.float32)
    bands = np.arange(features.mels, dtype=np.float32)
    save_bundle(
        folder / "full",
        weights={name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()},
        log_mel=LogMel(features, matrix, mean=-bands, deviation=1 + bands),
        normalizer=NormalizerConfig(),
        alphabet=alphabet,
        model=model,
        decoder=BeamConfig(beam_width=8, lm=str(folder / "pets.lm"), prior_weight=0.3),
        priors=[1 / alphabet.size] * alphabet.size,
        confidence={kind: Calibration((0.1,) * len(FEATURES)) for kind in ("greedy", "beam", "beam_lm")},
        provenance={"train": ["a.jsonl"], "hours": 1.5, "init": {"bundle": "en", "provenance": {"seed": 1}}},
        error_rates={"test": {"wer": 0.1, "cer": 0.05, "wer_interval": [0.05, 0.2], "note": "measured twice"}},
    )
    return folder / "full"


@pytest.fixture(scope="module")
def full_format_1(full_bundle, tmp_path_factory) -> Path:
    """The same in format 1."""
    return to_format_1(linked(full_bundle, tmp_path_factory.mktemp("format-1")))


def linked(bundle: Path, folder: Path) -> Path:
    """A copy whose files can be replaced, but not written to."""
    (folder / "copy").mkdir()
    for path in bundle.iterdir():
        os.link(path, folder / "copy" / path.name)
    return folder / "copy"


@pytest.fixture
def copy(full_bundle, tmp_path) -> Path:
    return linked(full_bundle, tmp_path)


@pytest.fixture
def old(full_format_1, tmp_path) -> Path:
    return linked(full_format_1, tmp_path)


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """All containers within a JSON value, each with one of its keys."""
    found = []
    for key, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
        found.append((value, key))
        if isinstance(one, dict | list):
            found += nodes(one)
    return found


def mutate(card: dict[str, Any], rng: random.Random) -> bytes:
    """The card with one or a few changes, not all of which are JSON."""
    card = json.loads(json.dumps(card))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        container, key = rng.choice(nodes(card))
        old = container[key]
        operation = rng.randrange(6)
        if operation == 0:
            del container[key]
        elif operation == 1 and isinstance(old, int | float) and not isinstance(old, bool):
            container[key] = rng.choice([-1, 0.5, 2, 3, 1000, 1e30]) * old
        elif operation == 1 and isinstance(old, str) and old:
            place = rng.randrange(len(old))
            container[key] = (
                old[:place] + rng.choice("aZ\x07é\ud8ff \u2028\U0001f600") + old[place + rng.randrange(2) :]
            )
        elif operation == 2 and isinstance(container, dict):
            container[f"{key}{rng.choice('xyz')}"] = old
        elif operation == 3:
            container[key] = [old] if rng.random() < 0.5 else {str(key): old}
        else:
            container[key] = deepcopy(rng.choice(ODD))  # which a further change would else put into itself
        if not nodes(card):
            break
    content = json.dumps(card).encode()
    if rng.random() < 0.1:
        place = rng.randrange(len(content))
        content = (
            content[:place] + rng.choice([b"", b"\xff", b'"', b"9" * 5000, b"[" * 9, b"1e999"]) + content[place + 1 :]
        )
    return content


def outcome(bundle: Path) -> str:
    """Load, describe and transcribe."""
    try:
        loaded = load_bundle(bundle)
        transcript = Transcriber(loaded).transcribe_samples(SOUND)
        loaded.weights()
        _describe(str(bundle)).encode("utf-8")
    except BundleError as error:
        message = str(error)
        assert str(bundle) in message
        assert "\n" not in message
        assert len(message) < 1000
        return message
    assert np.isfinite(transcript.score)
    assert all(0 <= word.confidence <= 1 for word in transcript.words if word.confidence is not None)
    return ""


def fuzz(bundle: Path, name: str, count: int, change: Callable[[random.Random], bytes]) -> list[str]:
    """The outcome of each of many damaged files in the place of one of a bundle."""
    messages = []
    for seed in range(count):
        rng = random.Random(seed)
        replace(bundle / name, change(rng))
        try:
            messages.append(outcome(bundle))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {(bundle / name).read_bytes()[:10_000]!r}") from error
    return messages


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.thorough])])
def test_a_changed_card_works_or_is_one_error(request, count, version):
    bundle = request.getfixturevalue("old" if version == 1 else "copy")
    card = json.loads((bundle / "bundle.json").read_text())
    assert card["format"] == version
    messages = fuzz(bundle, "bundle.json", count, lambda rng: mutate(card, rng))
    assert 0.1 * count < messages.count("") < 0.8 * count  # both kinds are met


def change_arrays(arrays: dict[str, np.ndarray], rng: random.Random) -> bytes:
    """The file of some arrays with one changed, or damaged bytes."""
    arrays = dict(arrays)
    name = rng.choice([*arrays, *(["features/matrix", "features/mean", "features/deviation"] * 8)])
    array = arrays[name]
    changes: list[Callable[[], Any]] = [
        lambda: array.astype(rng.choice(["f2", "f4", "f8", "c8", "i4", "?", "U8", "S4", "M8[s]", "O"])),
        lambda: array.ravel()[: rng.randrange(array.size)],
        lambda: array[..., None] if rng.random() < 0.5 else array.T,
        lambda: np.where(np.arange(array.size).reshape(array.shape) == rng.randrange(array.size), odd, array),
        lambda: np.float64(odd),
        lambda: np.full(array.shape, odd),
        lambda: np.array([{"a": 1}], object),
        lambda: np.zeros(array.shape, [("a", "f4"), ("b", "i4")]),
    ]
    odd = rng.choice([np.nan, np.inf, -np.inf, 1e300, 3e38, 1e31, -1.0, 0.0, 5e-324, 1e5])
    operation = rng.randrange(len(changes) + 2)
    if operation < len(changes):
        with np.errstate(all="ignore"):
            arrays[name] = changes[operation]()
    elif operation == len(changes):
        del arrays[name]
    else:
        arrays[rng.choice(["allow_pickle", "model/other", "features/other", "model/../x"])] = np.array(False)
    buffer = io.BytesIO()
    compression = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for key, value in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(value))
            archive.writestr(f"{key}.npy", member.getvalue())
    content = bytearray(buffer.getvalue())
    if rng.random() < 0.5:
        for _ in range(rng.randrange(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif rng.random() < 0.2:
        del content[rng.randrange(len(content)) :]
    return bytes(content)


@pytest.mark.parametrize("count", [100, pytest.param(1500, marks=[pytest.mark.slow, pytest.mark.thorough])])
def test_changed_arrays_of_format_1_work_or_are_one_error(old, count):
    with np.load(old / "arrays.npz") as file:
        arrays = {name: file[name] for name in file.files}
    messages = fuzz(old, "arrays.npz", count, lambda rng: change_arrays(arrays, rng))
    assert 0 < messages.count("") < count


def damage(content: bytes, rng: random.Random) -> bytes:
    """A file with changed bits, cut, or made longer."""
    damaged = bytearray(content)
    operation = rng.randrange(4)
    if operation == 0:
        del damaged[rng.randrange(len(damaged)) :]
    elif operation == 1:
        damaged += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 20)))
    elif operation == 2:
        place = rng.randrange(len(damaged))
        del damaged[place : place + rng.randrange(1, 9)]
    else:
        # Half of them in the header, which is short.
        most = len(damaged) if rng.random() < 0.5 else min(len(damaged), 2000)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(most)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.thorough])])
@pytest.mark.parametrize("name", ["weights.safetensors", "statistics.safetensors", "model.onnx", "language.lm"])
def test_every_damaged_file_is_an_error_that_names_it(copy, name, count):
    """Not one byte may change unseen; the numbers of the language model are compared when all of it is read."""
    content = (copy / name).read_bytes()

    def use(bundle: Path) -> None:
        loaded = load_bundle(bundle)
        loaded.engine()
        loaded.weights()
        Tensors(bundle / "language.lm").check_content()

    for seed in range(count):
        damaged = damage(content, random.Random(seed))
        if damaged == content:
            continue
        replace(copy / name, damaged)
        with pytest.raises((BundleError, TensorsError)) as caught:
            use(copy)
        assert name in str(caught.value) or isinstance(caught.value, TensorsError), seed
        assert len(str(caught.value)) < 1000


def test_every_cut_of_every_file_is_an_error_that_names_it(copy):
    for path in sorted(copy.iterdir()):
        content = path.read_bytes()
        for length in sorted({0, 1, 7, 8, 9, 100, len(content) // 3, len(content) - 2}):
            replace(path, content[:length])
            with pytest.raises(BundleError, match=re.escape(path.name)):
                load_bundle(copy).engine()
        replace(path, content)


def change_tensor(arrays: dict[str, np.ndarray], rng: random.Random) -> dict[str, np.ndarray]:
    """Arrays with one of another type or shape, with an odd number, gone, or too many."""
    arrays = dict(arrays)
    name = rng.choice(list(arrays))
    array = arrays[name]
    odd = rng.choice([np.nan, np.inf, -np.inf, 1e300, 3e38, 1e31, -1.0, 0.0, 5e-324, 1e5, 300.0])
    changes: list[Callable[[], Any]] = [
        lambda: array.astype(rng.choice(["f2", "f4", "f8", "u1", "u2", "u4"])),
        lambda: array.ravel()[: rng.randrange(max(1, array.size))],
        lambda: array[..., None] if rng.random() < 0.5 else array.T,
        lambda: np.where(np.arange(array.size).reshape(array.shape) == rng.randrange(max(1, array.size)), odd, array),
        lambda: np.full(array.shape, odd),
        lambda: np.float64(odd),
    ]
    operation = rng.randrange(len(changes) + 2)
    with np.errstate(all="ignore"):
        if operation < len(changes):
            arrays[name] = np.asarray(changes[operation]())
        elif operation == len(changes):
            del arrays[name]
        else:
            arrays[rng.choice(["other", "confidence/other", "features/other", "log_probs/9", "../x"])] = np.zeros(3)
    return arrays


@pytest.mark.parametrize("count", [60, pytest.param(1500, marks=[pytest.mark.slow, pytest.mark.thorough])])
@pytest.mark.parametrize("name", ["weights.safetensors", "statistics.safetensors", "language.lm"])
def test_odd_arrays_whose_digests_are_right_work_or_are_one_error(copy, name, count):
    """As somebody makes them on purpose."""
    arrays, description = read_tensors(copy / name)
    messages = []
    for seed in range(count):
        put(copy, name, pack_tensors(change_tensor(arrays, random.Random(seed)), description))
        try:
            messages.append(outcome(copy))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert 0 < messages.count("") < count
    # Without priors, the error is that of the decoder that needs them.
    assert all(name in message or "no mean probabilities" in message for message in messages if message)


@pytest.mark.parametrize("part", ["digests", "shared", "decoder"])
def test_a_key_of_any_length_is_named_in_short(tiny_bundle, tmp_path, part):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    card = json.loads((copy / "bundle.json").read_text())
    card[part] = (card.get(part) or {}) | {"9" * 5000: None}
    replace(copy / "bundle.json", json.dumps(card).encode())
    with pytest.raises(BundleError) as error:
        load_bundle(copy)
    assert len(str(error.value)) < 1000
    assert "99999" in str(error.value)
