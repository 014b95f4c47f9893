"""Nothing leaves the machine, and nothing is written but what was asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from .conftest import RATE, REPOSITORY, SAMPLES, oracle

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
