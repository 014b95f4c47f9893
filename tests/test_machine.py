"""What this process can do about its memory."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Freeing a large block raises glibc's limits: below them, what is freed afterwards stays with the process.
CODE = """
import os, sys, threading
from pathlib import Path
from asr.machine import return_freed_memory

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

def allocate_and_free():
    blocks = [bytes(4000) for _ in range(5000)]

if sys.argv[1] == "returned":
    assert return_freed_memory()
bytearray(30_000_000)
before = megabytes()
for _ in range(4):
    thread = threading.Thread(target=allocate_and_free)
    thread.start()
    thread.join()
print(megabytes() - before)
"""


def growth(mode: str) -> float:
    command = [sys.executable, "-c", CODE, mode]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_of_threads_is_returned_to_the_system():
    assert growth("returned") < 4
    assert growth("kept") > 8
