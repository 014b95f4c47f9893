"""Nothing leaves the machine, and nothing is written but what was asked for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.bundle import copy_bundle, load_bundle

from .conftest import RATE, REPOSITORY, SAMPLES, oracle, write_rows

SAMPLE = sorted(SAMPLES.glob("*.opus"))[0]
# With any of these, ONNX Runtime sends nothing by itself.
SILENCERS = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}


def test_telemetry_is_off_before_onnx_runtime_is_imported():
    code = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print("imported with", os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.meta_path.insert(0, Watch())
import asr
asr.transcribe({str(SAMPLE)!r}, bundle="tiny")
"""
    environment = {name: value for name, value in os.environ.items() if name not in SILENCERS}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "imported with 1\n"


def test_a_transcription_looks_up_no_host_and_writes_only_its_outputs(tmp_path):
    strace = oracle("strace")
    if subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("strace may not trace here")
    work, home, scratch, log = (tmp_path / name for name in ("work", "home", "scratch", "log"))
    for folder in (work, home, scratch):
        folder.mkdir()
    speech, _ = soundfile.read(SAMPLE, dtype="float32")
    soundfile.write(work / "minute.wav", np.resize(speech, 61 * RATE), RATE)
    environment = {name: value for name, value in os.environ.items() if name not in SILENCERS}
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment |= {"HOME": str(home), "TMPDIR": str(scratch), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    trace = [strace, "-f", "-qq", "-s", "4096", "-e", "trace=network,file", "-o", str(log)]
    command = [sys.executable, "-m", "asr", "transcribe", "minute.wav", "bundle=tiny", "output_dir=out"]
    subprocess.run([*trace, *command], check=True, cwd=work, env=environment, capture_output=True)
    lines = log.read_text("utf-8", "replace").splitlines()
    assert any("minute.wav" in line for line in lines)
    # A message without an address goes through a connection; all but those of socketpairs are seen as they are made.
    network = re.compile(r"\b(connect|bind)\(|\bsocket\((?!AF_UNIX)|\bsend\w*\(.*sa_family")
    assert [line for line in lines if network.search(line)] == []
    makes = re.compile(r"O_CREAT|\b(creat|mkdir|mknod|rename|link|symlink)\w*\(")
    made = [line for line in lines if makes.search(line)]
    paths = {Path(work, name) for line in made for name in re.findall(r'"([^"]*)"', line)}
    # What a lock between threads is made of, which goes at once.
    outside = {one for one in paths if one.parent != Path("/dev/shm") or not one.name.startswith("sem.")}
    assert {one for one in outside if not one.is_relative_to(work / "out") and not one.is_relative_to(scratch)} == set()
    assert (work / "out" / "minute.txt").exists()
    assert list(home.iterdir()) == list(scratch.iterdir()) == []


def test_no_report_or_bundle_has_an_absolute_path_of_its_author(asr_command, tiny_bundle, tmp_path):
    bundle = tmp_path / "anna" / "best"
    train = [str(tmp_path / "anna" / "data" / name) for name in ("train.jsonl", "more.jsonl")]
    valid = ", ".join(str(tmp_path / "anna" / name) for name in ("valid.jsonl", "other.jsonl"))
    copy_bundle(
        load_bundle(tiny_bundle), bundle, error_rates={valid: {"wer": 0.5}},
        provenance={"train": train, "init": {"bundle": str(tmp_path / "anna" / "first"), "seed": 1}},
    )  # fmt: skip
    card = json.loads((bundle / "bundle.json").read_text("utf-8"))
    assert card["provenance"] == {"train": ["train.jsonl", "more.jsonl"], "init": {"bundle": "first", "seed": 1}}
    assert list(card["error_rates"]) == ["valid.jsonl, other.jsonl"]
    # Ids and fields of the manifest are absolute paths here, as are the names of all files.
    rows = [json.loads(line) for line in (SAMPLES / "samples.jsonl").read_text().splitlines()[:3]]
    rows = [
        row | {"audio_filepath": str(SAMPLES / row["audio_filepath"]), "source": f"{tmp_path}/x/{place}.flac"}
        for place, row in enumerate(rows)
    ]  # fmt: skip
    manifest = write_rows(tmp_path / "anna" / "test.jsonl", rows)
    hypotheses = write_rows(tmp_path / "anna" / "other.jsonl", rows)
    arguments = ("evaluate", manifest, f"bundle={bundle}", f"against=[{hypotheses}]", "worst=0")
    first, second = tmp_path / "first", tmp_path / "second"
    assert asr_command(*arguments, f"output_dir={first}").code == 0
    assert asr_command(*arguments, f"baseline={first / 'report.json'}", f"output_dir={second}").code == 0
    written = [bundle / "bundle.json", *first.iterdir(), *second.iterdir()]
    assert len(written) > 15
    for path in written:
        content = path.read_text("utf-8")
        assert str(tmp_path) not in content, path
        assert str(REPOSITORY) not in content, path
    report = json.loads((second / "report.json").read_text("utf-8"))
    assert [one["name"] for one in report["systems"]] == ["best, greedy", "other.jsonl"]
