from __future__ import annotations

import glob
import os
from contextlib import suppress
from pathlib import Path

import av
import pytest
import soundfile

from asr.audio.folders import AUDIO_SUFFIXES, describe_passed_over, match_pattern, search_folder
from asr.errors import AudioError

# Names by which FFmpeg knows something that is no recording, or that nobody means by them.
NOT_TAKEN = {
    "pictures": (
        "gif avif heic heif ism jxl j2k mjpg mjpeg mpo cdxl xl cif qcif rgb yuv yuv10 y4m v210 flm ser imx cgi pdv"
    ),
    "pictures that move, without sound": (
        "h261 h264 264 avc h26l hevc h265 265 vvc h266 266 evc obu apv avs avs2 avs3 vc1 rcv ipu cdg mxg bmv ifv lvf "
        "sga"
    ),
    "texts and subtitles": (
        "txt nfo asc art ice ans diz vt adf idf aqt mpl2 sub pjs rt sami smi scc stl sup vtt webvtt mks mcc sbg"
    ),
    "samples without a header": "al ul sb ub sw uw bit bitpacked daud 302 sdr2",
    "names that mean something else": (
        "dat str v son vb ads apl ty+ way wa mca mods cdata idx"  # data, programs, archives
    ),
}


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(folder: Path, found: list[Path]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_every_suffix_that_ffmpeg_reads_is_taken_or_is_no_recording():
    known = set()
    for name in av.formats_available:
        with suppress(ValueError):  # a format that can only be written
            known |= {f".{one}" for one in av.ContainerFormat(name, "r").extensions}
    left = {f".{one}" for group in NOT_TAKEN.values() for one in group.split()}
    assert known - AUDIO_SUFFIXES - left == set()
    assert left & AUDIO_SUFFIXES == set()


def test_the_names_of_libsndfiles_formats_are_taken():
    usual = {
        "AIFF": "aif aiff aifc", "AU": "au snd", "AVR": "avr", "CAF": "caf", "FLAC": "flac", "SVX": "svx 8svx iff",
        "MPC2K": "", "MP3": "mp3 mp2", "OGG": "ogg oga opus spx", "PAF": "paf", "PVF": "pvf", "RF64": "rf64 wav",
        "SD2": "sd2", "SDS": "sds", "IRCAM": "sf ircam", "VOC": "voc", "W64": "w64", "WAV": "wav bwf wave",
        "NIST": "sph nist", "WAVEX": "wav", "WVE": "wve", "XI": "xi",
    }  # fmt: skip
    no_recordings = {"RAW", "MAT4", "MAT5", "HTK"}  # headerless; tables of numbers
    assert set(soundfile.available_formats()) <= usual.keys() | no_recordings
    assert {f".{one}" for group in usual.values() for one in group.split()} <= AUDIO_SUFFIXES


def test_what_is_passed_over_is_counted_by_suffix(tmp_path):
    files(tmp_path, "a.wav", "A.FLAC", "sub/b.avi", "c.aifc", "d.WMV", "a.txt", "sub/b.TXT", "notes.pdf", "README")
    files(tmp_path, "._a.wav", "._notes.pdf", ".DS_Store", ".AppleDouble/a.wav", ".asr-transcripts.jsonl")
    found = search_folder(tmp_path)
    assert names(tmp_path, found.recordings) == ["A.FLAC", "a.wav", "c.aifc", "d.WMV", "sub/b.avi"]
    assert found.describe_passed_over() == "4 files skipped (2 .txt, 1 without suffix, 1 .pdf)"
    assert found.problems == []


def test_one_file_is_one_file_and_none_is_no_word(tmp_path):
    files(tmp_path, "a.wav", "a.json")
    found = search_folder(tmp_path)
    assert found.describe_passed_over() == "1 file skipped (1 .json)"
    found.passed_over.clear()
    assert describe_passed_over(found.passed_over) == ""


def test_hidden_recordings_are_recordings(tmp_path):
    files(tmp_path, ".hidden/a.wav", ".b.wav")
    assert names(tmp_path, search_folder(tmp_path).recordings) == [".b.wav", ".hidden/a.wav"]


@pytest.fixture
def linked(tmp_path) -> Path:
    """A folder with a link to one outside it, another to the same, one within, and three circles."""
    files(tmp_path, "outside/far.wav", "outside/deep/deeper.wav", "top/own/near.wav")
    top = tmp_path / "top"
    (top / "b-link").symlink_to(tmp_path / "outside")
    (top / "a-link").symlink_to(tmp_path / "outside")
    (top / "0-within").symlink_to(top / "own")
    (top / "circle").symlink_to(top)
    (top / "own" / "up").symlink_to("..")
    (tmp_path / "outside" / "back").symlink_to(top)
    return top


def test_linked_folders_are_followed_once_and_circles_end(linked):
    found = search_folder(linked)
    assert names(linked, found.recordings) == ["a-link/deep/deeper.wav", "a-link/far.wav", "own/near.wav"]
    assert found.problems == []


def test_so_are_they_by_pattern(linked, monkeypatch):
    wanted = ["a-link/deep/deeper.wav", "a-link/far.wav", "own/near.wav"]
    problems: list[AudioError] = []
    assert names(linked, match_pattern(f"{linked}/**/*.wav", problems)) == wanted
    assert names(linked, match_pattern(f"{linked}/*/*.wav", problems)) == wanted[1:]
    monkeypatch.chdir(linked)
    assert [str(path) for path in match_pattern("**/*.wav", problems)] == wanted
    assert problems == []


def test_two_links_at_every_level_do_not_multiply(tmp_path):
    folder = tmp_path
    for _ in range(12):
        (folder / "x").mkdir()
        for name in ("one", "two"):
            (folder / name).symlink_to(tmp_path)
        folder /= "x"
    files(folder, "a.wav")
    assert len(search_folder(tmp_path).recordings) == len(match_pattern(f"{tmp_path}/**/*.wav", [])) == 1


def test_a_broken_link_is_named_where_it_may_have_been_a_recording(tmp_path):
    for name in ("gone.wav", "gone", "notes.txt"):
        (tmp_path / name).symlink_to("nowhere")
    found = search_folder(tmp_path)
    assert {str(one) for one in found.problems} == {
        f"{tmp_path / name}: is a link to nowhere, which does not exist" for name in ("gone", "gone.wav")
    }
    assert found.describe_passed_over() == "1 file skipped (1 .txt)"
    assert match_pattern(f"{tmp_path}/*.wav", []) == [tmp_path / "gone.wav"]


def test_a_folder_that_cannot_be_read_is_named_and_the_rest_is_searched(tmp_path, monkeypatch):
    files(tmp_path, "a.wav", "secret/b.wav")
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = search_folder(tmp_path)
    assert names(tmp_path, found.recordings) == ["a.wav"]
    assert list(map(str, found.problems)) == [
        f"{tmp_path / 'secret'}: the folder cannot be searched (Permission denied)"
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        "*.wav",
        "**/*.wav",
        "a/**/*.wav",
        "**/b/*",
        "**/b/**/*.wav",
        "*/**/c?.wav",
        "**/[!c]*.wav",
        "**",
        "a/**",
        ".h/**",
    ],
)
def test_patterns_are_pythons_where_nothing_is_linked(tmp_path, monkeypatch, pattern):
    files(tmp_path, "a.wav", "a/b.wav", "a/b/c1.wav", "a/b/c/d.wav", "b/x.txt", "b/b/c2.wav", ".h/e.wav", "a/.f.wav")
    monkeypatch.chdir(tmp_path)
    wanted = {Path(one) for one in glob.glob(pattern, recursive=True) if not os.path.isdir(one)}
    assert [str(path) for path in match_pattern(pattern, [])] == [str(path) for path in sorted(wanted)]
