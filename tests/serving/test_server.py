"""The server as a process: limits, keys, clients that hang up or are slow, signals, crashes, what it leaves behind."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr import load_bundle
from asr.errors import ConfigError
from asr.serving.limits import Keys
from asr.serving.server import check_access, is_loopback, serve
from asr.serving.uploads import UploadFolder
from asr.settings.commands import ServeConfig

from ..conftest import RATE
from .running import SAMPLE, Answer, RunningServer, form, running
from .test_openai_api import long_recording, wave_file

KEYS = {"anna": "a" * 30, "bert": "b" * 30}
PATH = "/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def recording() -> bytes:
    """Four minutes of speech: a worker has to do with it for a second or two."""
    return long_recording(240)


@contextmanager
def socket_to(server: RunningServer):
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        yield connection


def send_head(connection: socket.socket, *headers: str, path: str = PATH) -> None:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: multipart/form-data; boundary=x", *headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())


def read_answer(connection: socket.socket) -> bytes:
    """Status line, headers and body."""
    answer = b""
    while not (found := re.search(rb"content-length: (\d+)\r\n.*?\r\n\r\n", answer, re.DOTALL)) or len(
        answer
    ) < found.end() + int(found[1]):
        received = connection.recv(10_000)
        assert received, answer
        answer += received
    return answer


FILE_HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
FIELD = b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny'


def files_in(folder: Path) -> list[Path]:
    """Uploads that are there."""
    return [path for path in folder.glob("*/*") if path.name != "lock"]


class TestLimits:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory):
        settings = ["limits.megabytes=1", "limits.idle_seconds=0.6", "limits.requests=3", "limits.hours=0.01"]
        with running(tmp_path_factory.mktemp("limited"), *settings) as server:
            yield server

    def test_an_upload_too_large_by_its_header_is_refused_before_it_is_sent(self, server):
        with socket_to(server) as connection:
            send_head(connection, "Content-Length: 5000000000")
            answer = read_answer(connection)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"file_too_large"' in answer
        assert b"1 MB" in answer

    def test_an_upload_too_large_without_such_a_header_is_refused_while_it_is_read(self, server):
        with socket_to(server) as connection:
            send_head(connection, "Transfer-Encoding: chunked")
            chunk = FILE_HEAD + bytes(200_000)
            sent = 0
            for _ in range(10):
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                chunk = bytes(200_000)
                sent += len(chunk)
            answer = read_answer(connection)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert files_in(server.uploads) == []

    def test_a_client_that_sends_all_before_it_reads_gets_the_refusal(self, server):
        """The connection is not reset while it sends."""
        answer = server.transcribe(bytes(5_000_000))
        assert (answer.status, answer.error["code"]) == (413, "file_too_large")

    def test_a_recording_that_is_too_long_is_refused(self, server):
        answer = server.transcribe(wave_file(np.zeros(20 * RATE, np.int16)))
        assert answer.status == 200
        quiet = np.zeros(60 * RATE, np.uint8)
        answer = server.transcribe(b"".join([wave_header(8, len(quiet)), quiet.tobytes()]))
        assert (answer.status, answer.error["param"]) == (400, "file")
        assert "longer than 0.01 hours" in answer.error["message"]

    def test_an_upload_that_pauses_is_abandoned(self, server):
        with socket_to(server) as connection:
            send_head(connection, "Content-Length: 1000")
            connection.sendall(FILE_HEAD)
            assert read_answer(connection).startswith(b"HTTP/1.1 408 ")
        assert files_in(server.uploads) == []

    def test_an_upload_of_single_bytes_is_abandoned(self, server):
        """Never silent for long, and never done."""
        with socket_to(server) as connection:
            send_head(connection, "Content-Length: 1000")
            connection.sendall(FILE_HEAD)
            connection.settimeout(0.1)
            for _ in range(50):
                connection.sendall(b"-")
                try:
                    answer = connection.recv(10_000)
                    break
                except TimeoutError:
                    continue
        assert answer.startswith(b"HTTP/1.1 408 ")

    def test_headers_that_do_not_arrive_close_the_connection(self, server):
        with socket_to(server) as silent, socket_to(server) as slow:
            slow.settimeout(0.1)
            for _ in range(50):
                slow.sendall(b"G")
                try:
                    answer = slow.recv(10)
                    break
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    answer = b""
                    break
            assert answer == b""
            assert silent.recv(10) == b""

    def test_answers_that_a_client_does_not_read_close_the_connection(self, server):
        """It asks again and again; the system's buffers hold a few of these answers."""
        request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((server.host, server.port))
            connection.sendall(3000 * request)
            poll = select.poll()
            poll.register(connection, 0)  # closed, or reset
            assert poll.poll(20_000)

    def test_more_requests_than_may_be_open_are_told_when_to_come_again(self, server):
        with socket_to(server) as one, socket_to(server) as two, socket_to(server) as three:
            for connection in (one, two, three):
                send_head(connection, "Content-Length: 1000")
            server.waits_for(lambda: server.open_requests() == 3)
            answer = server.transcribe()
            assert (answer.status, answer.error["code"], answer.error["type"]) == (429, "server_busy", "requests")
            assert int(answer.headers["retry-after"]) >= 1
        server.waits_for(lambda: server.open_requests() == 0)
        assert server.transcribe().status == 200

    def test_damaged_forms_are_answered_and_leave_nothing(self, server):
        draw = np.random.default_rng(11)
        body, kind = form(SAMPLE, [("model", "tiny"), ("response_format", "verbose_json")])
        edge = kind.partition("boundary=")[2].encode()
        statuses = set()
        for number in range(150):
            damaged = bytearray(body)
            for place in draw.integers(0, len(body), 1 + number % 5):
                damaged[place] = draw.integers(256)
            start, end = sorted(draw.integers(0, len(body), 2))
            pieces = [bytes(damaged), body[:end], body[:start] + body[end:], body + body, edge * (number + 1)]
            answer = server.request("POST", PATH, pieces[number % len(pieces)], {"Content-Type": kind})
            statuses.add(answer.status)
            assert answer.status in (200, 400, 404), (number, answer.text)
        assert len(statuses) > 1
        assert files_in(server.uploads) == []

    def test_a_form_of_many_or_large_values_is_refused(self, server):
        for fields in ([("prompt", "x" * 70_000)], [("keywords[]", "a")] * 201):
            assert server.transcribe(SAMPLE, fields).status == 400


def wave_header(bits: int, size: int) -> bytes:
    """The header of a mono WAV file of 16 kHz."""
    import struct

    width = bits // 8
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * width, width, bits, b"data", size),
    )


class TestKeys:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("keys")
        (folder / "keys").write_text(f"# who has them\n\nanna {KEYS['anna']} 1\nbert {KEYS['bert']}\n")
        with running(folder, f"keys_file={folder / 'keys'}") as server:
            yield server

    def test_a_request_needs_a_key(self, server):
        for key in (None, "wrong", KEYS["anna"][:-1], KEYS["anna"] + "a", "ä"):
            answer = server.transcribe(key=key and key.encode().decode("latin-1"))
            assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
            assert answer.headers["www-authenticate"] == "Bearer"
        for key in KEYS.values():
            assert server.transcribe(key=key).status == 200

    def test_another_scheme_is_no_key(self, server):
        assert server.get("/v1/models", Authorization=f"Basic {KEYS['anna']}").status == 401
        assert server.get("/v1/models", Authorization=f"bearer {KEYS['anna']}").status == 200

    def test_only_what_supervisors_and_readers_need_is_public(self, server):
        for path in ("/health", "/ready", "/docs", "/openapi.json"):
            assert server.get(path).status == 200
        for path in ("/metrics", "/v1/models", "/v1/models/tiny", "/other"):
            assert server.get(path).status == 401
        assert server.get("/metrics", Authorization=f"Bearer {KEYS['anna']}").status == 200

    def test_a_large_upload_without_a_key_is_not_stored(self, server):
        with socket_to(server) as connection:
            send_head(connection, "Content-Length: 5000000000")
            connection.sendall(FILE_HEAD + bytes(100_000))
            assert read_answer(connection).startswith(b"HTTP/1.1 401 ")
            assert files_in(server.uploads) == []

    def test_a_key_has_a_number_of_open_requests(self, server):
        with socket_to(server) as connection:
            send_head(connection, "Content-Length: 1000", f"Authorization: Bearer {KEYS['anna']}")
            server.waits_for(lambda: "asr_open_requests 1.0" in self.metrics(server))
            answer = server.transcribe(key=KEYS["anna"])
            assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
            assert int(answer.headers["retry-after"]) >= 1
            assert server.transcribe(key=KEYS["bert"]).status == 200
        server.waits_for(lambda: "asr_open_requests 0.0" in self.metrics(server))
        assert server.transcribe(key=KEYS["anna"]).status == 200

    def metrics(self, server: RunningServer) -> str:
        return server.get("/metrics", Authorization=f"Bearer {KEYS['bert']}").text

    def test_the_document_says_that_keys_are_needed(self, server):
        document = server.get("/openapi.json").json
        assert document["security"] == [{"key": []}]
        assert document["paths"]["/health"]["get"]["security"] == []
        assert "401" in document["paths"][PATH]["post"]["responses"]
        assert "Authorization: Bearer" in server.get("/docs").text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"has no keys: a line must be NAME KEY \[REQUESTS\]"),
        ("# none\n", "has no keys"),
        (f"{KEYS['anna']}\n", r"keys:1: a line must be NAME KEY .* has 1 words"),
        ("\nanna short\n", r"keys:2: a key must have at least 16 .*openssl rand -hex 24"),
        (f"anna {'ä' * 20}\n", "keys:1: a key must"),
        (f"anna {KEYS['anna']} many\n", r"keys:1: the number of open requests must be .* not many"),
        (f"anna {KEYS['anna']} {5000 * '9'}\n", r"keys:1: the number of open requests must be .* not 999"),
        (f"anna {KEYS['anna']} 0\n", r"keys:1: the number"),
        (f"anna {KEYS['anna']}\nbert {KEYS['anna']}\n", "keys:2: the name 'bert' or its key is in the file twice"),
        (f"anna {KEYS['anna']}\nanna {KEYS['bert']}\n", "keys:2: the name 'anna'"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_named_with_its_line(tmp_path, content, message):
    (tmp_path / "keys").write_text(content)
    with pytest.raises(ConfigError, match=message):
        Keys.read(tmp_path / "keys", most_requests=4)


def test_a_missing_file_of_keys_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"keys_file: .*none: No such file"):
        Keys.read(tmp_path / "none", most_requests=4)


def test_without_keys_only_this_machine_is_served(asr_command, tmp_path):
    for host in ("127.0.0.1", "localhost", "::1"):
        assert is_loopback(host)
        check_access(host, Keys())
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        assert not is_loopback(host)
        with pytest.raises(ConfigError, match=f"host={host} can be reached from other machines.* keys_file=FILE"):
            check_access(host, Keys())
    outcome = asr_command("serve", "bundle=tiny", "host=0.0.0.0")
    assert outcome.code == 2
    assert outcome.err.startswith("asr: error: host=0.0.0.0 can be reached")


def test_an_address_or_folder_that_cannot_be_used_is_named(asr_command, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = asr_command("serve", "bundle=tiny", f"port={port}")
    assert (outcome.code, outcome.err) == (
        2,
        f"asr: error: 127.0.0.1, port {port}, cannot be served at: Address already in use; port=NUMBER chooses "
        "another, 0 a free one\n",
    )
    assert "no such address" in asr_command("serve", "bundle=tiny", "host=no.such.host.invalid").err
    missing = asr_command("serve", "bundle=tiny", "port=0", f"upload_dir={tmp_path / 'none'}")
    assert (missing.code, missing.err) == (
        2,
        f"asr: error: uploads cannot be written to {tmp_path / 'none'} (upload_dir): No such file or directory\n",
    )
    assert "takes no files" in asr_command("serve", "bundle=tiny", SAMPLE).err


class TestOrigins:
    @pytest.fixture(scope="class")
    @classmethod
    def servers(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("origins")
        with running(folder / "a") as closed, running(folder / "b", "origins=[https://good.example]") as opened:
            yield closed, opened

    def test_a_page_of_another_site_can_do_nothing(self, servers):
        for server in servers:
            answer = server.get("/v1/models", Origin="https://evil.example")
            assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in answer.headers
            assert server.get("/v1/models", Origin="null").status == 403

    def test_a_site_that_names_this_machine_as_its_own_can_do_nothing(self, servers):
        port = servers[0].port
        asked = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
        assert servers[0].get("/v1/models", **asked).status == 403
        assert servers[0].get("/v1/models", Host="localhost:1", Origin="http://localhost:1").status == 200

    @pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/health", "/docs"])
    def test_it_can_read_nothing_either_though_a_browser_sends_no_origin(self, servers, path):
        """A page gets its own site's answers; that the site has this machine's address is all that is wrong."""
        for host in ("evil.example:8123", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "a.b]"):
            answer = servers[0].get(path, Host=host)
            assert (answer.status, answer.error["code"]) == (403, "host_not_allowed")
            assert "origins=[https://" in answer.error["message"]

    def test_a_stream_of_such_a_site_is_refused(self, servers):
        asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        key = {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        for path in ("/vosk", "/v1/live", "/v1/realtime"):
            assert servers[0].request("GET", path, headers=asked | key | {"Host": "evil.example"}).status == 403

    @pytest.mark.parametrize(
        "host",
        [
            *("localhost", "LOCALHOST.:80", "127.0.0.1:1", "127.1.2.3", "[::1]:8000", "192.168.3.4:80"),
            *("[fe80::1%25eth0]", "asr", "asr:8000", "asr.localhost", "laptop.local:8000"),
            *("host.docker.internal:8000", "nas.home.arpa"),
        ],
    )  # fmt: skip
    def test_addresses_and_names_that_no_site_can_have_are_served(self, servers, host):
        assert servers[0].get("/v1/models", Host=host).status == 200

    def test_the_name_of_an_allowed_site_is_served_and_without_a_name_everyone_is(self, servers):
        closed, opened = servers
        assert opened.get("/v1/models", Host="good.example").status == 200
        with socket_to(closed) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert read_answer(connection).startswith(b"HTTP/1.1 200 ")

    def test_with_keys_every_name_is_served(self, tmp_path):
        (tmp_path / "keys").write_text(f"anna {'k' * 32}\n")
        with running(tmp_path, f"keys_file={tmp_path / 'keys'}") as server:
            headers = {"Authorization": f"Bearer {'k' * 32}", "Host": "asr.example.org"}
            assert server.get("/v1/models", **headers).status == 200
            assert server.get("/v1/models", **headers, Origin="http://asr.example.org").status == 200

    def test_the_own_page_and_named_sites_may(self, servers):
        closed, opened = servers
        for server in servers:
            assert server.get("/v1/models", Origin=server.address).status == 200
        assert closed.get("/v1/models", Origin="https://good.example").status == 403
        answer = opened.get("/v1/models", Origin="https://good.example")
        assert answer.headers["access-control-allow-origin"] == "https://good.example"
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        answer = opened.request("OPTIONS", PATH, headers={"Origin": "https://good.example"} | asked)
        assert answer.status == 200
        assert "authorization" in answer.headers["access-control-allow-headers"]


class TestOneServer:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory):
        with running(tmp_path_factory.mktemp("server"), "limits.wait_seconds=0.1") as server:
            yield server

    def test_a_client_that_hangs_up_ends_its_work(self, server, recording):
        body, kind = form(recording, [("model", "tiny")])
        for stream in (False, True):
            if stream:
                body, kind = form(recording, [("model", "tiny"), ("stream", "true")])
            connection = server.connect()
            connection.request("POST", PATH, body, {"Content-Type": kind})
            server.waits_for(lambda: server.metric("asr_waiting_audio_seconds") > 0)
            connection.close()
            begin = time.monotonic()
            server.waits_for(lambda: server.open_requests() == 0)
            assert time.monotonic() - begin < 5
            assert server.metric("asr_waiting_audio_seconds") == 0
            assert files_in(server.uploads) == []

    def test_a_client_that_hangs_up_while_it_uploads_leaves_nothing(self, server):
        with socket_to(server) as connection:
            send_head(connection, "Content-Length: 1000000")
            connection.sendall(FILE_HEAD + bytes(1000))
            server.waits_for(lambda: len(files_in(server.uploads)) == 1)
        server.waits_for(lambda: server.open_requests() == 0 and not files_in(server.uploads))

    def test_while_much_audio_waits_new_requests_are_told_for_how_long(self, server, recording):
        """The wait follows from the audio and the speed, as the metrics have them."""
        with ThreadPoolExecutor() as threads:
            first = threads.submit(server.transcribe, recording)
            server.waits_for(lambda: server.metric("asr_wait_seconds") > 0.15)
            before = server.metric("asr_wait_seconds")
            answer = server.transcribe()
            assert (answer.status, answer.error["code"]) == (429, "server_busy")
            assert 1 <= int(answer.headers["retry-after"]) <= before + 1
            ready = server.get("/ready")
            assert (ready.status, ready.json) == (503, {"status": "busy", "model": "tiny"})
            assert server.get("/health").status == 200
            assert first.result().status == 200
        assert server.get("/ready").json == {"status": "ready", "model": "tiny"}

    def test_a_crashed_worker_costs_its_request_and_is_replaced(self, server, recording):
        with ThreadPoolExecutor() as threads:
            first = threads.submit(server.transcribe, recording)
            server.waits_for(lambda: server.metric("asr_waiting_audio_seconds") > 0)
            time.sleep(0.3)
            os.kill(worker_of(server), signal.SIGKILL)
            answer = first.result()
            assert (answer.status, answer.error["type"]) == (500, "server_error")
            assert answer.error["code"] == "worker_crashed"
        begin = time.monotonic()
        server.waits_for(lambda: server.metric("asr_workers") == 1)
        assert time.monotonic() - begin < 10
        assert server.transcribe().status == 200

    def test_a_client_that_does_not_read_holds_nothing_back(self, server):
        with socket_to(server) as connection:
            body, kind = form(SAMPLE, [("model", "tiny"), ("stream", "true")])
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            server.waits_for(lambda: server.metric("asr_audio_seconds_total") > 0)
            assert server.transcribe().status == 200
            server.waits_for(lambda: server.open_requests() == 0)

    def test_every_route_is_in_the_document_and_on_the_page_which_needs_no_network(self, server):
        from starlette.routing import Route

        from asr.serving.app import routes

        document = server.get("/openapi.json").json
        routed = {
            (route.path.replace(":path", ""), method.lower())
            for route in routes()
            if isinstance(route, Route)  # the format has no WebSockets
            for method in (route.methods or ()) - {"HEAD"}
        }
        assert {(path, method) for path, item in document["paths"].items() for method in item} == routed
        answer = server.get("/docs")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        for path in document["paths"]:
            assert path in answer.text
        assert "src=" not in answer.text
        assert answer.text.count("http://") == answer.text.count(server.address)
        assert "https://" not in answer.text

    def test_nothing_of_a_recording_or_a_form_is_in_the_log(self, server):
        """Also where a request fails."""
        server.transcribe(SAMPLE, [("prompt", "Secretname"), ("response_format", "xml")], key="SECRETKEY")
        text = server.transcribe(SAMPLE, [("prompt", "Secretname")], key="SECRETKEY").json["text"]
        server.transcribe(b"SECRETSOUND", [("keywords[]", "Secretword☃")])
        server.get("/v1/models/SECRETPATH?key=SECRETKEY")
        server.waits_for(lambda: "GET /v1/models/{model:path} 404" in "".join(server.log))
        log = "".join(server.log)
        assert "POST /v1/audio/transcriptions 200" in log
        assert "secret" not in log.lower()
        assert SAMPLE.name not in log
        assert not any(word in log for word in text.split() if len(word) > 3)

    def test_the_log_has_a_line_for_a_request_and_nothing_else(self, server):
        """No traceback, and no complaint about a client that has gone."""
        expected = r"(GET|POST) \S+ \d{3} \d+\.\d\d s|serving .*|  curl .*|error: a worker ended: .*"
        assert [line for line in server.log if not re.fullmatch(expected, line.rstrip("\n"))] == []

    def test_requests_are_counted_by_route_and_status(self, server):
        server.get("/no/such/path")
        metrics = server.get("/metrics").text
        assert 'asr_requests_total{route="other",status="404"}' in metrics
        assert 'asr_requests_total{route="/v1/audio/transcriptions",status="200"}' in metrics
        assert server.metric("asr_resident_memory_bytes") > 50e6
        assert server.metric("asr_computing_seconds_total") > 0


def children_of(server: RunningServer) -> set[int]:
    """The processes that the server has started."""
    return {
        int(path.name)
        for path in Path("/proc").glob("[0-9]*")
        if (path / "stat").exists()
        and int((path / "stat").read_text().rpartition(")")[2].split()[1]) == server.process.pid
    }


def worker_of(server: RunningServer) -> int:
    """The process of the recogniser: the largest child."""

    def size(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])

    return max(children_of(server), key=size)


class TestEnd:
    def test_sigterm_answers_what_is_open_also_what_still_arrives(self, tmp_path, recording):
        with running(tmp_path) as server, ThreadPoolExecutor() as threads:
            first = threads.submit(server.transcribe, recording)
            with socket_to(server) as uploading, socket_to(server) as idle:
                content = FILE_HEAD + SAMPLE.read_bytes() + FIELD + b"\r\n--x--\r\n"
                send_head(uploading, f"Content-Length: {len(content)}")
                server.waits_for(lambda: server.metric("asr_waiting_audio_seconds") > 0)
                server.process.send_signal(signal.SIGTERM)
                server.waits_for(lambda: not accepts(server))
                assert idle.recv(10) == b""
                uploading.sendall(content)
                assert read_answer(uploading).startswith(b"HTTP/1.1 200 ")
            answer = first.result()
            assert answer.status == 200
            assert answer.json["text"]
            assert server.process.wait(30) == 143
            assert list(server.uploads.iterdir()) == []

    def test_after_the_grace_open_requests_are_refused(self, tmp_path):
        with running(tmp_path, "grace_seconds=0.5") as server, ThreadPoolExecutor() as threads:
            first = threads.submit(server.transcribe, long_recording(1800))
            with socket_to(server) as uploading:
                send_head(uploading, "Content-Length: 400")
                server.waits_for(lambda: server.metric("asr_waiting_audio_seconds") > 0)
                begin = time.monotonic()
                assert server.end() == 143
                assert time.monotonic() - begin < 10
                assert read_answer(uploading).startswith(b"HTTP/1.1 503 ")
            answer = first.result()
            assert (answer.status, answer.error["code"]) == (503, "server_stopping")
            assert "retry-after" in answer.headers
            assert list(server.uploads.iterdir()) == []

    def test_ctrl_c_ends_as_well_and_a_second_signal_ends_at_once(self, tmp_path, recording):
        with running(tmp_path) as server, ThreadPoolExecutor() as threads:
            first = threads.submit(server.transcribe, recording)
            server.waits_for(lambda: server.metric("asr_waiting_audio_seconds") > 0)
            server.process.send_signal(signal.SIGINT)
            server.waits_for(lambda: not accepts(server))
            begin = time.monotonic()
            assert server.end(signal.SIGINT) == 130
            assert time.monotonic() - begin < 5
            assert first.result().status == 503
            assert list(server.uploads.iterdir()) == []

    def test_a_signal_while_it_starts_ends_it_at_once(self, tmp_path):
        command = [sys.executable, "-m", "asr", "serve", "port=0", f"upload_dir={tmp_path}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 60
            while not list(tmp_path.iterdir()):  # the last step before the workers start
                assert time.monotonic() < until
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (143, "")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("step", ["tempfile.mkdtemp", "asyncio.events.new_event_loop", "asr.serving.server.Pool"])
    def test_a_signal_at_any_step_of_the_start_leaves_nothing_behind(self, tmp_path, monkeypatch, step, number):
        module, name = step.rsplit(".", 1)
        original = getattr(sys.modules[module], name)

        def step_with_signal(*args: Any, **options: Any) -> Any:
            done = original(*args, **options)
            os.kill(os.getpid(), number)
            return done

        monkeypatch.setattr(step, step_with_signal)
        settings, bundle = ServeConfig(port=0, upload_dir=str(tmp_path)), load_bundle("tiny")
        before = signal.signal(number, handler := lambda *_: pytest.fail("the signal was not collected"))
        try:
            assert serve(bundle, settings, announce=pytest.fail) == 128 + number
            assert signal.getsignal(number) is handler
        finally:
            signal.signal(number, before)
        assert list(tmp_path.iterdir()) == []

    def test_many_requests_at_the_end_each_get_an_answer(self, tmp_path):
        """Whatever moment they are in: those that were accepted are answered, others find nobody."""
        answers: list[Answer] = []
        refused: list[OSError] = []

        def send() -> None:
            while True:
                try:
                    answers.append(server.transcribe())
                except ConnectionRefusedError as error:
                    refused.append(error)
                    return

        with running(tmp_path, "workers=2") as server:
            threads = [threading.Thread(target=send) for _ in range(6)]
            for thread in threads:
                thread.start()
            server.waits_for(lambda: len(answers) > 12)
            assert server.end() == 143
            for thread in threads:
                thread.join()
        assert len(refused) == 6
        assert {one.status for one in answers} <= {200, 503}

    @pytest.mark.slow
    def test_what_a_killed_server_left_is_removed_by_the_next(self, tmp_path):
        other = tmp_path / "uploads" / "asr-serve-mine"
        other.mkdir(parents=True)
        with running(tmp_path) as killed, running(tmp_path) as beside:
            with socket_to(killed) as connection:
                send_head(connection, "Content-Length: 1000000")
                connection.sendall(FILE_HEAD + bytes(1000))
                killed.waits_for(lambda: len(files_in(killed.uploads)) == 1)
                (left,) = {path.parent for path in files_in(killed.uploads)}
                killed.process.kill()
                killed.process.wait()
            assert left.exists()
            with running(tmp_path):
                assert not left.exists()
                assert len([*beside.uploads.glob("*/lock")]) == 2
            assert beside.transcribe().status == 200
        assert other.exists()


def accepts(server: RunningServer) -> bool:
    try:
        socket.create_connection((server.host, server.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_folder_of_uploads_is_private_and_removed(tmp_path):
    with UploadFolder(tmp_path) as folder:
        assert folder.path.stat().st_mode & 0o077 == 0
        (folder.path / "a").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_uploads_whose_process_was_killed_is_removed_by_the_next(tmp_path):
    code = """
import pathlib, sys
from asr.serving.uploads import UploadFolder
with UploadFolder(pathlib.Path(sys.argv[1])) as folder:
    (folder.path / "a").write_text("x")
    print(folder.path, flush=True)
    input()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        killed, running_one = (Path(process.stdout.readline().strip()) for process in processes)
        processes[0].kill()
        processes[0].wait()
        with UploadFolder(tmp_path):
            assert not killed.exists()
            assert (running_one / "a").exists()
        processes[1].communicate("end\n")
        assert list(tmp_path.iterdir()) == []
    finally:
        for process in processes:
            process.kill()
            process.communicate()
