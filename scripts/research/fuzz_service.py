"""Sends damaged recordings, malformed forms and malformed messages to `asr serve`, and watches its memory.

    python scripts/research/fuzz_service.py --requests 100000

Every request must get an answer below 500, and every stream its events or an error of its protocol; the server must
not write a traceback, nor grow by more than --growth. Of a hundred turns, 88 send a damaged recording of any format,
ten a form or a body that is none, and two up to a hundred messages of a live protocol (the mutations are those of
`tests/serving/test_live_fuzz.py`); each message counts as a request. What is answered otherwise is kept in --keep.

A turn depends on --seed and its number alone, so a long run can be made in parts: each prints the number at which the
next one begins, for its --first. Each part has a server of its own, and memory is compared within it.

Memory is that of the main process, of all processes together, in which pages that they share count in each, and of
each child in the order of their start. The last line is JSON.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_audio import mutate, write_seeds

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
SERVER: Any = importlib.import_module("tests.serving.running")
MESSAGES: Any = importlib.import_module("tests.serving.test_live_fuzz")

TRANSCRIPTIONS = "/v1/audio/transcriptions"
JSON_PATHS = ["/v1/subtitles/srt", "/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions"]
# Memory is compared from here on: before, modules are imported, threads and processes start, and heaps take their size.
WARM_SHARE, WARM_REQUESTS, STEPS, COMPARED = 0.05, 4000, 10, 3
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Attacker:
    """Sends requests one after the other, and counts the answers.

    Parameters
    ----------
    server : RunningServer
        Of `tests/serving/running.py`.
    seed : int
    first : int
        Number of the first turn.
    keep : Path
        Where requests go that are answered with a status of 500 and more.
    """

    def __init__(self, server: Any, seed: int, first: int, keep: Path) -> None:
        self._server, self._keep = server, keep
        self._seed, self.turn = seed, first
        self._rng, self._chance = np.random.default_rng(), random.Random()
        with tempfile.TemporaryDirectory() as folder:
            self._seeds = [(path.name, path.read_bytes()) for path in write_seeds(Path(folder))]
        self._connection = server.connect()
        self.statuses: Counter[str] = Counter()
        self.sent = 0

    def send(self) -> None:
        """The next turn: one request, or the messages of one connection."""
        self._rng = np.random.default_rng([self._seed, self.turn])
        self._chance = random.Random(f"{self._seed} {self.turn}")
        self.turn += 1
        match self._chance.random():
            case share if share < 0.88:
                self._send_recording()
            case share if share < 0.98:
                self._send_malformed()
            case _:
                protocol = self._chance.choice(list(MESSAGES.ATTACKS))
                messages = MESSAGES.ATTACKS[protocol](self._server, self._chance)
                self.statuses[protocol] += messages
                self.sent += messages

    def _send_recording(self) -> None:
        _, content = mutate(self._seeds, self._rng)
        fields = [("model", "tiny")]
        if self._chance.random() < 0.1:
            fields.append(("response_format", self._chance.choice(["srt", "text", "verbose_json", "diarized_json"])))
        if self._chance.random() < 0.1:
            fields.append(("stream", "true"))
        self._request(TRANSCRIPTIONS, *SERVER.form(content, fields))

    def _send_malformed(self) -> None:
        """A form with some bytes replaced, or a body that is another one than its header says."""
        chance = self._chance
        body, kind = SERVER.form(chance.randbytes(chance.randrange(400)), [("model", "tiny"), ("prompt", "A, B")])
        content = bytearray(body)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(content) + 1)
            content[place : place + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
        path = chance.choice([TRANSCRIPTIONS, TRANSCRIPTIONS, *JSON_PATHS])
        if path in JSON_PATHS:
            value = {"text": "a", "duration": 1, "words": [{"word": "a", "start": 0, "end": chance.random()}]}
            content = bytearray(json.dumps(chance.choice([value, {"session": value}, [value], None])).encode())
            content[chance.randrange(len(content))] = chance.randrange(256)
        self._request(path, bytes(content), chance.choice([kind, kind, "application/json", ""]))

    def _request(self, path: str, body: bytes, kind: str) -> None:
        self.sent += 1
        is_new = self._connection.sock is None
        try:
            status = self._status(path, body, kind)
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
            self._connection.close()
            if not is_new:  # the server may close a connection that was idle
                status = self._status(path, body, kind)
        self.statuses[status] += 1
        if not status.startswith(("2", "4")):
            self._keep.mkdir(parents=True, exist_ok=True)
            (self._keep / f"{self._seed}-{self.turn - 1}-{status}-{path.rpartition('/')[2]}").write_bytes(body)

    def _status(self, path: str, body: bytes, kind: str) -> str:
        self._connection.request("POST", path, body, {"Content-Type": kind})
        response = self._connection.getresponse()
        response.read()
        if response.will_close:
            self._connection.close()
        return str(response.status)


class Memory:
    """Resident memory of a server and its children, read while it answers.

    Parameters
    ----------
    server : RunningServer
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self.rows: list[tuple[int, float, float]] = []
        """requests so far; MB of the main process, and of all"""

    def read(self, requests: int) -> str:
        """Read it now; returns a line to print."""
        pid = self._server.process.pid
        children = [resident_megabytes(child) for child in children_of(pid)]
        self.rows.append((requests, resident_megabytes(pid), self._server.metric("asr_resident_memory_bytes") / 1e6))
        _, main, everything = self.rows[-1]
        return f"{main:7.1f} {everything:7.1f}  {' '.join(f'{child:.1f}' for child in children)}"

    @property
    def growth(self) -> tuple[float, float]:
        """Of the main process and of all, as a share: the median of the last readings beside that of the first.

        The number of children differs from one reading to the next: one whose decoder crashed is replaced.
        """
        first, last = (np.median(some, axis=0)[1:] for some in (self.rows[:COMPARED], self.rows[-COMPARED:]))
        main, everything = last / first - 1
        return round(float(main), 4), round(float(everything), 4)

    @property
    def slopes(self) -> tuple[float, float]:
        """MB in 100,000 requests, by a line through the readings of the second half."""
        requests, *memory = np.transpose(self.rows[len(self.rows) // 2 :])
        main, everything = (float(np.polyfit(requests / 1e5, one, 1)[0]) for one in memory)
        return round(main, 2), round(everything, 2)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, by any of its threads."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for file in files for child in file.read_text().split())


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6
    except OSError:
        return 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first turn: `next` of the part before")
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"))
    parser.add_argument("--growth", type=float, default=0.05, help="share by which memory may grow after the start")
    arguments = parser.parse_args()
    began = time.monotonic()
    warm = min(max(round(WARM_SHARE * arguments.requests), WARM_REQUESTS), arguments.requests // 2)
    settings = ["wyoming_port=0", "limits.streams=8", "limits.stream_idle_seconds=5", "decoder=greedy", "timeout=10"]
    with tempfile.TemporaryDirectory() as folder, SERVER.running(Path(folder), *settings) as server:
        attacker = Attacker(server, arguments.seed, arguments.first, arguments.keep)
        memory = Memory(server)
        print(f"{'requests':>8} {'a second':>8} {'main MB':>7} {'all MB':>7}  each child", flush=True)
        for end in np.linspace(warm, arguments.requests, STEPS + 1):
            step_began, before = time.monotonic(), attacker.sent
            while attacker.sent < end:
                attacker.send()
            rate = (attacker.sent - before) / (time.monotonic() - step_began)
            print(f"{attacker.sent:8} {rate:8.0f} {memory.read(attacker.sent)}", flush=True)
            assert server.process.poll() is None, "the server has ended"
        assert server.metric("asr_workers") == 1
        assert server.transcribe().status == 200
        log = "".join(server.log)
    seconds = time.monotonic() - began
    found: dict[str, Any] = {
        "requests": attacker.sent,
        "seed": arguments.seed,
        "first": arguments.first,
        "next": attacker.turn,
        "seconds": round(seconds),
        "requests_per_second": round(attacker.sent / seconds, 1),
        "statuses": dict(attacker.statuses.most_common()),
        "tracebacks": log.count("Traceback"),
    }
    found["growth_main"], found["growth_all"] = memory.growth
    found["megabytes_per_100000_main"], found["megabytes_per_100000_all"] = memory.slopes
    print(json.dumps(found))
    is_grown = max(memory.growth) > arguments.growth
    return 1 if found["tracebacks"] or is_grown or arguments.keep.exists() else 0


if __name__ == "__main__":
    sys.exit(main())
