"""Counts the live streams that this machine keeps in real time.

    python scripts/bench/streams.py MANIFEST [--streams 1,4,8,12,16] [--seconds 30] [key=value ...]

The recordings of the manifest are joined, and each stream plays them at real time from a place of its own, in blocks of
100 ms. For each number of streams, the table has the delay from the arrival of a block to the end of its recognition,
how many seconds a stream is behind at its end, and the processor cores in use. A number of streams is in real time if
95 % of the delays are below half a second and no stream ends more than a second behind. Then as many streams are begun
as the pool admits by itself; the next one is refused. Settings of live recognition follow as key=value. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from live import RATE, settings

from asr import AutoConfig, LiveConfig
from asr.audio.load import Samples, load_audio
from asr.corpus.manifest import read_manifest
from asr.errors import PoolFullError
from asr.machine import describe_machine
from asr.recognition.live_events import Final
from asr.recognition.pool import Pool
from asr.recognition.pool_session import PooledSession

_BLOCK = RATE // 10
_IN_TIME_SECONDS, _BEHIND_SECONDS = 0.5, 1.0


def join_recordings(manifest: Path, seconds: float) -> Samples:
    """Recordings of a manifest in a row, in a random order, so many seconds of them."""
    utterances = list(read_manifest(manifest).utterances)
    random.Random(0).shuffle(utterances)
    parts: list[Samples] = []
    for one in itertools.cycle(utterances):
        parts.append(load_audio(one.audio, sample_rate=RATE))
        if sum(map(len, parts)) >= seconds * RATE:
            return np.concatenate(parts)
    raise SystemExit(f"{manifest}: no recordings")


async def play(session: PooledSession, samples: Samples, start: int, seconds: float) -> tuple[int, float]:
    """Play a stream at real time; gives its final words, and the seconds it is behind at its end."""
    words = 0

    async def read() -> None:
        nonlocal words
        async for event in session.events():
            if isinstance(event, Final):
                words += len(event.text.split())

    reading = asyncio.create_task(read())
    began, blocks = time.monotonic(), round(seconds * RATE / _BLOCK)
    for number in range(blocks):
        await asyncio.sleep(began + (number + 1) * _BLOCK / RATE - time.monotonic())
        first = (start + number * _BLOCK) % (len(samples) - _BLOCK)
        await session.push(samples[first : first + _BLOCK])
    behind = seconds - session.done_seconds
    await session.finish()
    await reading
    return words, behind


async def measure(
    pool: Pool, delays: list[float], sessions: Sequence[PooledSession], samples: Samples, seconds: float
) -> dict[str, Any]:
    """The figures of some streams that play at once."""
    delays.clear()
    step = len(samples) // max(1, len(sessions))
    before, began = core_seconds(pool), time.monotonic()

    async def begin(number: int, session: PooledSession) -> tuple[int, float]:
        await asyncio.sleep(number * 0.12 / len(sessions))  # not all at the same moment
        return await play(session, samples, number * step, seconds)

    results = await asyncio.gather(*(begin(number, one) for number, one in enumerate(sessions)))
    cores = (core_seconds(pool) - before) / (time.monotonic() - began)
    behind = max(one for _, one in results)
    median, most, worst = np.percentile(delays, [50, 95, 100]).round(3).tolist()
    return {
        "streams": len(sessions),
        "delay_median": median,
        "delay_95": most,
        "delay_max": worst,
        "behind": round(behind, 3),
        "cores": round(cores, 3),
        "core_seconds_per_second": round(cores / len(sessions), 4),
        "final_words": sum(words for words, _ in results),
        "in_real_time": most < _IN_TIME_SECONDS and behind < _BEHIND_SECONDS,
    }


def core_seconds(pool: Pool) -> float:
    """Processor seconds of this process and of the workers so far."""
    ticks = 0
    for pid in [os.getpid(), *pool.pids]:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(values[11]) + int(values[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def run(arguments: argparse.Namespace, live: LiveConfig) -> dict[str, Any]:
    samples = join_recordings(arguments.manifest, max(60.0, 2 * arguments.seconds))
    decoder = None if arguments.beam is None else AutoConfig(beam_width=arguments.beam)
    delays: list[float] = []
    options: dict[str, Any] = {
        "decoder": decoder,
        "live": live,
        "workers": arguments.workers,
        "on_delay": delays.append,
    }
    columns = "streams   delay: median   95 %    max   behind   cores   core-s/s   in real time"
    print(columns, flush=True)
    rows = []

    def show(row: dict[str, Any]) -> None:
        print(
            f"{row['streams']:7}{row['delay_median']:16.3f}{row['delay_95']:7.3f}{row['delay_max']:7.3f}"
            f"{row['behind']:9.2f}{row['cores']:8.2f}{row['core_seconds_per_second']:11.4f}"
            f"{'yes' if row['in_real_time'] else 'no':>15}",
            flush=True,
        )

    async with Pool(arguments.bundle, max_streams=1000, **options) as pool:
        for count in arguments.streams:
            sessions = [await pool.open_session() for _ in range(count)]
            rows.append(await measure(pool, delays, sessions, samples, arguments.seconds))
            show(rows[-1])
            if not rows[-1]["in_real_time"]:
                break
    async with Pool(arguments.bundle, **options) as pool:
        # What a stream takes is known after some speech.
        await measure(pool, delays, [await pool.open_session()], samples, min(20.0, arguments.seconds))
        sessions, refused = [], ""
        while not refused:
            try:
                sessions.append(await pool.open_session())
            except PoolFullError as error:
                refused = str(error)
        admitted = await measure(pool, delays, sessions, samples, arguments.seconds)
    print("\nadmitted without a setting:")
    show(admitted)
    print(f"the next one is refused: {refused}")
    largest = max((row["streams"] for row in rows if row["in_real_time"]), default=0)
    return {
        "machine": describe_machine(),
        "bundle": str(arguments.bundle),
        "seconds": arguments.seconds,
        "rows": rows,
        "largest_in_real_time": largest,
        "admitted": admitted,
        "refused": refused,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings of live recognition")
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--streams", default="1,4,8,12,16", help="numbers of streams, rising, separated by commas")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each stream")
    parser.add_argument("--workers", type=int, default=0, help="processor cores to use; 0 for all")
    parser.add_argument("--beam", type=int, help="width of the second pass")
    arguments = parser.parse_intermixed_args()
    arguments.streams = [int(one) for one in arguments.streams.split(",")]
    print(json.dumps(asyncio.run(run(arguments, settings(arguments.settings)))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
