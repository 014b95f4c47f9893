"""`asr listen`: every door gives the same events, in every format, and ends in good order."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from importlib.machinery import ModuleSpec
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import numpy as np
import pysubs2
import pytest
import soundfile

from asr import Session, load_bundle
from asr.audio.load import load_audio
from asr.settings.live import EndpointConfig, LiveConfig

from ..conftest import RATE, REPOSITORY, SAMPLES, oracle
from .test_terminal import Screen

PATHS = sorted(SAMPLES.glob("*.opus"))[:2]
BUNDLE = "bundle=tiny"


@pytest.fixture(scope="module")
def samples():
    """The beginnings of two recordings, a pause after each, in whole numbers of 16 bits."""
    pause = np.zeros(RATE, np.float32)
    parts = [part for path in PATHS for part in (load_audio(path, sample_rate=RATE)[: 5 * RATE // 2], pause)]
    return (np.concatenate(parts) * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def recording(samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "talk.wav"
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def events(samples):
    session = Session(load_bundle("tiny"))
    return [*session.push(samples), *session.finish()]


@pytest.fixture(scope="module")
def lines(events):
    found = "".join(f"{event.text}\n" for event in events if event.type == "final")
    assert found.count("\n") >= 2
    return found


def listen(*arguments, **settings):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "asr", "listen", *map(str, arguments), BUNDLE]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdin=settings.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, **settings
    )


def test_a_file_gives_the_segments_of_a_session(asr_command, recording, lines):
    outcome = asr_command("listen", recording, "pace=fast", BUNDLE)
    assert (outcome.code, outcome.out, outcome.err) == (0, lines, "")


def test_events_are_lines_of_json(asr_command, recording, events):
    outcome = asr_command("listen", recording, "pace=fast", "format=jsonl", BUNDLE)
    assert [json.loads(line) for line in outcome.out.splitlines()] == [event.to_json() for event in events]


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_subtitles_hold_the_words_at_their_times_and_do_not_overlap(asr_command, recording, events, kind):
    outcome = asr_command("listen", recording, "pace=fast", f"format={kind}", BUNDLE)
    cues = pysubs2.SSAFile.from_string(outcome.out, format_=kind).events
    finals = [event for event in events if event.type == "final"]
    assert " ".join(cue.plaintext for cue in cues).split() == " ".join(one.text for one in finals).split()
    assert {cue.start for cue in cues} <= {round(1000 * word.start) for one in finals for word in one.words}
    assert all(before.end <= after.start for before, after in pairwise(cues))
    numbers = re.findall(r"^\d+$", outcome.out, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(cues) + 1)]
    assert outcome.out.startswith("WEBVTT\n\n1\n" if kind == "vtt" else "1\n")
    assert outcome.out.endswith("\n\n")  # which shows a player that the cue is complete


@pytest.mark.parametrize("door", ["wav", "raw", "stereo", "flac", "pipe"])
def test_what_arrives_through_a_pipe_gives_the_segments_of_a_session(recording, samples, lines, tmp_path, door):
    arguments, content = ["-"], recording.read_bytes()
    if door == "raw":
        arguments, content = ["-", f"rate={RATE}"], samples.tobytes()
    elif door == "stereo":
        arguments = ["-", f"rate={RATE}", "channels=2", "channel=2"]
        content = np.stack([samples[::-1], samples], axis=1).tobytes()
    elif door == "flac":
        path = tmp_path / "talk.flac"
        soundfile.write(path, samples, RATE)
        content = path.read_bytes()
    elif door == "pipe":
        arguments = [tmp_path / "pipe"]
        os.mkfifo(arguments[0])
        with listen(*arguments) as process:
            arguments[0].write_bytes(content)
            assert (process.communicate()[0].decode(), process.returncode) == (lines, 0)
        return
    with listen(*arguments, stdin=subprocess.PIPE) as process:
        assert (process.communicate(content)[0].decode(), process.returncode) == (lines, 0)


@pytest.mark.parametrize(
    "container",
    ["wav", "ogg", "mpegts", *(pytest.param(name, marks=pytest.mark.slow) for name in ("au", "flac", "mp3", "webm"))],
)
def test_any_container_that_arrives_is_recognised(recording, lines, container):
    ffmpeg = [str(oracle("ffmpeg")), "-loglevel", "error", "-i", str(recording), "-f", container, "-"]
    with subprocess.Popen(ffmpeg, stdout=subprocess.PIPE) as encoder, listen("-", stdin=encoder.stdout) as process:
        words = process.communicate()[0].decode().split()
        assert process.returncode == 0
    if container in ("wav", "au", "flac"):
        assert words == lines.split()
    assert len(words) == pytest.approx(len(lines.split()), abs=4)


def test_words_are_written_while_the_sound_still_arrives(recording, lines):
    content = recording.read_bytes()
    first = lines.split("\n")[0]
    with listen("-", stdin=subprocess.PIPE, bufsize=0) as process:
        process.stdin.write(content[: len(content) * 2 // 3])
        assert process.stdout.readline().decode().strip() == first  # the pipe is still open
        process.stdin.write(content[len(content) * 2 // 3 :])
        assert (first + "\n" + process.communicate()[0].decode()).strip() == lines.strip()


@pytest.mark.slow  # tests/audio/test_live.py measures the pace in half a second
def test_a_file_is_played_at_its_own_pace(recording):
    begin = time.monotonic()
    with listen(recording, "format=jsonl") as process:
        while b'"final"' not in (line := process.stdout.readline()):
            assert line
        # The start of the program is not part of it.
        assert time.monotonic() - begin > json.loads(line)["words"][-1]["end"]
        process.send_signal(signal.SIGTERM)
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_with_the_last_words(samples, number, code, tmp_path):
    output = tmp_path / "out.jsonl"
    short = samples[: 2 * RATE]  # it ends within the speech
    arguments = ["-", f"rate={RATE}", "format=jsonl", f"output={output}"]
    # A shell's child in the background ignores SIGINT, and one of nohup SIGHUP.
    restore = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    restore += "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    run = "from asr.cli.main import entry_point; entry_point()"
    command = [sys.executable, "-c", restore + run, "listen", *arguments, BUNDLE]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(short.tobytes())
        process.stdin.flush()
        wait_for(lambda: output.exists() and b"partial" in output.read_bytes())
        time.sleep(0.5)
        for _ in range(2 if number == signal.SIGHUP else 1):  # a shell repeats it
            process.send_signal(number)
        assert process.wait() == code
        assert process.stderr.read() == b""
    session = Session(load_bundle("tiny"))
    expected = [*session.push(short), *session.finish()]
    assert [json.loads(line) for line in output.read_text().splitlines()] == [one.to_json() for one in expected]
    assert expected[-1].type == "final"


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_reader_that_has_gone_ends_the_command_quietly(recording):
    with listen(recording, "pace=fast", "format=jsonl", stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "ended before anything arrived"),
        (b"no sound at all" * 999, "not audio in any known format that can be decoded while it arrives"),
        (None, "is truncated: its header promises 7.00 s, "),
    ],
)
def test_an_input_that_cannot_be_read_is_named_with_the_reason(recording, content, reason):
    content = recording.read_bytes()[:50_000] if content is None else content
    with listen("-", stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _, err = process.communicate(content)
        assert process.returncode == 1
    assert err.decode().startswith("error: standard input: ")
    assert reason in err.decode()
    assert err.count(b"\n") == 1


def test_what_arrived_before_an_error_is_recognised(recording):
    with listen("-", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert len(process.communicate(recording.read_bytes()[:50_000])[0].split()) > 2


def test_a_missing_file_is_named(asr_command):
    outcome = asr_command("listen", "none.wav", BUNDLE)
    assert (outcome.code, outcome.err) == (1, "error: none.wav: no such file\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav", "b.wav"], "`asr listen` takes one input, not 2"),
        (["-", "channels=2"], "channels=2 is for raw input, which needs rate too"),
        (["-", "device=1"], "device is for the microphone, and the input is -"),
        (["-", "channel=left"], "channel must be mix or the number of a channel, from 1, not 'left'"),
        (["-", "live.endpoint.silence_seconds=0"], "endpoint.silence_seconds"),
        (["-", "endpoint.silence_second=1"], "did you mean 'live.endpoint.silence_seconds'"),
        (["-", "format=txt"], "format"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(asr_command, arguments, message):
    outcome = asr_command("listen", *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_the_rules_of_end_points_are_settings(asr_command, recording, samples):
    settings = ["endpoint.silence_seconds=10", "live.endpoint.sentence_end_seconds=10", "live.beam_width=8"]
    outcome = asr_command("listen", recording, "pace=fast", BUNDLE, *settings)
    live = LiveConfig(beam_width=8, endpoint=EndpointConfig(silence_seconds=10.0, sentence_end_seconds=10.0))
    session = Session(load_bundle("tiny"), live=live)
    (final,) = [event for event in [*session.push(samples), *session.finish()] if event.type == "final"]
    assert outcome.out == f"{final.text}\n"


def test_an_output_grows_and_replaces_only_what_the_command_wrote(asr_command, recording, lines, tmp_path):
    output = tmp_path / "new" / "talk.txt"
    command = ("listen", recording, "pace=fast", BUNDLE, f"output={output}")
    for _ in range(2):
        outcome = asr_command(*command)
        assert (outcome.code, outcome.out, output.read_text()) == (0, "", lines)
    output.write_text("my notes")
    outcome = asr_command(*command)
    assert outcome.code == 2
    assert "overwrite=true" in outcome.err
    assert output.read_text() == "my notes"
    assert asr_command(*command, "overwrite=true").code == 0
    assert output.read_text() == lines
    (tmp_path / "file").touch()
    outcome = asr_command(*command[:-1], f"output={tmp_path / 'file' / 'a.txt'}")
    assert outcome.code == 2
    assert "cannot be written" in outcome.err


def in_a_terminal(command, folder):
    """What a command wrote to a terminal of 40 columns, and its exit code."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    environment = os.environ | {"TERM": "xterm", "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, cwd=folder, stdin=other, stdout=other, stderr=other, env=environment)
    os.close(other)
    content = b""
    while True:
        try:
            part = os.read(main, 4096)
        except OSError:  # Linux, when the other end is closed
            break
        if not part:
            break
        content += part
    os.close(main)
    return content.decode(), process.wait()


@pytest.mark.parametrize("settings", [[], ["format=vtt", "output=out.vtt"]])
def test_a_terminal_shows_the_segments_and_no_remains_of_what_changed(recording, lines, tmp_path, settings):
    command = [sys.executable, "-m", "asr", "listen", str(recording), "pace=fast", BUNDLE]
    content, code = in_a_terminal([*command, *settings], tmp_path)
    assert code == 0
    assert "\x1b[2m" in content
    screen = Screen(40, 10)
    screen.write(content)
    assert " ".join(screen.text).split() == lines.split()
    assert screen.dim_text == ""
    assert (tmp_path / "out.vtt").exists() == bool(settings)


class PortAudioError(Exception):
    pass


def fake_sounddevice(samples, rate, *, channels=1, at_end=lambda: None):
    """The part of sounddevice that is used, with two microphones that record `samples`."""
    module = ModuleType("sounddevice")
    module.__spec__ = ModuleSpec("sounddevice", None)
    module.PortAudioError = PortAudioError
    module.default = SimpleNamespace(device=[1, 0])
    names = [("Speakers", 0), ("Built-in Audio", channels), ("USB Headset", channels), ("USB Camera", channels)]
    devices = [{"name": name, "max_input_channels": most, "default_samplerate": float(rate)} for name, most in names]
    module.query_devices = lambda: devices
    module.opened = []

    def check_input_settings(*, device, channels, dtype, samplerate):
        if channels > devices[device]["max_input_channels"]:
            raise PortAudioError("Invalid number of channels")

    class InputStream:
        def __init__(self, *, samplerate, device, channels, dtype, callback):
            module.opened.append((samplerate, device, channels, dtype))
            self._callback, self._channels = callback, channels
            self._thread = threading.Thread(target=self._play)

        def _play(self):
            for start in range(0, len(samples), 441):
                block = np.repeat(samples[start : start + 441, None], self._channels, axis=1)
                self._callback(block, len(block), None, SimpleNamespace(input_overflow=False))
                if start % 44_100 == 0:
                    time.sleep(0.002)
            at_end()

        def __enter__(self):
            self._thread.start()

        def __exit__(self, *error):
            self._thread.join()

    module.check_input_settings, module.InputStream = check_input_settings, InputStream
    return module


@pytest.mark.parametrize(("device", "number"), [(None, 1), ("2", 2), ("headset", 2)])
def test_a_microphone_gives_the_segments_of_a_session(asr_command, samples, lines, monkeypatch, device, number):
    module = fake_sounddevice(samples, RATE, at_end=lambda: os.kill(os.getpid(), signal.SIGINT))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    outcome = asr_command("listen", BUNDLE, *([] if device is None else [f"device={device}"]))
    assert (outcome.code, outcome.out) == (130, lines)
    assert module.opened == [(RATE, number, 1, "int16")]
    assert f"recording from {module.query_devices()[number]['name']}; Ctrl-C ends" in outcome.err


def test_a_microphone_of_another_rate_is_resampled(asr_command, samples, lines, monkeypatch):
    module = fake_sounddevice(np.repeat(samples, 3), 3 * RATE, at_end=lambda: os.kill(os.getpid(), signal.SIGINT))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    words = asr_command("listen", BUNDLE).out.split()
    assert len(words) == pytest.approx(len(lines.split()), abs=4)


def test_microphones_are_listed(asr_command, samples, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice(samples, 44_100, channels=2))
    outcome = asr_command("listen", "devices=true")
    assert outcome.out.splitlines() == [
        "*   1  Built-in Audio  (2 channels, 44100 Hz)",
        "    2  USB Headset  (2 channels, 44100 Hz)",
        "    3  USB Camera  (2 channels, 44100 Hz)",
    ]


def broken(**parts):
    module = fake_sounddevice(np.zeros(10, np.int16), RATE)
    for name, part in parts.items():
        setattr(module, name, part)
    return module


def refuse(*_arguments, **_settings):
    raise PortAudioError("Device unavailable")


@pytest.mark.parametrize(
    ("module", "arguments", "code", "message"),
    [
        (None, [], 2, "the microphone needs sounddevice, which is not installed: pip install 'asr[live]'"),
        (broken(query_devices=list), [], 2, "there is no microphone: connect one, or use another source"),
        (broken(query_devices=list), ["devices=true"], 2, "there is no device that records: connect one"),
        (broken(query_devices=refuse), [], 2, "there is no microphone (Device unavailable): connect one"),
        (broken(default=SimpleNamespace(device=[-1, -1])), [], 2, "no default microphone: device= chooses one"),
        (broken(), ["device=9"], 2, "device=9: there is no such microphone; `asr listen devices=true` lists them"),
        (broken(), ["device=0"], 2, "device=0: there is no such microphone"),
        (broken(), ["device=usb"], 2, "device=usb: this may be 2 (USB Headset), 3 (USB Camera); choose one by its"),
        (broken(), ["rate=16000"], 2, "rate is for raw input"),
        (broken(InputStream=refuse), [], 1, "Built-in Audio: cannot be recorded (Device unavailable)"),
        (broken(), ["channel=3"], 1, "Built-in Audio: there is no channel 3: the microphone has 1"),
    ],
)
def test_a_microphone_that_is_missing_is_explained_in_one_line(
    asr_command, monkeypatch, module, arguments, code, message
):
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    outcome = asr_command("listen", BUNDLE, "--quiet", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_missing_portaudio_is_explained(asr_command, monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    outcome = asr_command("listen")
    assert outcome.code == 2
    assert "the microphone needs the library PortAudio" in outcome.err
    assert "apt install libportaudio2" in outcome.err


def test_the_recordings_of_the_guide_have_the_words_that_the_command_gives(asr_command):
    guide = (REPOSITORY / "docs" / "live.md").read_text("utf-8")
    for command, words in re.findall(r"^\$ asr listen (.*)\n([^`]*?)^```", guide, re.MULTILINE):
        recording, *settings = command.split()
        shown = asr_command("listen", REPOSITORY / recording, *{"pace=fast", *settings}).out
        if not settings:  # what a terminal showed: the lines that stay
            words = " ".join(re.sub(r"^ *[\d.]*", "", line) for line in words.splitlines() if "~" not in line)
        texts = [" ".join(re.sub(r"^(WEBVTT|\d+|.*-->.*)$", "", one, flags=re.M).split()) for one in (shown, words)]
        assert texts[0] == texts[1] != ""
