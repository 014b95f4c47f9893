"""The transcribers that `asr.transcribe` keeps between its calls: making one takes longer than a short recording."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr.bundle import Bundle, bundle_folder, load_bundle
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import DecoderConfig

_KEPT = 4

# Most recently used last. One that is dropped ends its processes when its last user is done with it.
_transcribers: OrderedDict[str, Transcriber] = OrderedDict()
_lock = threading.Lock()


def shared_transcriber(bundle: str | Path | Bundle, decoder: DecoderConfig | None) -> Transcriber:
    """A transcriber of this process, made on first use, and again when one of its files has changed.

    Parameters
    ----------
    bundle, decoder
        As in `asr.transcribe`.
    """
    key = repr((_bundle_key(bundle), type(decoder).__name__, None if decoder is None else _decoder_key(decoder)))
    with _lock:
        transcriber = _transcribers.get(key)
        if transcriber is None:
            loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
            transcriber = _transcribers[key] = Transcriber(loaded, decoder=decoder)
            while len(_transcribers) > _KEPT:
                _transcribers.popitem(last=False)
        _transcribers.move_to_end(key)
    return transcriber


def _bundle_key(bundle: str | Path | Bundle) -> Any:
    if isinstance(bundle, Bundle):
        return "loaded", id(bundle)  # the transcriber keeps the bundle alive, so that its id is not reused
    folder = bundle_folder(bundle)
    return os.path.realpath(folder), [(path.name, _version(path)) for path in sorted(folder.iterdir())]


def _decoder_key(decoder: DecoderConfig) -> list[Any]:
    """The settings, and the current versions of the files that they name."""
    values = asdict(decoder)
    return [(name, value, _version(value) if isinstance(value, str) else None) for name, value in values.items()]


def _version(path: str | Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _begin_again() -> None:
    """In a fork: threads of the parent, which do not exist here, may have held locks of the kept transcribers."""
    global _lock
    _lock = threading.Lock()
    _transcribers.clear()


os.register_at_fork(after_in_child=_begin_again)
