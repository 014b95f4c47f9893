"""The process of `asr serve`: its socket, its start, and its end, at which no accepted request is lost."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from asr.audio.readers import Limits
from asr.bundle import Bundle
from asr.errors import ConfigError
from asr.files import typed_path
from asr.machine import return_freed_memory
from asr.processes import stopping_signals
from asr.recognition.pool import Pool
from asr.serving import wyoming
from asr.serving.app import make_app
from asr.serving.limits import Keys
from asr.serving.service import Service
from asr.serving.uploads import UploadFolder
from asr.serving.web_sockets import MOST_BYTES, StreamProtocol
from asr.settings.commands import ServeConfig

_log = logging.getLogger(__name__)

# After the grace, requests get their refusals; then connections are cut.
_LAST_SECONDS = 5
_FIRST_REQUEST_SECONDS, _NEXT_REQUEST_SECONDS = 2.0, 0.3
"""how long a connection that has had no request, or is between two, is kept when the server ends"""
_BACKLOG = 512
# Libraries, pipes, worker processes.
_OTHER_FILES = 500


def serve(bundle: Bundle, settings: ServeConfig, *, announce: Callable[[str], object]) -> int:
    """Serve until a signal comes.

    Parameters
    ----------
    bundle : Bundle
    settings : ServeConfig
    announce : callable
        Called with the address when requests are answered.

    Returns
    -------
    int
        128 and the number of the signal.

    Raises
    ------
    ConfigError
        If the server would be open to other machines without API keys, or its address cannot be used.
    """
    keys = Keys()
    if settings.keys_file is not None:
        keys = Keys.read(typed_path(settings.keys_file), most_requests=settings.limits.requests_per_key)
    check_access(settings.host, keys)
    _allow_files(settings.limits.connections)
    return_freed_memory()
    with ExitStack() as stack:
        listener = stack.enter_context(closing(listen(settings.host, settings.port)))
        wyoming_listener = None
        if settings.wyoming_port is not None:
            wyoming_listener = stack.enter_context(
                closing(listen(settings.wyoming_host, settings.wyoming_port, key="wyoming_port"))
            )
        received = stack.enter_context(_signals())  # before the folder, which a signal would leave behind
        parent = None if settings.upload_dir is None else typed_path(settings.upload_dir)
        folder = stack.enter_context(UploadFolder(parent))
        serving = _serve(bundle, settings, keys, folder.path, listener, wyoming_listener, received, announce)
        return asyncio.run(serving)


def _allow_files(connections: int) -> None:
    """Raise the number of files that this process may open, which is 1024 on many systems, if more will be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + _OTHER_FILES  # a connection may have an upload
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def check_access(host: str, keys: Keys) -> None:
    """Refuse an address that other machines reach, unless there are keys.

    Raises
    ------
    ConfigError
        With what to type.
    """
    if keys or is_loopback(host):
        return
    raise ConfigError(
        f"host={host} can be reached from other machines, so the server needs API keys: put a line `NAME KEY` into a "
        "file (`openssl rand -hex 24` makes a key) and type keys_file=FILE; or leave host out, for this machine alone"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address, or all addresses of a name.

    Raises
    ------
    ConfigError
        If it has none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"host={host}: there is no such address ({error.strerror})") from None
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def listen(host: str, port: int, *, key: str = "port") -> socket.socket:
    """A socket that accepts connections.

    Parameters
    ----------
    host : str
    port : int
    key : str
        The setting that the port is from.

    Raises
    ------
    ConfigError
        If the port is in use, or not for this user.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host}, port {port}, cannot be served at: {error.strerror}; {key}=NUMBER chooses another, 0 a free one"
        ) from None
    return listener


async def _serve(
    bundle: Bundle,
    settings: ServeConfig,
    keys: Keys,
    folder: Path,
    listener: socket.socket,
    wyoming_listener: socket.socket | None,
    received: _Received,
    announce: Callable[[str], object],
) -> int:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    pool = Pool(
        bundle,
        decoder=settings.decoder,
        live=settings.live,
        workers=settings.workers,
        limits=Limits(hours=settings.limits.hours, timeout=settings.timeout),
        max_files=settings.limits.requests,
        max_streams=settings.limits.streams,
    )
    starting = asyncio.ensure_future(pool.start())
    received.then(lambda _is_first: starting.cancel())
    try:
        await asyncio.wait([starting])
        if received.numbers:
            return 128 + received.numbers[0]
        starting.result()  # or its error
        service = Service(settings, bundle, pool, keys, folder)
        server = _Server(service)
        received.then(server.end)
        async with wyoming.listening(service, wyoming_listener):
            task = asyncio.create_task(server.serve([listener]))
            while not (server.started or task.done()):
                await asyncio.sleep(0.01)
            if server.started and not received.numbers:
                announce(address)
            await task
    finally:
        received.end()
        await pool.close(finish=False)  # every request is answered
    return 128 + received.numbers[0] if received.numbers else 0


class _Received:
    """The signals that came, and what the running loop calls for each."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._schedule: Callable[[bool], object] = lambda _is_first: None

    def then(self, call: Callable[[bool], object]) -> None:
        """Call this in the running loop for a signal, also for one that has come; with whether it is the first."""
        loop = asyncio.get_running_loop()
        self._schedule = lambda is_first: loop.call_soon_threadsafe(call, is_first)  # which wakes the loop
        if self.numbers:
            self._schedule(True)

    def end(self) -> None:
        """The loop ends: what comes now changes nothing."""
        self._schedule = lambda _is_first: None

    def add(self, number: int, _frame: object) -> None:
        """A signal has come."""
        self.numbers.append(number)
        self._schedule(len(self.numbers) == 1)


@contextmanager
def _signals() -> Iterator[_Received]:
    """Collect `stopping_signals`; afterwards they are handled as before."""
    received = _Received()
    before = {number: signal.signal(number, received.add) for number in stopping_signals()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """Uvicorn, which ends as this project's commands do."""

    def __init__(self, service: Service) -> None:
        self._service = service
        limits = service.settings.limits
        super().__init__(
            uvicorn.Config(
                make_app(service),
                http=_protocol(limits.idle_seconds, lambda: self.should_exit),
                ws=StreamProtocol,
                ws_max_size=MOST_BYTES,
                ws_ping_interval=None,  # answers would wait behind samples; `limits.stream_idle_seconds` holds
                ws_per_message_deflate=False,  # samples become no smaller
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=limits.connections,
                timeout_graceful_shutdown=ceil(service.settings.grace_seconds) + _LAST_SECONDS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `_signals`: uvicorn would raise them again when it has ended."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the connections that the kernel has accepted: closing the socket would reset them."""
        loop, listeners = asyncio.get_running_loop(), sockets or []
        for listener in listeners:
            loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)  # those that asyncio has accepted get their protocols, which a closed server refuses
        waiting = [one for listener in listeners for one in _accept_all(listener)]
        taken = [loop.create_task(loop.connect_accepted_socket(self._make_protocol, one)) for one in waiting]
        await super().shutdown(sockets)
        await asyncio.gather(*taken, return_exceptions=True)  # one that failed has lost its client

    def _make_protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def end(self, orderly: bool) -> None:
        """Accept no more requests; answer those that are open, or, if it has to be quick, refuse them."""
        self.should_exit = True
        if orderly:
            _log.info("ending: %d open requests are answered first", len(self._service.open_requests))
            self._service.stop.begin(self._service.settings.grace_seconds)
        else:
            self._service.stop.end()


def _accept_all(listener: socket.socket) -> list[socket.socket]:
    """The connections that wait at a socket."""
    accepted = []
    with suppress(OSError):  # none waits any more
        listener.setblocking(False)
        while True:
            accepted.append(listener.accept()[0])
            accepted[-1].setblocking(False)
    return accepted


def _protocol(idle_seconds: float, is_ending: Callable[[], bool]) -> type[H11Protocol]:
    """HTTP by uvicorn, which waits only so long for the headers of a request, and for a client to read an answer.

    At the end of the server, a connection without an open request is closed a moment later: its request may be under
    way, and would be lost.
    """

    class Protocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _reading_timer: asyncio.TimerHandle | None = None
        _is_last = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()
            if is_ending():
                self.shutdown()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_last and self.cycle is not None:
                self.cycle.keep_alive = False
            self._watch()

        def shutdown(self) -> None:
            self._is_last = True
            if self.cycle is None or self.cycle.response_complete:
                seconds = _FIRST_REQUEST_SECONDS if self.cycle is None else _NEXT_REQUEST_SECONDS
                self.loop.call_later(seconds, self._close)
            else:
                super().shutdown()

        def _close(self) -> None:
            # A WebSocket has another protocol by now, which its stream ends.
            if not self.transport.is_closing() and self.transport.get_protocol() is self:
                super().shutdown()

        def pause_writing(self) -> None:
            super().pause_writing()
            # A closed connection would keep what was not read.
            self._reading_timer = self.loop.call_later(idle_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._unwatch_reading()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            self._unwatch_reading()
            super().connection_lost(exc)

        def _watch(self) -> None:
            """Limit the time until the headers are there, unless they are, or this is no longer HTTP."""
            answered = self.cycle is None or self.cycle.response_complete
            if not answered or self.transport.get_protocol() is not self:
                self._unwatch()
            elif self._timer is None:
                self._timer = self.loop.call_later(idle_seconds, self.timeout_keep_alive_handler)

        def _unwatch(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _unwatch_reading(self) -> None:
            if self._reading_timer is not None:
                self._reading_timer.cancel()
                self._reading_timer = None

    return Protocol
