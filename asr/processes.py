"""Child processes: the one way in which this package starts them, asks them for work and ends them.

A child is a program of its own: not a fork of its parent (whose threads would be lost), nor a `multiprocessing` child
(which would run the caller's script again). It loads one function of this package, which returns a handler; then it
answers one request at a time over a socket. It ends with its parent, however that ends. A fork of the parent neither
uses nor ends the parent's children.

Requests and answers are pickled, arrays without a copy: a child keeps crashes, hangs and memory out of its parent, but
it has the rights of its parent and is no protection from hostile code.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

_POLL_SECONDS = 0.2
"""how often a waiting parent looks whether it should stop"""
# Importing the function and building its handler: not part of a request's time, on however busy a machine.
_START_SECONDS = 120.0
# What the buffer of a socket holds everywhere. A first message of this size is sent without waiting for the child.
_SMALL_BYTES = 32 << 10
_COUNT, _LENGTH = struct.Struct("<I"), struct.Struct("<Q")
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
# A child computes in one thread: the parent starts as many children as there are cores to use.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Handler = Callable[[Any], Any]
"""answers a request"""


def stopping_signals() -> tuple[int, ...]:
    """The signals that ask a process to end: of Ctrl-C, of `kill`, and of a terminal that is closed.

    The last one does not exist everywhere, and asks for nothing where it is ignored: `nohup` keeps a process running.
    """
    hang_up: int | None = getattr(signal, "SIGHUP", None)
    if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, hang_up


class ChildEndedError(Exception):
    """A child has ended before it answered; the text says how."""


class StoppedError(Exception):
    """The caller's event was set while it waited for an answer."""


class Child:
    """A process that answers requests.

    Parameters
    ----------
    function : str
        "package.module:function". The child calls it with `first`; what it returns answers each request.
    first : object, optional
        Anything that can be pickled.
    quiet : bool
        Discard what the child writes to its standard output and standard error.
    """

    def __init__(self, function: str, first: Any = None, *, quiet: bool = False) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()  # of one request and its answer
        self._first: _Parts | None = _pack(first)
        self._is_ready = False
        self._is_waiting = False
        self._oom_kills = _oom_kills()
        parent_end, child_end = socket.socketpair()
        self._channel = _Channel(parent_end)
        try:
            self._process = subprocess.Popen(
                # -P: modules of the working directory are not imported.
                [sys.executable, "-P", os.path.abspath(__file__)],
                stdin=child_end.fileno(),
                stderr=subprocess.DEVNULL if quiet else None,
                env=os.environ | _ONE_THREAD,
                process_group=0,  # Ctrl-C in the terminal goes to the parent alone
            )
        except BaseException:
            parent_end.close()
            raise
        finally:
            child_end.close()
        self._pid: int = self._process.pid
        _alive.add(self)
        with suppress(_ConnectionEndedError, TimeoutError):  # the first request then says how it ended
            start = _until(_START_SECONDS, None)
            self._channel.send(_pack(([path for path in sys.path if path], function)), start)
            if sum(part.nbytes for part in self._first or ()) <= _SMALL_BYTES:
                self._send_first(start)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._pid

    @property
    def usable(self) -> bool:
        """Whether it runs, belongs to this process and owes no answer."""
        return self._owner == os.getpid() and not self._is_waiting and self._process.poll() is None

    def ask(self, request: Any, *, timeout: float | None = None, stopped: threading.Event | None = None) -> Any:
        """Send a request and wait for its answer.

        Parameters
        ----------
        request : object
            Anything that can be pickled.
        timeout : float > 0, optional
            Seconds that the child may take, once it has started.
        stopped : threading.Event, optional
            Ends the wait.

        Returns
        -------
        object

        Raises
        ------
        ChildEndedError
            If the child ends before it answers, or belongs to another process.
        TimeoutError
            If no answer comes in time.
        StoppedError
            If the event is set.
        Exception
            What the child's function or its handler raised.

        Notes
        -----
        After `ChildEndedError`, `TimeoutError` or `StoppedError` the child is of no further use: close it.
        """
        if self._owner != os.getpid():
            raise ChildEndedError("it belongs to the process that this one was forked from")
        with self._lock:
            self._is_waiting = True
            try:
                if not self._is_ready:
                    start = _until(max(timeout or 0.0, _START_SECONDS), stopped)
                    self._send_first(start)
                    error, _ = self._channel.receive(start)
                    if error is not None:
                        raise error
                    self._is_ready = True
                until = _until(timeout, stopped)
                self._channel.send(_pack(request), until)
                error, answer = self._channel.receive(until)
            except _ConnectionEndedError:
                raise ChildEndedError(self.exit_reason()) from None
            self._is_waiting = False
        if error is not None:
            raise error
        return answer

    def _send_first(self, wait: _Wait) -> None:
        if self._first is not None:
            parts, self._first = self._first, None
            self._channel.send(parts, wait)

    def exit_reason(self) -> str:
        """How the process ended: its exit code or signal, and whether the system ran out of memory."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code >= 0:
            return f"exit code {code}"
        try:
            reason = f"signal {-code}, {signal.strsignal(-code)}"
        except ValueError:
            reason = f"signal {-code}"
        if -code == signal.SIGKILL and _oom_kills() > self._oom_kills:
            return f"{reason}: the system ran out of memory"
        return reason

    def close(self) -> None:
        """End the process at once, whatever it does, and free its descriptors. A second call does nothing."""
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
            # A thread that waits for an answer sees the end of the connection, and leaves its descriptor alone.
            with self._lock:
                self._channel.close()
        else:
            self._channel.close()

    def _forget(self) -> None:
        """In a fork of the parent: let go of a child of another process."""
        self._lock = threading.Lock()
        self._channel.close()
        self._process.returncode = 0  # nothing to wait for here


class Pool:
    """Children of one kind, started when they are needed and used again.

    Parameters
    ----------
    function, first, quiet
        As in `Child`.
    """

    def __init__(self, function: str, first: Any = None, *, quiet: bool = False) -> None:
        self._start: Callable[[], Child] = lambda: Child(function, first, quiet=quiet)
        self._idle: deque[Child] = deque()
        self._all: set[Child] = set()
        self._lock = threading.Lock()
        self._closing = weakref.finalize(self, _close_all, self._all)
        _alive.add(self)

    @property
    def pids(self) -> list[int]:
        """The processes that are there."""
        return [child.pid for child in list(self._all)]

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._closing.alive

    def start(self) -> None:
        """Start a child ahead of its first request."""
        self._idle.append(self._new())

    @contextmanager
    def child(self) -> Iterator[Child]:
        """Lends an idle child, or a new one. It is kept if it then owes no answer.

        Raises
        ------
        RuntimeError
            If the pool is closed.
        """
        child = self._take()
        try:
            yield child
        finally:
            if child.usable and not self.closed:
                self._idle.append(child)
            else:
                self._discard(child)

    def ask(self, request: Any, *, timeout: float | None = None, stopped: threading.Event | None = None) -> Any:
        """Have an idle child, or a new one, answer a request; arguments and errors as in `Child.ask`."""
        with self.child() as child:
            return child.ask(request, timeout=timeout, stopped=stopped)

    def close(self) -> None:
        """End the children, those with work too. A second call does nothing."""
        self._closing()

    def _take(self) -> Child:
        while True:
            try:
                child = self._idle.pop()
            except IndexError:
                return self._new()
            if child.usable:
                return child
            self._discard(child)

    def _new(self) -> Child:
        with self._lock:
            if self.closed:
                raise RuntimeError("its child processes were closed")
            child = self._start()
            self._all.add(child)
        return child

    def _discard(self, child: Child) -> None:
        child.close()
        self._all.discard(child)

    def _forget(self) -> None:
        """In a fork of the parent: begin again without children."""
        self._lock = threading.Lock()
        self._idle.clear()
        self._all.clear()


def _close_all(children: set[Child]) -> None:
    while children:
        with suppress(KeyError):  # another thread took the last one
            children.pop().close()


_alive: weakref.WeakSet[Child | Pool] = weakref.WeakSet()


def _forget_all() -> None:
    for one in list(_alive):
        one._forget()
    _alive.clear()


os.register_at_fork(after_in_child=_forget_all)


class _ConnectionEndedError(Exception):
    """The other end of a connection is closed, or this one is."""


_Wait = Callable[[socket.socket, int], None]
"""returns when a connection is ready for some events of `select.poll`, or raises"""
_Parts = list[memoryview]


def _pack(value: Any) -> _Parts:
    """A message: how many parts there are, their lengths; a pickled object, the arrays in it."""
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(content), *(buffer.raw() for buffer in buffers)]
    header = _COUNT.pack(len(parts)) + b"".join(_LENGTH.pack(part.nbytes) for part in parts)
    return [memoryview(header), *parts]


class _Channel:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection

    def send(self, parts: _Parts, wait: _Wait) -> None:
        for part in parts:
            while part:
                try:
                    part = part[self._connection.send(part, _NO_SIGNAL) :]
                except BlockingIOError:
                    wait(self._connection, select.POLLOUT)
                except OSError:
                    raise _ConnectionEndedError from None

    def receive(self, wait: _Wait) -> Any:
        (count,) = _COUNT.unpack(self._receive(_COUNT.size, wait))
        lengths = [_LENGTH.unpack(self._receive(_LENGTH.size, wait))[0] for _ in range(count)]
        content, *buffers = [self._receive(length, wait) for length in lengths]
        return pickle.loads(content, buffers=buffers)

    def _receive(self, length: int, wait: _Wait) -> bytearray:
        content = bytearray(length)
        rest = memoryview(content)
        while rest:
            try:
                received = self._connection.recv_into(rest)
            except BlockingIOError:
                wait(self._connection, select.POLLIN)
                continue
            except OSError:
                raise _ConnectionEndedError from None
            if not received:
                raise _ConnectionEndedError
            rest = rest[received:]
        return content

    def close(self) -> None:
        self._connection.close()


def _until(seconds: float | None, stopped: threading.Event | None) -> _Wait:
    """What waits for a connection: so many seconds in all, and not once an event is set."""
    end = None if seconds is None else time.monotonic() + seconds

    def wait(connection: socket.socket, events: int) -> None:
        poll = select.poll()
        poll.register(connection, events)
        while True:
            left = None if end is None else end - time.monotonic()
            if stopped is not None:
                if stopped.is_set():
                    raise StoppedError
                left = _POLL_SECONDS if left is None else min(left, _POLL_SECONDS)
            if end is not None and time.monotonic() >= end:
                raise TimeoutError
            if poll.poll(None if left is None else 1000 * left):
                return

    return wait


def _oom_kills() -> int:
    """How often the system has ended a process for want of memory; 0 where it keeps no count."""
    try:
        with open("/proc/vmstat", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"oom_kill ")), 0)
    except OSError:
        return 0


def collect_garbage_rarely() -> None:
    """Have Python look for unused cycles of objects seldom.

    Imports, word lists and the decoder make many objects that stay: looking through them again and again takes a
    few per cent of the time of a start, and of a transcription.
    """
    gc.set_threshold(150_000, 20, 50)


def sendable_error(error: Exception) -> Exception:
    """An error that another process can load: not every one can be made again from its arguments."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def main() -> None:
    """Run a child: its connection is its standard input."""
    collect_garbage_rarely()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with suppress(OSError):  # there is no standard error
        os.dup2(2, 1)  # the parent's standard output is for its results
    threading.Thread(target=_end_with_parent, args=(connection.fileno(),), daemon=True).start()
    with suppress(_ConnectionEndedError):
        _serve(_Channel(connection))


def _serve(channel: _Channel) -> None:
    wait = _until(None, None)
    paths, function = channel.receive(wait)
    sys.path[:] = paths
    module, _, name = function.partition(":")
    error, make = _attempt(lambda _: getattr(import_module(module), name), None)
    first = channel.receive(wait)
    if error is None:
        error, handler = _attempt(make, first)
    gc.freeze()  # what is there now stays
    channel.send(_pack((error, None)), wait)
    while error is None:
        request = channel.receive(wait)
        channel.send(_pack(_attempt(handler, request)), wait)


def _attempt(work: Handler, request: Any) -> tuple[Exception | None, Any]:
    """An error that can be sent, or None and the result."""
    try:
        return None, work(request)
    except Exception as error:
        return sendable_error(error), None


def _end_with_parent(connection: int) -> None:
    """Ends this process when the parent's end of the connection closes, even in the middle of a request."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP)
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
