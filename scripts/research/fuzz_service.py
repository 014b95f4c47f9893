"""Sends damaged recordings, malformed forms and malformed messages to `asr serve`, and watches its memory.

    python scripts/research/fuzz_service.py --requests 100000

Every request must get an answer below 500, and every stream its events or an error of its protocol; the server must
not write a traceback, nor grow. Of a hundred turns, 88 send a damaged recording of any format, ten a form or a body
that is none, and two up to a hundred messages of a live protocol (the mutations are those of
`tests/serving/test_live_fuzz.py`). What is answered otherwise is kept in --keep. Memory is that of the main process,
and of all processes together, in which pages that they share count in each. The last line is JSON.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
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
WARM_SHARE, STEPS = 0.05, 10


class Attacker:
    """Sends requests one after the other, and counts the answers.

    Parameters
    ----------
    server : RunningServer
        Of `tests/serving/running.py`.
    seed : int
    keep : Path
        Where requests go that are answered with a status of 500 and more.
    """

    def __init__(self, server: Any, seed: int, keep: Path) -> None:
        self._server, self._keep = server, keep
        self._rng, self._chance = np.random.default_rng(seed), random.Random(seed)
        with tempfile.TemporaryDirectory() as folder:
            self._seeds = [(path.name, path.read_bytes()) for path in write_seeds(Path(folder))]
        self._connection = server.connect()
        self.statuses: Counter[str] = Counter()
        self.sent = 0

    def send(self) -> None:
        """One request, or the messages of one connection."""
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
            (self._keep / f"{self.sent}-{status}-{path.rpartition('/')[2]}").write_bytes(body)

    def _status(self, path: str, body: bytes, kind: str) -> str:
        self._connection.request("POST", path, body, {"Content-Type": kind})
        response = self._connection.getresponse()
        response.read()
        if response.will_close:
            self._connection.close()
        return str(response.status)


def megabytes(server: Any) -> tuple[float, float]:
    """Memory of the main process, and of all."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6, server.metric("asr_resident_memory_bytes") / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzzed"))
    arguments = parser.parse_args()
    began, rows = time.monotonic(), []
    warm = round(WARM_SHARE * arguments.requests)
    settings = ["wyoming_port=0", "limits.streams=8", "limits.stream_idle_seconds=5", "decoder=greedy", "timeout=10"]
    with tempfile.TemporaryDirectory() as folder, SERVER.running(Path(folder), *settings) as server:
        attacker = Attacker(server, arguments.seed, arguments.keep)
        print("requests      main       all", flush=True)
        for end in np.linspace(warm, arguments.requests, STEPS + 1):
            while attacker.sent < end:
                attacker.send()
            rows.append((attacker.sent, *megabytes(server)))
            print(f"{rows[-1][0]:8} {rows[-1][1]:6.1f} MB {rows[-1][2]:6.1f} MB", flush=True)
            assert server.process.poll() is None, "the server has ended"
        assert server.metric("asr_workers") == 1
        assert server.transcribe().status == 200
        log = "".join(server.log)
    found = {
        "requests": attacker.sent,
        "seconds": round(time.monotonic() - began),
        "statuses": dict(attacker.statuses.most_common()),
        "tracebacks": log.count("Traceback"),
        "growth_main": round(rows[-1][1] / rows[0][1] - 1, 4),
        "growth_all": round(rows[-1][2] / rows[0][2] - 1, 4),
    }
    print(json.dumps(found))
    return 0 if not found["tracebacks"] and not arguments.keep.exists() else 1


if __name__ == "__main__":
    sys.exit(main())
