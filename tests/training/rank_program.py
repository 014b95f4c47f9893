"""Run by test_distributed.py as one rank of several, or alone: trains the runs of a JSON file, one after the other.

    python -m tests.training.rank_program JOBS.json [PORT RANK COUNT]

Each job is a name, the folder of its run, settings as YAML, and perhaps a rank and a number of batches, after which
that rank gets SIGTERM. Beside the folder, each rank writes the recordings that it has read, one a line.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from asr.audio.readers import shared_readers
from asr.errors import AsrError
from asr.settings.commands import TrainConfig
from asr.settings.yaml_text import from_yaml
from asr.training.distributed import Ranks, joined
from asr.training.engine import Engine
from asr.training.rank_environment import Place
from asr.training.run import train_on

jobs, place = Path(sys.argv[1]), [int(one) for one in sys.argv[2:]]
read: list[str] = []
load, take_step = shared_readers().load, Engine.step


def counting(source: Any, **kwargs: Any) -> Any:
    read.append(str(source))
    return load(source, **kwargs)


def run(ranks: Ranks) -> None:
    for job in json.loads(jobs.read_text()):
        folder = Path(job["folder"])
        read.clear()
        print(f"{job['name']}: rank {ranks.rank} of {ranks.count}", flush=True)
        settings = from_yaml(TrainConfig, job["settings"], job["name"])
        settings.run_dir = str(folder)
        rank_to_stop, left = job.get("stop", (None, 0))

        def step(engine: Engine, *args: Any, rank: int | None = rank_to_stop, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and ranks.rank == rank:
                signal.raise_signal(signal.SIGTERM)
            return take_step(engine, *args, **kwargs)

        Engine.step = step  # type: ignore[method-assign]
        train_on(ranks, settings)
        folder.with_name(f"{folder.name}.read{ranks.rank}").write_text("".join(f"{one}\n" for one in read))


shared_readers().load = counting  # type: ignore[method-assign]
if place:
    port, rank, count = place
    try:
        with joined(Place(rank, count, rank, "127.0.0.1", port, "test")) as together:
            run(together)
    except AsrError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3)
else:
    run(Ranks())
