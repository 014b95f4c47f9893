"""Samples from a microphone, through PortAudio."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio.live import LiveReader
from asr.audio.load import Samples, StreamResampler
from asr.errors import AudioError, ConfigError
from asr.packages import require_packages

Block = npt.NDArray[np.int16]
"""[shape=(samples, channels)]"""

# Every device supports it, and it has no NaN.
_KIND = "int16"
# Blocks of the device, each of some 10 ms, that wait for the reader.
_BLOCKS_AHEAD = 2000
# A device that gives no samples for so many seconds was removed.
_PATIENCE_SECONDS = 5.0
# A microphone that is muted, or for which the program has no permission, gives zeros.
_ZERO_SECONDS = 5.0
_ADVICE = "connect one, or use another source: asr listen FILE, or COMMAND | asr listen - rate=16000"


def _sounddevice() -> Any:
    require_packages("sounddevice", extra="live", purpose="the microphone")
    try:
        import sounddevice
    except OSError as error:
        raise ConfigError(
            f"the microphone needs the library PortAudio, which cannot be loaded ({error}): "
            "apt install libportaudio2 (Debian, Ubuntu), dnf install portaudio (Fedora), brew install portaudio (macOS)"
        ) from error
    return sounddevice


def list_devices() -> str:
    """The devices that record, one a line, with the number and the name by which `device=` chooses them.

    Raises
    ------
    ConfigError
        If there is none, or sounddevice or PortAudio is missing.
    """
    sounddevice = _sounddevice()
    default = _default(sounddevice)
    rows = [
        f"{'*' if number == default else ' '} {number:3}  {one['name']}  "
        f"({one['max_input_channels']} channels, {one['default_samplerate']:g} Hz)\n"
        for number, one in enumerate(_query(sounddevice))
        if one["max_input_channels"] > 0
    ]
    if not rows:
        raise ConfigError(f"there is no device that records: {_ADVICE}")
    return "".join(rows)


def find_microphone(device: str | None) -> tuple[int, str]:
    """The number and the name of a device that records.

    Parameters
    ----------
    device : str, optional
        Its number, or a part of its name; the system's default by default.

    Raises
    ------
    ConfigError
        If there is no such device, or more than one, or sounddevice or PortAudio is missing.
    """
    sounddevice = _sounddevice()
    devices = _query(sounddevice)
    inputs = {number: str(one["name"]) for number, one in enumerate(devices) if one["max_input_channels"] > 0}
    if not inputs:
        raise ConfigError(f"there is no microphone: {_ADVICE}")
    if device is None:
        default = _default(sounddevice)
        if default not in inputs:
            raise ConfigError(
                "the system has no default microphone: device= chooses one that `asr listen devices=true` lists"
            )
        return default, inputs[default]
    if device.isdecimal():
        found = [number for number in inputs if str(number) == device]
    else:
        found = [number for number, name in inputs.items() if device.lower() in name.lower()]
        found = [number for number in found if inputs[number] == device] or found
    if not found:
        raise ConfigError(f"device={device}: there is no such microphone; `asr listen devices=true` lists them")
    if len(found) > 1:
        names = ", ".join(f"{number} ({inputs[number]})" for number in found)
        raise ConfigError(f"device={device}: this may be {names}; choose one by its number")
    return found[0], inputs[found[0]]


def _query(sounddevice: Any) -> list[dict[str, Any]]:
    try:
        return list(sounddevice.query_devices())
    except sounddevice.PortAudioError as error:
        raise ConfigError(f"there is no microphone ({error}): {_ADVICE}") from error


def _default(sounddevice: Any) -> int:
    return int(sounddevice.default.device[0])


def read_microphone(number: int, name: str, reader: LiveReader, *, channel: str = "mix") -> Iterator[Samples]:
    """The samples of a microphone until the reader is stopped.

    Parameters
    ----------
    number, name
        As `find_microphone` gives them.
    reader : LiveReader
    channel : str
        "mix", or the number of a channel, from 1.

    Raises
    ------
    AudioError
        If it cannot be opened, has no such channel, or was removed.
    """
    sounddevice = _sounddevice()
    blocks: queue.Queue[Block] = queue.Queue(_BLOCKS_AHEAD)
    lost = _Lost()

    def receive(samples: Block, _count: int, _time: object, status: Any) -> None:
        # In a thread of PortAudio, which must not wait.
        if status.input_overflow:
            lost.by_device += 1
        try:
            blocks.put_nowait(samples.copy())
        except queue.Full:
            lost.samples += len(samples)

    try:
        rate = int(_query(sounddevice)[number]["default_samplerate"])
        channels = _channels(sounddevice, number, name, rate, channel)
        resampler = StreamResampler(rate, reader.sample_rate)
        stream = sounddevice.InputStream(
            samplerate=rate, device=number, channels=channels, dtype=_KIND, callback=receive
        )
        with stream:
            for block in _blocks(name, blocks, rate, reader):
                lost.report(reader, rate)
                yield resampler.push(_one_channel(block, channel))
        while not blocks.empty():  # the last words
            yield resampler.push(_one_channel(blocks.get_nowait(), channel))
    except sounddevice.PortAudioError as error:
        raise AudioError(name, f"cannot be recorded ({error}); another program may use it") from error
    yield resampler.finish()


def _channels(sounddevice: Any, number: int, name: str, rate: int, channel: str) -> int:
    """The number of channels to open."""
    most = int(_query(sounddevice)[number]["max_input_channels"])
    if channel != "mix":
        if int(channel) > most:
            raise AudioError(name, f"there is no channel {int(channel)}: the microphone has {most}")
        return most
    try:
        sounddevice.check_input_settings(device=number, channels=1, dtype=_KIND, samplerate=rate)
    except sounddevice.PortAudioError:  # some devices record only all of their channels
        return most
    return 1


def _one_channel(block: Block, channel: str) -> Samples:
    one = block.mean(axis=1, dtype=np.float32) if channel == "mix" else block[:, int(channel) - 1].astype(np.float32)
    return one / np.float32(32768)


def _blocks(name: str, blocks: queue.Queue[Block], rate: int, reader: LiveReader) -> Iterator[Block]:
    silent: int | None = 0  # samples
    waited = 0.0
    while not reader.stop.is_set():
        try:
            block = blocks.get(timeout=0.1)
        except queue.Empty:
            waited += 0.1
            if waited >= _PATIENCE_SECONDS:
                raise AudioError(name, "gives no more samples: is it still connected?") from None
            continue
        waited = 0.0
        if silent is not None:
            silent = None if block.any() else silent + len(block)
            if silent is not None and silent >= _ZERO_SECONDS * rate:
                reader.warn("gives only zeros: it is muted, or this program has no permission to record")
                silent = None
        yield block


class _Lost:
    """Samples that a microphone recorded and this program did not receive."""

    def __init__(self) -> None:
        self.by_device = 0
        self.samples = 0
        self._reported = False

    def report(self, reader: LiveReader, rate: int) -> None:
        if (self.by_device or self.samples) and not self._reported:
            self._reported = True
            seconds = f" ({self.samples / rate:.1f} s)" if self.samples else ""
            reader.warn(f"samples were lost{seconds}: this computer is too slow for them; words are missing")
