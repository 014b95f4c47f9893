"""`asr serve` in a process of its own, and an HTTP client that is nothing but sockets and forms."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..conftest import REPOSITORY, SAMPLES

SAMPLE = SAMPLES / "422-122949-0004.opus"
Fields = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str | None]:
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"message", "type", "param", "code"}
        return self.json["error"]


@dataclass
class RunningServer:
    """A server that accepts connections."""

    process: subprocess.Popen[str]
    host: str
    port: int
    uploads: Path
    log: list[str]
    """lines on stderr so far"""

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    def connect(self, timeout: float = 120) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def transcribe(
        self,
        file: Path | bytes | None = SAMPLE,
        fields: Fields = (),
        *,
        key: str | None = None,
        model: str | None = "tiny",
        path: str = "/v1/audio/transcriptions",
    ) -> Answer:
        """Post a form, with the model unless it is None."""
        body, kind = form(file, [*([("model", model)] if model else []), *fields])
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {key}"} if key else {})
        return self.request("POST", path, body, headers)

    def end(self, number: int = signal.SIGTERM, timeout: float = 60) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def waits_for(self, condition: Any, seconds: float = 30) -> None:
        """Wait until something holds."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come to hold"
            time.sleep(0.02)

    def open_requests(self) -> float:
        return self.metric("asr_open_requests")

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert found, name
        return float(found[1])


def form(file: Path | bytes | None, fields: Fields = ()) -> tuple[bytes, str]:
    """The body of a form and its content type."""
    boundary = secrets.token_hex(16)
    parts = []
    for name, value in fields:
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    if file is not None:
        content, name = (file, "sound") if isinstance(file, bytes) else (file.read_bytes(), file.name)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


@contextmanager
def running(folder: Path, *settings: str, bundle: str | Path = "tiny") -> Iterator[RunningServer]:
    """A server of a bundle on a free port, which is killed afterwards if it still runs."""
    uploads = folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "asr", "serve", f"bundle={bundle}", "port=0", f"upload_dir={uploads}"]
    process = subprocess.Popen(
        [*command, "workers=1", *settings], stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    log: list[str] = []
    found: list[str] = []
    answering = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            log.append(line)
            if match := re.search(r" at (http://\S+);", line):
                found.append(match[1])
                answering.set()
        answering.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert answering.wait(120)
        assert found, "".join(log)
        place = urlsplit(found[0])
        assert place.hostname is not None
        assert place.port is not None
        yield RunningServer(process, place.hostname, place.port, uploads, log)
    finally:
        process.kill()
        process.wait()
        reader.join()
        if process.stderr is not None:
            process.stderr.close()
