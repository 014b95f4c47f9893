"""Clients of live streams that nobody here wrote, unmodified, in an environment of their own."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from ..conftest import oracle, oracle_node, oracle_python
from .live import samples, session_finals, two_segments
from .running import running

CLIENTS = Path(__file__).parent / "clients"
KEY = "k" * 32
TRANSCRIPTION = "conversation.item.input_audio_transcription"
# A clone of https://github.com/alphacep/vosk-server.
VOSK_SERVER = os.environ.get("ASR_VOSK_SERVER")
vosk_server = pytest.mark.skipif(VOSK_SERVER is None, reason="ASR_VOSK_SERVER names no clone of vosk-server")


def write_wav(path: Path, content: np.ndarray, rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(content.tobytes())
    return path


def run(*command: object, env: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """What a client writes, in its own environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | (env or {})
    done = subprocess.run(
        [str(one) for one in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestOpenAI:
    @pytest.fixture(scope="class")
    @classmethod
    def content(cls):
        return two_segments(rate=24_000)

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls, tmp_path_factory, content):
        """What the official client gets."""
        python = oracle_python("openai")
        folder = tmp_path_factory.mktemp("openai")
        (folder / "keys").write_text(f"test {KEY}\n")
        path = write_wav(folder / "speech.wav", content, 24_000)
        with running(folder, f"keys_file={folder / 'keys'}") as server:
            return json.loads(run(python, CLIENTS / "openai_realtime.py", f"{server.address}/v1", path, KEY))

    def test_an_ephemeral_key_opens_a_stream_with_its_settings_and_nothing_else(self, found, content):
        found = found["ephemeral"]
        secret = found["secret"]
        assert secret["class"] == "ClientSecretCreateResponse"
        assert secret["value"].startswith("ek_")
        assert secret["expires_at"] <= time.time() + 61
        assert secret["session"]["audio"]["input"]["turn_detection"] is None
        created = found["created"]
        assert created["class"] == "SessionCreatedEvent"
        assert created["session"]["audio"]["input"] == secret["session"]["audio"]["input"]
        assert found["transcript"] == " ".join(one.text for one in session_finals(content, rate=24_000))
        assert found["models"] == found["more keys"] == ["AuthenticationError", "invalid_api_key", None]
        assert found["too long"] == ["BadRequestError", "invalid_value", "expires_after.seconds"]
        assert found["conversation"] == ["BadRequestError", "invalid_value", "session.type"]
        assert found["beta secret"]["client_secret"]["value"].startswith("ek_")
        assert found["beta secret"]["input_audio_format"] == "g711_ulaw"

    def test_turns_that_the_server_finds(self, found, content):
        events = found["automatic"]
        texts = [one["transcript"] for one in events if one["type"] == f"{TRANSCRIPTION}.completed"]
        assert texts == [one.text for one in session_finals(content, rate=24_000)]
        assert [one["class"] for one in events] == [
            "SessionCreatedEvent",
            "SessionUpdatedEvent",
            *[
                "InputAudioBufferSpeechStartedEvent",
                "InputAudioBufferSpeechStoppedEvent",
                "InputAudioBufferCommittedEvent",
                "ConversationItemAdded",
                "ConversationItemDone",
                "ConversationItemInputAudioTranscriptionDeltaEvent",
                "ConversationItemInputAudioTranscriptionCompletedEvent",
            ]
            * len(texts),
            "InputAudioBufferClearedEvent",
        ]

    def test_a_recording_that_is_committed(self, found, content):
        *events, error, cleared = found["manual"]
        assert events[-1]["transcript"] == " ".join(one.text for one in session_finals(content, rate=24_000))
        assert (error["class"], error["error"]["code"]) == ("RealtimeErrorEvent", "input_audio_buffer_commit_empty")
        assert cleared["class"] == "InputAudioBufferClearedEvent"

    def test_the_client_of_the_beta(self, found):
        created, updated = found["beta"]
        assert created == "transcription_session.created"
        assert updated["class"] == "TranscriptionSessionUpdatedEvent"
        assert updated["session"]["turn_detection"]["silence_duration_ms"] == 700

    def test_a_wrong_key(self, found):
        assert "401" in found["wrong key"]


@vosk_server
class TestVoskServer:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory):
        with running(tmp_path_factory.mktemp("vosk"), "limits.streams=4") as server:
            yield server

    def client(self, server, name: str, path: Path) -> str:
        script = Path(str(VOSK_SERVER)) / name
        address = f"ws://{server.host}:{server.port}"
        return run(oracle_python("srt"), CLIENTS / "vosk_redirected.py", address, script, path)

    def answers(self, printed: str) -> list[dict]:
        return [json.loads(line) for line in printed.splitlines() if line]

    @pytest.mark.parametrize(
        "name", ["websocket/test.py", "websocket/test_words.py", "client-samples/python/asr-test.py"]
    )
    def test_clients_that_print_every_answer(self, server, tmp_path, name):
        content = two_segments(rate=16_000)
        found = self.answers(self.client(server, name, write_wav(tmp_path / "speech.wav", content, 16_000)))
        assert len(found) == -(-len(content) // 3200) + 1
        if name != "websocket/test_words.py":  # which has hot words
            texts = [one["text"] for one in found if one.get("text")]
            assert texts == [one.text for one in session_finals(content)]
        assert any("result" in one for one in found) == (name != "websocket/test_words.py")

    def test_alternatives(self, server, tmp_path):
        content = samples()[:48_000]
        path = write_wav(tmp_path / "speech.wav", content, 16_000)
        *_, last = self.answers(self.client(server, "websocket/test_alternatives.py", path))
        assert last["alternatives"][0]["text"] == session_finals(content)[0].text

    def test_any_recording_by_ffmpeg(self, server, tmp_path):
        oracle("ffmpeg")
        content = samples()[:48_000]
        path = write_wav(tmp_path / "speech.wav", content, 16_000)
        *_, last = self.answers(self.client(server, "websocket/test_ffmpeg.py", path))
        assert last["text"] == session_finals(content)[0].text

    def test_subtitles(self, server, tmp_path):
        content = two_segments(rate=16_000)
        printed = self.client(server, "websocket/test_srt.py", write_wav(tmp_path / "speech.wav", content, 16_000))
        lines = [line for line in printed.splitlines() if re.fullmatch(r"[a-z' ]+", line)]
        assert " ".join(lines) == " ".join(one.text for one in session_finals(content))

    def test_its_own_recordings(self, server):
        for name in ("test.wav", "test16k.wav"):
            path = Path(str(VOSK_SERVER)) / "websocket" / name
            with wave.open(str(path)) as file:
                rate, content = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
            found = self.answers(self.client(server, "websocket/test.py", path))
            assert [one["text"] for one in found if one.get("text")] == [
                one.text for one in session_finals(content, rate=rate)
            ]

    def test_the_client_for_node_which_does_not_wait_for_answers(self, server, tmp_path):
        node, modules = oracle_node("ws")
        script = Path(str(VOSK_SERVER)) / "client-samples" / "node" / "test.js"
        content = two_segments(rate=8000)
        (tmp_path / "test.wav").write_bytes(content.tobytes())  # it sends a file as it is
        address = {"ASR_VOSK_ADDRESS": f"ws://{server.host}:{server.port}", "ASR_NODE_MODULES": str(modules)}
        printed = run(node, "-r", CLIENTS / "vosk_redirected.cjs", script, folder=tmp_path, env=address)
        answers = [bytes.fromhex(start) for start in re.findall(r"<Buffer ((?:[0-9a-f]{2} )+)", printed)]
        assert len(answers) == -(-2 * len(content) // 65_536) + 1  # node reads a file in pieces of 64 KiB
        assert answers[-1].startswith(b'{"text":')
        assert sum(one.startswith(b'{"result":[{"conf":') for one in answers) == 2


class TestWyoming:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory):
        with running(tmp_path_factory.mktemp("wyoming"), "wyoming_port=0", "limits.streams=4") as server:
            yield server

    @pytest.fixture(scope="class")
    @classmethod
    def uri(cls, server):
        (found,) = re.findall(r"serving Wyoming at (tcp://\S+)", "".join(server.log))
        return found

    def test_the_clients_events(self, uri, tmp_path):
        content = two_segments(rate=16_000)
        path = write_wav(tmp_path / "speech.wav", content, 16_000)
        found = json.loads(run(oracle_python("wyoming"), CLIENTS / "wyoming_files.py", uri, path))
        (program,) = found["info"]["asr"]
        assert program["supports_transcript_streaming"] is True
        (model,) = program["models"]
        assert (model["name"], model["languages"], model["installed"]) == ("tiny", ["en"], True)
        assert found["pong"] == "here"
        first, second = found["texts"]
        assert first == second
        start, *chunks, transcript, stop = first
        assert (start["type"], transcript["type"], stop["type"]) == (
            "transcript-start",
            "transcript",
            "transcript-stop",
        )
        assert len(chunks) > 1
        assert "".join(one["data"]["text"] for one in chunks) == transcript["text"]
        assert transcript["data"]["language"] == "en"

    def test_the_http_bridge(self, uri, tmp_path):
        content = two_segments(rate=16_000)
        body = write_wav(tmp_path / "speech.wav", content, 16_000).read_bytes()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [oracle_python("flask"), "-m", "wyoming.http.asr_server", "--host", "127.0.0.1", "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        bridge = subprocess.Popen([*command, "--uri", uri], stderr=subprocess.PIPE, text=True, env=environment)
        try:
            for _ in range(150):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    connection.request("POST", "/api/speech-to-text?language=en", body, {"Content-Type": "audio/wav"})
                    break
                except ConnectionRefusedError:
                    time.sleep(0.2)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            connection.close()
        finally:
            bridge.kill()
            bridge.communicate()
        assert found["text"] == " ".join(one.text for one in session_finals(content))
