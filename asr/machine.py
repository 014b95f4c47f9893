"""Facts about this machine, and the time and memory that this process and its children used."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, Any]:
    """System, processor, cores this process may use, and memory in GB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gb": round(memory, 1),
    }


def available_cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


# Of glibc's malloc.h: parameters of mallopt, and what they are set to. Its own limits rise with what a program frees,
# and every thread has a heap of its own, which keeps the largest size that it ever had.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_HEAP_LIMITS = {_M_ARENA_MAX: 1, _M_TRIM_THRESHOLD: 128 << 10, _M_MMAP_THRESHOLD: 256 << 10}


def return_freed_memory() -> bool:
    """Have the C library return freed memory to the system soon, for processes that run for weeks with many threads.

    Call it before the threads start. Programs that free and allocate large blocks all the time get slower.

    Returns
    -------
    bool
        Whether that is possible here: it is where the C library is glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    accepted = [mallopt(parameter, value) for parameter, value in _HEAP_LIMITS.items()]
    return all(one == 1 for one in accepted)


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources used by this process and by those of its children that have ended."""

    core_seconds: float
    peak_memory_mb: float
    """the largest memory of this process, and of any one child, added up"""


def usage() -> Usage:
    """Read the counters of the operating system."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    scale = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    return Usage(
        core_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        peak_memory_mb=(own.ru_maxrss + children.ru_maxrss) / scale,
    )


def processor_features() -> frozenset[str]:
    """The instruction sets of the processor as Linux names them (`avx2`, `avx512_bf16`); empty where it is unknown."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in {"flags", "Features"}:
                return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
