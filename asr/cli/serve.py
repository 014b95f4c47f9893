"""`asr serve`."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence

from asr.cli.arguments import split_arguments
from asr.cli.command import settings_or_answer, warn_of_unused_model
from asr.errors import ConfigError
from asr.packages import require_packages
from asr.settings.commands import ServeConfig

_log = logging.getLogger(__name__)

USAGE = "asr serve [key=value...]"
TEXT = """
Transcribes recordings that other programs send, as OpenAI's API for audio does: a client of that needs this server's
address and nothing else. Recognises speech while it is spoken, by OpenAI's Realtime API, the protocol of vosk-server
and that of Home Assistant (wyoming_port). Requests share the processor cores; a short recording does not wait for a
long one. Without API keys the server is for this machine alone. Recordings are deleted when they are answered, and no
text is logged. Ctrl-C and SIGTERM end the server when the requests that are open are answered. /docs describes the API,
/health and /ready are for supervisors, /metrics is for Prometheus. The packages are an extra: pip install 'asr[serve]'.
"""
EXAMPLES = """\
  asr serve
  asr serve bundle=runs/mine/best port=9000 language=de
  asr serve host=0.0.0.0 keys_file=/etc/asr/keys
  asr serve limits.megabytes=100 limits.hours=1 limits.requests=16
  asr serve wyoming_port=10300
  asr serve origins=[https://notes.example.org]
  curl http://127.0.0.1:8000/v1/audio/transcriptions -F model=en -F file=@talk.mp3
  curl http://127.0.0.1:8000/v1/audio/transcriptions -F model=en -F file=@talk.mp3 -F response_format=srt
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: ServeConfig | None = settings_or_answer(
        "serve", split, usage=USAGE, text=TEXT, examples=EXAMPLES, files_required=False
    )
    if settings is None:
        return 0
    if split.files:
        raise ConfigError(f"`asr serve` takes no files, and {split.files[0]} is one: `asr transcribe` does")
    needed = ("starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client")
    require_packages(*needed, extra="serve", purpose="asr serve")
    from asr.bundle import load_bundle
    from asr.serving.server import serve

    bundle = load_bundle(settings.bundle)
    warn_of_unused_model(bundle, settings.decoder)
    _log_uvicorn()

    def announce(address: str) -> None:
        key = " -H 'Authorization: Bearer KEY'" if settings.keys_file else ""
        model = shlex.quote(f"model={bundle.name}")
        _log.info("serving %s at %s; Ctrl-C ends. %s/docs describes the API. Try:", bundle.name, address, address)
        _log.info("  curl %s/v1/audio/transcriptions%s -F %s -F file=@talk.wav", address, key, model)

    return serve(bundle, settings, announce=announce)


def _log_uvicorn() -> None:
    """Write the errors of the HTTP server as this program's messages; the others are about clients."""
    logger = logging.getLogger("uvicorn")
    logger.handlers = list(logging.getLogger("asr").handlers)
    logger.propagate = False
    logger.setLevel(logging.ERROR)
