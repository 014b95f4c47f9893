"""What holds for the live streams of every protocol: limits, slow and vanished clients, crashes, the end, counters."""

from __future__ import annotations

import base64
import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from .live import pieces, receive, samples, send, session_finals, two_segments, web_socket
from .running import RunningServer, running
from .test_server import worker_of
from .wyoming_socket import FORMAT, wyoming_socket

REALTIME = "/v1/realtime?intent=transcription"
COMPLETED = "conversation.item.input_audio_transcription.completed"
PROTOCOLS = pytest.mark.parametrize("protocol", ["realtime", "vosk", "wyoming"])


class Stream:
    """A stream of a protocol, as a test sees it."""

    connection: socket.socket

    def __init__(self, server: RunningServer, stack: ExitStack) -> None:
        self.server, self.stack = server, stack

    def begin(self) -> None:
        """Begin with 16 kHz; returns when it is open."""
        raise NotImplementedError

    def push(self, content: np.ndarray) -> None:
        """Send samples without waiting for anything."""
        raise NotImplementedError

    def texts_until_end(self) -> list[str]:
        """Final texts until the server ends the stream."""
        raise NotImplementedError

    def refusal(self) -> str:
        """The error with which the server ends the stream."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """Close the connection without a word."""
        self.connection.shutdown(socket.SHUT_RDWR)


class WebStream(Stream):
    path = ""

    def open(self) -> None:
        self.socket = self.stack.enter_context(web_socket(self.server, self.path, close_timeout=1))
        self.connection = self.socket.socket

    def messages(self) -> list[dict]:
        found = []
        while True:
            try:
                found.append(receive(self.socket))
            except ConnectionClosed as end:
                self.end = end
                return found


class Realtime(WebStream):
    path = REALTIME

    def begin(self) -> None:
        self.open()
        self.first = receive(self.socket)
        if self.first["type"] == "session.created":
            audio = {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}
            send(self.socket, type="session.update", session={"audio": audio})
            assert receive(self.socket)["type"] == "session.updated"

    def push(self, content: np.ndarray) -> None:
        send(self.socket, type="input_audio_buffer.append", audio=base64.b64encode(content.tobytes()).decode())

    def texts_until_end(self) -> list[str]:
        return [one["transcript"] for one in self.messages() if one["type"] == COMPLETED]

    def refusal(self) -> str:
        (error,) = (one["error"] for one in [self.first, *self.messages()] if one["type"] == "error")
        return f"{error['code']}: {error['message']}"


class Vosk(WebStream):
    path = "/vosk"

    def begin(self) -> None:
        self.open()
        try:
            send(self.socket, config={"sample_rate": 16_000})
            self.socket.send(b"")
            assert receive(self.socket) == {"partial": ""}
        except ConnectionClosed as end:
            self.end = end

    def push(self, content: np.ndarray) -> None:
        self.socket.send(content.tobytes())

    def texts_until_end(self) -> list[str]:
        return [one["text"] for one in self.messages() if one.get("text")]

    def refusal(self) -> str:
        if not hasattr(self, "end"):
            self.messages()
        return f"{self.end.rcvd.code}: {self.end.rcvd.reason}"


class Wyoming(Stream):
    def begin(self) -> None:
        self.client = self.stack.enter_context(wyoming_socket(self.server))
        self.connection = self.client.connection
        self.client.send("audio-start", FORMAT)
        self.client.send("ping", {"text": "open"})
        self.first = self.client.receive()

    def push(self, content: np.ndarray) -> None:
        for piece in pieces(content, seconds=0.5):
            self.client.send("audio-chunk", FORMAT, piece)

    def texts_until_end(self) -> list[str]:
        return [one["data"]["text"].strip() for one in self.client.receive_all() if one["type"] == "transcript-chunk"]

    def refusal(self) -> str:
        found = [one for one in [self.first, *self.client.receive_all()] if one["type"] == "error"]
        (error,) = (one["data"] for one in found)
        return f"{error['code']}: {error['text']}"


KINDS = {"realtime": Realtime, "vosk": Vosk, "wyoming": Wyoming}


@contextmanager
def stream(server, protocol):
    """A stream that has begun."""
    with ExitStack() as stack:
        one = KINDS[protocol](server, stack)
        one.begin()
        yield one


def live_streams(server) -> float:
    return server.metric("asr_live_streams")


class TestLimits:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory):
        limits = ["limits.streams=1", "limits.stream_seconds=5", "limits.stream_idle_seconds=3"]
        with running(tmp_path_factory.mktemp("limited"), "wyoming_port=0", *limits) as server:
            yield server

    @PROTOCOLS
    def test_a_stream_without_room_is_refused_at_its_start_and_its_place_is_free_when_it_ends(self, server, protocol):
        with stream(server, protocol):
            for other in KINDS:
                with stream(server, other) as refused:
                    refusal = refused.refusal()
                    assert re.match("server_busy|1013", refusal)
                    assert "could not be kept in real time" in refusal
        server.waits_for(lambda: live_streams(server) == 0)
        with stream(server, protocol) as accepted:
            accepted.push(samples()[:8000])
            server.waits_for(lambda: live_streams(server) == 1)
        server.waits_for(lambda: live_streams(server) == 0)

    @PROTOCOLS
    def test_a_client_that_sends_nothing_is_told_so_and_its_place_is_free(self, server, protocol):
        with stream(server, protocol) as idle:
            assert "Nothing came for 3 s" in idle.refusal()
        server.waits_for(lambda: live_streams(server) == 0)

    @PROTOCOLS
    def test_a_stream_that_is_too_long_ends_with_the_reason(self, server, protocol):
        with stream(server, protocol) as long:
            for _ in range(3):
                long.push(np.zeros(2 * 16_000, "<i2"))
            assert "longer than 5 s" in long.refusal()
        server.waits_for(lambda: live_streams(server) == 0)

    @PROTOCOLS
    @pytest.mark.parametrize(("pushed", "taken"), [(48_000, 48_000), (100_000, 80_000)])
    def test_what_was_spoken_before_a_limit_is_final(self, server, protocol, pushed, taken):
        with stream(server, protocol) as one:
            one.push(samples()[:pushed])  # then nothing comes for 3 s, or it is longer than 5 s
            assert one.texts_until_end() == [final.text for final in session_finals(samples()[:taken])]
        server.waits_for(lambda: live_streams(server) == 0)

    @pytest.mark.parametrize("pushed", [32_000, 100_000])
    def test_a_buffer_that_was_not_committed_before_a_limit_is_an_item(self, server, pushed):
        with stream(server, "realtime") as one:
            audio = {"input": {"format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": None}}
            send(one.socket, type="session.update", session={"audio": audio})
            one.push(samples()[:pushed])
            taken = min(pushed, 80_000)
            *_, completed, error = one.messages()
            assert error["type"] == "error"
            assert completed["transcript"] == " ".join(final.text for final in session_finals(samples()[:taken]))
            assert completed["usage"]["seconds"] == taken / 16_000

    def test_the_ends_of_streams_are_counted(self, server):
        text = server.get("/metrics").text
        for protocol in KINDS:
            for end in ("server_busy", "idle", "stream_too_long"):
                count = re.search(rf'asr_streams_total{{end="{end}",protocol="{protocol}"}} (\d+)', text)
                assert count, (protocol, end)


class TestClients:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory):
        with running(tmp_path_factory.mktemp("clients"), "wyoming_port=0", "limits.streams=6") as server:
            yield server

    @PROTOCOLS
    def test_a_client_that_vanishes_frees_its_place(self, server, protocol):
        with stream(server, protocol) as gone:
            gone.push(samples())
            gone.hang_up()
            server.waits_for(lambda: live_streams(server) == 0)

    @PROTOCOLS
    def test_samples_faster_than_they_are_recognised_wait_at_the_client(self, server, protocol):
        """An hour of samples that nobody waits for: the server takes a little at a time."""
        before = server.metric("asr_resident_memory_bytes")
        content = np.tile(samples(), 3)
        with stream(server, protocol) as fast:
            fast.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)

            def flood() -> None:
                try:
                    for _ in range(200):
                        fast.push(content)
                except (OSError, ConnectionClosed):
                    pass

            thread = threading.Thread(target=flood, daemon=True)
            thread.start()
            time.sleep(1.5)
            assert server.metric("asr_resident_memory_bytes") < before + 100e6
            assert server.transcribe().status == 200
            fast.hang_up()
            thread.join(20)
            assert not thread.is_alive()
        server.waits_for(lambda: live_streams(server) == 0)

    def test_streams_at_the_same_time_have_each_their_own_text(self, server):
        content = samples()
        parts = [content[:48_000], content[48_000:96_000], content[:32_000]]

        def text_of(job) -> str:
            protocol, part = job
            with stream(server, protocol) as one:
                one.push(part)
                if protocol == "realtime":
                    send(one.socket, type="input_audio_buffer.commit")
                    while (event := receive(one.socket))["type"] != COMPLETED:
                        pass
                    return event["transcript"]
                if protocol == "vosk":
                    one.socket.send('{"eof" : 1}')
                    return one.texts_until_end()[-1]
                one.client.send("audio-stop", {})
                while (event := one.client.receive())["type"] != "transcript":
                    pass
                return event["data"]["text"]

        jobs = [(protocol, parts[number % 3]) for number, protocol in enumerate([*KINDS, *KINDS])]
        with ThreadPoolExecutor(len(jobs)) as threads:
            found = list(threads.map(text_of, jobs))
        assert found == [" ".join(one.text for one in session_finals(part)) for _, part in jobs]

    def test_finals_are_measured_and_nothing_of_a_stream_is_in_the_log(self, server):
        content = two_segments()
        with stream(server, "vosk") as one:
            one.push(content)
            send(one.socket, eof=1)
            texts = one.texts_until_end()
        found = re.search(r'asr_stream_final_seconds_count{protocol="vosk"} (\S+)', server.get("/metrics").text)
        assert found
        assert float(found[1]) >= 2
        log = "".join(server.log)
        assert "vosk: finished after" in log
        assert not any(word in log for text in texts for word in text.split() if len(word) > 5)
        assert "Traceback" not in log


@PROTOCOLS
def test_sigterm_finishes_open_streams_with_their_last_text(tmp_path, protocol):
    content = samples()[:48_000]
    with running(tmp_path, "wyoming_port=0") as server, stream(server, protocol) as one:
        one.push(content)
        server.waits_for(lambda: server.metric("asr_audio_seconds_total") >= 2.5)
        server.process.send_signal(signal.SIGTERM)
        assert one.texts_until_end() == [session_finals(content)[0].text]
        with suppress(OSError):
            one.hang_up()
        assert server.process.wait(20) == 128 + signal.SIGTERM
        server.waits_for(lambda: any(f"{protocol}: finished" in line for line in server.log))
    assert "Traceback" not in "".join(server.log)


def test_sigterm_does_not_wait_for_the_rest_of_a_long_message(tmp_path):
    content = np.tile(samples(), 60)
    with running(tmp_path, "grace_seconds=20") as server, stream(server, "vosk") as one:
        one.push(content)
        server.waits_for(lambda: server.metric("asr_audio_seconds_total") > 1)
        server.process.send_signal(signal.SIGTERM)
        *_, last = one.texts_until_end()
        assert last
        assert server.process.wait(20) == 128 + signal.SIGTERM


@PROTOCOLS
def test_a_crashed_worker_ends_its_stream_and_the_next_one_works(tmp_path, protocol):
    with running(tmp_path, "wyoming_port=0") as server:
        with stream(server, protocol) as one:
            one.push(samples()[:16_000])
            server.waits_for(lambda: server.metric("asr_audio_seconds_total") > 0.5)
            os.kill(worker_of(server), signal.SIGKILL)
            one.push(samples()[:16_000])
            assert "crashed on this request" in one.refusal()
        server.waits_for(lambda: server.metric("asr_workers") == 1)
        with stream(server, protocol) as one:
            one.push(samples()[:16_000])
            server.waits_for(lambda: live_streams(server) == 1)
    assert "Traceback" not in "".join(server.log)
