"""The model of punctuation in a bundle: kept, checked, copied, and used by what people read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr.bundle import copy_bundle, load_bundle
from asr.errors import BundleError, LanguageModelError
from asr.punctuation.tagger import TaggerHeader
from asr.punctuation.tagger_export import export_tagger

from .bundles import put
from .punctuation.conftest import SPELLINGS, VOCABULARY, random_weights


def content() -> bytes:
    from asr.settings.tagger import TaggerConfig

    header = TaggerHeader(
        TaggerConfig(vocabulary=len(VOCABULARY), buckets=50, embedding=12, units=16), VOCABULARY, SPELLINGS
    )
    return export_tagger(random_weights(header.settings, header.features.size), header)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    copy_bundle(load_bundle("tiny"), tmp_path / "with", tagger=content())
    return tmp_path / "with"


def test_a_bundle_keeps_the_model_and_its_copies_do(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    tagger = loaded.tagger()
    assert tagger is not None
    assert tagger.header.vocabulary == VOCABULARY
    loaded.verify()
    copy_bundle(loaded, tmp_path / "copy")
    again = load_bundle(tmp_path / "copy").tagger()
    assert again is not None
    np.testing.assert_array_equal(again.tag(["yes", "he"]).marks, tagger.tag(["yes", "he"]).marks)


def test_a_bundle_without_the_model_is_as_before() -> None:
    loaded = load_bundle("tiny")
    assert not loaded.has_tagger
    assert loaded.tagger() is None


def test_a_damaged_or_missing_file_is_refused(bundle: Path) -> None:
    path = bundle / "punctuation.onnx"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"punctuation\.onnx"):
        load_bundle(bundle).tagger()
    put(bundle, "punctuation.onnx", (load_bundle("tiny").path / "model.onnx").read_bytes())
    with pytest.raises(BundleError, match="no model that predicts punctuation"):
        load_bundle(bundle).tagger()
    path.unlink()
    with pytest.raises(BundleError, match=r"punctuation\.onnx is missing"):
        load_bundle(bundle)


def test_another_file_is_not_put_into_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="no model that predicts punctuation"):
        copy_bundle(load_bundle("tiny"), tmp_path / "other", tagger=b"something else")
