"""Bundles and language models that are changed as somebody might change them, and brought into the older format."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from asr.language.neural import NeuralHeader
from asr.language.neural_export import export_language_model
from asr.language.neural_shapes import weight_shapes
from asr.language.word_pieces import WordPieces
from asr.settings.language import LstmConfig
from asr.tensors import Tensors, header_digest, pack_tensors
from asr.text.pieces import WORD_START, PieceAlphabet

TENSORS = ("weights.safetensors", "statistics.safetensors", "language.lm")


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    tensors = Tensors(path)
    return {name: tensors.read(name).copy() for name in tensors.names}, tensors.description


def change_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(card | changes))


def replace(path: Path, content: bytes) -> None:
    """Another file of that name: the old one may be a link to somebody else's."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def put(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a bundle of format 2, and its digest in the card with it: nothing shows that it is another."""
    digest = header_digest(content) if name in TENSORS else sha256(content).hexdigest()
    digests = json.loads((folder / "bundle.json").read_text())["digests"]
    card = json.loads((folder / "bundle.json").read_text()) | {"digests": digests | {name: digest}}
    replace(folder / "bundle.json", json.dumps(card).encode())
    replace(folder / name, content)


def change_tensors(folder: Path, name: str, **changes: np.ndarray | None) -> None:
    """Replace arrays of a bundle of format 2, or drop those that are None; `__` stands for a slash."""
    arrays, description = read_tensors(folder / name)
    arrays |= {key.replace("__", "/"): array for key, array in changes.items()}  # type: ignore[arg-type]
    kept = {key: array for key, array in arrays.items() if array is not None}
    put(folder, name, pack_tensors(kept, description))


def to_format_1(folder: Path) -> Path:
    """Bring a bundle into format 1, as earlier versions wrote it."""
    weights, _ = read_tensors(folder / "weights.safetensors")
    statistics, _ = read_tensors(folder / "statistics.safetensors")
    card = json.loads((folder / "bundle.json").read_text())
    del card["digests"]
    priors = statistics.pop("priors", np.zeros(0)).tolist()
    confidence = {
        name.removeprefix("confidence/"): statistics.pop(name).tolist()
        for name in list(statistics)
        if name.startswith("confidence/")
    }
    card |= {"format": 1, "priors": [round(one, 6) for one in priors], "confidence": confidence}
    (folder / "weights.safetensors").unlink()
    (folder / "statistics.safetensors").unlink()
    replace(folder / "bundle.json", json.dumps(card, ensure_ascii=False).encode())
    arrays = {f"model/{name}": array for name, array in weights.items()} | statistics
    np.savez(folder / "arrays.npz", **arrays)  # type: ignore[arg-type]
    if (folder / "language.lm").exists():
        language_to_format_1(folder / "language.lm")
    return folder


def language_to_format_1(path: Path) -> None:
    """Bring a language model into the container of earlier versions."""
    arrays, description = read_tensors(path)
    places, end = {}, 0
    for name, array in arrays.items():
        places[name] = {"type": array.dtype.name, "length": len(array), "offset": end}
        end += -(-array.nbytes // 64) * 64
    header = {key: value for key, value in description.items() if key != "kind"} | {"format": 1, "arrays": places}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-(16 + len(text)) % 64)
    parts = [b"\x89asr-lm\n", len(text).to_bytes(8, "little"), text]
    for array in arrays.values():
        parts += [array.tobytes(), bytes(-array.nbytes % 64)]
    replace(path, b"".join(parts))


def save_random_language_model(path: Path) -> Path:
    """Write an LSTM language model over English letters, with random weights."""
    letters = "abcdefghijklmnopqrstuvwxyz'"
    pieces = WordPieces(PieceAlphabet((WORD_START, *letters), tuple(-float(one) for one in range(1, 29))))
    settings, rng = LstmConfig(pieces=28, embedding=8, units=8, depth=1), np.random.default_rng(1)
    shapes = weight_shapes(settings, pieces.count)
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    path.write_bytes(export_language_model(weights, NeuralHeader(settings, pieces)))
    return path
