"""The record of one recording inside a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A range of a file that is a recording in itself. Files joined by `cat` and chained Ogg hold several."""

    container: str
    """name of FFmpeg's demuxer; "" where FFmpeg detects it"""
    start: int
    """bytes"""
    end: int
    head: bytes = b""
    """a corrected header that replaces everything before `start`; empty where the file's own one is right"""
    sndfile: bool = False
    """whether libsndfile is tried first"""
    seconds: float = 0.0
    """its length, where it was counted; 0 where only the decoder knows it"""
    samples: int = 0
    """samples per channel that its header states; 0 where it states none, or was checked already"""
    unfinished: bool = False
    """whether its header was never completed, so that its durations are meaningless"""
