from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import asr.files
from asr.errors import OutputError
from asr.files import (
    OutputJournal,
    check_file,
    check_folder,
    clear_leftovers,
    folder_written_atomically,
    foreign_entry,
    typed_path,
    write_atomically,
)

LONGEST = "n" * 255
KNOWN = {"a", "b"}


def foreign(folder: Path) -> str | None:
    """Of folders in these tests, files called a and b are ours."""
    return foreign_entry(folder, lambda path: path.name in KNOWN)


def write_folder(path: Path, **files: str) -> None:
    with folder_written_atomically(path, foreign=foreign) as folder:
        for name, content in files.items():
            (folder / name).write_text(content)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_files_and_folders_get_the_permissions_of_the_umask_which_is_not_touched(tmp_path, umask, monkeypatch):
    umask(0o027)
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask belongs to all threads"))
    write_atomically(tmp_path / "file", b"content")
    write_folder(tmp_path / "folder", a="content")
    monkeypatch.undo()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


@pytest.mark.parametrize("name", [LONGEST, "ß" * 127, "\udcff" * 255])
def test_the_longest_names_can_be_written(tmp_path, name):
    for content in ("old", "new"):
        write_atomically(tmp_path / name, content.encode())
        write_folder(tmp_path / "folders" / name, a=content)
    assert (tmp_path / name).read_text() == "new"
    assert contents(tmp_path / "folders" / name) == {"a": "new"}
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_arguments, **_settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert contents(tmp_path) == {"file": "old"}


def test_links_are_followed_and_stay(tmp_path):
    (tmp_path / "disk").mkdir()
    for name in ("file", "folder", "later"):
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
    for content in ("old", "new"):
        write_atomically(tmp_path / "file", content.encode())
        write_folder(tmp_path / "folder", a=content)
    write_atomically(tmp_path / "later", b"first")
    assert all((tmp_path / name).is_symlink() for name in ("file", "folder", "later"))
    assert (tmp_path / "disk" / "file").read_text() == "new"
    assert contents(tmp_path / "disk" / "folder") == {"a": "new"}
    assert sorted(os.listdir(tmp_path / "disk")) == ["file", "folder", "later"]
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(tmp_path / "circle", b"content")
    with pytest.raises(OutputError, match="circle: cannot be written"):
        check_folder(tmp_path / "circle", foreign=foreign)


def test_devices_and_pipes_are_written_into_and_stay(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(os.devnull)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    for path in (pipe, tmp_path / "link", Path(os.devnull)):
        check_file(path, is_ours=lambda _: False)
        write_atomically(path, b"content")
    reader.join(10)
    assert found == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    with pytest.raises(OutputError, match="link: is not a folder"):
        check_folder(tmp_path / "link", foreign=foreign)


def test_standard_output_in_a_file_is_not_replaced(tmp_path):
    code = "from asr.files import write_atomically; write_atomically('/dev/stdout', b'one '); print('two')"
    with (tmp_path / "out").open("ab") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert contents(tmp_path) == {"out": "one two\n"}


def test_a_folder_that_fails_midway_leaves_the_old_one(tmp_path):
    path = tmp_path / "folder"
    write_folder(path, a="old")

    def fail_midway() -> None:
        with folder_written_atomically(path, foreign=foreign) as folder:
            (folder / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert contents(path) == {"a": "old"}
    write_folder(path, b="new")
    assert contents(path) == {"b": "new"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_with_a_file_of_others_is_refused_before_the_work_and_after_it(tmp_path):
    path = tmp_path / "precious"
    (path / "thesis").mkdir(parents=True)
    (path / "thesis" / "chapter1.txt").write_text("It was a dark and stormy night")
    with pytest.raises(OutputError, match="precious: holds 'thesis', which asr did not write"):
        write_folder(path)
    shutil.rmtree(path / "thesis")

    def meanwhile() -> None:
        with folder_written_atomically(path, foreign=foreign) as folder:
            (folder / "a").write_text("new")
            (path / "notes").write_text("mine")

    with pytest.raises(OutputError, match="holds 'notes'"):
        meanwhile()
    assert contents(path) == {"notes": "mine"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fails", [(), ("link",), ("_exchange",)])
def test_what_is_kept_of_a_folder_is_in_the_new_one(tmp_path, monkeypatch, fails):
    path = tmp_path / "folder"
    write_folder(path, a="old", b="old")
    (path / "notes").mkdir()
    (path / "notes" / "chapter1.txt").write_text("It was a dark and stormy night")
    (path / ".DS_Store").write_text("mine")
    (path / "link").symlink_to("nowhere")
    if "link" in fails:
        monkeypatch.setattr("asr.files.os.link", lambda *_, **__: (_ for _ in ()).throw(PermissionError()))
    if "_exchange" in fails:
        monkeypatch.setattr("asr.files._exchange", lambda *_: False)
    with folder_written_atomically(path, foreign=lambda _: None, kept=lambda one: one.name not in KNOWN) as folder:
        (folder / "a").write_text("new")
    assert sorted(one.name for one in path.iterdir()) == [".DS_Store", "a", "link", "notes"]
    assert (path / "a").read_text() == "new"
    assert (path / ".DS_Store").read_text() == "mine"
    assert (path / "notes" / "chapter1.txt").read_text() == "It was a dark and stormy night"
    assert os.readlink(path / "link") == "nowhere"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["file/sub", "file", "x" * 256, "a\0b", "a\ud83d"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written|is not a folder"):
        check_folder(tmp_path / name, foreign=foreign)


# A swap, with every call of the system that it makes failing in turn, or the process killed there. The calls are those
# that `asr.files` makes by `os`, and the removal of the old folder.


class Failing:
    """The modules `os` and `shutil` for `asr.files`, where one call of those that change something does not return."""

    CALLS = ("mkdir", "rename", "replace", "rmdir", "unlink", "open", "fsync", "listdir", "makedirs", "rmtree")

    def __init__(self, at: int, action: Callable[[], object]) -> None:
        self.at, self.action, self.count = at, action, 0

    def install(self, set_attribute: Callable[[str, object], object]) -> None:
        exchange = asr.files._exchange
        set_attribute("os", _Proxy(os, self))
        set_attribute("shutil", _Proxy(shutil, self))
        set_attribute("_exchange", lambda *paths: self.call(lambda: exchange(*paths)))

    def call(self, function: Callable[[], object]) -> object:
        self.count += 1
        if self.count == self.at:
            self.action()
        return function()


class _Proxy:
    def __init__(self, module: object, failing: Failing) -> None:
        self.module, self.failing = module, failing

    def __getattr__(self, name: str) -> object:
        function = getattr(self.module, name)
        if name not in Failing.CALLS:
            return function
        return lambda *arguments, **settings: self.failing.call(lambda: function(*arguments, **settings))


@pytest.fixture
def swap(tmp_path) -> Path:
    """A folder of ours, with files of others beside it whose names look like those of leftovers."""
    path = tmp_path / "work" / "best"
    write_folder(path, a="old")
    (tmp_path / "work" / ".notes.part").write_text("mine")
    (tmp_path / "work" / ".thesis.old").mkdir()
    (tmp_path / "work" / ".thesis.old" / "chapter1.txt").write_text("mine")
    return path


OLD, NEW = {"a": "old"}, {"a": "new", "b": "new"}


def nothing_of_others_is_gone(path: Path) -> None:
    assert (path.parent / ".notes.part").read_text() == "mine"
    assert (path.parent / ".thesis.old" / "chapter1.txt").read_text() == "mine"


@pytest.mark.parametrize("renames", [False, True])
def test_a_swap_that_fails_at_any_step_leaves_the_old_folder_or_the_new_one_whole(swap, monkeypatch, renames):
    def fail() -> None:
        raise OSError(5, "Input/output error")

    step, outcomes = 0, []
    while True:
        step += 1
        with monkeypatch.context() as patch:
            if renames:
                patch.setattr(asr.files, "_exchange", lambda *_: False)
            failing = Failing(step, fail)
            failing.install(lambda name, value, patch=patch: patch.setattr(asr.files, name, value))
            with suppress(OSError):
                write_folder(swap, b="new", a="new")
        outcomes.append(contents(swap))
        assert outcomes[-1] in (OLD, NEW)
        nothing_of_others_is_gone(swap)
        write_folder(swap, a="old")  # the next run, which clears what the failed removal of the old folder left
        assert sorted(os.listdir(swap.parent)) == [".notes.part", ".thesis.old", "best"]
        if failing.count < step:
            break
    assert outcomes.count(OLD) >= 8  # every step up to the swap
    assert outcomes[-1] == NEW


def kill_at_every_step(path: Path, *, renames: bool) -> None:
    """Kill a process at every step of a swap; what `path` is afterwards, and after the next check, is printed."""
    step, done = 0, False
    while not done:
        step += 1
        child = os.fork()
        if child == 0:
            if renames:
                asr.files._exchange = lambda one, other: False
            Failing(step, lambda: os.kill(os.getpid(), signal.SIGKILL)).install(
                lambda name, value: setattr(asr.files, name, value)
            )
            write_folder(path, b="new", a="new")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        done = os.waitstatus_to_exitcode(status) == 0
        assert done or os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        killed = contents(path) if path.exists() else None
        check_folder(path, foreign=foreign)  # what every command begins with
        print(json.dumps([killed, contents(path), sorted(os.listdir(path.parent))]))
        nothing_of_others_is_gone(path)
        write_folder(path, a="old")


@pytest.mark.parametrize("renames", [False, True])
def test_a_swap_that_is_killed_at_any_step_is_finished_or_undone_by_the_next_run(swap, renames):
    # In a process that has no threads, so that it can fork.
    code = f"""
from pathlib import Path
from tests.test_files import kill_at_every_step
kill_at_every_step(Path({str(swap)!r}), renames={renames})
"""
    command = [sys.executable, "-c", code]
    repository = Path(__file__).parent.parent
    process = subprocess.run(command, capture_output=True, text=True, cwd=repository, check=False)
    assert process.returncode == 0, process.stderr
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    assert len(rows) >= 12
    assert all(cleared in (OLD, NEW) for _, cleared, _ in rows)
    assert all(names == [".notes.part", ".thesis.old", "best"] for _, _, names in rows)
    killed = [one for one, _, _ in rows]
    assert all(one in (OLD, NEW, None) for one in killed)
    assert killed.count(None) == renames  # between two renames there is a moment without a folder
    assert rows[-1][1] == NEW


def test_what_a_killed_process_left_is_cleared_and_what_it_set_aside_comes_back(tmp_path):
    # As earlier versions called it.
    (tmp_path / ".a.txt.x1abcdef.part").write_text("half")
    (tmp_path / ".best.x2abcdef.part").mkdir()
    (tmp_path / ".best.x2abcdef.part" / "a").write_text("half")
    (tmp_path / ".best.x3abcdef.old" / "best").mkdir(parents=True)
    (tmp_path / ".best.x3abcdef.old" / "best" / "a").write_text("old")
    (tmp_path / ".last.x4abcdef.old" / "last").mkdir(parents=True)
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "a").write_text("new")
    # As it is called now.
    (tmp_path / f".asr-{asr.files._key('b.txt')}-01234567.part").write_text("half")
    (tmp_path / f".asr-{asr.files._key('first')}-01234567.old" / "first").mkdir(parents=True)
    clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"best", "last", "first"}
    assert (tmp_path / "best" / "a").read_text() == "old"
    assert (tmp_path / "last" / "a").read_text() == "new"
    clear_leftovers(tmp_path / "nowhere")


def test_what_only_looks_like_a_leftover_stays(tmp_path):
    (tmp_path / ".thesis.2019.old").mkdir()
    (tmp_path / ".thesis.2019.old" / "chapter1.txt").write_text("mine")
    (tmp_path / ".both.x1abcdef.old" / "both").mkdir(parents=True)
    (tmp_path / ".both.x1abcdef.old" / "more").touch()
    (tmp_path / ".download.part").touch()
    before = sorted(tmp_path.rglob("*"))
    clear_leftovers(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / f".asr-{asr.files._key('one')}-01234567.part").touch()
    clear_leftovers(tmp_path, of="another")
    assert len(os.listdir(tmp_path)) == 4


def test_the_journal_knows_what_was_written_here_and_not_changed_since(tmp_path):
    path = tmp_path / "out" / "report.txt"
    assert OutputJournal().problem(path) is None
    OutputJournal().write(path, b"one")
    OutputJournal().write(path, b"two")
    path.write_bytes(b"two, with remarks")
    for change in ("changed", "of others"):
        problem = OutputJournal().problem(path)
        assert problem == "was not written by asr, or changed since; overwrite=true replaces it, or name another output"
        with pytest.raises(OutputError, match=rf"report\.txt: {problem}"):
            OutputJournal().write(path, b"three")
        assert path.read_bytes() != b"three"
        assert OutputJournal(overwrite=True).problem(path) is None
        if change == "changed":
            (path.parent / ".asr-outputs.jsonl").unlink()
    OutputJournal(overwrite=True).write(path, b"three")
    OutputJournal().write(path, b"four")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "there is a folder of that name"),
        ("pipe", "is no regular file"),
        ("file/below", r"Not a directory|is not a folder"),
        ("nowhere/" + 300 * "x", "has 300 bytes, file systems hold 255"),
        ("a\0b", "NUL character"),
        ("a\ud83d", "half a surrogate pair"),
    ],
)
def test_what_no_file_can_be_called_or_replace_is_said_before_the_work(tmp_path, name, reason, overwrite):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=reason) as caught:
        OutputJournal(overwrite=overwrite).check([tmp_path / name])
    json.dumps(str(caught.value)).encode("utf-8")
    str(caught.value).encode("utf-8")  # can be printed
    assert "\0" not in str(caught.value)


def test_a_folder_of_a_journal_is_ours_if_all_of_it_is(tmp_path):
    journal = OutputJournal()
    with folder_written_atomically(tmp_path / "media", foreign=journal.foreign) as folder:
        (folder / "1.opus").write_bytes(b"sound")
        journal.record_folder(folder)
    assert journal.foreign(tmp_path / "media") is None
    (tmp_path / "media" / "1.opus").write_bytes(b"another sound")
    assert "holds '1.opus'" in str(journal.foreign(tmp_path / "media"))
    (tmp_path / "media" / "1.opus").write_bytes(b"sound")
    (tmp_path / "media" / "mine").mkdir()
    assert "holds 'mine'" in str(OutputJournal(overwrite=True).foreign(tmp_path / "media"))


def test_only_the_home_folder_itself_is_expanded_in_a_typed_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    expanded = {"~": "/home/me", "~/a b.txt": "/home/me/a b.txt"}
    literal = ["~drafts", "~root/x", "~nobody-of-this-name.lm", "a/~", "./~/x", "", "plain"]
    assert {name: str(typed_path(name)) for name in expanded} == expanded
    assert [typed_path(name) for name in literal] == [Path(name) for name in literal]
