"""Headers that are wrong in either direction, and files that hold several recordings one behind the other."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.audio.formats.ogg import _checksum
from asr.audio.load import decode_audio, load_audio, open_audio, probe_seconds
from asr.errors import AudioError

from ..conftest import REPOSITORY
from .containers import FREQUENCY, Kind, make_tone, write

RATE = 16000
CASES = REPOSITORY.parent / "shared" / "cases"
SECONDS = 2
SAMPLES = (30000 * make_tone(SECONDS, RATE)).astype("<i2").tobytes()
SIZE = len(SAMPLES)
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.76.100\0"
ID3V1 = b"TAG" + b"x" * 125
ID3V2 = b"ID3\4\0\0\0\0\0\x23" + b"\0" * 35
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 64, 1, 0xA0000000) + bytes(8) + b"k" * 32 + b"APETAGEX"
APE += struct.pack("<IIII", 2000, 64, 1, 0x80000000) + bytes(8)


def wave(data: int, riff: int, before: bytes = b"") -> bytes:
    """The header of a WAV file of 16 bits with these sizes."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVE" + form + before + b"data" + struct.pack("<I", data)


def seconds_of(folder: Path, content: bytes) -> float:
    path = folder / "recording"
    path.write_bytes(content)
    samples = load_audio(path, sample_rate=RATE)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * RATE / len(samples) == pytest.approx(FREQUENCY, abs=3)
    assert probe_seconds(path) == pytest.approx(len(samples) / RATE, abs=0.15)
    return len(samples) / RATE


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(wave(SIZE, SIZE + 36) + SAMPLES, id="right"),
        pytest.param(wave(0xFFFFFFFF, 0xFFFFFFFF) + SAMPLES, id="FFmpeg's pipe"),
        pytest.param(wave(0xFFFFFFFF, 0xFFFFFFFF, LIST) + SAMPLES, id="FFmpeg's pipe with its name"),
        pytest.param(wave(0x7FFFF000, 0x7FFFF024) + SAMPLES, id="sox's pipe"),
        pytest.param(wave(0x80000000, 0x80000024) + SAMPLES, id="arecord's pipe"),
        pytest.param(wave(0x7FFFFFFF, 0x7FFFFFFF) + SAMPLES, id="largest signed number"),
        pytest.param(wave(0xFFFFFFDB, 0xFFFFFFFF) + SAMPLES, id="largest number less a header"),
        pytest.param(wave(0, 0) + SAMPLES, id="never filled in"),
        pytest.param(wave(0, 36) + SAMPLES, id="header alone was written"),
        pytest.param(wave(0, SIZE + 36) + SAMPLES, id="whole right, samples never filled in"),
        pytest.param(wave(2 * SIZE, SIZE + 36) + SAMPLES, id="whole right, samples twice"),
        pytest.param(wave(SIZE // 2, SIZE + 36) + SAMPLES, id="whole right, samples half"),
        pytest.param(wave(SIZE // 2, SIZE // 2 + 36) + SAMPLES, id="both half"),
        pytest.param(wave(SIZE, 0) + SAMPLES, id="whole never filled in"),
        pytest.param(wave(SIZE, 0xFFFFFFFF) + SAMPLES, id="whole unknown"),
        pytest.param(wave(SIZE + 44, SIZE + 44) + SAMPLES, id="header counted"),
        pytest.param(wave(SIZE, SIZE + 70) + SAMPLES + LIST, id="a chunk behind"),
        pytest.param(wave(SIZE, SIZE + 36) + SAMPLES + LIST[:-9], id="a cut chunk behind"),
        pytest.param(wave(SIZE, SIZE + 36) + SAMPLES + ID3V1, id="a tag behind"),
        pytest.param(wave(SIZE, SIZE + 36) + SAMPLES + bytes(9000), id="zeros behind"),
        pytest.param(wave(SIZE, SIZE + 50, b"LIST\5\0\0\0INFOx\0") + SAMPLES, id="an odd chunk"),
        pytest.param(wave(SIZE, SIZE + 49, b"LIST\5\0\0\0INFOx") + SAMPLES, id="an odd chunk without padding"),
    ],
)
def test_all_samples_of_a_wave_file_are_read_whatever_its_sizes(tmp_path, content):
    assert seconds_of(tmp_path, content) == SECONDS


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(wave(2 * SIZE, 2 * SIZE + 36) + SAMPLES, id="half"),
        pytest.param(wave(SIZE, SIZE + 36) + SAMPLES[:-1], id="all but a byte"),
        pytest.param(wave(SIZE, 0) + SAMPLES[:-1000], id="whole never filled in"),
        pytest.param(wave(SIZE, 0xFFFFFFFF) + SAMPLES[:-1000], id="whole unknown"),
        pytest.param(wave(SIZE, SIZE + 70) + SAMPLES[:-1000], id="a chunk is missing too"),
        pytest.param(wave(0xA0000000, 0xA0000024) + SAMPLES, id="of gigabytes"),
    ],
)
def test_a_wave_file_that_is_shorter_than_all_its_sizes_is_truncated(tmp_path, content):
    with pytest.raises(AudioError, match=r"is truncated: its header promises [\d.]+ s, [\d.]+ s are there"):
        seconds_of(tmp_path, content)


def test_a_wave_file_with_chunks_but_no_samples_is_empty(tmp_path):
    path = tmp_path / "empty.wav"
    path.write_bytes(wave(0, 70) + LIST)
    with pytest.raises(AudioError, match="holds no samples"):
        load_audio(path, sample_rate=RATE)


def test_chunks_behind_samples_are_no_sound(tmp_path):
    path = tmp_path / "unknown.wav"
    path.write_bytes(wave(SIZE, SIZE + 36) + SAMPLES + b"what is this? nothing anyone knows")
    assert len(load_audio(path, sample_rate=RATE)) == pytest.approx(SECONDS * RATE, abs=17)


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("size", [0xFFFFFFFF, 0, SIZE, SIZE // 2])
def test_all_samples_of_an_au_file_are_read(tmp_path, order, size):
    magic = b".snd" if order == ">" else b"dns."
    samples = np.frombuffer(SAMPLES, "<i2").astype(f"{order}i2").tobytes()
    content = magic + struct.pack(f"{order}5I", 24, size, 3, RATE, 1) + samples
    assert seconds_of(tmp_path, content) == SECONDS


@pytest.mark.parametrize(
    ("frames", "size"), [(0, 0), (0, 8), (0x3F800000, 0x7F000008), (SIZE // 2, 0), (SIZE // 2, SIZE + 8)]
)
def test_all_samples_of_an_aiff_file_are_read(tmp_path, frames, size):
    common = struct.pack(">hIhHQ", 1, frames, 16, 0x400C, 0xFA << 56)
    samples = np.frombuffer(SAMPLES, "<i2").astype(">i2").tobytes()
    content = b"AIFFCOMM" + struct.pack(">I", 18) + common + b"SSND" + struct.pack(">III", size, 0, 0) + samples
    assert seconds_of(tmp_path, b"FORM" + struct.pack(">I", 0 if size == 0 else len(content)) + content) == SECONDS


@pytest.mark.parametrize("line", ["sample_count -i 0\n", "", f"sample_count -i {SIZE // 2}\n"])
def test_all_samples_of_a_sphere_file_are_read(tmp_path, line):
    fields = f"channel_count -i 1\nsample_n_bytes -i 2\nsample_rate -i {RATE}\nsample_coding -s3 pcm\n"
    header = f"NIST_1A\n   1024\n{fields}sample_byte_format -s2 01\n{line}end_head\n"
    assert seconds_of(tmp_path, header.encode().ljust(1024) + SAMPLES) == SECONDS


def flac(total: int) -> bytes:
    content = bytearray(write(Kind("flac", "flac"), SECONDS))
    packed = int.from_bytes(content[21:26], "big") >> 36 << 36 | total
    content[21:26] = packed.to_bytes(5, "big")
    return bytes(content)


@pytest.mark.parametrize("total", [SECONDS * RATE, 0, SECONDS * RATE // 2])
def test_all_samples_of_a_flac_file_are_read(tmp_path, total):
    path = tmp_path / "recording.flac"
    path.write_bytes(flac(total))
    assert len(load_audio(path, sample_rate=RATE)) == SECONDS * RATE


def test_a_flac_file_of_half_its_length_is_truncated(tmp_path):
    with pytest.raises(AudioError, match=r"is truncated: its header promises 4\.00 s, 2\.00 s are there"):
        seconds_of(tmp_path, flac(2 * SECONDS * RATE))


def test_a_damaged_frame_of_flac_is_an_error(tmp_path):
    content = bytearray(flac(SECONDS * RATE))
    content[len(content) // 2] ^= 0x40
    with pytest.raises(AudioError, match=r"damaged or truncated|is truncated"):
        seconds_of(tmp_path, bytes(content))


MP3 = write(Kind("mp3", "libmp3lame"), SECONDS)
XING = MP3.index(b"Info" if b"Info" in MP3 else b"Xing")
FRAMES, BYTES = struct.unpack(">II", MP3[XING + 8 : XING + 16])


def mp3(frames: int, size: int) -> bytes:
    return MP3[: XING + 8] + struct.pack(">II", frames, size) + MP3[XING + 16 :]


@pytest.mark.parametrize(
    ("frames", "size"),
    [(FRAMES, BYTES), (FRAMES // 2, BYTES // 2), (2 * FRAMES, BYTES), (FRAMES, 2 * BYTES), (0, 0), (1, 1)],
)
def test_all_frames_of_an_mp3_are_read_whatever_its_xing_header_says(tmp_path, frames, size):
    assert seconds_of(tmp_path, mp3(frames, size)) == pytest.approx(SECONDS, abs=0.13)


def test_an_mp3_that_is_shorter_than_all_its_xing_header_says_is_truncated(tmp_path):
    with pytest.raises(AudioError, match="is truncated: its header promises"):
        seconds_of(tmp_path, mp3(2 * FRAMES, 2 * BYTES))


@pytest.mark.parametrize(
    "between",
    [b"", ID3V1, ID3V2, APE, ID3V1 + ID3V2, bytes(5000)],
    ids=["nothing", "ID3v1", "ID3v2", "APE", "both", "zeros"],
)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_files_joined_with_tags_and_rates_of_their_own_are_read_whole(tmp_path, between, rate):
    content = MP3 + between + write(Kind("mp3", "libmp3lame", rate), SECONDS) + ID3V1
    assert seconds_of(tmp_path, content) == pytest.approx(2 * SECONDS, abs=0.01)


def test_an_mp3_that_begins_in_the_middle_of_a_frame_is_read(tmp_path):
    assert seconds_of(tmp_path, MP3[XING + 500 :]) == pytest.approx(SECONDS, abs=0.2)


def test_a_hole_in_an_mp3_is_an_error(tmp_path):
    without_xing = write(Kind("mp3", "libmp3lame", options={"write_xing": "0"}), SECONDS)
    with pytest.raises(AudioError, match=r"is damaged: 6,\d+ bytes at \d\.\d\d s are not audio"):
        seconds_of(tmp_path, without_xing[:6000] + b"U" * 6000 + without_xing[12000:])


def ogg(subtype: str, rate: int, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    samples = np.stack([make_tone(SECONDS, rate)] * channels, axis=1)
    soundfile.write(buffer, samples, rate, format="OGG", subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "links",
    [
        [ogg("OPUS", 16000), ogg("OPUS", 16000)],
        [ogg("OPUS", 16000), ogg("OPUS", 48000), ogg("OPUS", 8000)],
        [ogg("VORBIS", 44100), ogg("VORBIS", 22050, 2)],
        [ogg("OPUS", 48000, 2), ogg("VORBIS", 16000), write(Kind("ogg", "flac"), SECONDS)],
        [write(Kind("ogg", "flac"), SECONDS), write(Kind("ogg", "flac", 44100), SECONDS)],
        [write(Kind("flac", "flac"), SECONDS), write(Kind("flac", "flac", 44100), SECONDS)],
        [write(Kind("wav", "pcm_s16le"), SECONDS), write(Kind("wav", "pcm_s16le", 44100), SECONDS)],
        [write(Kind("mp4", "aac"), SECONDS), write(Kind("mov", "pcm_s16le", 48000), SECONDS)],
        [write(Kind("webm", "libopus", 48000), SECONDS), write(Kind("matroska", "pcm_s16le"), SECONDS)],
        [write(Kind("adts", "aac"), SECONDS), ID3V2 + write(Kind("adts", "aac", 44100), SECONDS)],
    ],
    ids=[
        "Opus",
        "Opus of three rates",
        "Vorbis",
        "three codecs in Ogg",
        "FLAC in Ogg",
        "FLAC",
        "WAV",
        "MP4",
        "WebM",
        "AAC",
    ],
)
def test_links_of_other_rates_channels_and_codecs_follow_each_other(tmp_path, links):
    assert seconds_of(tmp_path, b"".join(links)) == pytest.approx(SECONDS * len(links), abs=0.14 * len(links))
    samples, rate = decode_audio(tmp_path / "recording")
    assert len(samples) / rate == pytest.approx(SECONDS * len(links), abs=0.14 * len(links))


def test_a_channel_that_one_link_has_not_is_an_error(tmp_path):
    path = tmp_path / "chained.opus"
    path.write_bytes(ogg("OPUS", 16000, 2) + ogg("OPUS", 16000))
    with pytest.raises(AudioError, match="there is no channel 2: the recording has 1"):
        load_audio(path, sample_rate=RATE, channel="2")


def test_a_link_that_was_cut_off_is_an_error(tmp_path):
    path = tmp_path / "chained.opus"
    path.write_bytes(ogg("OPUS", 16000) + ogg("VORBIS", 44100)[:-100])
    with pytest.raises(AudioError, match="truncated"), open_audio(path):
        pass


def pages(content: bytes) -> list[bytes]:
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


def test_an_ogg_page_that_is_damaged_or_missing_is_an_error(tmp_path):
    parts = pages(ogg("OPUS", 48000))
    assert len(parts) > 4
    damaged = bytearray(parts[3])
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(AudioError, match=r"the Ogg page at byte [\d,]+ does not fit its checksum"):
        seconds_of(tmp_path, b"".join([*parts[:3], damaged, *parts[4:]]))
    with pytest.raises(AudioError, match="Ogg pages 3 to 3 are missing"):
        seconds_of(tmp_path, b"".join([*parts[:3], *parts[4:]]))


@pytest.mark.parametrize("kept", [1, 3, 4, 5, 6, 20, 27, 28, 100])
def test_an_ogg_file_that_ends_anywhere_in_a_page_is_truncated(tmp_path, kept):
    parts = pages(ogg("OPUS", 48000))
    with pytest.raises(AudioError, match="is truncated: it ends in the middle of an Ogg page"):
        seconds_of(tmp_path, b"".join([*parts[:4], parts[4][:kept]]))


def test_an_ogg_stream_that_was_joined_in_the_middle_is_whole(tmp_path):
    # As a radio station sends it: headers, then the pages of now.
    parts = pages(ogg("OPUS", 48000))
    assert seconds_of(tmp_path, b"".join([*parts[:2], *parts[3:]])) == pytest.approx(SECONDS - 1, abs=0.1)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("vbr-without-xing.mp3", 7), ("two-joined.mp3", 14), ("chained.opus", 14), ("from-a-pipe.flac", 7),
        ("flac-in-ogg.oga", 7), ("from-a-sox-pipe.wav", 3), ("recorder-lost-power.wav", 3),
        ("sound-starts-late.mkv", 11), ("two-tracks.mkv", 7),
    ],
)  # fmt: skip
def test_recordings_from_real_use_are_read_whole(name, seconds):
    assert len(load_audio(CASES / name, sample_rate=RATE)) / RATE == pytest.approx(seconds, abs=0.1)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")
@pytest.mark.parametrize("name", ["cut-off.aiff", "cut-off.webm"])
def test_recordings_from_real_use_that_were_cut_off_are_errors(name):
    with pytest.raises(AudioError, match="truncated"):
        load_audio(CASES / name, sample_rate=RATE)


def test_an_opus_file_whose_pages_count_other_samples_than_their_packets_hold_is_whole(write_audio, rng, tmp_path):
    """As encoders leave it whose input came in other blocks: libsndfile refuses the page behind, players play on."""
    sound = np.cumsum(rng.standard_normal(5 * RATE)) / 1000
    whole = write_audio("whole.opus", sound - sound.mean(), format="OGG", subtype="OPUS")
    content, begin, pages = bytearray(whole.read_bytes()), 0, 0
    while begin < len(content):
        count = content[begin + 26]
        end = begin + 27 + count + sum(content[begin + 27 : begin + 27 + count])
        pages += 1
        if pages == 4:
            granule = int.from_bytes(content[begin + 6 : begin + 14], "little") + 489
            content[begin + 6 : begin + 14] = granule.to_bytes(8, "little")
            content[begin + 22 : begin + 26] = b"\0\0\0\0"
            content[begin + 22 : begin + 26] = _checksum(bytes(content[begin:end])).to_bytes(4, "little")
        begin = end
    assert pages > 4
    gapped = tmp_path / "gapped.opus"
    gapped.write_bytes(content)
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(gapped)
    expected, found = (load_audio(path, sample_rate=RATE) for path in (whole, gapped))
    assert abs(len(found) - len(expected)) <= 0.02 * RATE
    count = min(len(found), len(expected)) - RATE // 10
    np.testing.assert_allclose(found[100:count], expected[100:count], atol=0.02)  # resampled, it begins otherwise
