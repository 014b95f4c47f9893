from __future__ import annotations

import os
from pathlib import Path

import pytest

from asr.files import clear_leftovers, folder_written_atomically, typed_path, write_atomically


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_files_and_folders_have_the_permissions_that_the_umask_leaves(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"one")
        with folder_written_atomically(tmp_path / "folder") as folder:
            (folder / "a").write_text("one")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_folder_that_fails_midway_leaves_the_old_one(tmp_path):
    path = tmp_path / "folder"
    with folder_written_atomically(path) as folder:
        (folder / "a").write_text("old")

    def fail_midway() -> None:
        with folder_written_atomically(path) as folder:
            (folder / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert (path / "a").read_text() == "old"
    with folder_written_atomically(path) as folder:
        (folder / "b").write_text("new")
    assert [one.name for one in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_cleared_and_what_it_set_aside_comes_back(tmp_path):
    (tmp_path / ".a.txt.x1.part").write_text("half")
    (tmp_path / ".best.x2.part").mkdir()
    (tmp_path / ".best.x2.part" / "a").write_text("half")
    (tmp_path / ".best.x3.old" / "best").mkdir(parents=True)
    (tmp_path / ".best.x3.old" / "best" / "a").write_text("old")
    (tmp_path / ".last.x4.old" / "last").mkdir(parents=True)
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "a").write_text("new")
    clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"best", "last"}
    assert (tmp_path / "best" / "a").read_text() == "old"
    assert (tmp_path / "last" / "a").read_text() == "new"
    clear_leftovers(tmp_path / "nowhere")


def test_only_the_home_folder_itself_is_expanded_in_a_typed_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    expanded = {"~": "/home/me", "~/a b.txt": "/home/me/a b.txt"}
    literal = ["~drafts", "~root/x", "~nobody-of-this-name.lm", "a/~", "./~/x", "", "plain"]
    assert {name: str(typed_path(name)) for name in expanded} == expanded
    assert [typed_path(name) for name in literal] == [Path(name) for name in literal]
