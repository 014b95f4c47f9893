"""Training over several processes: the number of ranks changes nothing, and a rank that ends stops all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.corpus.manifest import read_manifest
from asr.settings.augment import AugmentConfig
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import ModelConfig
from asr.settings.training import OptimizerConfig, TrainingConfig
from asr.settings.yaml_text import to_yaml
from asr.training.checkpoints import find_checkpoints

from ..conftest import REPOSITORY, smoke_manifests
from .test_phones import write_lexicon
from .test_run import losses

pytest.importorskip("torch")

# 31 utterances in batches of three: the last batch of an epoch has one, fewer than ranks.
UTTERANCES, EPOCHS = 31, 5


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def environment() -> dict[str, str]:
    return os.environ | {
        "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(REPOSITORY)
    }  # fmt: skip


def start_ranks(jobs: Path, count: int) -> list[subprocess.Popen[str]]:
    """The program of ranks, as many times as there are; alone without a port."""
    port = free_port()
    places = [[]] if count == 1 else [[str(port), str(rank), str(count)] for rank in range(count)]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.rank_program", jobs, *place],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), cwd=REPOSITORY,
        )
        for place in places
    ]  # fmt: skip


def job(folder: Path, settings: TrainConfig, **others: Any) -> dict[str, Any]:
    return {"name": folder.name, "folder": str(folder), "settings": to_yaml(settings), **others}


def train_together(jobs: Sequence[dict[str, Any]], folder: Path, count: int) -> None:
    """Train some runs with so many ranks."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    processes = start_ranks(path, count)
    for process in processes:
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0, out


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, TrainConfig]:
    """Runs of about 50 steps that use all that depends on a batch or draws numbers."""
    folder = tmp_path_factory.mktemp("data")
    manifests = smoke_manifests(folder, train=UTTERANCES, valid=3)
    texts = [one.text or "" for path in manifests.values() for one in read_manifest(path).utterances]
    plain = TrainConfig(
        data=DataConfig(
            train=[str(manifests["train"])], valid=[str(manifests["valid"])], lexicon=str(write_lexicon(folder, texts))
        ),
        features=FeatureConfig(mels=16, dither=1e-5),
        augment=AugmentConfig(
            speeds=[0.9, 1.0, 1.1], frequency_mask_mels=2, reverb_probability=0.3, noise_probability=0.4,
            join_probability=0.2, gain_probability=0.3,
        ),
        model=ModelConfig(depth=2, units=8, projection=8, channels=2, dropout=0.2),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=0),
        training=TrainingConfig(
            epochs=EPOCHS, batch_size=3, workers=0, valid_every=EPOCHS, average_epochs=1.0, keep_epochs=0, patience=0,
            buckets=1,
        ),
    )  # fmt: skip
    plain.tracking.tensorboard = False
    phones = replace(
        plain,
        model=replace(plain.model, phone_output=True),
        features=replace(plain.features, normalization=Normalization.running),
        training=replace(plain.training, mmi_weight=0.5, mmi_order=3, accumulate=2, average_epochs=0.0),
    )
    return {"ctc": plain, "phones": phones}


def largest_difference(one: Path, other: Path) -> float:
    """Between two runs at their end: weights, their averages and the optimiser's state.

    Those of checkpoints, in float32: bundles round to float16, where the last digit of a float32 can make a step.
    """
    states = []
    for run in (one, other):
        with np.load(find_checkpoints(run / "checkpoints")[0], allow_pickle=False) as arrays:
            states.append({name: arrays[name] for name in arrays.files if name != "state"})
    first, second = states
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


@pytest.fixture(scope="module")
def trained(runs, tmp_path_factory) -> Path:
    """The runs by one rank and by two, and one that two began, until the second got a signal, and one completed."""
    folder = tmp_path_factory.mktemp("trained")
    mixed = folder / "mixed"
    two = [job(folder / f"{name}.2", settings) for name, settings in runs.items()]
    train_together([*two, job(mixed, runs["ctc"], stop=(1, 20))], folder, 2)
    assert len(losses(mixed)) == 20
    one = [job(folder / f"{name}.1", settings) for name, settings in runs.items()]
    train_together([*one, job(mixed, runs["ctc"])], folder, 1)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ctc", "phones"])
def test_two_ranks_reach_the_weights_of_one_after_fifty_steps(trained, name):
    """With dropout, masks, augmentation, running normalisation, averages of the weights, and gradients added up."""
    one, two = (trained / f"{name}.{count}" for count in (1, 2))
    assert len(losses(one)) >= 50
    assert largest_difference(one, two) < 1e-5
    for first, second in zip(losses(one), losses(two), strict=True):
        assert float(first[2]) == pytest.approx(float(second[2]), rel=1e-4)


@pytest.mark.slow
def test_a_run_is_resumed_with_another_number_of_ranks(trained):
    mixed, two = (losses(trained / name)[:20] for name in ("mixed", "ctc.2"))
    assert [row[:2] for row in mixed] == [row[:2] for row in two]
    # Sums in another order differ in their last digits.
    np.testing.assert_allclose([float(row[2]) for row in mixed], [float(row[2]) for row in two], rtol=1e-5)
    assert largest_difference(trained / "mixed", trained / "ctc.1") < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ctc", "phones"])
def test_the_recordings_are_shared_out(trained, name):
    """Together, two ranks read each recording as often as one does alone."""
    (alone,) = (Counter(path.read_text().splitlines()) for path in trained.glob(f"{name}.1.read*"))
    parts = [Counter(path.read_text().splitlines()) for path in sorted(trained.glob(f"{name}.2.read*"))]
    assert len(parts) == 2
    assert parts[0] + parts[1] == alone
    assert parts[1].total() > alone.total() / 4  # a batch of three has one row for the second rank


@pytest.mark.slow
def test_only_the_first_rank_writes(trained):
    """Its files are those of a run on one rank, and it notes where the ranks ran."""
    for name in ("ctc", "phones"):
        files = [
            {str(path.relative_to(run)) for path in run.rglob("*")}
            for run in (trained / f"{name}.{count}" for count in (1, 2))
        ]
        assert files[0] == files[1]
    (start,) = json.loads((trained / "ctc.2" / "run.json").read_text())["starts"]
    assert len(start["ranks"]) == 2


def command(settings: TrainConfig, run_dir: Path) -> list[str]:
    config = run_dir.with_suffix(".yaml")
    config.write_text(to_yaml(settings))
    return [sys.executable, "-m", "asr", "train", str(config), f"run_dir={run_dir}"]


def first_child(pid: int) -> int:
    """The process that was started first of those that a process has: later ones read audio."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (path / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) == pid and b"processes.py" in (path / "cmdline").read_bytes():
                found.append((int(status[19]), int(path.name)))
    return min(found)[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_a_rank_that_is_killed_stops_all_and_the_same_command_goes_on_exactly(runs, tmp_path):
    training = replace(runs["ctc"].training, epochs=2, processes=2, checkpoint_minutes=0)
    settings, run_dir = replace(runs["ctc"], training=training), tmp_path / "run"
    begin = command(settings, run_dir)
    process = subprocess.Popen(begin, stderr=subprocess.PIPE, text=True, env=environment(), cwd=REPOSITORY)
    try:
        while not (run_dir / "batches.csv").exists() or len(losses(run_dir)) < 3:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        rank = first_child(process.pid)
        os.kill(rank, signal.SIGKILL)
        killed = time.monotonic()
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 1
    assert time.monotonic() - killed < 60
    errors = [line for line in err.splitlines() if "error" in line]
    assert len(errors) == 1, err
    assert re.search(
        rf"rank 1 of 2 \(process {rank} on .*\) has ended \(signal 9, Killed\): the same command", errors[0]
    )
    done = len(losses(run_dir))
    for path in (run_dir, tmp_path / "whole"):
        subprocess.run(command(settings, path), check=True, env=environment(), cwd=REPOSITORY)
    assert 3 <= done < len(losses(tmp_path / "whole"))
    assert losses(run_dir) == losses(tmp_path / "whole")
    assert largest_difference(run_dir, tmp_path / "whole") == 0


SHORT_SILENCE = """
from asr.training import rank_watch
rank_watch.SILENT_SECONDS = 30.0
from asr.cli.main import entry_point
entry_point()
"""


@pytest.fixture
def hosts():
    """Two network namespaces with a cable between them: a command that runs in each, and one that cuts the cable."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and ip")
    names = [f"asr{os.getpid()}{letter}" for letter in "ab"]
    ends = [f"v{os.getpid() % 10**6}{letter}" for letter in "ab"]

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True), start=1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    else:
        yield names, ends, lambda: ip("-n", names[1], "link", "set", ends[1], "down")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.slow
def test_a_machine_that_is_no_longer_reached_stops_the_others(runs, hosts, tmp_path):
    """Two machines with an environment as of torchrun; the network between them is cut."""
    names, ends, cut = hosts
    training = replace(runs["ctc"].training, epochs=1000, processes=2, checkpoint_minutes=0)
    python, _, _, *arguments = command(replace(runs["ctc"], training=training), tmp_path / "run")
    begin = [python, "-c", SHORT_SILENCE, *arguments]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29500"}
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *begin], stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
            env=environment() | place | {"RANK": str(rank), "GLOO_SOCKET_IFNAME": end},
        )
        for rank, (name, end) in enumerate(zip(names, ends, strict=True))
    ]  # fmt: skip
    try:
        while not (tmp_path / "run" / "batches.csv").exists() or len(losses(tmp_path / "run")) < 3:
            assert processes[0].poll() is None, processes[0].communicate()[1]
            time.sleep(0.1)
        cut()
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [1, 1]
    lines = [line for line in errors[0].splitlines() if "error" in line]
    assert len(lines) == 1, errors[0]
    assert re.search(r"rank 1 of 2 \(process \d+ on .*\) has not answered for 30 s: the same command resumes", lines[0])
