"""Clients that nobody here wrote, unmodified, in an environment of their own."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

import pytest

from asr import load_bundle, write
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import AutoConfig

from ..conftest import oracle_node, oracle_python
from .running import SAMPLE, running

CLIENTS = Path(__file__).parent / "clients"
KEY = "k" * 32


@pytest.fixture(scope="module")
def transcript():
    with Transcriber(load_bundle("tiny"), workers=1) as transcriber:
        return transcriber.transcribe(SAMPLE)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openai")
    (folder / "keys").write_text(f"test {KEY}\n")
    with running(folder, f"keys_file={folder / 'keys'}", "limits.megabytes=2") as server:
        yield server


@pytest.fixture(scope="module")
def found(server):
    """What the official client of OpenAI gets."""
    command = [oracle_python("openai"), CLIENTS / "openai_files.py", f"{server.address}/v1", SAMPLE, KEY]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_openais_client_lists_models_and_reads_texts(found, transcript):
    assert (found["models"], found["model"]) == (["tiny"], "whisper-1")
    assert (found["json"], found["usage"]) == (transcript.text, math.ceil(transcript.duration))
    assert {kind: found[kind] for kind in ("srt", "vtt")} == {kind: write(transcript, kind) for kind in ("srt", "vtt")}
    assert found["text"] == f"{transcript.text}\n"


def test_openais_client_reads_words_and_segments(found, transcript):
    verbose = found["verbose"]
    assert [(one["word"], one["start"], one["end"]) for one in verbose["words"]] == [
        (one.text, one.start, one.end) for one in transcript.words
    ]
    assert [(one["start"], one["end"], one["text"]) for one in verbose["segments"]] == [
        (one.start, one.end, one.text) for one in transcript.segments
    ]
    assert (found["segments only"]["words"], found["segments only"]["segments"]) == (None, verbose["segments"])
    assert None not in {value for one in verbose["segments"] for value in map(str, one.values())}
    assert "".join(found["logprobs"]) == transcript.text


def test_openais_client_reads_a_stream(found, transcript):
    *deltas, done = found["stream"]
    assert "".join(one["delta"] for one in deltas) == done["text"] == transcript.text
    assert {one["type"] for one in deltas} == {"transcript.text.delta"}
    assert done["type"] == "transcript.text.done"
    assert found["async stream"] == ["transcript.text.delta"] * len(deltas) + ["transcript.text.done"]


def test_openais_asynchronous_client_sends_several_at_once(found, transcript):
    assert found["async"] == [transcript.text] * 5


def test_openais_client_passes_hot_words(found):
    with Transcriber(
        load_bundle("tiny"), decoder=AutoConfig(hotwords=["Kathleen", "New York"]), workers=1
    ) as transcriber:
        wanted = transcriber.transcribe(SAMPLE).text
    assert found["prompted"] == found["keywords"] == wanted


def test_openais_client_raises_its_own_errors(found):
    errors = found["errors"]
    assert {name: (one["class"], one["code"]) for name, one in errors.items()} == {
        "model": ("NotFoundError", "model_not_found"),
        "audio": ("BadRequestError", "invalid_audio"),
        "stream": ("BadRequestError", "invalid_audio"),
        "format": ("BadRequestError", "unsupported_value"),
        "translation": ("BadRequestError", "unsupported_operation"),
        "key": ("AuthenticationError", "invalid_api_key"),
        "large": ("APIStatusError", "file_too_large"),
        "chat": ("NotFoundError", "unknown_url"),
    }
    assert errors["audio"]["param"] == "file"


def test_openais_client_for_javascript_gets_the_same(server, transcript):
    node, modules = oracle_node("openai")
    command = [node, CLIENTS / "openai_files.cjs", f"{server.address}/v1", SAMPLE, KEY]
    environment = os.environ | {"NODE_PATH": str(modules)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["json"], found["srt"]) == (transcript.text, write(transcript, "srt"))
    assert found["words"] == [[one.text, one.start, one.end] for one in transcript.words]
    assert found["segments"] == [one.text for one in transcript.segments]
    assert [one["type"] for one in found["events"]] == ["transcript.text.delta", "transcript.text.done"]
    assert found["events"][-1]["text"] == transcript.text
    assert found["model"] == ["NotFoundError", 404, "model_not_found"]
    assert found["key"] == ["AuthenticationError", 401, "invalid_api_key"]
    assert found["large"] == ["APIError", 413, "file_too_large"]


@pytest.mark.slow
def test_requests_that_a_program_makes_up_from_the_document_get_the_answers_it_describes(tmp_path):
    python = oracle_python("schemathesis")
    with running(tmp_path, "limits.megabytes=1", f"data_dir={tmp_path / 'data'}") as server:
        command = [
            python.parent / "schemathesis", "run", f"{server.address}/openapi.json", "--checks=all",
            # A body of the right form need not be a recording.
            "--exclude-checks=positive_data_acceptance", "--max-examples=50", "--no-color",
            # The first correction starts a process that aligns.
            "--request-timeout=60", "--max-response-time=60",
        ]  # fmt: skip
        # It writes the files of its run to the folder that it is called in.
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
        assert server.transcribe().status == 200
