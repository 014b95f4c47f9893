"""What `asr lm` reads: texts, manifests, and language models that are given by name."""

from __future__ import annotations

import lzma
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import ConfigError, LanguageModelError, ManifestError
from asr.files import open_decompressed, typed_path
from asr.settings.commands import LmConfig
from asr.text.normalize import normalize_text

if TYPE_CHECKING:
    from asr.language.ngram import NgramModel

ARPA_SUFFIXES = (".arpa", ".arpa.gz", ".arpa.xz")


def count_bytes(files: Sequence[str]) -> int:
    """The size of some texts.

    Raises
    ------
    LanguageModelError
        Naming one that cannot be read.
    """
    total = 0
    for name in files:
        if Path(name).is_dir():
            raise LanguageModelError(name, "is a folder; name the texts in it")
        try:
            total += os.path.getsize(name)
        except OSError as error:
            raise LanguageModelError(name, error.strerror or str(error)) from error
    return total


def sentences_of(files: Sequence[str], settings: LmConfig) -> Iterator[str]:
    """Normalised sentences of some texts, under a progress bar."""
    from tqdm import tqdm

    with tqdm(total=count_bytes(files), desc="reading", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for name in files:
            if Path(name).suffix.lower() in MANIFEST_SUFFIXES:
                reading = read_manifest(Path(name))
                if reading.problems:
                    raise ManifestError(reading.problems)
                yield from (normalize_text(one.text or "", settings.normalizer) for one in reading.utterances)
                bar.update(os.path.getsize(name))
                continue
            before = bar.n
            with open(name, "rb") as raw:
                try:
                    for number, line in enumerate(open_decompressed(raw), start=1):
                        try:
                            yield normalize_text(line.decode("utf-8"), settings.normalizer)
                        except UnicodeDecodeError:
                            raise LanguageModelError(f"{name}:{number}", "this line is not UTF-8 text") from None
                        if number & 0x3FFF == 0:
                            bar.update(before + raw.tell() - bar.n)
                except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
                    raise LanguageModelError(name, f"cannot be read ({error})") from error
            bar.update(before + os.path.getsize(name) - bar.n)


def path_of_base(name: str) -> Path:
    """The file of a language model, given by its bundle or by its own path."""
    from asr.bundle import load_bundle, shipped_bundles

    path = typed_path(name)
    if name not in shipped_bundles() and (path.is_file() or name.endswith((".lm", *ARPA_SUFFIXES))):
        return path
    bundle = load_bundle(name)
    if bundle.decoder is None or bundle.decoder.lm is None:
        raise ConfigError(f"base={name}: this bundle has no language model; base=en has one, and a .lm file is one")
    return Path(bundle.decoder.lm)


def load_base(name: str) -> NgramModel:
    """The n-gram model of a bundle, or of a file."""
    from asr.decoding.assembly import load_language_model

    return load_language_model(str(path_of_base(name)))
