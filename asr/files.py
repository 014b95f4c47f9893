"""Output files: which may be replaced, and atomic writing. Reading compressed files.

An output replaces only what this program wrote. Files are identified by a journal in their folder (`OutputJournal`) or
by their first bytes (`check_file`), folders by their content (`check_folder`). Symbolic links are followed: the link
remains, and its target is replaced.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from asr.errors import ConfigError, OutputError

_LONGEST_NAME = 255
"""longest file name of common file systems, in bytes"""
_STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")
"""paths of open files, which may be regular: renaming over them would disconnect the reader"""
# `.asr-<digest of the target's name>-<random>`; earlier versions made `.<the target's name>.<random>`.
_LEFTOVER = re.compile(r"\.asr-(?P<key>[0-9a-f]{8})-[0-9a-f]{8}\.(?:part|old)")
_OLD_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{1,8}\.(?:part|old)", re.DOTALL)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

_URL = re.compile(r"(?P<kind>[a-z][a-z0-9+.-]*)://.*", re.DOTALL)
# A web address is not a place for outputs, cannot be listed, and may be anything.
_WEB = frozenset({"http", "https", "ftp", "rtsp", "rtmp", "ws", "wss"})

Foreign = Callable[[Path], str | None]
"""Describes an entry of a folder that this program did not write; None if the folder may be removed."""
Kept = Callable[[Path], bool]
"""Whether an entry of a folder that is replaced is kept: it is in the new folder, too."""


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file atomically; an older file of that name stays until the new one is complete.

    Parameters
    ----------
    path : str or Path
        A link is followed. A device, a pipe or a path like /dev/stdout is written to directly.
    content : bytes

    Raises
    ------
    OSError
        If the folder cannot be written to or the disk is full; no partial file is left.
    """
    path = Path(path)
    if is_stream(path):
        with open(path, "wb") as stream:
            stream.write(content)
        return
    path = _followed(path)
    os.makedirs(path.parent, exist_ok=True)
    temporary = _beside(path, "part")
    # Not by tempfile, whose files only their owner can read: here the system applies the umask.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def folder_written_atomically(path: str | Path, *, foreign: Foreign, kept: Kept | None = None) -> Iterator[Path]:
    """Yields an empty folder beside `path`; it replaces `path` when the block succeeds, and is removed when it fails.

    Parameters
    ----------
    path : str or Path
        A link to a folder is followed.
    foreign : callable
        As for `check_folder`. It is called again at the end.
    kept : callable, optional
        Whether an entry of an older folder is kept; none is by default.

    Raises
    ------
    OutputError
        If `path` holds what this program did not write.
    OSError
        If the folder cannot be written to or the disk is full; an older `path` then stays as it was.
    """
    path = _followed(Path(path))
    check_folder(path, foreign=foreign)
    with temporary_folder(path) as new:
        yield new
        replace_folder(new, path, foreign=foreign, kept=kept)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`, on the same file system; it is removed at the end if it still exists."""
    path = _followed(path)
    os.makedirs(path.parent, exist_ok=True)
    new = _beside(path, "part")
    os.mkdir(new)
    try:
        yield new
    finally:
        if new.is_dir():
            shutil.rmtree(new, ignore_errors=True)


def replace_folder(new: Path, path: Path, *, foreign: Foreign, kept: Kept | None = None) -> None:
    """Replace `path` by a folder from `temporary_folder(path)`, to which entries that are `kept` are added.

    Raises
    ------
    OutputError
        If `path` holds what this program did not write.
    OSError
        If that fails; `path` is then unchanged, or, if only the removal failed, the new folder.
    """
    path = _followed(path)
    _sync(new)
    if not os.path.lexists(path):
        os.rename(new, path)
        return
    problem = _folder_problem(path, foreign)
    if problem:
        raise OutputError(path, problem)
    for name in sorted(os.listdir(path)):
        old = path / name
        if kept is None or not kept(old):
            continue
        # Not moved: a kill before the exchange must not leave it in a folder that is cleared.
        if old.is_dir() and not old.is_symlink():
            shutil.copytree(old, new / name, symlinks=True, copy_function=_link)
        else:
            _link(old, new / name)
    if _exchange(new, path):
        shutil.rmtree(new)
        return
    # Without an atomic exchange: move the old folder aside first.
    aside = _beside(path, "old")
    try:
        os.mkdir(aside)
        os.rename(path, aside / path.name)
        os.rename(new, path)
    except BaseException:
        clear_leftovers(path.parent, of=path.name)
        raise
    shutil.rmtree(aside)


def check_file(path: str | Path, *, is_ours: Callable[[Path], bool], overwrite: bool = False) -> None:
    """Refuse to write a file over one that this program did not write.

    Parameters
    ----------
    path : str or Path
        A device or a pipe is never refused, since nothing in it can be lost.
    is_ours : callable
        Whether this program wrote an existing regular file.
    overwrite : bool
        Replace any regular file.

    Raises
    ------
    OutputError
        Naming the file and the reason.
    """
    path = Path(path)
    if is_stream(path):
        return
    problem = obstacle(path)
    if problem is None and path.exists() and not overwrite and not is_ours(path):
        problem = "was not written by asr; name another output, or overwrite=true replaces it"
    if problem:
        raise OutputError(path, problem)


def refuse_to_replace_inputs(outputs: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Refuse to write files over some that the same command reads.

    Raises
    ------
    OutputError
        Naming the first such output and the input; also if they are two names of one file.
    """
    read = {place: one for one in inputs if (place := _place(one)) is not None}
    for output in outputs:
        if (place := _place(output)) in read:
            raise OutputError(output, f"would be replaced, and is read ({read[place]}): name another output")


def _place(path: str | Path) -> tuple[int, int] | None:
    """What is equal for all names of one file; None where there is no regular file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def check_folder(path: str | Path, *, foreign: Foreign) -> None:
    """Refuse to replace a folder that holds files of others.

    A replacement of `path` that was interrupted by a kill is completed first.

    Parameters
    ----------
    path : str or Path
    foreign : callable
        Describes what an existing folder holds of others: "holds notes.txt, which ..."; None for nothing.

    Raises
    ------
    OutputError
        Naming the folder and the reason.
    """
    path = Path(path)
    problem = _name_problem(path)
    if problem is None:
        try:
            target = _followed(path)
        except OSError as error:
            raise OutputError(path, _reason(error)) from error
        if target.parent.is_dir():
            clear_leftovers(target.parent, of=target.name)
        problem = _folder_problem(target, foreign)
    if problem:
        raise OutputError(path, problem)


def _folder_problem(path: Path, foreign: Foreign) -> str | None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return _parent_problem(path)
    except OSError as error:
        return _reason(error)
    if not stat.S_ISDIR(mode):
        return "is not a folder, and is not replaced by one; name another output"
    return foreign(path) or _parent_problem(path)


def obstacle(path: Path) -> str | None:
    """Why a regular file cannot be written at a path, as far as known before writing; None if it can."""
    problem = _name_problem(path)
    if problem:
        return problem
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _parent_problem(path)
    except OSError as error:
        return _reason(error)
    if stat.S_ISDIR(mode):
        return "cannot be written (there is a folder of that name)"
    if not stat.S_ISREG(mode):
        return "cannot be written (what is there is no regular file)"
    return _parent_problem(path)


def output_error(path: Path, error: OSError | OutputError) -> OutputError:
    """The error of one output, with its name, in one line."""
    return error if isinstance(error, OutputError) else OutputError(path, _reason(error))


def foreign_entry(folder: Path, known: Callable[[Path], bool], *, advice: str = "name another output") -> str | None:
    """Describes the first entry of a folder that is not `known`, for `check_folder`."""
    for name in sorted(os.listdir(folder)):
        if not known(folder / name):
            return (
                f"holds {name!r}, which asr did not write: a folder is only replaced if asr wrote all of it, "
                f"also with overwrite=true; {advice}"
            )
    return None


class OutputJournal:
    """A record of the files that this program wrote into folders, by name and digest.

    Each folder with outputs holds a hidden file of JSON lines. A line is written before its file, so that after a kill
    at any moment every file of this program has a line. A file without a line, or one that was changed since, counts
    as not written by this program.

    Parameters
    ----------
    overwrite : bool
        Replace any regular file.
    name : str
        Of the hidden file that is written; all of them are read.
    advice : str
        What a user can do about a file that must not be replaced.
    """

    PATTERNS = (".asr-outputs*.jsonl", ".asr-transcripts*.jsonl")

    def __init__(
        self,
        *,
        overwrite: bool = False,
        name: str = ".asr-outputs.jsonl",
        advice: str = "overwrite=true replaces it, or name another output",
    ) -> None:
        self.overwrite = overwrite
        self._name, self.advice = name, advice
        self._known: dict[Path, dict[str, list[dict[str, Any]]]] = {}

    def is_ours(self, output: Path) -> bool:
        """Whether a file may be replaced: it is unchanged since it was written here, or does not exist."""
        try:
            digest = digest_of(output.read_bytes())
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return any(line["digest"] == digest for line in self.lines(output))

    def problem(self, output: Path) -> str | None:
        """Why a file cannot be written, or must not be replaced; None for nothing."""
        problem = obstacle(output)
        if problem is None and not self.overwrite and not self.is_ours(output):
            problem = f"was not written by asr, or changed since; {self.advice}"
        return problem

    def check(self, outputs: Iterable[Path]) -> None:
        """Refuse outputs, before any work.

        Raises
        ------
        OutputError
            Naming the first that cannot be written, or must not be replaced.
        """
        for output in outputs:
            problem = self.problem(output)
            if problem:
                raise OutputError(output, problem)

    def write(self, output: Path, content: bytes) -> None:
        """Write a file atomically, and record it.

        Raises
        ------
        OutputError
            If a file of others is in its place.
        OSError
            If the folder cannot be written to or the disk is full.
        """
        self.check([output])
        self.record(output, content)
        write_atomically(output, content)

    def record(self, output: Path, content: bytes, details: Mapping[str, Any] | None = None) -> None:
        """Add a line about a file that will be written."""
        self.record_digest(output, digest_of(content), details)

    def record_digest(self, output: Path, digest: str, details: Mapping[str, Any] | None = None) -> None:
        """Add a line about a file whose content has this digest."""
        line = {"output": os.fsencode(output.name).hex(), "digest": digest} | dict(details or {})
        os.makedirs(output.parent, exist_ok=True)
        with (output.parent / self._name).open("ab") as file:
            # On a new line even if the last line is incomplete.
            file.write(b"\n" + json.dumps(line).encode() + b"\n")
        if output.parent in self._known:
            self._known[output.parent][line["output"]].append(line)

    def record_folder(self, folder: Path) -> None:
        """Add a line about each file that lies in a folder."""
        for path in sorted(folder.iterdir()):
            self.record(path, path.read_bytes())

    def foreign(self, folder: Path) -> str | None:
        """Describes the first entry of a folder that is not in its journal; for `check_folder`."""
        self._known.pop(folder, None)  # another one may have taken its place
        return foreign_entry(folder, self.wrote)

    def wrote(self, path: Path) -> bool:
        """Whether a file is a journal, or unchanged since it was written here."""
        return any(path.match(one) for one in self.PATTERNS) or (path.is_file() and self.is_ours(path))

    def lines(self, output: Path) -> Sequence[dict[str, Any]]:
        """The records of a file, the oldest first."""
        folder = output.parent
        if folder not in self._known:
            known: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for path in sorted(path for pattern in self.PATTERNS for path in folder.glob(pattern)):
                for text in path.read_bytes().splitlines() if path.is_file() else []:
                    try:
                        line = json.loads(text)
                        _ = line["digest"]
                        known[line["output"]].append(line)
                    except (ValueError, TypeError, KeyError):
                        pass  # the run was killed while it wrote this
            self._known[folder] = known
        return self._known[folder].get(os.fsencode(output.name).hex(), [])


def new_digest() -> hashlib.blake2b:
    """The digest by which a file is recognised, of no content yet."""
    return hashlib.blake2b(digest_size=16)


def digest_of(content: bytes) -> str:
    """The digest by which a file is recognised."""
    digest = new_digest()
    digest.update(content)
    return digest.hexdigest()


def clear_leftovers(folder: str | Path, *, of: str | Collection[str] | None = None) -> None:
    """Remove the partial files of a killed process from a folder, and restore what it had moved aside.

    No other process may write the same outputs meanwhile.

    Parameters
    ----------
    folder : str or Path
    of : str or collection of str, optional
        Only of the output of this name, or of these names.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    names = [name for name in sorted(os.listdir(folder)) if _is_leftover(name)]
    if of is not None and names:
        targets = [of] if isinstance(of, str) else of
        keys = {_key(target) for target in targets}
        names = [name for name in names if _is_leftover_of_any(name, keys, targets)]
    for path in (folder / name for name in names if name.endswith(".old")):
        kept = sorted(os.listdir(path)) if path.is_dir() else []
        if len(kept) > 1 or any(not _is_leftover_of(path.name, name) for name in kept):
            continue  # not made here
        for name in kept:
            if not os.path.lexists(folder / name):
                os.rename(path / name, folder / name)
        shutil.rmtree(path)
    for path in (folder / name for name in names if name.endswith(".part")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_leftover(name: str) -> bool:
    return bool(_LEFTOVER.fullmatch(name) or _OLD_LEFTOVER.fullmatch(name))


def _is_leftover_of_any(name: str, keys: Set[str], targets: Collection[str]) -> bool:
    """Whether a temporary name was made for one of some targets, whose keys are given."""
    found, old = _LEFTOVER.fullmatch(name), _OLD_LEFTOVER.fullmatch(name)
    return bool((found and found["key"] in keys) or (old and old["name"] in targets))


def _is_leftover_of(name: str, target: str) -> bool:
    """Whether a temporary name was made for a target."""
    found, old = _LEFTOVER.fullmatch(name), _OLD_LEFTOVER.fullmatch(name)
    return bool((found and found["key"] == _key(target)) or (old and old["name"] == target))


def _key(name: str) -> str:
    return hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()


def _beside(path: Path, suffix: str) -> Path:
    """A new hidden name beside a path, short for any name of the path."""
    return path.with_name(f".asr-{_key(path.name)}-{secrets.token_hex(4)}.{suffix}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two entries atomically; False where the system or file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux, from glibc 2.28 on
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):  # the last in old containers
        return False
    raise OSError(code, os.strerror(code), str(other))


def _link(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, or a copy where it cannot have one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without such links, or a file of another user
        shutil.copy2(source, target, follow_symlinks=False)


def _sync(folder: Path) -> None:
    """Flush the files of a folder to the disk before they replace others."""
    for name in [*sorted(os.listdir(folder)), "."]:
        handle = os.open(folder / name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _followed(path: Path) -> Path:
    """The target of a link (which may not exist yet), or of `.` and `..`; any other path as it is."""
    if not path.is_symlink() and path.name not in {"", ".."}:
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or an open file: written to directly, never replaced."""
    if str(path).startswith(_STREAMS):
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def refuse_pipe(path: Path, shown: str) -> None:
    """Refuse a pipe as a file that is read more than once.

    Raises
    ------
    ConfigError
        Naming the file as `shown`.
    """
    if path.is_fifo():
        raise ConfigError(f"{shown}: is a pipe, which can be read only once: write it to a file, and name that")


def _name_problem(path: Path) -> str | None:
    try:
        parts = [os.fsencode(part) for part in path.parts]
    except UnicodeEncodeError:
        return "cannot be written (the name has half a surrogate pair, which no file name can hold)"
    if any(b"\0" in part for part in parts):
        return "cannot be written (the name has a NUL character, which no file name can hold)"
    longest = max((len(part) for part in parts), default=0)
    if longest > _LONGEST_NAME:
        return f"cannot be written (the name has {longest} bytes, file systems hold {_LONGEST_NAME})"
    return None


def _parent_problem(path: Path) -> str | None:
    """Why nothing can be created in the folder of a path, which may have to be created too; None if it can."""
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        return f"cannot be written ({parent} is not a folder)"
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"cannot be written (no permission to write in {parent})"
    return None


def _reason(error: OSError) -> str:
    return f"cannot be written ({error.strerror or error})"


def is_url(name: str) -> bool:
    """Whether a name is the URL of a remote place that `asr.remote` reads; web addresses are not."""
    match = _URL.fullmatch(name)
    return match is not None and match["kind"] not in _WEB


def typed_path(name: str | Path) -> Path:
    """A path as typed in a setting: `~` and `~/...` mean the home folder, any other name is literal.

    A shell does not expand `output_dir=~/texts`. `~name` is literal, since it may be the name of a file.

    Raises
    ------
    ConfigError
        If it is a URL, or a web address. What takes URLs too asks `is_url` first.
    """
    text = os.fspath(name)
    if _URL.fullmatch(text):
        raise ConfigError(
            f"{text}: a file or folder of this machine is wanted here, not a URL: copy what is there into a folder and "
            "name the copy, or write into a folder and copy that (`asr pull` copies bundles from Git and hf://)"
        )
    return Path(os.path.expanduser(text) if text == "~" or text.startswith("~/") else text)


def names_without_folders(names: Iterable[str]) -> dict[str, str]:
    """Names for readers elsewhere: of absolute paths, what follows their common folder. Other names stay as they are.

    Parameters
    ----------
    names : iterable of str
        Paths and other texts. Two different names get two different names: if need be, some of the common folder is
        kept.

    Examples
    --------
    >>> names_without_folders(["/home/anna/a/best", "/home/anna/b/best", "greedy"])
    {'/home/anna/a/best': 'a/best', '/home/anna/b/best': 'b/best', 'greedy': 'greedy'}
    >>> names_without_folders(["/home/anna/test.jsonl"])
    {'/home/anna/test.jsonl': 'test.jsonl'}
    """
    names = list(dict.fromkeys(names))
    parts = {name: Path(name).parts[1:] for name in names if is_absolute_path(name)}
    common = 0
    for same in zip(*(one[:-1] for one in parts.values()), strict=False):
        if len(set(same)) > 1:
            break
        common += 1
    for start in range(common, -1, -1):
        found = {name: "/".join(parts[name][start:]) if name in parts else name for name in names}
        if len(set(found.values())) == len(names):
            return found
    return {name: name.lstrip("/") if name in parts else name for name in names}


def is_absolute_path(text: str) -> bool:
    """Whether a text is the absolute path of a file or folder, and no sentence that begins with a slash."""
    return text.startswith("/") and len(Path(text).parts) > 2 and "\n" not in text


def open_decompressed(file: IO[bytes]) -> IO[bytes]:
    """The content of a file, decompressed if it begins like one of gzip, bzip2 or xz.

    Parameters
    ----------
    file : binary file
        At its beginning, and seekable.
    """
    import bz2
    import gzip
    import lzma

    opening = file.read(6)
    file.seek(0)
    if opening.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if opening.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(file))
    if opening.startswith(b"\xfd7zXZ"):
        return cast(IO[bytes], lzma.LZMAFile(file))
    return file
