"""The child process of `asr.training.rank_processes`: one rank of a training other than the first."""

from __future__ import annotations

from collections.abc import Callable

from asr.settings.commands import TrainConfig
from asr.training.distributed import joined
from asr.training.rank_environment import Place
from asr.training.run import train_on

Job = tuple[TrainConfig, Place, int]
"""settings of the run, the rank, and the threads that it may compute with"""


def make_rank(_: None) -> Callable[[Job], None]:
    """The handler of a process."""

    def train(job: Job) -> None:
        settings, place, threads = job
        with joined(place, threads=threads) as ranks:
            train_on(ranks, settings)

    return train
