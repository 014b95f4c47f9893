"""Finds recordings in folders and by patterns: by suffix, following links once, and counting skipped files."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from asr.errors import AudioError

_BY_KIND = {
    "PCM and lossless": (
        "wav wave bwf rf64 w64 aif aiff aifc au snd caf flac fla wv ape mac tta tak shn mlp thd osq rka dsf wsd"
    ),
    "MPEG, Ogg and other codecs": (
        "mp3 mp2 mp1 m2a mpa mpga aac adts ac3 ac4 eac3 ec3 dts dtshd oga ogg ogx opus spx mpc mpp wma ra at3 aa3 oma "
        "omg aea vqf vql vqe aptx aptxhd lc3 laf iamf qoa bonk aa aax dfpwm"
    ),
    "telephones, dictation and speech corpora": (
        "amr awb 3ga gsm qcp dss sln g722 722 g728 g729 g723_1 tco rco sph nist sbc msbc c2"
    ),
    "research and old computers": "voc ircam sf paf fap svx 8svx 16sv iff avr pvf xi wve sd2 sds nsp rso",
    "films": (
        "m4a m4b m4r m4p m4v mp4 mov qt 3gp 3gpp 3g2 3gp2 f4v f4a f4b ismv isma mj2 webm weba mkv mka mk3d avi divx "
        "flv asf wmv wtv dvr-ms mpg mpeg mpe m2p vob evo ts mts m2ts m2t trp mxf gxf nut nsv rm rmvb ogv ogm dv dif ty "
        "dav kux ivr viv psp"
    ),
    "games": (
        "bik smk adx adp dtk acm afc aix apc ast bcstm bfstm brstm binka fsb fwse genh hca moflex msf mtaf musx mvi "
        "rsd sdns sdx ss2 svag svs usm vag vpk xmd xmv xvag yop"
    ),
}
AUDIO_SUFFIXES = frozenset(f".{name}" for names in _BY_KIND.values() for name in names.split())
"""The suffixes that a search of folders finds: the usual ones of audio formats that libsndfile and FFmpeg read.

Names that mean something else more often (`.dat`, `.sub`, `.txt`), images, subtitles and samples without a header are
not among them. A file that is named itself, or by a pattern, is read whatever its suffix.
"""

# Files that macOS writes beside others on foreign disks: no recordings, whatever their suffix.
_RESOURCE_FORK, _RESOURCE_FOLDERS, _KINDS_SHOWN = "._", frozenset({".AppleDouble"}), 8


@dataclass
class FolderSearch:
    """The result of a search of folders."""

    recordings: list[Path] = field(default_factory=list)
    """in alphabetical order"""
    passed_over: Counter[str] = field(default_factory=Counter)
    """files that are no recordings, by suffix; hidden ones are not counted"""
    problems: list[AudioError] = field(default_factory=list)
    """folders that cannot be read, and links whose target is missing"""

    def describe_passed_over(self) -> str:
        """`3 files skipped (2 .txt, 1 .pdf)`; empty where there are none."""
        return describe_passed_over(self.passed_over)


def describe_passed_over(counts: Counter[str]) -> str:
    """As `FolderSearch.describe_passed_over`, for the counts of several searches."""
    total = counts.total()
    if not total:
        return ""
    kinds = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    shown = [f"{count} {suffix or 'without suffix'}" for suffix, count in kinds[:_KINDS_SHOWN]]
    more = ["..."] if len(kinds) > _KINDS_SHOWN else []
    return f"{total} {'file' if total == 1 else 'files'} skipped ({', '.join(shown + more)})"


def search_folder(folder: str | Path) -> FolderSearch:
    """Search a folder, all levels deep, for files with one of `AUDIO_SUFFIXES`.

    A folder that is reached by several links, or by itself and by links, is searched once.
    """
    found = FolderSearch()
    for path in walk_files(folder, found.problems):
        if path.name.startswith(_RESOURCE_FORK):
            continue
        suffix = path.suffix.lower()
        is_broken = path.is_symlink() and not path.exists()
        if is_broken and (suffix in AUDIO_SUFFIXES or not suffix):
            found.problems.append(AudioError(path, f"is a link to {os.readlink(path)}, which does not exist"))
        elif suffix in AUDIO_SUFFIXES:
            found.recordings.append(path)
        elif not path.name.startswith("."):
            found.passed_over[suffix] += 1
    found.recordings.sort(key=lambda path: path.parts)  # the order of paths, in a quarter of the time
    return found


def walk_files(folder: str | Path, problems: list[AudioError]) -> Iterator[Path]:
    """All files of a folder and of those below it; folders that cannot be read are added to `problems`."""
    seen: set[tuple[int, int]] = set()
    folders, links = [Path(folder)], list[Path]()
    while folders or links:
        if not folders:  # the real path of a folder comes before those through links
            links.sort()
            folders.append(links.pop(0))
        current = folders.pop()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                content = [(Path(entry), entry.is_dir(), entry.is_symlink()) for entry in entries]
        except OSError as error:
            problems.append(AudioError(current, f"the folder cannot be searched ({error.strerror or error})"))
            continue
        for path, is_folder, is_link in content:
            if not is_folder:
                yield path
            elif path.name not in _RESOURCE_FOLDERS:
                (links if is_link else folders).append(path)


def match_pattern(pattern: str, problems: list[AudioError]) -> list[Path]:
    """The files that match a pattern such as `calls/**/*.mp3`, in alphabetical order.

    As in `glob.glob(recursive=True)`, but a folder that is reached by several ways counts once.
    """
    parts = PurePath(pattern).parts
    if "**" in parts:
        first = parts.index("**")
        top = str(PurePath(*parts[:first])) if first else "."
        tops = [Path(one) for one in glob.glob(top)] if glob.has_magic(top) else [Path(top)]
        found = [
            path
            for folder in tops
            if folder.is_dir()
            for path in walk_files(folder, problems)
            if _matches(path.relative_to(folder).parts, parts[first:])
        ]
    else:
        found = [path for one in glob.glob(pattern) if not (path := Path(one)).is_dir()]
    # Of several paths to a file, the one without links.
    by_place: dict[tuple[int, int, str], Path] = {}
    for path in sorted(found, key=lambda one: (one.parent.resolve() != one.parent.absolute(), one)):
        status = path.parent.stat()
        by_place.setdefault((status.st_dev, status.st_ino, path.name), path)
    return sorted(by_place.values())


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path's parts match a pattern's; `**` stands for any number of folders that are not hidden."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        for skipped in range(len(parts) + 1):
            if _matches(parts[skipped:], pattern[1:]):
                return True
            if skipped < len(parts) and parts[skipped].startswith("."):
                return False
        return False
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
