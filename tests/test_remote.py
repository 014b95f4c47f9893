"""Files by URL: in memory, in folders, and in an object store that speaks S3."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from asr import remote
from asr.errors import AudioError, MissingPackageError

from .conftest import REPOSITORY, SAMPLES, oracle_module

numbers = itertools.count()


@pytest.fixture
def top() -> str:
    oracle_module("fsspec")
    return f"memory://place-{next(numbers)}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/a.wav", True),
        ("memory://a.wav", True),
        ("file:///tmp/a.wav", True),
        ("https://example.org/a.wav", False),
        ("rtsp://camera/1", False),
        ("a.wav", False),
        ("/tmp/s3:/a.wav", False),
        ("C:/a.wav", False),
    ],
)
def test_urls_are_told_from_paths_and_web_addresses(name, expected):
    assert remote.is_url(name) is expected


def test_what_is_written_is_listed_and_read(top, tmp_path):
    for name in ("b.wav", "deep/a.wav", "deep/notes.txt"):
        remote.write_file(f"{top}/{name}", name.encode())
    files = remote.list_files(top)
    assert [one.url.removeprefix(f"{top}/") for one in files] == ["b.wav", "deep/a.wav", "deep/notes.txt"]
    assert [one.size for one in files] == [5, 10, 14]
    assert [one.name for one in remote.list_files(f"{top}/**/*.wav")] == ["b.wav", "a.wav"]
    assert remote.list_names(top) == {"b.wav": 5, "deep/a.wav": 10, "deep/notes.txt": 14}
    assert remote.list_names(f"{top}/none") == {}
    with remote.local_copy(files[1].url, tmp_path) as copy:
        assert (copy.suffix, copy.read_bytes()) == (".wav", b"deep/a.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["talk [1].wav", "why?.wav", "a*.wav"])
def test_a_name_that_is_there_is_no_pattern(top, tmp_path, name):
    for place in (top, f"file://{tmp_path}"):
        for one in (name, "talk 1.wav", "whyx.wav", "ab.wav"):
            remote.write_file(f"{place}/{one}", b"")
            remote.write_file(f"{place}/in {name}/{one}", b"")
        assert [one.url for one in remote.list_files(f"{place}/{name}")] == [f"{place}/{name}"]
        assert len(remote.list_files(f"{place}/in {name}")) == 4
        assert "whyx.wav" in [one.name for one in remote.list_files(f"{place}/why?.wa[v]")]


def test_a_version_changes_with_the_content(top):
    remote.write_file(f"{top}/a.wav", b"one")
    (before,) = remote.list_files(f"{top}/a.wav")
    remote.write_file(f"{top}/a.wav", b"two")
    (after,) = remote.list_files(f"{top}/a.wav")
    assert before.size == after.size
    assert before.version != after.version


def test_a_missing_file_is_an_error_of_the_recording(top, tmp_path):
    with pytest.raises(AudioError, match="no such file"), remote.local_copy(f"{top}/none.wav", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AudioError, match="no such file"):
        remote.read_file(f"{top}/none.wav")


def test_files_are_renamed_into_place_where_they_do_not_appear_at_once(tmp_path):
    oracle_module("fsspec")
    url = f"file://{tmp_path}/texts/a.txt"
    remote.write_file(url, b"one")
    remote.write_file(url, b"two")
    assert remote.read_file(url) == b"two"
    assert [path.name for path in (tmp_path / "texts").iterdir()] == ["a.txt"]


def test_without_fsspec_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("asr.packages.is_installed", lambda name: False)
    with pytest.raises(MissingPackageError, match=r"asr\[remote\]"):
        remote.list_files("s3://bucket/calls")


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """A bucket of a local S3 server; the environment in which it is found."""
    oracle_module("s3fs")
    server_module = oracle_module("moto.server")
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    code = f"""
import json
import fsspec
store = fsspec.filesystem("s3")
store.makedirs("speech", exist_ok=True)  # the server keeps its buckets while this process runs
store.put({[str(path) for path in sorted(SAMPLES.glob("*.opus"))[:2]]!r}, "speech/in/deep/")
rows = [{{"audio_filepath": "in/" + path.partition("/in/")[2], "text": "a word"}} for path in store.find("speech/in")]
store.pipe_file("speech/test.jsonl", "".join(json.dumps(row) + "\\n" for row in rows).encode())
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | environment)
    yield environment
    server.stop()


@pytest.mark.slow
def test_recordings_in_an_object_store_are_transcribed_into_it(bucket):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "asr", "transcribe", *arguments, "bundle=tiny"]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=os.environ | bucket
        )

    places = ("s3://speech/in", "output_dir=s3://speech/texts", "format=txt")
    first, second = run(*places), run(*places)
    assert first.returncode == 0, first.stderr
    assert "2 transcripts written to s3://speech/texts" in first.stderr
    assert "2 were there already" in second.stderr
    code = """
import fsspec
store = fsspec.filesystem("s3")
for path in sorted(store.find("speech/texts")):
    if path.endswith(".txt"):
        print(path, store.cat_file(path).decode(), sep="\\t", end="")
"""
    stored = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | bucket)
    plain = run(*[str(path) for path in sorted(SAMPLES.glob("*.opus"))[:2]])
    assert [line.split("\t")[1] for line in stored.stdout.splitlines()] == [
        line.split("\t")[1] for line in plain.stdout.splitlines()
    ]
    assert "speech/texts/deep/" in stored.stdout
    refused = run(*places, "channel=1")
    assert refused.returncode == 2
    assert "of another bundle or with other settings" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [["evaluate"], ["doctor"], ["align", "format=jsonl"]])
def test_a_manifest_in_an_object_store_is_used_where_it_is(bucket, command):
    settings = ["workers=1", *(["bundle=tiny"] if command[0] != "doctor" else [])]
    done = subprocess.run(
        [sys.executable, "-m", "asr", *command, "s3://speech/test.jsonl", *settings],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | bucket,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    refused = subprocess.run(
        [sys.executable, "-m", "asr", command[0], "s3://speech/test.jsonl", "output_dir=s3://speech/report"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | bucket,
    )
    assert refused.returncode == 2
    assert "s3:" not in os.listdir(REPOSITORY)
    assert "Traceback" not in refused.stderr
    assert "not a URL: copy" in refused.stderr
