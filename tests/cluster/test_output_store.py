"""What is recorded of outputs, in folders and in an object store: both keep one contract."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from asr import remote
from asr.cluster.output_store import FolderStore, OutputStore, State, open_store
from asr.errors import OutputError
from asr.recognition.finished import Source

from ..conftest import oracle_module

SOURCE, CHANGED = Source(10, 20, "settings"), Source(11, 20, "settings")
numbers = itertools.count()


class Place:
    """A folder or a URL, and files in it as others see them."""

    def __init__(self, top: str) -> None:
        self.top = top

    def store(self, settings: str = "settings", *, overwrite: bool = False) -> OutputStore:
        return open_store(self.top, settings=settings, overwrite=overwrite)

    def output(self, name: str) -> str:
        return f"{self.top}/{name}"

    def put(self, name: str, content: bytes) -> None:
        if remote.is_url(self.top):
            remote.write_file(self.output(name), content)
        else:
            Path(self.output(name)).parent.mkdir(parents=True, exist_ok=True)
            Path(self.output(name)).write_bytes(content)

    def get(self, name: str) -> bytes:
        return remote.read_file(self.output(name)) if remote.is_url(self.top) else Path(self.output(name)).read_bytes()

    def remove(self, name: str) -> None:
        if remote.is_url(self.top):
            import fsspec

            fsspec.filesystem("memory").rm_file(self.output(name))
        else:
            Path(self.output(name)).unlink()


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path) -> Place:
    if request.param == "folder":
        return Place(str(tmp_path / "texts"))
    oracle_module("fsspec")
    return Place(f"memory://texts-{next(numbers)}")


def test_what_was_written_is_finished_for_every_later_run(place):
    output = place.output("a/b.txt")
    assert place.store().verdict(output, SOURCE).state is State.missing
    place.store().write(output, "text\n", SOURCE)
    assert place.get("a/b.txt") == b"text\n"
    assert place.store().verdict(output, SOURCE).state is State.finished
    assert place.store().is_finished(output, SOURCE)
    assert place.store().verdict(output, CHANGED).state is State.missing
    assert place.store(overwrite=True).verdict(output, SOURCE).state is State.missing


def test_a_deleted_output_is_made_again_and_a_corrected_one_is_kept(place):
    for name in ("a.txt", "b.txt"):
        place.store().write(place.output(name), "text\n", SOURCE)
    place.remove("a.txt")
    place.put("b.txt", b"text, corrected\n")
    assert place.store().verdict(place.output("a.txt"), SOURCE).state is State.missing
    assert place.store().verdict(place.output("b.txt"), SOURCE).state is State.finished
    assert place.store().verdict(place.output("b.txt"), CHANGED).state is State.blocked


def test_a_file_of_others_is_never_replaced(place):
    place.put("a.txt", b"mine")
    verdict = place.store().verdict(place.output("a.txt"), SOURCE)
    assert verdict.state is State.blocked
    assert "overwrite=true" in verdict.reason
    assert place.store(overwrite=True).verdict(place.output("a.txt"), SOURCE).state is State.missing


def test_the_transcript_of_another_recording_is_not_replaced(place):
    output = place.output("a.txt")
    first, second = (replace(SOURCE, size=size, recording=f"memory://{size}/a.wav") for size in (1, 2))
    place.store().write(output, "first\n", first)
    verdict = place.store().verdict(output, second)
    assert verdict.state is State.blocked
    assert "holds the transcript of " in verdict.reason
    assert place.store().verdict(output, replace(first, size=3)).state is State.missing  # it was changed
    assert place.store(overwrite=True).verdict(output, second).state is State.missing
    place.store(overwrite=True).write(output, "second\n", second)
    assert place.store().verdict(output, second).state is State.finished
    assert place.store().verdict(output, first).state is State.blocked


def test_outputs_of_other_settings_are_told_apart(place):
    output = place.output("a.txt")
    place.store().write(output, "text\n", SOURCE)
    other = Source(SOURCE.size, SOURCE.changed, "others")
    assert place.store("others").verdict(output, other).state is State.other_settings


def test_failures_are_recorded_until_the_recording_or_the_settings_change(place):
    output = place.output("a.txt")
    place.store().record_failure(output, SOURCE, "no samples (on node-1)")
    verdict = place.store().verdict(output, SOURCE)
    assert (verdict.state, verdict.reason) == (State.failed, "no samples (on node-1)")
    assert place.store().verdict(output, CHANGED).state is State.missing
    place.store().write(output, "text\n", SOURCE)
    assert place.store().verdict(output, SOURCE).state is State.finished


def test_a_record_without_its_output_is_not_finished(place, monkeypatch):
    """As after a worker was killed between the two."""
    output = place.output("a.txt")
    if remote.is_url(place.top):
        monkeypatch.setattr(remote, "write_file", _first_only(remote.write_file))
    else:
        monkeypatch.setattr("asr.recognition.finished.write_atomically", lambda path, content: None)
    place.store().write(output, "text\n", SOURCE)
    assert place.store().verdict(output, SOURCE).state is State.missing


def _first_only(write):
    calls = itertools.count()
    return lambda url, content: write(url, content) if next(calls) == 0 else None


def test_leftovers_of_a_killed_worker_are_removed(tmp_path):
    from asr.files import _beside

    output = tmp_path / "a.txt"
    partial, other = _beside(output, "part"), _beside(tmp_path / "b.txt", "part")
    for path in (partial, other):
        path.write_bytes(b"te")
    store = FolderStore(settings="settings", overwrite=False)
    assert not store.is_finished(str(output), SOURCE)
    assert (partial.exists(), other.exists()) == (False, True)
    store.clear([str(tmp_path / "b.txt"), str(tmp_path / "none" / "c.txt")])
    assert not other.exists()


def test_a_full_place_is_an_error_of_the_output(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        FolderStore(settings="s", overwrite=False).write(str(tmp_path / "file" / "a.txt"), "text", SOURCE)
