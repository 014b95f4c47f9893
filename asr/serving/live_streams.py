"""Live streams of clients: sessions of the pool, with the limits and the counters of the service."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import ceil

from asr.audio.load import Samples
from asr.errors import AudioError, ConfigError, PoolClosedError, PoolFullError, WorkerEndedError
from asr.recognition.live_events import Final, LiveEvent
from asr.recognition.pool_session import PooledSession, StreamOptions
from asr.serving.limits import Caller
from asr.serving.refusals import ApiError, busy, crashed, stopping
from asr.serving.service import Service

_log = logging.getLogger(__name__)

# A block that is recognised before the next one is taken, and before its events are sent.
_BLOCK_SECONDS = 0.5
# Of samples that the system has received and nobody has read; Linux takes twice as much.
_RECEIVED_BYTES = 128 << 10
# How long the arrival of audio is remembered: longer than a segment can be.
_REMEMBERED_SECONDS = 60.0


class ClientGoneError(Exception):
    """The client has closed its end, or reads nothing."""


def has_hung_up(transport: asyncio.BaseTransport, *, half_closes: bool = False) -> bool:
    """Whether the other end of a connection is closed, also where bytes from it wait, which hide the end.

    It is known on Linux alone; elsewhere it shows when these are read.

    Parameters
    ----------
    transport : BaseTransport
    half_closes : bool
        Whether a client that has closed its sending end may still read. One that has gone then shows when all that it
        sent is read.
    """
    poll = select.poll()
    try:
        events = 0 if half_closes else getattr(select, "POLLRDHUP", 0)
        poll.register(transport.get_extra_info("socket"), events)
    except ValueError:  # it is closed at this end
        return True
    return bool(poll.poll(0))


def limit_received(transport: asyncio.BaseTransport) -> None:
    """Limit what the system keeps of samples that are not read yet: the rest waits at the client."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED_BYTES)


class LiveStream:
    """The audio of one client, recognised while it comes: one session of the pool after another.

    Parameters
    ----------
    service : Service
    protocol : str
        For the counters.
    transport : BaseTransport
        The connection of the client.
    half_closes : bool
        As in `has_hung_up`.
    """

    def __init__(
        self, service: Service, protocol: str, transport: asyncio.BaseTransport, *, half_closes: bool = False
    ) -> None:
        self._service, self._protocol, self._transport = service, protocol, transport
        self._half_closes = half_closes
        self._session: PooledSession | None = None
        self._rate = 1
        self._arrivals: deque[tuple[float, float]] = deque()
        """of the last audio of this session: where it ends, and when it came"""
        self._most_seconds = service.settings.limits.stream_seconds
        self.offset = 0.0
        """seconds of the sessions before this one"""
        self.seconds = 0.0
        """of this session, so far"""
        self.segments = 0

    @property
    def is_begun(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    async def begin(self, options: StreamOptions) -> None:
        """Begin a session. One that is open is dropped; its place, and that of one that has ended, is free for this.

        Parameters
        ----------
        options : StreamOptions

        Raises
        ------
        ApiError
            429 if the stream could not be kept in real time, 503 if the server ends, 400 for options that cannot be.
        """
        self._service.refuse_if_stopping()
        rate = options.sample_rate
        assert rate is not None
        self.offset, self.seconds = self.offset + self.seconds, 0.0
        self._arrivals.clear()
        with _pool_errors():
            self._session = await self._service.pool.open_session(options, instead_of=self._session)
        self._rate = rate

    async def push(self, samples: Samples) -> AsyncIterator[LiveEvent]:
        """Recognise the next samples, and give the events as they come.

        Raises
        ------
        ApiError
            400 if the stream is longer than `limits.stream_seconds`, 500 if the worker crashed, 503 if the server ends.
        ClientGoneError
            If the client has closed its end.
        """
        assert self._session is not None
        size, arrived = ceil(_BLOCK_SECONDS * self._rate), time.monotonic()
        for start in range(0, len(samples), size):
            if has_hung_up(self._transport, half_closes=self._half_closes):
                raise ClientGoneError
            if start and self._service.stop.begun:
                return  # the rest of a long message would take longer than the grace
            block = samples[start : start + size]
            seconds = self.seconds + len(block) / self._rate
            if self.offset + seconds > self._most_seconds:
                raise ApiError(
                    400,
                    f"The stream is longer than {self._most_seconds:g} s, the most that this server takes "
                    "(limits.stream_seconds).",
                    code="stream_too_long",
                )
            self.seconds = seconds
            self._arrivals.append((seconds, arrived))
            while self._arrivals[0][0] < seconds - _REMEMBERED_SECONDS:
                self._arrivals.popleft()
            with _pool_errors():
                await self._session.push(block)
                events = await self._session.recognised()
            for event in events:
                yield self._observed(event)

    async def finish(self) -> list[LiveEvent]:
        """Recognise what is left; the session ends. A second call gives no events.

        Raises
        ------
        ApiError
            500 if the worker crashed, 503 if the server ends.
        """
        assert self._session is not None
        with _pool_errors():
            await self._session.finish()
            return [self._observed(event) for event in await self._session.recognised()]

    def close(self) -> None:
        """End the session, if it has not."""
        if self._session is not None:
            self._session.cancel()

    def _observed(self, event: LiveEvent) -> LiveEvent:
        """Measure how long a final text took."""
        if isinstance(event, Final):
            self.segments += 1
            spoken = event.words[-1].end if event.words else event.end
            arrived = next((when for end, when in self._arrivals if end >= spoken), None)
            if arrived is not None:
                seconds = time.monotonic() - arrived
                self._service.counters.stream_final_seconds.labels(self._protocol).observe(seconds)
        return event


@asynccontextmanager
async def live_stream(
    service: Service, protocol: str, caller: Caller, transport: asyncio.BaseTransport, *, half_closes: bool = False
) -> AsyncGenerator[LiveStream]:
    """A stream of a client; it is counted, and ends with the block.

    Parameters
    ----------
    service, protocol, transport, half_closes
        As for `LiveStream`.
    caller : Caller

    Raises
    ------
    ApiError
        429 if the caller, or the server, has too many requests open.
    """
    stream = LiveStream(service, protocol, transport, half_closes=half_closes)
    begun, end = time.monotonic(), "failed"
    try:
        load = service.pool.load
        with service.open_requests.one_more(caller, wait_seconds=load.wait_seconds):
            yield stream
        end = "finished"
    except ApiError as error:
        end = error.code or "refused"
        raise
    except ClientGoneError:
        end = "client_gone"
        raise
    finally:
        stream.close()
        service.counters.streams.labels(protocol, end).inc()
        seconds = time.monotonic() - begun
        audio = stream.offset + stream.seconds
        _log.info("%s: %s after %.1f s, %.1f s of audio, %d segments", protocol, end, seconds, audio, stream.segments)


@contextmanager
def _pool_errors() -> Iterator[None]:
    """The errors of the pool as those of the service."""
    try:
        yield
    except PoolFullError as error:
        message = f"The stream could not be kept in real time: {error.reason}."
        raise busy(message, code="server_busy", wait_seconds=error.retry_seconds) from None
    except PoolClosedError:
        raise stopping() from None
    except WorkerEndedError as error:
        _log.error("a worker ended: %s", error)
        raise crashed() from None
    except AudioError as error:
        raise ApiError(400, f"The samples {error.reason}.", code="invalid_audio") from None
    except ConfigError as error:
        raise ApiError(400, f"{error}.", code="invalid_value") from None


Decode = Callable[[bytes], Samples]
"""makes samples of what a client sends"""


def decode_samples(decode: Decode, content: bytes) -> Samples:
    """The samples that a client sent.

    Raises
    ------
    ApiError
        400 if they cannot be decoded.
    """
    with _pool_errors():
        return decode(content)
