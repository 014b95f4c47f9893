"""How much work a pool has, and how fast it is."""

from __future__ import annotations

from dataclasses import dataclass

# The share of the cores that live streams may use: the rest is for moments at which many of them end a segment.
_USABLE = 0.9


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """The work of a pool now."""

    workers: int
    """processes that are ready"""
    files: int
    """recordings that wait or are transcribed"""
    waiting_seconds: float
    """of audio in these recordings that are not transcribed yet"""
    speed: float
    """seconds of recordings that are transcribed in a second, if no stream is live"""
    wait_seconds: float
    """estimated time until all these recordings are transcribed"""
    live_streams: int
    live_capacity: int
    """how many streams can be live at once"""
    live_delay: float
    """for how long audio of a live stream has been due now, in seconds"""
    audio_seconds: float
    """of audio that was recognised so far"""
    computing_seconds: float
    """that this took, of all workers together"""


class RunningRatio:
    """The ratio of two sums of which the latest terms count most.

    Parameters
    ----------
    prior : float
        The ratio before anything is known.
    weight : float > 0
        How much of the denominator the prior counts for.
    horizon : float > weight
        How much of the denominator counts at most.
    """

    def __init__(self, prior: float, *, weight: float, horizon: float) -> None:
        self._numerator, self._denominator, self._horizon = prior * weight, weight, horizon

    def add(self, numerator: float, denominator: float) -> None:
        """Add terms to both sums."""
        self._numerator += numerator
        self._denominator += denominator
        if self._denominator > self._horizon:
            scale = self._horizon / self._denominator
            self._numerator, self._denominator = self._numerator * scale, self._horizon

    @property
    def value(self) -> float:
        """The ratio."""
        return self._numerator / self._denominator


def stream_capacity(cost: float, cores: int) -> int:
    """How many streams some cores keep in real time, if a second of speech takes so many seconds of a core; at least 1.

    One stream is always tried: what was measured on a busy machine would otherwise hold for ever.
    """
    return max(1, int(_USABLE * cores / cost))
