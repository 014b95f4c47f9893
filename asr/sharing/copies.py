"""Copies of bundles elsewhere: in a folder, a Git remote, or on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from asr.bundle import BUNDLE_FILES, Bundle, copy_bundle, load_bundle
from asr.errors import BundleError, ConfigError
from asr.files import OutputJournal, check_folder, folder_written_atomically, foreign_entry, typed_path

CARD = "README.md"
JOURNAL = ".asr-outputs.jsonl"
_GIT = re.compile(r"git\+(?P<url>(?:file|ssh|https?)://.+)")
_HUB = re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+)")
_LARGEST_CARD = 1 << 20
ADDRESSES = "a folder, git+ssh://HOST/PATH, git+https://..., git+file:///PATH, or hf://OWNER/NAME"


def push(
    bundle: Bundle,
    destination: str,
    *,
    card: str,
    message: str = "A bundle of asr",
    revision: str | None = None,
    private: bool = True,
    overwrite: bool = False,
) -> list[str]:
    """Copy a bundle and its model card to a destination; returns the names of the files that changed there.

    Parameters
    ----------
    bundle : Bundle
        Its digests are verified first.
    destination : str
        See `ADDRESSES`.
    card : str
        The content of README.md.
    message : str
        Of the commit.
    revision : str, optional
        The branch, which may be new; the remote's own by default.
    private : bool
        Of a repository on the hub that does not exist yet.
    overwrite : bool
        Also replace files of these names that asr did not write there, or that were changed since.

    Raises
    ------
    OutputError
        Before anything is written, if such a file exists.
    ConfigError
        If there is no such destination, or it cannot be reached.
    BundleError
        If a file of the bundle is damaged.
    """
    bundle.verify()
    with _whole(bundle) as whole:
        contents = {name: (whole.path / name).read_bytes() for name in whole.files} | {CARD: card.encode("utf-8")}
    if match := _GIT.fullmatch(destination):
        from asr.sharing.git_remote import cloned, commit_and_push

        with cloned(match["url"], revision, new_branch=True) as folder:
            changed = place(contents, folder, overwrite=overwrite)
            commit_and_push(folder, [*changed, JOURNAL], message, branch=revision)
        return changed
    if match := _HUB.fullmatch(destination):
        from asr.sharing.hub import download, open_repository, upload

        with _scratch() as folder:
            open_repository(match["name"], private=private)
            download(match["name"], folder, [*BUNDLE_FILES, CARD, JOURNAL], revision)
            changed = place(contents, folder, overwrite=overwrite)
            upload(match["name"], folder, changed, JOURNAL, message, revision)
        return changed
    return place(contents, _folder(destination), overwrite=overwrite)


def pull(source: str, folder: str | Path, *, revision: str | None = None, overwrite: bool = False) -> Bundle:
    """Copy a bundle from elsewhere into a folder, after its digests were verified.

    Only the files of a bundle and README.md are copied.

    Parameters
    ----------
    source : str
        See `ADDRESSES`.
    folder : str or Path
        Made if missing; one that an earlier pull wrote is replaced.
    revision : str, optional
        A branch or a tag; on the hub also a commit.
    overwrite : bool
        Also replace a bundle that was not pulled, or was changed since.

    Raises
    ------
    OutputError
        If the folder holds anything else.
    ConfigError
        If there is no such source, or it cannot be reached.
    BundleError
        If it holds no bundle, or a file of it is damaged.
    """
    folder = typed_path(folder)

    def foreign(old: Path) -> str | None:
        if not overwrite:
            return OutputJournal().foreign(old)
        names = {*BUNDLE_FILES, CARD, JOURNAL}
        return foreign_entry(old, lambda path: path.name in names and path.is_file() and not path.is_symlink())

    check_folder(folder, foreign=foreign)
    with _fetched(source, revision) as found:
        contents = _read_bundle(found, source)
    with folder_written_atomically(folder, foreign=foreign) as new:
        place(contents, new)
    return load_bundle(folder if folder.is_absolute() else Path.cwd() / folder)


@contextmanager
def _whole(bundle: Bundle) -> Iterator[Bundle]:
    """A bundle with all its files in its folder: who gets it may have other bundles that ship, or none."""
    if not bundle.shared:
        yield bundle
        return
    with _scratch() as folder:
        copy_bundle(bundle, folder / bundle.name)
        yield load_bundle(folder / bundle.name)


def place(contents: Mapping[str, bytes], folder: Path, *, overwrite: bool = False) -> list[str]:
    """Write files into a folder, and remove those of an earlier bundle that this one lacks; returns what changed.

    Raises
    ------
    OutputError
        Before anything is written, if a file of others is in the way.
    """
    journal = OutputJournal(overwrite=overwrite, name=JOURNAL)
    different = {name: content for name, content in contents.items() if not _is_same(folder / name, content)}
    journal.check(folder / name for name in different)
    for name, content in different.items():
        journal.write(folder / name, content)
    gone = [name for name in BUNDLE_FILES if name not in contents and (folder / name).is_file()]
    gone = [name for name in gone if journal.is_ours(folder / name)]
    for name in gone:
        (folder / name).unlink()
    return [*different, *gone]


def _is_same(path: Path, content: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == content


@contextmanager
def _fetched(source: str, revision: str | None) -> Iterator[Path]:
    """A folder with the files of a source."""
    if match := _GIT.fullmatch(source):
        from asr.sharing.git_remote import cloned

        with cloned(match["url"], revision) as folder:
            yield folder
    elif match := _HUB.fullmatch(source):
        from asr.sharing.hub import download

        with _scratch() as folder:
            download(match["name"], folder, [*BUNDLE_FILES, CARD], revision)
            yield folder
    else:
        if not (folder := _folder(source)).is_dir():
            raise ConfigError(f"{source}: no such folder; a bundle is pulled from {ADDRESSES}")
        yield folder


def _read_bundle(folder: Path, source: str) -> dict[str, bytes]:
    """The files of a bundle and its card, verified."""
    try:
        for name in BUNDLE_FILES:
            if (folder / name).is_symlink():
                raise BundleError(f"{source}: {name} is a link, not a file of a bundle")
        bundle = load_bundle(folder)
        bundle.verify()
        contents = {name: (folder / name).read_bytes() for name in bundle.files}
    except BundleError as error:
        hint = ""
        if any(_is_pointer(folder / name) for name in BUNDLE_FILES):
            hint = " (files of Git LFS are missing: install git-lfs)"
        raise BundleError(str(error).replace(str(folder), source) + hint) from error
    card = folder / CARD
    if card.is_file() and not card.is_symlink() and card.stat().st_size <= _LARGEST_CARD:
        contents[CARD] = card.read_bytes()
    return contents


def _is_pointer(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(40).startswith(b"version https://git-lfs")


def _folder(address: str) -> Path:
    """The folder of a local address; other kinds of addresses are refused."""
    if re.match(r"[a-z][a-z0-9+.-]*://|git@", address):
        raise ConfigError(f"{address}: cannot be used; it must be {ADDRESSES}")
    return typed_path(address)


@contextmanager
def _scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="asr-") as folder:
        yield Path(folder)
