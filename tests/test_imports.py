"""The plan of the house, held up by tests: which room may import what, and what works without Keras."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from .conftest import REPOSITORY, SAMPLES

PACKAGE = REPOSITORY / "asr"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import from those before it that its row names, and from the ground floor.
GROUND = {
    "errors",
    "files",
    "machine",
    "packages",
    "processes",
    "remote",
    "runs",
    "settings",
    "slices",
    "tensors",
    "text",
}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "machine": set(),
    "packages": {"errors"},
    "processes": set(),
    "remote": {"errors", "files", "packages"},
    "runs": set(),
    "slices": set(),
    "tensors": set(),
    "settings": {"errors"},
    "text": {"errors", "packages", "settings"},
    "audio": set(),
    "corpus": {"audio"},
    "pronunciation": set(),
    "acoustic": {"audio", "corpus"},
    "language": {"acoustic"},
    "punctuation": {"acoustic"},
    "decoding": {"language", "pronunciation"},
    "doctor": {"audio", "corpus", "acoustic"},
    "bundle": {"acoustic", "audio", "decoding", "language", "pronunciation", "punctuation"},
    "writers": set(),
    "evaluation": {"audio", "corpus", "punctuation", "writers"},
    "recognition": {"acoustic", "audio", "bundle", "decoding", "punctuation"},
    "browser": {"acoustic", "bundle", "decoding", "language"},
    "sharing": {"bundle", "evaluation"},
    "cluster": {"audio", "bundle", "punctuation", "recognition", "writers"},
    "export": {"acoustic", "browser", "bundle"},
    "tuning": {"decoding", "evaluation", "pronunciation", "recognition"},
    "serving": {"audio", "bundle", "corpus", "decoding", "punctuation", "recognition", "writers"},
    "training": {
        *("acoustic", "audio", "bundle", "corpus", "decoding", "doctor", "evaluation", "language", "pronunciation"),
        *("punctuation", "recognition"),
    },
}

# A module that may import more than its room.
MODULE_EXCEPTIONS = {
    "pronunciation/g2p_training.py": {"acoustic"},
    "recognition/evaluate.py": {"corpus", "evaluation"},
}

# Imports within a function that lead back to their own module, and why they may.
LATE_IMPORTS = {
    ("asr.evaluation.report", "asr.evaluation.report_files"): "`EvaluationReport.write` gives itself to what writes it",
    ("asr.evaluation.sets", "asr.evaluation.report_files"): "`SetsReport.write` checks the folders of its reports",
    ("asr.evaluation.sets", "asr.evaluation.sets_files"): "`SetsReport.write` gives itself to what writes it",
}

# The only places that reach below Keras, but for what a training asks of devices.
KERNELS = ("acoustic/rnn_kernels/", "acoustic/ctc_kernels/", "acoustic/denominator_kernels/")

# One third-party library, one home.
HOMES = {
    "keras": (
        "acoustic/dataset.py",
        "acoustic/keras_layers.py",
        "acoustic/keras_model.py",
        "acoustic/loss.py",
        "acoustic/metrics.py",
        "acoustic/own_layers.py",
        "acoustic/denominator.py",
        "acoustic/rnn.py",
        "acoustic/initializers.py",
        "acoustic/runtimes/keras_network.py",
        "pronunciation/g2p_training.py",
        *KERNELS,
        "training/",
    ),
    "tensorflow": (*KERNELS, "acoustic/dataset.py", "training/devices.py", "cli/training_run.py", "export/"),
    "torch": (*KERNELS, "training/devices.py", "training/distributed.py"),
    "jax": KERNELS,
    "numba": KERNELS,
    "onnx": (
        "acoustic/onnx_export.py",
        "acoustic/onnx_check.py",
        "acoustic/onnx_nodes.py",
        "language/neural_export.py",
        "punctuation/tagger_export.py",
        "punctuation/tagger_import.py",
    ),
    "onnxruntime": ("acoustic/runtimes/onnx_graph.py",),
    "librosa": ("audio/features.py",),
    "safetensors": ("tensors.py",),
    "soundfile": ("audio/decode.py", "audio/load.py", "audio/reader_process.py"),
    "sounddevice": ("audio/microphone.py",),
    "soxr": ("audio/load.py",),
    "av": ("audio/decode.py", "audio/opus.py", "evaluation/render/webp.py"),
    "jiwer": ("evaluation/scoring.py",),
    "hydra": ("cli/composition", "cli/overrides.py", "cli/sweep", "cli/study.py"),
    "omegaconf": ("cli/composition", "cli/sweep", "cli/study.py", "settings/yaml_text.py"),
    "huggingface_hub": ("sharing/hub.py",),
    "optuna": ("tuning/study.py",),
    "matplotlib": (
        "tuning/study_plot.py",
        "tuning/surface.py",
        "tuning/calibration.py",
        "training/curves.py",
        "training/rate_finder.py",
        "training/augmentation_preview.py",
        "training/trackers.py",
    ),
    "jinja2": ("doctor/findings_report.py", "evaluation/render/page.py", "serving/api_page.py"),
    "starlette": ("serving/",),
    "uvicorn": ("serving/server.py", "serving/web_sockets.py"),
    "websockets": ("serving/web_sockets.py",),
    "python_multipart": ("serving/uploads.py",),
    "prometheus_client": ("serving/counters.py",),
    "num2words": ("text/numbers.py",),
    "text_to_num": ("punctuation/numbers/other_languages.py",),
    "sentencepiece": ("text/pieces.py",),
    "whisper_normalizer": ("evaluation/policy.py",),
    "tensorboardX": ("training/trackers.py",),
    "mlflow": ("training/trackers.py",),
    "wandb": ("training/trackers.py",),
    "fsspec": ("remote.py",),
    "ray": ("cluster/ray_workers.py",),
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rooms_left_of_its_own(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room not in ROOMS:
        return  # the commands, and the package itself
    used = {name.split(".")[1] for name in imports(path) if name.startswith("asr.")}
    allowed = ROOMS[room] | MODULE_EXCEPTIONS.get(path.relative_to(PACKAGE).as_posix(), set())
    allowed |= {room} | (GROUND if room not in GROUND else set())
    assert used <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_is_imported_only_at_its_home(path):
    place = path.relative_to(PACKAGE).as_posix()
    for name in {name.split(".")[0] for name in imports(path)} & HOMES.keys():
        assert place.startswith(HOMES[name]), f"{place} imports {name}"


def imported_modules(path: Path, names: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports, at its top or in functions, but not for type checkers alone."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(members & names.keys() or {node.module})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text("utf-8")))
    return found & names.keys()


def circles(graph: dict[str, set[str]]) -> set[str]:
    """The modules that import themselves, over others: what is left when those at either end are taken away."""
    left = {name: set(used) for name, used in graph.items()}
    while True:
        used = {one for others in left.values() for one in others}
        ends = {name for name, others in left.items() if not others & left.keys() or name not in used}
        if not ends:
            return set(left)
        left = {name: others - ends for name, others in left.items() if name not in ends}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    names = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES
    }
    return {name: imported_modules(path, names) - {name} for name, path in names.items()}


def test_no_module_imports_itself_over_others(graph):
    imports = {name: {one for one in used if (name, one) not in LATE_IMPORTS} for name, used in graph.items()}
    assert circles(imports) == set()


def test_the_exceptions_are_still_needed(graph):
    assert all(one in graph[name] for name, one in LATE_IMPORTS)


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == set()


def test_no_room_imports_the_package_that_holds_it(graph):
    """`asr` gathers the public names of all rooms: a room that asks it for one may ask for itself."""
    assert {name for name, used in graph.items() if "asr" in used} == set()


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_two_modules_have_one_name():
    """But commands and settings, which are called like the room that they belong to."""
    names = [path.stem for path in MODULES if path.relative_to(PACKAGE).parts[0] not in ("cli", "settings")]
    counts = Counter(name for name in names if name != "__init__")
    assert {name: count for name, count in counts.items() if count > 1} == {}


def test_importing_the_package_is_cheap():
    """Counted in modules, not in seconds: a few of the standard library's, and no other library at all."""
    code = "import sys; before = set(sys.modules); import asr; print(*(set(sys.modules) - before))"
    imported = set(python(code).split())
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names | {"asr"}
    assert len(imported) < 60


def test_scoring_two_text_files_loads_nothing_that_runs_a_model(tmp_path):
    (tmp_path / "r.txt").write_text("one two\nthree\n")
    (tmp_path / "h.txt").write_text("one too\nthree\n")
    arguments = ["evaluate", str(tmp_path / "r.txt"), f"hypotheses={tmp_path / 'h.txt'}"]
    code = f"""
import sys
from asr.cli.main import main
assert main({arguments!r}) == 0
print("modules", *sys.modules)
assert main({[*arguments, f"output_dir={tmp_path / 'report'}"]!r}) == 0
print("modules", *sys.modules)
"""
    _, plain, paged = python(code).split("modules ")
    loaded = set(paged.split())
    rooms = ("asr.acoustic", "asr.bundle", "asr.decoding", "asr.language", "asr.recognition", "asr.training")
    assert not {
        name for name in loaded if name.startswith((*rooms, "asr.audio.readers", "onnx", "keras", "av", "soxr"))
    }
    assert len([name for name in plain.split() if name.startswith("asr.")]) < 64


def test_transcription_decoding_and_evaluation_need_no_keras_and_no_librosa(tiny_bundle, tmp_path):
    code = f"""
import sys
for name in ("tensorflow", "keras", "torch", "jax", "librosa", "matplotlib"):
    sys.modules[name] = None
from asr.cli.main import main
samples, bundle, report = {str(SAMPLES)!r}, "bundle={tiny_bundle}", {str(tmp_path / "report")!r}
for decoder in ("greedy", "beam"):
    assert main(["transcribe", samples, bundle, "decoder=" + decoder]) == 0
    assert main(["evaluate", samples + "/samples.jsonl", bundle, "decoder=" + decoder, "output_dir=" + report]) == 0
assert main(["info", {str(tiny_bundle)!r}]) == 0
import asr
assert asr.score(["a b"], ["a c"]).words.errors == 1
"""
    python(code)


@pytest.mark.parametrize("bundle", ["tiny", "en"])
def test_transcribing_a_recording_imports_no_library_that_it_does_not_need(bundle):
    """All libraries of a start with usual settings, and of its reading process: each costs memory and time."""
    recording = str(SAMPLES / "2086-149214-0001.opus")
    end = "print('modules', *{name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    command = f"""
import sys
before = {{*sys.modules, "__mp_main__"}}
from asr.cli.main import main
assert main(["transcribe", {recording!r}, "bundle={bundle}", "format=json", "workers=1"]) == 0
{end}
"""
    reader = f"""
import sys
before = set(sys.modules)
from asr.audio.reader_process import End, ReadRequest, make_reader
read = make_reader(None)
answer = read(ReadRequest({recording!r}, 16000, "mix", None))
while not isinstance(answer, End):
    answer = read(None)
{end}
"""
    assert set(python(command).split("modules ")[1].split()) == {"asr", "numpy", "onnxruntime"}
    read = {name for name in python(reader).split("modules ")[1].split() if not name.startswith("_")}
    assert read <= {"asr", "numpy", "soundfile", "typing_extensions"}
