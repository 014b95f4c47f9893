"""How recordings begin: a pattern for each container, strict enough to find another recording further on in a file."""

from __future__ import annotations

import re


def _pattern(text: bytes) -> re.Pattern[bytes]:
    return re.compile(text, re.DOTALL)


WAV = _pattern(rb"(?:RIFF|RIFX|RF64|BW64).{4}WAVE[\x20-\x7e]{4}")
W64 = _pattern(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00")
AIFF = _pattern(rb"FORM.{4}AIF[FC][A-Z(][A-Za-z)]{2}[A-Za-z ]")
IFF = _pattern(rb"FORM.{4}(?:8SVX|16SV)[A-Z(][A-Za-z)]{2}[A-Za-z ]")
AU = _pattern(rb"\.snd\0\0.{6}\0\0\0[\x01-\x1b]|dns\...\0\0.{4}[\x01-\x1b]\0\0\0")
CAF = _pattern(rb"caff\0[\x01\x02]\0\0desc")
SPHERE = _pattern(rb"NIST_1A\n {0,3}\d+\n")
FLAC = _pattern(rb"fLaC[\x00\x80]\0\0\x22")
OGG = _pattern(rb"OggS\0[\x00-\x07]")
AMR = _pattern(rb"#!AMR(?:-WB)?\n")
MATROSKA = _pattern(rb"\x1a\x45\xdf\xa3.{1,60}?\x42\x82.{1,8}?(?:webm|matroska)")
MP4 = _pattern(rb"\0\0.{2}ftyp[\x20-\x7e]{4}")
AVI = _pattern(rb"RIFF.{4}AVI (?:LIST|JUNK)")
FLV = _pattern(rb"FLV\x01[\x00-\x07]\0\0\0\x09\0\0\0\0")
ASF = _pattern(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c")
VOC = _pattern(rb"Creative Voice File\x1a\x1a\0")
WAVPACK = _pattern(rb"wvpk.{4}[\x02-\x10]\x04.{6}\0\0\0\0")
TTA = _pattern(rb"TTA1[\x01-\x03]\0.{12}")
SOX = _pattern(rb"\.SoX.{20}[\x01-\x20]\0\0\0")
ADX = _pattern(rb"\x80\0.{2}[\x02-\x04]\x12\x04[\x01-\x08].{8}")
RM = _pattern(rb"\.RMF\0\0\0[\x10-\x20]")
MMF = _pattern(rb"MMMD.{4}CNTI")
SWF = _pattern(rb"FWS[\x03-\x20]")
SWF_FROM_PIPE = _pattern(rb"FWS[\x03-\x20]\0\0\x40\x06")
WTV = _pattern(rb"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d")
NUT = _pattern(rb"nut/multimedia container\0")
SMJPEG = _pattern(rb"\0\nSMJPEG")
AST = _pattern(rb"STRM.{4}\0[\x00\x01]\0\x10\0[\x01-\x10]")
GXF = _pattern(rb"\0\0\0\0\x01\xbc.{8}\xe1\xe2")
# QuickTime files older than `ftyp`: too weak to be searched for.
OLD_MOV = _pattern(rb".{4}(?:moov|mdat|wide|free|skip|pnot)")

LONGEST = 128
"""bytes that a pattern matches at most"""
_STRONG = (WAV, W64, AIFF, CAF, SPHERE, FLAC, OGG, AMR, MATROSKA, MP4, AVI, FLV, ASF, AU)


def is_start(data: bytes) -> bool:
    """Whether a recording begins with these bytes."""
    return any(pattern.match(data) for pattern in _STRONG)
