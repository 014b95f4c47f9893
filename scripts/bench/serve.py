"""Measures `asr serve`: throughput beside the command, latency by number of clients, fairness, memory over time.

    python scripts/bench/serve.py throughput latency fairness --bundle en
    python scripts/bench/serve.py memory --bundle tiny --requests 10000

The server is started here, on a free port, with as many cores as the command. Every part prints a table; the last line
is JSON. Recordings are those of the repository; long ones consist of them.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import json
import random
import re
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.load import load_audio

RATE = 16000
SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.opus"))
PATH = "/v1/audio/transcriptions"


class Client:
    """Sends requests to a server."""

    def __init__(self, port: int, bundle: str) -> None:
        self._port, self._bundle = port, bundle

    def transcribe(self, content: bytes) -> tuple[int, float]:
        """Status and seconds of a request."""
        began = time.monotonic()
        connection = self.send(content)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, time.monotonic() - began

    def hang_up(self, content: bytes) -> None:
        """Send a request and leave."""
        self.send(content).close()

    def break_off(self, content: bytes) -> None:
        """Leave in the middle of an upload."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        body, kind = self._form(content)
        connection.putrequest("POST", PATH)
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[: len(body) // 2])
        connection.close()

    def metric(self, name: str) -> float:
        """A metric of the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert found
        return float(found[1])

    def send(self, content: bytes) -> http.client.HTTPConnection:
        """Send a request; its answer comes through the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3600)
        body, kind = self._form(content)
        connection.request("POST", PATH, body, {"Content-Type": kind})
        return connection

    def _form(self, content: bytes) -> tuple[bytes, str]:
        edge = secrets.token_hex(16)
        head = f'--{edge}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{self._bundle}\r\n'
        head += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        return head.encode() + content + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


@contextmanager
def serving(bundle: str, workers: int) -> Iterator[Client]:
    """A server, until the block ends."""
    settings = [f"bundle={bundle}", "port=0", f"workers={workers}", "limits.wait_seconds=86400", "limits.requests=1000"]
    command = [sys.executable, "-m", "asr", "serve", *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    port = 0
    for line in process.stderr:
        if found := re.search(r" at http://\S+:(\d+);", line):
            port = int(found[1])
            break
    assert port, "the server has not started"
    # Its log is read, or the pipe would be full some time.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield Client(port, Path(bundle).name)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def wav(samples: Any) -> bytes:
    """Samples as a WAV file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((32767 * samples).astype(np.int16).tobytes())
    return content.getvalue()


def speech(seconds: float) -> bytes:
    """The recordings of the repository, one after another, over and over."""
    joined = np.concatenate([load_audio(path, sample_rate=RATE) for path in SAMPLES])
    return wav(np.resize(joined, round(seconds * RATE)))


def at_once(clients: int, work: Sequence[bytes], send: Callable[[bytes], tuple[int, float]]) -> list[float]:
    """The seconds of each request, sent by so many clients one after another."""
    with ThreadPoolExecutor(clients) as threads:
        answers = list(threads.map(send, work))
    assert {status for status, _ in answers} == {200}, answers
    return [seconds for _, seconds in answers]


def measure_throughput(bundle: str, workers: int, repeat: int) -> dict[str, Any]:
    """Seconds of audio per second: the command on a list of files, and a server to which they are sent at once."""
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, (turn, path) in enumerate(itertools.product(range(repeat), SAMPLES)):
            names.append(Path(folder) / f"{number}-{turn}.opus")
            names[-1].write_bytes(path.read_bytes())
        silence = Path(folder) / "silence.wav"
        silence.write_bytes(wav(np.zeros(RATE // 2)))
        audio = repeat * sum(len(load_audio(path, sample_rate=RATE)) / RATE for path in SAMPLES)
        base = [sys.executable, "-m", "asr", "transcribe", f"bundle={bundle}", f"workers={workers}", "--quiet"]
        seconds = []
        for files in ([silence], names):
            began = time.monotonic()
            subprocess.run([*base, *files], check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.monotonic() - began)
        command = seconds[1] - seconds[0]  # without the start
        contents = [name.read_bytes() for name in names]
        with serving(bundle, workers) as client:
            at_once(workers or 2, contents[:4], client.transcribe)
            began = time.monotonic()
            at_once(8, contents, client.transcribe)
            served = time.monotonic() - began
    row = {
        "recordings": len(names),
        "audio_seconds": round(audio, 1),
        "command_speed": round(audio / command, 1),
        "served_speed": round(audio / served, 1),
        "served_share": round(command / served, 3),
    }
    print(f"{len(names)} recordings, {audio:.0f} s: command {audio / command:.1f} times real time, ", end="")
    print(f"served to 8 clients {audio / served:.1f} times ({row['served_share']:.0%})", flush=True)
    return row


def measure_latency(bundle: str, workers: int, clients: Sequence[int]) -> list[dict[str, Any]]:
    """Seconds until a recording of the repository is answered, by the number of clients."""
    rows = []
    contents = [path.read_bytes() for path in SAMPLES]
    print("clients   median      95 %   requests/s")
    with serving(bundle, workers) as client:
        at_once(2, contents, client.transcribe)
        for count in clients:
            work = [contents[number % len(contents)] for number in range(max(20, 4 * count))]
            began = time.monotonic()
            seconds = sorted(at_once(count, work, client.transcribe))
            rate = len(work) / (time.monotonic() - began)
            median, late = statistics.median(seconds), seconds[int(0.95 * len(seconds))]
            rows.append({"clients": count, "median": round(median, 3), "p95": round(late, 3), "rate": round(rate, 2)})
            print(f"{count:7} {median:8.2f} {late:9.2f} {rate:12.2f}", flush=True)
    return rows


def measure_fairness(bundle: str, workers: int) -> dict[str, Any]:
    """Seconds until a clip of 3 s is answered while an hour and three recordings of 10 minutes are transcribed."""
    clip, hour, others = speech(3), speech(3600), speech(600)
    with serving(bundle, workers) as client:
        alone = statistics.median(client.transcribe(clip)[1] for _ in range(5))
        connections = [client.send(one) for one in (hour, others, others, others)]
        while client.metric("asr_waiting_audio_seconds") < 3600:
            time.sleep(0.1)
        seconds = [client.transcribe(clip)[1] for _ in range(10)]
        waited = client.metric("asr_waiting_audio_seconds")
        for connection in connections:
            connection.close()
    row = {"alone": round(alone, 3), "median": round(statistics.median(seconds), 3), "worst": round(max(seconds), 3)}
    print(f"a clip of 3 s: alone {alone:.2f} s, beside an hour and three recordings of 10 minutes ", end="")
    print(f"{row['median']:.2f} s, at worst {row['worst']:.2f} s ({waited:.0f} s of audio waited)", flush=True)
    return row


def measure_memory(bundle: str, workers: int, requests: int) -> list[dict[str, float]]:
    """Memory after shares of many requests, one in ten of which is broken or abandoned."""
    draw = random.Random(1)
    contents = [path.read_bytes() for path in SAMPLES] + [speech(3), speech(40)]
    rows: list[dict[str, float]] = []
    print("requests    memory")
    with serving(bundle, workers) as client:

        def send(number: int) -> None:
            content = contents[number % len(contents)]
            broken: list[Callable[[], object]] = [
                lambda: client.transcribe(content[: len(content) // 3]),
                lambda: client.transcribe(draw.randbytes(1000)),
                lambda: client.hang_up(content),
                lambda: client.break_off(content),
            ]
            if number % 10 == 9:
                broken[number // 10 % len(broken)]()
            else:
                client.transcribe(content)

        steps = 10
        with ThreadPoolExecutor(4) as threads:
            for step in range(steps + 1):
                # The first ones grow what every server needs.
                begin, end = (0, 100) if step == 0 else ((step - 1) * requests // steps, step * requests // steps)
                list(threads.map(send, range(begin, end)))
                megabytes = client.metric("asr_resident_memory_bytes") / 1e6
                rows.append({"requests": end if step else 0, "megabytes": round(megabytes, 1)})
                print(f"{rows[-1]['requests']:8} {megabytes:6.0f} MB", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["throughput", "latency", "fairness", "memory"])
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--workers", type=int, default=0, help="cores; 0 for all")
    parser.add_argument("--repeat", type=int, default=4, help="how often each recording is sent (throughput)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="numbers of clients (latency)")
    parser.add_argument("--requests", type=int, default=1000, help="number of requests (memory)")
    arguments = parser.parse_args()
    bundle, workers, found = arguments.bundle, arguments.workers, dict[str, Any]()
    for part in arguments.parts:
        if part == "throughput":
            found[part] = measure_throughput(bundle, workers, arguments.repeat)
        elif part == "latency":
            found[part] = measure_latency(bundle, workers, arguments.clients)
        elif part == "fairness":
            found[part] = measure_fairness(bundle, workers)
        else:
            found[part] = measure_memory(bundle, workers, arguments.requests)
    print(json.dumps({"bundle": bundle} | found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
