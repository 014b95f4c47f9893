"""What `asr lm` reads: texts, manifests, and language models that are given by name; none of it is written over."""

from __future__ import annotations

import lzma
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import ConfigError, LanguageModelError, ManifestError, OutputError
from asr.files import check_file, is_stream, open_decompressed, refuse_to_replace_inputs, typed_path
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageModelKind
from asr.text.normalize import normalize_text

if TYPE_CHECKING:
    from asr.language.ngram import NgramModel

ARPA_SUFFIXES = (".arpa", ".arpa.gz", ".arpa.xz")
PIECES_SUFFIX = ".npz"
"""of texts in word pieces"""


OF_COUNTS = ("order", "vocabulary", "min_count", "max_ngrams", "threshold")
"""settings of an n-gram model that is made of texts"""


def refuse_without_effect(settings: LmConfig, names: Sequence[str], where: str) -> None:
    """Refuse those of some settings that were given and have no effect.

    Raises
    ------
    ConfigError
        Naming them.
    """
    defaults = LmConfig()
    given = [name for name in names if getattr(settings, name) != getattr(defaults, name)]
    if given:
        raise ConfigError(f"{', '.join(given)}: no effect {where}; leave it out")


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


def names_of_texts(files: Sequence[str]) -> list[str]:
    """The names of the texts that a model is made of, for its provenance."""
    return [Path(name).name + (f", {count} times" if count > 1 else "") for name, count in Counter(files).items()]


def check_output(
    output: Path,
    files: Sequence[str],
    settings: LmConfig,
    *,
    is_ours: Callable[[Path], bool],
    read_provenance: Callable[[Path], Mapping[str, Any]],
) -> None:
    """Refuse an output that must not be replaced.

    Parameters
    ----------
    output : Path
        Named after the first of `files` where `settings` names none.
    files : sequence of str
    settings : LmConfig
    is_ours : callable
        Whether this program wrote an existing file.
    read_provenance : callable
        The provenance of a model, or of texts in word pieces, that it wrote.

    Raises
    ------
    OutputError
        If it is one of the files that the command reads, whatever `overwrite` says; if this program did not write it;
        or if nobody named it, and the model there was not made of the same texts by the same kind of command.
    """
    if is_stream(output):
        return
    base = settings.base
    read = [*map(Path, files), *map(Path, settings.valid), *([path_of_base(base)] if base is not None else [])]
    refuse_to_replace_inputs([output], read)
    check_file(output, is_ours=is_ours, overwrite=settings.overwrite)
    if settings.output is not None or settings.overwrite or not output.exists():
        return
    made = read_provenance(output)
    in_pieces = files[0].endswith(PIECES_SUFFIX)
    names = read_provenance(Path(files[0])).get("texts") if in_pieces else names_of_texts(files)
    mixed, adapted = made.get("model"), made.get("base")
    earlier_base = adapted["name"] if adapted else None
    asked_base = Path(base).name if base is not None and settings.kind is LanguageModelKind.ngram else None
    same = names in (made.get("texts"), [made.get("arpa")], [mixed["name"] if mixed else None])
    # A name alone does not tell two texts apart that lie in different folders.
    beside = all(Path(name).resolve().parent == output.absolute().parent.resolve() for name in files)
    if not (same and beside and earlier_base == asked_base):
        raise OutputError(output, f"exists, and may be of other texts: output={output} replaces it, or name another")
