"""Exports against the bundle that they were made of: by the very lines of their README."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from asr import ConfigError, OutputError, load_bundle, score
from asr.audio.load import load_audio
from asr.browser import site
from asr.browser.web_runtime import WebRuntime
from asr.bundle import Bundle
from asr.cli.main import main
from asr.decoding.greedy import decode_greedy
from asr.export import export_bundle
from asr.settings.export import ExportShapes, ExportTarget
from asr.settings.features import Normalization
from asr.settings.model import Cell, EngineKind, FrontEnd

from ..conftest import RATE, SAMPLES, SHARED_SPEECH
from ..recognition.test_carried_state import make_bundle

HELD_OUT = SHARED_SPEECH / "librispeech" / "dev-clean-heldout.jsonl"
RECORDINGS = [load_audio(path, sample_rate=RATE) for path in sorted(SAMPLES.glob("*.opus"))]


@pytest.fixture(scope="module")
def causal(tmp_path_factory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("causal") / "bundle")


@pytest.fixture(scope="module")
def tiny() -> Bundle:
    return load_bundle("tiny")


def lines_of(folder: Path, *, file: str | None = None) -> str:
    """The Python of a README, with another file of the model instead of the one that it loads."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    if file is not None:
        code, count = re.subn(r'"model\.\w+"', f'"{file}"', code)
        assert count == 1
    assert code.count("\n") <= 22
    return code


@dataclass
class Computed:
    """In the place of the features of an export."""

    frames: np.ndarray
    card: dict

    def __call__(self, samples):
        return self.frames


def run_lines(folder: Path, samples, monkeypatch, capsys, *, frames=None, file: str | None = None):
    """What the README's lines compute and print for a recording; with frames, for these."""
    soundfile.write(folder / "recording.wav", samples, RATE, subtype="FLOAT")
    with monkeypatch.context() as patched:
        patched.chdir(folder)
        patched.syspath_prepend(str(folder))
        patched.delitem(sys.modules, "log_mel", raising=False)
        if frames is not None:
            card = json.loads((folder / "card.json").read_bytes())
            patched.setitem(sys.modules, "log_mel", SimpleNamespace(LogMel=lambda: Computed(frames, card)))
        names: dict = {}
        exec(compile(lines_of(folder, file=file), "README.md", "exec"), names)
        patched.delitem(sys.modules, "log_mel", raising=False)
    (folder / "recording.wav").unlink()
    return names["log_probs"], capsys.readouterr().out.rstrip("\n")


def check_parity(bundle: Bundle, folder: Path, monkeypatch, capsys, *, recordings=RECORDINGS, atol=1e-4) -> None:
    """The same log-probabilities from the same frames, and the same text from the recording."""
    exact = bundle.engine(EngineKind.onnx_float32)
    for samples in recordings:
        frames = bundle.log_mel(samples)
        expected = exact.run(frames)
        found, text = run_lines(folder, samples, monkeypatch, capsys, frames=frames)
        # Random weights give log-probabilities of -60, of which float32 has no more digits.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol)
        wanted = greedy_text(bundle, expected)
        assert text == wanted
        assert run_lines(folder, samples, monkeypatch, capsys)[1] == wanted


def test_the_whole_graph_is_the_bundles_own(tiny, tmp_path, monkeypatch, capsys):
    export_bundle(tiny, tmp_path / "out", to=ExportTarget.onnx)
    check_parity(tiny, tmp_path / "out", monkeypatch, capsys)
    frames = tiny.log_mel(RECORDINGS[0])
    found, _ = run_lines(tmp_path / "out", RECORDINGS[0], monkeypatch, capsys, frames=frames, file="model.int8.onnx")
    np.testing.assert_allclose(found, tiny.engine().run(frames), atol=1e-4)


def test_a_causal_model_runs_in_blocks_and_as_a_whole(causal, tmp_path, monkeypatch, capsys):
    export_bundle(causal, tmp_path / "out", to=ExportTarget.onnx_stream)
    check_parity(causal, tmp_path / "out", monkeypatch, capsys)
    frames = causal.log_mel(RECORDINGS[0])
    found, _ = run_lines(tmp_path / "out", RECORDINGS[0], monkeypatch, capsys, frames=frames, file="model.int8.onnx")
    np.testing.assert_allclose(found, causal.engine().run(frames), atol=1e-4)
    export_bundle(causal, tmp_path / "out", to=ExportTarget.onnx)
    check_parity(causal, tmp_path / "out", monkeypatch, capsys, recordings=RECORDINGS[:2])


@pytest.mark.slow  # TensorFlow is imported, and converts graphs
def test_litert_runs_a_causal_model_in_blocks(tmp_path, monkeypatch, capsys):
    """Matrices of fewer than 1024 weights would stay in float32."""
    bundle = make_bundle(tmp_path / "bundle", units=40, projection=40)
    check_litert(bundle, tmp_path / "out", monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(
    "changes",
    [
        {"cell": Cell.gru, "lookahead": 0, "kernel": 1, "units": 40},
        {"front_end": FrontEnd.stack, "subsampling": 3, "units": 40},
    ],
    ids=["gru", "stack"],
)
def test_litert_runs_other_networks(tmp_path, monkeypatch, capsys, changes):
    bundle = make_bundle(tmp_path / "bundle", **changes)
    # Large random weights amplify the rounding of sums in another order.
    check_litert(bundle, tmp_path / "out", monkeypatch, capsys, recordings=RECORDINGS[:1], atol=1e-3)


@pytest.mark.slow
def test_litert_runs_a_bidirectional_model_over_windows(tiny, tmp_path, monkeypatch, capsys):
    """A recording that is longer than a window gives what its pieces give."""
    shapes = ExportShapes(window_seconds=max(map(len, RECORDINGS)) / RATE + 0.1)
    check_litert(tiny, tmp_path / "out", monkeypatch, capsys, shapes=shapes)
    long = np.concatenate(RECORDINGS[:3])
    frames, exact = tiny.log_mel(long), tiny.engine(EngineKind.onnx_float32)
    found, _ = run_lines(tmp_path / "out", long, monkeypatch, capsys, frames=frames)
    size = -(-round(shapes.window_seconds * 100) // 4) * 4
    pieces = np.split(frames, range(size, len(frames), size))
    np.testing.assert_allclose(found, np.concatenate([exact.run(piece) for piece in pieces]), atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not HELD_OUT.is_file(), reason=f"needs the recordings of {HELD_OUT.name}")
@pytest.mark.parametrize("name", ["tiny", *(pytest.param(one, marks=pytest.mark.thorough) for one in ("live", "en"))])
def test_litert_writes_the_same_texts_of_a_hundred_recordings(name, tmp_path, monkeypatch, capsys):
    """Bidirectional models and a causal one, from samples to texts; with integers, error rates are the same to 2 %."""
    pytest.importorskip("ai_edge_litert", reason="pip install 'asr[litert]'")
    rows = [row for row in map(json.loads, HELD_OUT.read_text().splitlines()) if row["duration"] < 12]
    rows = rows[:: len(rows) // 100][:100]
    recordings = [load_audio(HELD_OUT.parent / row["audio_filepath"], sample_rate=RATE) for row in rows]
    bundle, shapes = load_bundle(name), ExportShapes(window_seconds=12.0)
    export_bundle(bundle, tmp_path / "out", to=ExportTarget.litert, shapes=shapes)
    exact = bundle.engine(EngineKind.onnx_float32)
    texts = {"bundle": [greedy_text(bundle, exact.run(bundle.log_mel(samples))) for samples in recordings]}
    for file in ("model.tflite", "model.int8.tflite"):
        texts[file] = [
            run_lines(tmp_path / "out", samples, monkeypatch, capsys, file=file)[1] for samples in recordings
        ]
    assert texts["model.tflite"] == texts["bundle"]
    references = [row["text"].lower() for row in rows]
    errors = {file: score(references, found).words.errors for file, found in texts.items()}
    assert errors["model.int8.tflite"] <= 1.02 * errors["bundle"]


def greedy_text(bundle: Bundle, log_probs: np.ndarray) -> str:
    return decode_greedy(log_probs[:, : bundle.alphabet.size], bundle.alphabet).text.strip()


def check_litert(bundle, folder, monkeypatch, capsys, *, shapes=None, recordings=RECORDINGS, atol=1e-4):
    pytest.importorskip("ai_edge_litert", reason="pip install 'asr[litert]'")
    from ai_edge_litert.interpreter import Interpreter

    export_bundle(bundle, folder, to=ExportTarget.litert, shapes=shapes)
    check_parity(bundle, folder, monkeypatch, capsys, recordings=recordings, atol=atol)
    frames = bundle.log_mel(recordings[0])
    exact, _ = run_lines(folder, recordings[0], monkeypatch, capsys, frames=frames)
    small, _ = run_lines(folder, recordings[0], monkeypatch, capsys, frames=frames, file="model.int8.tflite")
    assert 0 < np.abs(np.exp(small) - np.exp(exact)).mean() < 0.01
    for name in ("model.tflite", "model.int8.tflite"):
        operators = {one["op_name"] for one in Interpreter(str(folder / name))._get_ops_details()}
        assert not [name for name in operators if name.startswith(("Flex", "CUSTOM"))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny", "causal"])
def test_a_saved_model_is_loaded_by_tensorflow(kind, tmp_path, monkeypatch, capsys, request):
    bundle = request.getfixturevalue(kind)
    export_bundle(bundle, tmp_path / "out", to=ExportTarget.saved_model)
    check_parity(bundle, tmp_path / "out", monkeypatch, capsys)
    # Rows of a batch are padded, which changes nothing.
    import tensorflow

    model = tensorflow.saved_model.load(str(tmp_path / "out/saved_model")).signatures["serving_default"]
    rows = [bundle.log_mel(samples) for samples in RECORDINGS[:3]]
    counts = np.array([len(one) for one in rows], np.int32)
    padded = np.stack([np.pad(one, ((0, counts.max() - len(one)), (0, 0)), constant_values=7) for one in rows])
    found = model(frames=tensorflow.constant(padded), frame_counts=tensorflow.constant(counts))["log_probs"].numpy()
    for one, row in zip(found, rows, strict=True):
        expected = bundle.engine(EngineKind.onnx_float32).run(row)
        np.testing.assert_allclose(one[: len(expected)], expected, atol=1e-4)


@pytest.mark.parametrize("normalization", Normalization)
def test_the_features_of_an_export_are_those_of_the_bundle(tmp_path, normalization):
    """Of the whole, and of a stream by any blocks."""
    bundle = make_bundle(tmp_path / "bundle", normalization)
    export_bundle(bundle, tmp_path / "out", to=ExportTarget.onnx)
    specification = importlib.util.spec_from_file_location("exported_log_mel", tmp_path / "out/log_mel.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    log_mel = module.LogMel()
    for samples in (RECORDINGS[0][:70_000], RECORDINGS[1][:399], RECORDINGS[1][:0], np.zeros(1600, np.float32)):
        expected = bundle.log_mel(samples)
        np.testing.assert_allclose(log_mel(samples), expected, atol=2e-4)
        log_mel.reset()
        if normalization is Normalization.utterance:
            with pytest.raises(ValueError, match="whole recording"):
                log_mel.push(samples)
            continue
        blocks = np.split(samples, [100, 1000, 1001, 30_000]) if len(samples) > 30_000 else [samples]
        parts = [log_mel.push(block) for block in blocks] + [log_mel.push(samples[:0], last=True)]
        np.testing.assert_allclose(np.concatenate(parts), expected, atol=2e-4)


def test_the_card_says_what_the_output_means_and_names_the_licence(tmp_path):
    bundle = load_bundle("en")
    export_bundle(bundle, tmp_path / "out", to=ExportTarget.onnx)
    card = json.loads((tmp_path / "out/card.json").read_bytes())
    assert card["symbols"][:4] == ["", " ", "'", "a"]
    assert card["outputs"] == {"symbols": [0, 29], "phones": [29, 108]}
    assert [card["phones"][number] for number in (0, 1, 40, 78)] == ["", "_AA", "AA", "ZH"]
    assert card["licence"].startswith("CC BY 4.0")
    assert card["features"]["mels"] == 80
    assert set(card["files"]) == {"model.onnx", "model.int8.onnx", "features.npz", "log_mel.py", "README.md"}
    export_bundle(bundle, tmp_path / "out", to=ExportTarget.onnx, license_name="mit")
    assert json.loads((tmp_path / "out/card.json").read_bytes())["licence"] == "mit"


def test_only_an_unchanged_export_is_replaced(causal, tmp_path):
    folder = tmp_path / "out"
    export_bundle(causal, folder, to=ExportTarget.onnx)
    export_bundle(causal, folder, to=ExportTarget.onnx_stream)
    assert json.loads((folder / "card.json").read_bytes())["target"] == "onnx_stream"
    before = (folder / "README.md").read_bytes()
    (folder / "README.md").write_bytes(before + b"My notes.\n")
    with pytest.raises(OutputError, match=r"README\.md.*changed since"):
        export_bundle(causal, folder, to=ExportTarget.onnx)
    (folder / "README.md").write_bytes(before)
    (folder / "deep").mkdir()
    (folder / "deep/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"deep/notes\.txt.*did not write"):
        export_bundle(causal, folder, to=ExportTarget.onnx)
    assert (folder / "deep/notes.txt").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other/card.json").write_text("{}")
    with pytest.raises(OutputError, match=r"card\.json"):
        export_bundle(causal, tmp_path / "other", to=ExportTarget.onnx)


def test_the_page_in_the_browser_is_an_export_too(tiny, causal, tmp_path, monkeypatch, capsys):
    """`tests/browser` runs it; here something else is in the place of ONNX Runtime Web."""
    monkeypatch.setattr(site, "web_runtime", lambda source: WebRuntime(b"export {};", b"wasm"))
    page, other = tmp_path / "page", tmp_path / "other"
    for _ in range(2):  # a page replaces a page
        assert main(["export", "bundle=tiny", "to=web", f"output_dir={page}", "license=mit"]) == 0
    listed = {line.rpartition("  ")[0] for line in capsys.readouterr().out.splitlines()}
    assert listed == {str(path) for path in page.rglob("*") if path.is_file()}
    assert json.loads((page / "models/tiny/model.json").read_bytes())["licences"] == "mit"
    assert "- tiny: mit\n" in (page / "README.md").read_text()
    export_bundle(causal, other, to=ExportTarget.web)
    models = [json.loads((folder / "site.json").read_bytes())["models"][0] for folder in (page, other)]
    assert [(model["name"], model["language"]) for model in models] == [("tiny", "en"), ("bundle", None)]
    with pytest.raises(OutputError, match="asr did not write"):
        export_bundle(tiny, page, to=ExportTarget.onnx)
    export_bundle(tiny, tmp_path / "graph", to=ExportTarget.onnx)
    with pytest.raises(OutputError, match="asr did not write"):
        export_bundle(tiny, tmp_path / "graph", to=ExportTarget.web)


def test_without_npm_the_package_for_the_page_can_be_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.delenv("ASR_WEB_RUNTIME", raising=False)
    command = ["export", "bundle=tiny", "to=web", f"output_dir={tmp_path / 'page'}"]
    assert main(command) == 2
    assert "name the file by ASR_WEB_RUNTIME=FILE" in capsys.readouterr().err
    monkeypatch.setenv("ASR_WEB_RUNTIME", str(tmp_path / "missing.tgz"))
    assert main(command) == 2
    assert "missing.tgz: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("name", ["odd`name", "two\nlines", "#"])
def test_a_name_that_cannot_stand_in_a_readme_is_refused(causal, tmp_path, name):
    bundle = replace(causal, path=Path(shutil.copytree(causal.path, tmp_path / name)))
    with pytest.raises(ConfigError, match="rename it"):
        export_bundle(bundle, tmp_path / "out", to=ExportTarget.onnx)


def test_the_command_lists_the_files_and_refuses_what_cannot_be_exported(tmp_path, monkeypatch, capsys, causal):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "bundle=tiny"]) == 0
    assert "tiny-onnx/model.int8.onnx  604,689 bytes" in capsys.readouterr().out
    for wrong, message in (
        (["bundle=tiny", "to=onnx_stream"], "is bidirectional"),
        (["bundle=tiny", "to=tflite"], "litert"),
        (["tiny"], "bundle=tiny"),
        (["bundle=tiny", "to=litert", "shapes.window_seconds=0"], "shapes.window_seconds must be between"),
    ):
        assert main(["export", *wrong]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    monkeypatch.setattr("asr.packages.find_spec", lambda _: None)
    assert main(["export", f"bundle={causal.path}", "to=litert"]) == 2
    assert "pip install 'asr[train]'" in capsys.readouterr().err
