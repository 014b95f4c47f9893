"""Runs a test client of vosk-server, whose address is fixed, with another server: ADDRESS CLIENT ARGUMENT..."""

from __future__ import annotations

import runpy
import sys

import websockets

connect, address = websockets.connect, sys.argv[1]
websockets.connect = lambda _, **options: connect(address, **options)  # type: ignore[misc,assignment]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
