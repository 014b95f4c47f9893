"""Transcription over machines: what is lost when workers, nodes and the driver are killed, and what Ray costs.

    python scripts/bench/cluster.py chaos --recordings 4000 --kills 20
    python scripts/bench/cluster.py overhead speedup --bundle en --minutes 100
    python scripts/bench/cluster.py restart --files 100000

`chaos` starts a Ray cluster of simulated nodes with two workers each on this machine (`ray.cluster_utils.Cluster`),
and kills something whenever some more recordings are finished; the driver is started again as a user would. The outputs
are compared with those of one process without Ray. `overhead` compares a Ray run with plain `shard=k/n` runs,
`speedup` one worker on one core with two on two, `restart` measures a start with nothing to do. Processor time is that
of all processes, sampled from /proc. Each part prints a table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.load import load_audio

RATE = 16000
SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.opus"))
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLED_SECONDS = 0.25
# Of 20 kills so many hit nodes and drivers; the others hit workers.
_NODE_SHARE, _DRIVER_SHARE = 0.2, 0.2


def write_recordings(folder: Path, count: int, seconds: tuple[float, float], seed: int = 7) -> float:
    """Cut recordings out of the samples, which are joined end to end; returns their seconds."""
    import soundfile

    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    speech = np.concatenate([load_audio(path, sample_rate=RATE) for path in SAMPLES])
    total = 0.0
    for number in range(count):
        length = int(RATE * generator.uniform(*seconds))
        start = int(generator.integers(len(speech)))
        samples = np.take(speech, range(start, start + length), mode="wrap")
        soundfile.write(folder / f"{number:05d}.wav", samples, RATE, subtype="PCM_16")
        total += length / RATE
    return total


class ProcessorTime:
    """The processor seconds of all descendants of this process, sampled."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, int], float] = {}
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def total(self) -> float:
        self._sample()
        return sum(self._seconds.values())

    def _run(self) -> None:
        while True:
            time.sleep(_SAMPLED_SECONDS)
            self._sample()

    def _sample(self) -> None:
        for process in descendants():
            self._seconds[process.pid, process.started] = process.seconds


class Process:
    """A line of /proc/PID/stat."""

    def __init__(self, pid: int) -> None:
        content = Path(f"/proc/{pid}/stat").read_text()
        name, _, rest = content.rpartition(")")
        fields = rest.split()
        self.pid, self.name = pid, name.partition("(")[2]
        self.parent, self.started = int(fields[1]), int(fields[19])
        self.seconds = (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def title(self) -> str:
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return ""


def descendants() -> list[Process]:
    """The processes that this one has started, and theirs."""
    everything: dict[int, Process] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                everything[int(name)] = Process(int(name))
            except (OSError, ValueError, IndexError):  # it has ended
                continue

    def is_own(process: Process) -> bool:
        seen = 0
        while process.parent in everything and seen < 50:
            if process.parent == os.getpid():
                return True
            process, seen = everything[process.parent], seen + 1
        return False

    return [one for one in everything.values() if is_own(one)]


def asr(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "asr", *map(str, arguments)]


def run(command: Sequence[str]) -> float:
    """Run a command; returns its wall seconds."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return time.monotonic() - started


class PatientClock:
    """The module `time` for Ray, which gives a node 30 seconds to start: on a busy machine it takes longer."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return time.monotonic() / 10


class RayCluster:
    """Simulated nodes on this machine; the first one has no cores and is never killed."""

    def __init__(self, nodes: int, workers: int) -> None:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        # Ray gives its workers less of a core than other processes have.
        os.environ |= {"RAY_worker_niceness": "0"}
        # A dead node is noticed sooner than by default, after half a minute.
        os.environ |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "5"}
        import ray._private.node
        from ray.cluster_utils import Cluster

        ray._private.node.time = PatientClock()

        self._store = {"object_store_memory": 80 << 20}
        head = {"num_cpus": 0, "include_dashboard": False, **self._store}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._workers = workers
        self.nodes = [self.add() for _ in range(nodes)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self) -> Any:
        return self._cluster.add_node(num_cpus=self._workers, **self._store)

    def kill_node(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)

    def worker_pids(self) -> list[int]:
        return [one.pid for one in descendants() if one.title.startswith("ray::Worker")]

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def ray_cluster(nodes: int, workers: int) -> Iterator[RayCluster]:
    cluster = RayCluster(nodes, workers)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def texts_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}


def count_texts(folder: Path) -> int:
    return sum(name.endswith(".txt") for name in os.listdir(folder)) if folder.is_dir() else 0


def times_made(folder: Path) -> Counter[str]:
    """How often each transcript was made, by the journals."""
    made: Counter[str] = Counter()
    for path in folder.glob(".asr-transcripts*.jsonl"):
        for text in path.read_bytes().splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # its writer was killed
                continue
            made[bytes.fromhex(line["output"]).decode()] += "failed" not in line
    return made


def chaos(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Kill workers, nodes and drivers, and look at what is there at the end."""
    recordings, alone, texts = scratch / "recordings", scratch / "alone", scratch / "texts"
    seconds = write_recordings(recordings, options.recordings, (0.5, options.longest))
    run(asr("transcribe", recordings, f"bundle={options.bundle}", f"output_dir={alone}"))
    print(f"{options.recordings} recordings of {seconds / 3600:.2f} h; one process has transcribed them", flush=True)
    draw = random.Random(options.seed)
    nodes, drivers = (round(options.kills * share) for share in (_NODE_SHARE, _DRIVER_SHARE))
    kinds = ["node"] * nodes + ["driver"] * drivers + ["worker"] * (options.kills - nodes - drivers)
    draw.shuffle(kinds)
    started, log = time.monotonic(), (scratch / "log.txt").open("wb")
    with ray_cluster(options.nodes, options.workers) as cluster:
        command = asr(
            "transcribe", recordings, f"bundle={options.bundle}", f"output_dir={texts}", f"cluster={cluster.address}"
        )

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, stderr=log)

        driver, starts, ended_alone = start(), 1, 0
        killed: list[str] = []
        for number, kind in enumerate(kinds, 1):
            wanted = max(count_texts(texts) + 1, options.recordings * number // (options.kills + 1))
            while count_texts(texts) < wanted:
                time.sleep(0.05)
                if driver.poll() is not None:
                    if driver.returncode == 0:
                        break
                    ended_alone += 1
                    driver, starts = start(), starts + 1
            if driver.poll() == 0:  # all is done: more recordings would be needed for all kills
                break
            _kill(kind, cluster, driver, draw)
            killed.append(kind)
            print(f"kill {number}: {kind}, with {count_texts(texts)} texts", flush=True)
            if kind == "driver":
                driver, starts = start(), starts + 1
        while driver.wait() in (1, 2, -signal.SIGKILL, -signal.SIGTERM) and starts < 3 * options.kills:
            ended_alone += 1
            driver, starts = start(), starts + 1
        wall = time.monotonic() - started
        again = run(command)
    reference, found, made = texts_of(alone), texts_of(texts), times_made(texts)
    partial = [path.name for path in texts.iterdir() if path.name.endswith(".part")]
    return {
        "recordings": options.recordings,
        "audio_hours": round(seconds / 3600, 3),
        "kills": dict(Counter(killed)),
        "drivers_started": starts,
        "drivers_that_ended_by_themselves": ended_alone,
        "last_exit_code": driver.returncode,
        "outputs": len(found),
        "identical_outputs": sum(found.get(name) == text for name, text in reference.items()),
        "missing_outputs": len(reference.keys() - found.keys()),
        "other_files": len(found.keys() - reference.keys()),
        "partial_files": len(partial),
        "recordings_done_twice": sum(made.values()) - len(made),
        "most_often_done": max(made.values(), default=0),
        "wall_seconds": round(wall, 1),
        "second_start_seconds": round(again, 1),
    }


def _kill(kind: str, cluster: RayCluster, driver: subprocess.Popen[bytes], draw: random.Random) -> None:
    match kind:
        case "driver":
            driver.send_signal(draw.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM]))
            driver.wait()
        case "node":
            cluster.kill_node(draw.choice(cluster.nodes))
            cluster.nodes.append(cluster.add())
        case "worker":
            while not (pids := cluster.worker_pids()) and driver.poll() is None:
                time.sleep(0.1)
            if pids:
                os.kill(draw.choice(pids), signal.SIGKILL)


def _costs(work: Callable[[], object], clock: ProcessorTime) -> tuple[float, float]:
    """Wall and processor seconds."""
    before, started = clock.total, time.monotonic()
    work()
    return time.monotonic() - started, clock.total - before


def _together(commands: Sequence[Sequence[str]]) -> None:
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
    for one in running:
        _, message = one.communicate()
        if one.returncode:
            sys.exit(f"exit code {one.returncode}: {message.decode()}")


def overhead(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Ray with two workers beside two plain shards, on recordings of a minute."""
    recordings = scratch / "minutes"
    write_recordings(recordings, options.minutes, (60.0, 60.0))
    clock = ProcessorTime()
    result: dict[str, Any] = {"minutes_of_audio": options.minutes, "bundle": options.bundle}
    common = ("transcribe", recordings, f"bundle={options.bundle}")

    def plain(folder: Path) -> None:
        places = (f"output_dir={folder}", "workers=1")
        _together([asr(*common, *places, f"shard={part}/2") for part in (1, 2)])

    costs: dict[str, list[tuple[float, float]]] = {"plain shards": [], "ray": [], "local": []}
    with ray_cluster(1, 2) as cluster:
        for number in range(options.rounds):
            costs["plain shards"].append(_costs(partial(plain, scratch / f"plain-{number}"), clock))
            for name, where in (("ray", cluster.address), ("local", "local")):
                texts = scratch / f"{name}-{number}"
                command = asr(*common, f"output_dir={texts}", f"cluster={where}", "workers=2")
                costs[name].append(_costs(partial(run, command), clock))
                assert texts_of(texts) == texts_of(scratch / f"plain-{number}")
    for name, some in costs.items():
        wall, core = (float(np.median(values)) for values in zip(*some, strict=True))
        print(f"{name:14}{wall:10.1f} s wall {core:10.1f} core-seconds")
        key = name.replace(" ", "_")
        result |= {f"{key}_wall": round(wall, 2), f"{key}_core_seconds": round(core, 2)}
    for name in ("ray", "local"):
        for unit in ("core_seconds", "wall"):
            more = 100 * (result[f"{name}_{unit}"] / result[f"plain_shards_{unit}"] - 1)
            result[f"{name}_overhead_{unit}_percent"] = round(more, 1)
    return result


def speedup(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """A node of one core beside a node of two, with a worker for each core, of a cluster that runs already."""
    recordings = scratch / "minutes-to-share"
    write_recordings(recordings, options.minutes, (60.0, 60.0))
    walls: dict[int, list[float]] = {1: [], 2: []}
    cores = sorted(os.sched_getaffinity(0))
    for workers, seconds in walls.items():
        os.sched_setaffinity(0, cores[:workers])  # of all processes that are started from here
        with ray_cluster(1, workers) as cluster:
            for number in range(options.rounds):
                texts = scratch / f"workers-{workers}-{number}"
                place = (f"output_dir={texts}", f"cluster={cluster.address}", f"workers={workers}")
                seconds.append(run(asr("transcribe", recordings, f"bundle={options.bundle}", *place)))
    os.sched_setaffinity(0, cores)
    one, two = (float(np.median(walls[workers])) for workers in (1, 2))
    print(f"one worker {one:.1f} s, two workers {two:.1f} s: {one / two:.2f} times as fast")
    return {"one_worker": round(one, 2), "two_workers": round(two, 2), "speedup": round(one / two, 3)}


def restart(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """A start with nothing to do: files of no length, and a journal that says that they are finished."""
    from asr.bundle import load_bundle
    from asr.cli.transcript_outputs import settings_digest
    from asr.recognition.finished import Journal, Source
    from asr.settings.commands import TranscribeConfig

    recordings, texts = scratch / "empty", scratch / "empty-texts"
    digest = settings_digest(TranscribeConfig(bundle=options.bundle), load_bundle(options.bundle))
    for folder in range(options.files // 1000):
        (recordings / f"{folder:03d}").mkdir(parents=True)
        (texts / f"{folder:03d}").mkdir(parents=True)
        journal = Journal("bench")
        for number in range(1000):
            recording = recordings / f"{folder:03d}" / f"{number:03d}.wav"
            recording.touch()
            output = texts / f"{folder:03d}" / f"{number:03d}.txt"
            source = Source.of(recording, digest)
            assert source is not None
            journal.record(output, b"", asdict(source))
            output.touch()
    clock = ProcessorTime()
    command = asr("transcribe", recordings, f"bundle={options.bundle}", f"output_dir={texts}", "cluster=auto")
    costs = [_costs(partial(run, command), clock) for _ in range(options.rounds)]
    wall, core = (float(min(values)) for values in zip(*costs, strict=True))
    print(f"{options.files} recordings that are finished: {wall:.1f} s wall, {core:.1f} core-seconds")
    return {"files": options.files, "wall_seconds": round(wall, 2), "core_seconds": round(core, 2)}


PARTS = {"chaos": chaos, "overhead": overhead, "speedup": speedup, "restart": restart}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--recordings", type=int, default=4000)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds of a recording of the chaos run")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="of each node")
    parser.add_argument("--minutes", type=int, default=60, help="recordings of a minute, for overhead and speedup")
    parser.add_argument("--files", type=int, default=100_000, help="for restart, in thousands")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder for recordings and texts, which stays")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts this with & ignores it, for all
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="asr-cluster-") as temporary:
        for part in options.parts:
            scratch = Path(options.keep or temporary) / part
            scratch.mkdir(parents=True)
            results[part] = PARTS[part](options, scratch)
            for name, value in results[part].items():
                print(f"{part:10}{name:42}{value}", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
