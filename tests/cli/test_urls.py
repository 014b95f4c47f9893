"""Manifests and recordings by URL, in `asr evaluate`, `doctor` and `align`."""

from __future__ import annotations

import json

import pytest

from asr.cli.main import main
from asr.corpus.manifest import read_manifest
from asr.errors import ConfigError, ManifestError
from asr.files import typed_path

from ..conftest import SAMPLES, oracle_module

TEXTS = ["the honours whatever he recognises in himself", "such morality equals self glorification"]


@pytest.fixture
def manifest(tmp_path):
    """Two recordings beside their manifest; workers in other processes read `file://` but not `memory://`."""
    oracle_module("fsspec")
    folder = tmp_path / "store"
    (folder / "deep").mkdir(parents=True)
    rows = []
    for number, path in enumerate(sorted(SAMPLES.glob("*.opus"))[:2]):
        (folder / "deep" / path.name).write_bytes(path.read_bytes())
        rows.append({"audio_filepath": f"deep/{path.name}", "text": TEXTS[number], "id": f"u{number}"})
    file = folder / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_recordings_of_a_remote_manifest_are_named_relative_to_it(manifest):
    reading = read_manifest(f"file://{manifest}", remote=True)
    assert reading.problems == []
    assert [one.url for one in reading.utterances] == [
        f"file://{path}" for path in sorted((manifest.parent / "deep").iterdir())
    ]
    assert [one.shown for one in reading.utterances] == [one.url for one in reading.utterances]


def test_a_manifest_by_url_is_refused_where_recordings_must_be_files(manifest):
    with pytest.raises(ManifestError, match="copy them first"):
        read_manifest(f"file://{manifest}")


def test_a_path_in_a_remote_manifest_is_a_problem_of_its_line(manifest):
    manifest.write_text('{"audio_filepath": "/a.wav", "text": "a"}\n')
    (problem,) = read_manifest(f"file://{manifest}", remote=True).problems
    assert "test.jsonl:1: audio_filepath is a path, '/a.wav'" in problem


def test_a_remote_manifest_that_is_missing_is_one_problem(manifest):
    with pytest.raises(ManifestError, match=r"none\.jsonl: no such file"):
        read_manifest(f"file://{manifest.parent}/none.jsonl", remote=True)


@pytest.mark.parametrize("name", ["s3://bucket/report", "memory://report", "https://example.org/report"])
def test_where_a_path_is_wanted_a_url_is_refused(name):
    with pytest.raises(ConfigError, match="not a URL: copy"):
        typed_path(name)


def test_evaluate_gives_the_same_rates_by_url(manifest, capsys):
    def report(name: str) -> list[str]:
        assert main(["evaluate", name, "bundle=tiny", "decoder=greedy", "workers=1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if "%" in line]

    by_url = report(f"file://{manifest}")
    assert by_url
    assert by_url == [line for line in report(str(manifest)) if line in by_url]


def test_align_gives_the_same_times_by_url(manifest, capsys):
    def rows(*names: str) -> list[dict]:
        assert main(["align", *names, "bundle=tiny", "format=jsonl", "workers=1"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    remote, local = rows(f"file://{manifest}"), rows(str(manifest))
    assert [one["words"] for one in remote] == [one["words"] for one in local]
    (audio, _) = sorted((manifest.parent / "deep").iterdir())
    text = manifest.with_name("text.txt")
    text.write_text(TEXTS[0])
    (alone,) = rows(f"file://{audio}", f"file://{text}")
    assert alone["words"] == local[0]["words"]


def test_doctor_measures_recordings_by_url(manifest, capsys):
    def table(name: str) -> list[str]:
        main(["doctor", name, "workers=1"])
        return capsys.readouterr().out.replace(name, "manifest").splitlines()

    assert table(f"file://{manifest}") == table(str(manifest))
