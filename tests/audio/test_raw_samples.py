"""Samples without a container, against independent decoders."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from asr.audio.raw_samples import decode_alaw, decode_pcm, decode_ulaw
from asr.errors import AudioError


@pytest.mark.parametrize(("decode", "subtype"), [(decode_ulaw, "ULAW"), (decode_alaw, "ALAW")])
def test_every_code_of_telephony_is_what_libsndfile_decodes(decode, subtype):
    codes = bytes(range(256))
    wanted, _ = soundfile.read(
        io.BytesIO(codes), samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="float32"
    )
    found = decode(codes)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("width", "subtype"), [(2, "PCM_16"), (4, "PCM_32")])
@pytest.mark.parametrize("channels", [1, 3])
def test_whole_numbers_are_what_libsndfile_decodes_and_channels_are_mixed(rng, width, subtype, channels):
    content = rng.bytes(width * channels * 500)
    wanted, _ = soundfile.read(
        io.BytesIO(content), samplerate=8000, channels=channels, format="RAW", subtype=subtype, dtype="float32",
        always_2d=True,
    )  # fmt: skip
    np.testing.assert_allclose(decode_pcm(content, width=width, channels=channels), wanted.mean(axis=1), atol=1e-7)


def test_nothing_is_no_samples():
    assert decode_pcm(b"").shape == decode_ulaw(b"").shape == (0,)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"123", {}, "end within one: 3 bytes"),
        (b"123456", {"channels": 2}, "no multiple of 2 bytes and 2 channels"),
        (b"123", {"width": 3}, "have 3 bytes: it must be 2 or 4"),
    ],
)
def test_what_is_no_whole_samples_is_refused(content, options, words):
    with pytest.raises(AudioError, match=words):
        decode_pcm(content, **options)
