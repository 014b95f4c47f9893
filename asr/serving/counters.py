"""The metrics of the service for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily as CounterMetricFamily
from prometheus_client.core import GaugeMetricFamily as GaugeMetricFamily
from prometheus_client.core import Metric as Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

# Seconds: from a word to an hour of speech.
_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_STREAM_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.5, 2, 3, 5, 10)

Reading = Callable[[], Iterable[Metric]]
"""reads the values of this moment"""

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Counters:
    """What a server counts.

    Parameters
    ----------
    reading : callable
        Asked for further values each time.
    """

    def __init__(self, reading: Reading) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "asr_requests", "Requests that were answered.", ["route", "status"], registry=self._registry
        )
        self.request_seconds = Histogram(
            "asr_request_seconds",
            "Time from the headers of a request to the end of its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.streams = Counter(
            "asr_streams", "Live streams that ended, and how.", ["protocol", "end"], registry=self._registry
        )
        self.stream_final_seconds = Histogram(
            "asr_stream_final_seconds",
            "Time from the arrival of the end of a segment's last word to its final text.",
            ["protocol"],
            buckets=_STREAM_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Reader(reading))

    def text(self) -> bytes:
        """All values in Prometheus's text format."""
        content: bytes = generate_latest(self._registry)
        return content


class _Reader(Collector):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def describe(self) -> list[Metric]:
        """Nothing is read before somebody asks."""
        return []

    def collect(self) -> Iterable[Metric]:
        return self._reading()


def resident_bytes() -> int:
    """Memory of this process and its descendants, pages that they share counted in each; 0 where /proc is missing."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name of a program, in parentheses, may hold anything.
            parent = int((folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has ended
        children.setdefault(parent, []).append(int(folder.name))
    total, left = 0, [os.getpid()]
    while left:
        process = left.pop()
        left += children.get(process, [])
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            continue
    return total
