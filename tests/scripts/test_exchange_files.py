"""Files of shipped bundles that are exchanged."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from asr.pronunciation.packed import load_dictionary
from scripts.research.exchange_files import exchange


def card(models: Path, name: str, **fields: dict[str, object]) -> None:
    (models / name).mkdir()
    (models / name / "bundle.json").write_text(json.dumps(fields), "utf-8")


def test_a_file_is_exchanged_in_all_bundles_that_use_it(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    card(models, "en", digests={"punctuation.onnx": "old", "g2p.npz": "kept"}, provenance={"punctuation.onnx": "old"})
    card(models, "live", digests={"punctuation.onnx": "old"}, shared={"punctuation.onnx": "en"})
    card(models, "small", digests={"punctuation.onnx": "its own", "g2p.npz": "kept"}, shared={"g2p.npz": "en"})
    (models / "en" / "punctuation.onnx").write_bytes(b"before")
    (tmp_path / "new.onnx").write_bytes(b"after")
    assert exchange(models, "en", {"punctuation.onnx": tmp_path / "new.onnx"}) == ["en", "live"]
    assert (models / "en" / "punctuation.onnx").read_bytes() == b"after"
    new = sha256(b"after").hexdigest()
    cards = {one: json.loads((models / one / "bundle.json").read_bytes()) for one in ("en", "live", "small")}
    assert cards["en"] == {
        "digests": {"punctuation.onnx": new, "g2p.npz": "kept"},
        "provenance": {"punctuation.onnx": "old"},
    }
    assert cards["live"]["digests"] == {"punctuation.onnx": new}
    assert cards["small"]["digests"] == {"punctuation.onnx": "its own", "g2p.npz": "kept"}
    with pytest.raises(SystemExit, match=r"en has no nothing\.onnx"):
        exchange(models, "en", {"nothing.onnx": tmp_path / "new.onnx"})


def test_a_lexicon_is_packed(tmp_path: Path) -> None:
    card(tmp_path, "en", digests={"pronunciations.npz": "old"})
    (tmp_path / "en" / "pronunciations.npz").write_bytes(b"before")
    (tmp_path / "lexicon.txt").write_text("one W AH N\ntwo T UW\n", "utf-8")
    exchange(tmp_path, "en", {"pronunciations.npz": tmp_path / "lexicon.txt"})
    packed = load_dictionary(tmp_path / "en" / "pronunciations.npz")
    assert dict(packed.pronunciations) == {"one": (("W", "AH", "N"),), "two": (("T", "UW"),)}
