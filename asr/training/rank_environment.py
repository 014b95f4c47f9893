"""The place of a process among the ranks of a training, as torchrun, Slurm or MPI's conventions state it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from asr.errors import ConfigError

# Of Slurm's jobs, whose environment names no port: one from this range, by the number of the job.
_FIRST_PORT, _PORTS = 15_000, 20_000
_BRACKETS = re.compile(r"([^,\[]*)(?:\[([^\]]*)\])?([^,\[]*)(?:,|$)")


@dataclass(frozen=True, slots=True)
class Place:
    """Which rank a process is, and where the ranks meet."""

    rank: int
    """from 0 on"""
    count: int
    """number of ranks"""
    local_rank: int
    """number of the rank among those on its machine, which chooses its GPU"""
    host: str
    """of rank 0, as the others reach it"""
    port: int
    launcher: str
    """what started the process, for messages"""
    store_is_shared: bool = False
    """whether the launcher already serves the store in which the ranks meet"""
    attempt: int = 0
    """restarts of all ranks by the launcher so far"""


def find_place(environment: Mapping[str, str], processes: int) -> Place | None:
    """The place that a launcher gave this process; None if it was started by itself.

    Parameters
    ----------
    environment : mapping of str to str
    processes : int >= 1
        `training.processes`: the number of ranks that is expected.

    Raises
    ------
    ConfigError
        If a launcher started another number of processes, or its variables cannot be used.
    """
    place = _torchrun(environment)
    if place and place.count != processes and (place.count > 1 or processes > 1):
        raise ConfigError(
            f"{place.launcher} started {place.count} processes, and training.processes is {processes}: "
            f"training.processes={place.count} makes them the ranks of one training"
        )
    if place is None and processes > 1:
        place = _slurm(environment)
        if place and place.count > 1 and place.count != processes:
            raise ConfigError(
                f"Slurm started {place.count} tasks, and training.processes is {processes}: "
                f"training.processes={place.count} makes them the ranks of one training, "
                "srun --ntasks=1 leaves it to asr to start its processes"
            )
    return place if place and place.count > 1 else None


def _torchrun(environment: Mapping[str, str]) -> Place | None:
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    given = [name for name in names if environment.get(name)]
    # A cluster may set an address and a port for all programs; both numbers together are a launcher's.
    if not {"RANK", "WORLD_SIZE"} <= set(given):
        return None
    if len(given) < len(names):
        missing = [name for name in names if name not in given]
        raise ConfigError(
            f"RANK and WORLD_SIZE are set, and {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not: "
            "set all four, as torchrun does, or none"
        )
    rank, count, port = (_number(environment, name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    _check_rank(rank, count, "RANK", "WORLD_SIZE")
    return Place(
        rank=rank,
        count=count,
        local_rank=_number(environment, "LOCAL_RANK") if environment.get("LOCAL_RANK") else rank,
        host=environment["MASTER_ADDR"],
        port=port,
        launcher="torchrun" if "TORCHELASTIC_RUN_ID" in environment else "the launcher (WORLD_SIZE)",
        store_is_shared=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        attempt=_number(environment, "TORCHELASTIC_RESTART_COUNT")
        if "TORCHELASTIC_RESTART_COUNT" in environment
        else 0,
    )


def _slurm(environment: Mapping[str, str]) -> Place | None:
    # SLURM_STEP_NUM_TASKS is that of the present step. A batch script itself has only the numbers of the job.
    tasks = "SLURM_STEP_NUM_TASKS" if environment.get("SLURM_STEP_NUM_TASKS") else "SLURM_NTASKS"
    if not environment.get("SLURM_PROCID") or not environment.get(tasks):
        return None
    rank, count = _number(environment, "SLURM_PROCID"), _number(environment, tasks)
    _check_rank(rank, count, "SLURM_PROCID", tasks)
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "")
    hosts = expand_hosts(nodes)
    if not hosts and not environment.get("MASTER_ADDR"):
        raise ConfigError(f"SLURM_NODELIST={nodes!r} names no machine: set MASTER_ADDR to that of rank 0")
    job = _number(environment, "SLURM_JOB_ID") if environment.get("SLURM_JOB_ID") else 0
    return Place(
        rank=rank,
        count=count,
        local_rank=_number(environment, "SLURM_LOCALID") if environment.get("SLURM_LOCALID") else rank,
        host=environment.get("MASTER_ADDR") or hosts[0],
        port=_number(environment, "MASTER_PORT") if environment.get("MASTER_PORT") else _FIRST_PORT + job % _PORTS,
        launcher="Slurm",
    )


def expand_hosts(nodes: str) -> list[str]:
    """The machines of Slurm's short form: `gpu[01-03,7],login` is gpu01, gpu02, gpu03, gpu7, login."""
    found = []
    for before, numbers, after in _BRACKETS.findall(nodes):
        if not numbers:
            if before + after:
                found.append(before + after)
            continue
        for part in numbers.split(","):
            first, _, last = part.partition("-")
            if not first.isdecimal() or not (last or first).isdecimal():
                continue
            width = len(first)
            found += [f"{before}{number:0{width}d}{after}" for number in range(int(first), int(last or first) + 1)]
    return found


def _check_rank(rank: int, count: int, rank_name: str, count_name: str) -> None:
    if not 0 <= rank < count:
        raise ConfigError(f"{rank_name}={rank} must be at least 0 and below {count_name}={count}")


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not text.isdecimal():
        raise ConfigError(f"{name} must be a number, not {text!r}")
    return int(text)
