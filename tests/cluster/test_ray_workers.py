"""Work on a Ray cluster of two simulated nodes of this machine; nodes, workers and drivers are lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ..conftest import REPOSITORY, SAMPLES, oracle_module

pytestmark = pytest.mark.slow

ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_worker_niceness": "0"}


class RayCluster:
    """Started by a process of its own, so that neither its settings nor its warnings are those of the tests."""

    PROGRAM = """
import sys, time
import ray._private.node
from ray.cluster_utils import Cluster
class PatientClock:  # Ray gives a node 30 seconds to start: beside other tests it takes longer
    def __getattr__(self, name):
        return getattr(time, name)
    def monotonic(self):
        return time.monotonic() / 10
ray._private.node.time = PatientClock()
store = {"object_store_memory": 80 << 20}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store})
nodes = [cluster.add_node(num_cpus=1, **store) for _ in range(2)]
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(0), allow_graceful=False)
    nodes.append(cluster.add_node(num_cpus=1, **store))
    print("replaced", flush=True)
cluster.shutdown()
"""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY)},
        )
        self.address = self._line()
        if ":" not in self.address:
            self.close()
            raise RuntimeError("the cluster did not start")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def replace_node(self) -> None:
        assert self._process.stdin is not None
        print("node", file=self._process.stdin, flush=True)
        assert self._line() == "replaced"

    def worker_pids(self) -> list[int]:
        """The actors of this cluster: their parents' parent is its process."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                title = (path / "cmdline").read_bytes()
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                above = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if title.startswith(b"ray::Worker") and self._process.pid in (parent, above):
                found.append(int(path.name))
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    oracle_module("ray")
    cluster = RayCluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Three hundred recordings of eight seconds: enough that no worker is done before it is lost."""
    folder = tmp_path_factory.mktemp("recordings")
    speech = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in sorted(SAMPLES.glob("*.opus"))])
    for number in range(300):
        soundfile.write(folder / f"{number:03d}.wav", np.roll(speech, -7919 * number)[: 8 * 16000], 16000)
    return folder


@pytest.fixture(scope="module")
def wanted(recordings, tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("alone") / "texts"
    assert run("transcribe", recordings, f"output_dir={folder}").returncode == 0
    return texts(folder)


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.txt")}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "asr", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, cwd=REPOSITORY)


def wait_for_another(folder: Path, driver: subprocess.Popen[bytes]) -> None:
    """Until there is a text more than now."""
    before = len(texts(folder))
    while len(texts(folder)) == before and driver.poll() is None:
        time.sleep(0.02)
    assert driver.poll() is None


def test_losses_of_workers_nodes_and_drivers_change_nothing(cluster, recordings, wanted, tmp_path):
    folder = tmp_path / "texts"
    arguments = ("transcribe", recordings, f"output_dir={folder}", f"cluster={cluster.address}")

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY)

    driver = start()
    wait_for_another(folder, driver)
    driver.send_signal(signal.SIGINT)
    driver.communicate()
    assert driver.returncode == 130
    driver = start()
    wait_for_another(folder, driver)
    os.kill(cluster.worker_pids()[0], signal.SIGKILL)
    wait_for_another(folder, driver)
    cluster.replace_node()
    out, err = driver.communicate()
    assert driver.returncode == 0, err
    assert out == b""
    assert b"its work is done again" in err
    assert texts(folder) == wanted
    assert not list(folder.glob("*.part"))
    again = run(*arguments)
    assert "300 were there already" in again.stderr


def test_a_failure_is_named_with_its_node(cluster, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "broken.wav").write_bytes(b"RIFF0000WAVEnothing")
    shutil.copy(SAMPLES / "422-122949-0004.opus", folder)
    outcome = run("transcribe", folder, "bundle=tiny", f"cluster={cluster.address}")
    assert outcome.returncode == 1
    assert outcome.stdout.count("\n") == 1
    host = cluster.address.partition(":")[0]
    (line,) = (line for line in outcome.stderr.splitlines() if "broken.wav" in line)
    assert f"({host}" in line


def test_tables_of_recordings_are_transcribed_by_ray_data(cluster, tmp_path):
    pandas = oracle_module("pandas")
    oracle_module("pyarrow")
    paths = sorted(SAMPLES.glob("*.opus"))[:3]
    contents = [path.read_bytes() for path in paths] + [b"nothing"]
    names = [path.stem for path in paths] + ["broken"]
    pandas.DataFrame({"name": names, "audio": contents}).to_parquet(tmp_path / "in.parquet")
    done = subprocess.run(
        [
            *(sys.executable, REPOSITORY / "scripts" / "transcribe_parquet.py", tmp_path / "in.parquet"),
            *(tmp_path / "texts", "--bundle", "tiny", "--address", cluster.address, "--workers", "1"),
        ],
        capture_output=True, text=True, check=False, env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pandas.read_parquet(tmp_path / "texts").set_index("name")
    assert sorted(table.index) == sorted(names)
    plain = run("transcribe", *paths, "bundle=tiny")
    for line, path in zip(plain.stdout.splitlines(), paths, strict=True):
        assert table.loc[path.stem, "text"] == line.partition("\t")[2]
    assert "not audio in any known format" in table.loc["broken", "error"]
    assert pandas.isna(table.loc["broken", "text"])
