"""Settings of the service."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import between, check_settings


@dataclass(kw_only=True)
class LimitsConfig:
    """What requests may cost. Beyond a limit a request is refused, with the reason."""

    megabytes: float = field(default=500.0, metadata=between(0.001, 1_000_000))
    """largest upload, in millions of bytes"""
    hours: float = field(default=4.0, metadata=between(0.0, 8784.0, low_open=True))
    """longest recording, in hours"""
    requests: int = field(default=64, metadata=between(1, 100_000))
    """requests that are open at once: uploading, waiting and computing"""
    requests_per_key: int = field(default=16, metadata=between(1, 100_000))
    """of these, those with the same API key, where its line in keys_file has no number of its own"""
    wait_seconds: float = field(default=300.0, metadata=between(0.0, 86_400.0, low_open=True))
    """new requests are refused while the audio that waits would take longer than this; the answer says when to try
    again"""
    idle_seconds: float = field(default=30.0, metadata=between(0.1, 3600.0))
    """an upload that pauses for longer is abandoned"""
    streams: int | None = field(default=None, metadata=between(0, 100_000))
    """live streams that are open at once; null is as many as the measured speed keeps in real time"""
    stream_seconds: float = field(default=14_400.0, metadata=between(1.0, 31_622_400.0))
    """longest live stream, in seconds of audio"""
    stream_idle_seconds: float = field(default=60.0, metadata=between(0.1, 86_400.0))
    """a live stream whose client sends nothing for longer, or reads nothing, is ended"""
    connections: int = field(default=1000, metadata=between(1, 1_000_000))
    """open connections; more are answered with 503"""

    def __post_init__(self) -> None:
        check_settings(self, "limits")
