"""Which rank a process is, and how a rank learns that another has ended."""

from __future__ import annotations

import socket
import time

import keras
import pytest

from asr.errors import ConfigError
from asr.settings.commands import TrainConfig
from asr.settings.training import TrainingConfig
from asr.training.distributed import check_ranks_supported
from asr.training.rank_environment import expand_hosts, find_place
from asr.training.rank_watch import Watch, accept_ranks, connect, listen
from asr.training.run import train

TORCHRUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node7", "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "2", "TORCHELASTIC_USE_AGENT_STORE": "True",
}  # fmt: skip
SLURM = {
    "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_NODELIST": "gpu[03-04,7],big",
    "SLURM_JOB_ID": "123456",
}  # fmt: skip


def test_torchrun_gives_a_process_its_place():
    place = find_place(TORCHRUN, 4)
    assert (place.rank, place.count, place.local_rank, place.host, place.port) == (3, 4, 1, "node7", 29500)
    assert (place.store_is_shared, place.attempt) == (True, 2)


def test_slurm_gives_a_process_its_place_and_a_port_by_its_job():
    place = find_place(SLURM, 8)
    assert (place.rank, place.count, place.local_rank, place.host) == (5, 8, 1, "gpu03")
    assert place.port == find_place(SLURM | {"SLURM_PROCID": "0"}, 8).port > 1024
    assert find_place(SLURM | {"MASTER_ADDR": "head", "MASTER_PORT": "1234"}, 8).port == 1234


@pytest.mark.parametrize(
    ("environment", "processes"),
    [
        ({}, 1),
        ({}, 4),
        (TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0"}, 1),
        (SLURM, 1),  # an array of runs of one process each
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, 4),  # srun --ntasks=1: asr starts the processes
        ({"MASTER_ADDR": "somewhere"}, 4),
    ],
)
def test_without_a_launcher_of_ranks_a_process_starts_them_itself(environment, processes):
    assert find_place(environment, processes) is None


@pytest.mark.parametrize(
    ("environment", "processes", "message"),
    [
        (TORCHRUN, 1, "torchrun started 4 processes, and training.processes is 1: training.processes=4 makes"),
        (TORCHRUN, 2, "torchrun started 4 processes, and training.processes is 2"),
        (TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0"}, 2, "started 1 processes"),
        (SLURM, 4, "Slurm started 8 tasks, and training.processes is 4"),
        ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a"}, 2, "MASTER_PORT is not"),
        (TORCHRUN | {"RANK": "4"}, 4, "RANK=4 must be at least 0 and below WORLD_SIZE=4"),
        (TORCHRUN | {"MASTER_PORT": "x"}, 4, "MASTER_PORT must be a number, not 'x'"),
        (SLURM | {"SLURM_NODELIST": ""}, 8, "set MASTER_ADDR"),
    ],
)
def test_an_environment_that_does_not_fit_is_an_error(environment, processes, message):
    with pytest.raises(ConfigError, match=message):
        find_place(environment, processes)


@pytest.mark.parametrize(
    ("short", "hosts"),
    [
        ("node", ["node"]),
        ("a,b", ["a", "b"]),
        ("gpu[01-03,7],login", ["gpu01", "gpu02", "gpu03", "gpu7", "login"]),
        ("rack2-[9-11].local", ["rack2-9.local", "rack2-10.local", "rack2-11.local"]),
        ("", []),
    ],
)
def test_short_forms_of_slurm_name_machines(short, hosts):
    assert expand_hosts(short) == hosts


def test_a_back_end_without_ranks_names_the_one_that_has_them():
    if keras.backend.backend() == "torch":
        with pytest.raises(ConfigError, match=r"needs training\.devices=1"):
            check_ranks_supported(2)
    else:
        with pytest.raises(ConfigError, match=r"training\.processes above 1 needs KERAS_BACKEND=torch, not "):
            check_ranks_supported(1)


@pytest.fixture
def watches():
    """Those of three ranks."""
    listener, port = listen()
    with listener:
        connections = {}
        for rank in (1, 2):
            connections[rank] = socket.create_connection(("127.0.0.1", port))
            connections[rank].sendall(b'{"rank": %d, "place": "process 7 on there"}\n' % rank)
        peers, places = accept_ranks(listener, 3)
    assert places == {1: "process 7 on there", 2: "process 7 on there"}
    made = [Watch(0, peers, explain=lambda rank: f"signal {rank}")]
    made += [Watch(rank, {0: connections[rank]}) for rank in (1, 2)]
    yield made
    for one in made:
        one.close()


def test_all_ranks_learn_which_one_ended_and_how(watches):
    # As the system does when a process is killed.
    watches[2]._peers[0].connection.shutdown(socket.SHUT_RDWR)
    for one in watches[:2]:
        failure = one.wait_failure(10)
        assert (failure.rank, failure.reason, failure.told) == (2, "has ended (signal 2)", False)


def test_all_ranks_learn_the_error_of_one(watches):
    watches[1].fail("no space is left")
    for one in watches:
        failure = one.wait_failure(10)
        assert (failure.rank, failure.reason, failure.told) == (1, "no space is left", True)


def test_a_rank_that_leaves_in_order_is_no_failure(watches):
    watches[0].close()
    started = time.monotonic()
    assert watches[1].wait_first() is None
    assert watches[2].wait_first() is None
    assert time.monotonic() - started < 10


def test_a_silent_rank_counts_as_lost(watches, monkeypatch):
    monkeypatch.setattr("asr.training.rank_watch.SILENT_SECONDS", -1.0)
    assert watches[0].wait_failure(10).reason.startswith("has not answered")


def test_rank_0_that_cannot_be_reached_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConfigError, match=rf"rank 2 on .* cannot connect to rank 0 at 127.0.0.1:{port}"):
        connect("127.0.0.1", port, 2)


def test_several_devices_in_several_processes_are_refused_before_they_start(tmp_path):
    settings = TrainConfig(training=TrainingConfig(processes=2, devices=2), run_dir=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"training\.processes above 1 needs"):
        train(settings)
