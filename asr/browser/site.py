"""Writes the page as a folder that any host of static files serves: no server, no build, no network at run time."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asr.browser.model_files import model_files
from asr.browser.web_runtime import PACKAGE, VERSION, web_runtime
from asr.bundle import Bundle
from asr.errors import ConfigError
from asr.files import folder_written_atomically, foreign_entry
from asr.settings.decoding import DecoderConfig

FORMAT = 1
_DESCRIPTION = "site.json"
_KIND = "asr page in the browser"
_HERE = Path(__file__).parent
# The page of the service, whose modules and elements this page shares.
_SERVICE_PAGE = _HERE.parent / "serving" / "page"
_SHARED = ("capture.js", "card.js", "icon.svg", "page.css", "recordings.js", "speak.js", "wav.js", "words.js")
_SHARED_ELEMENTS = {"speak": "section", "captions": "section", "drop": "section", "card": "template"}
_FOLDERS = ("engine", "models", "page", "runtime", "samples")
_FILES = ("index.html", _DESCRIPTION, "README.md")


@dataclass(frozen=True, slots=True)
class Site:
    """What was written."""

    path: Path
    bytes: int
    """that a visitor loads with the first model"""
    models: Mapping[str, int]
    """the bytes of each model"""


def write_site(
    bundles: Bundle | Sequence[Bundle],
    output_dir: str | Path,
    *,
    decoder: DecoderConfig | None = None,
    language: str | None = "en",
    samples: Sequence[str | Path] = (),
    about: str = "",
    runtime: str | Path | None = None,
    overwrite: bool = False,
) -> Site:
    """Write the page for one model, or for several among which a visitor chooses.

    Parameters
    ----------
    bundles : Bundle or sequence of Bundle
        The first one is loaded when the page is opened.
    output_dir : str or Path
        A folder, which is written atomically; it replaces an older page, and nothing else.
    decoder : DecoderConfig, optional
        Each bundle's own by default.
    language : str, optional
        Of the texts, a tag such as "en" or "de": for screen readers and hyphenation.
    samples : sequence of str or Path
        Recordings to try.
    about : str
        Address of a page about this one, relative to it; "" for none.
    runtime : str or Path, optional
        As for `web_runtime`.
    overwrite : bool
        Also replace a page whose description is damaged.

    Returns
    -------
    Site

    Raises
    ------
    BundleError
        If a file of a bundle is damaged.
    ConfigError
        If ONNX Runtime Web cannot be had, two bundles have one name, or a decoder has what the page has no files for.
    LanguageModelError
        If a language model cannot be read.
    OutputError
        If the folder holds what this program did not write.
    OSError
        If a sample cannot be read, the folder cannot be written, or the disk is full.
    """
    bundles = [bundles] if isinstance(bundles, Bundle) else list(bundles)
    names = [bundle.name for bundle in bundles]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"the page needs bundles of different names, at least one, not {', '.join(names) or 'none'}")
    ort = web_runtime(runtime)
    wasm = gzip.compress(ort.wasm, 9, mtime=0)
    with folder_written_atomically(output_dir, foreign=partial(foreign_to_site, overwrite=overwrite)) as folder:
        for name in _FOLDERS:
            (folder / name).mkdir()
        _write_page(folder)
        (folder / "runtime" / "ort.mjs").write_bytes(ort.module)
        (folder / "runtime" / "ort.bin").write_bytes(wasm)
        sizes = {}
        for bundle in bundles:
            files = model_files(bundle, decoder)
            sizes[bundle.name] = files.bytes
            (folder / "models" / bundle.name).mkdir()
            for name, content in files.contents.items():
                (folder / "models" / bundle.name / name).write_bytes(content)
        for sample in samples:
            shutil.copyfile(sample, folder / "samples" / Path(sample).name)
        description = {
            "kind": _KIND,
            "format": FORMAT,
            "about": about,
            "runtime": f"{PACKAGE} {VERSION}",
            "runtime_bytes": len(wasm),
            "models": [{"name": name, "bytes": size, "language": language} for name, size in sizes.items()],
            "samples": [{"file": Path(sample).name, "title": ""} for sample in samples],
        }
        (folder / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", "utf-8")
        (folder / "README.md").write_text(_readme(bundles), "utf-8")
        scripts = [
            *folder.glob("page/*"),
            *folder.glob("engine/*"),
            folder / "index.html",
            folder / "runtime" / "ort.mjs",
        ]
        code = sum(len(gzip.compress(path.read_bytes(), 9)) for path in scripts)
    return Site(Path(output_dir), code + len(wasm) + sizes[names[0]], sizes)


def page_html() -> str:
    """The page, with the elements that it shares with the page of the service."""
    page = (_HERE / "page" / "index.html").read_text("utf-8")
    service = (_SERVICE_PAGE / "index.html").read_text("utf-8")
    for name, tag in _SHARED_ELEMENTS.items():
        found = re.search(rf'[ ]*<{tag} id="{name}".*?</{tag}>', service, re.DOTALL)
        assert found is not None, name
        page = page.replace(f"<!-- {name} -->", found[0].strip())
    return page


def _write_page(folder: Path) -> None:
    (folder / "index.html").write_text(page_html(), "utf-8")
    for name in _SHARED:
        shutil.copyfile(_SERVICE_PAGE / name, folder / "page" / name)
    for kind in ("page", "engine"):
        for path in sorted((_HERE / kind).iterdir()):
            if path.suffix in (".js", ".css"):
                shutil.copyfile(path, folder / kind / path.name)


def _readme(bundles: Sequence[Bundle]) -> str:
    licences = "\n".join(f"- {one.name}: {one.provenance.get('licences', 'see its maker')}" for one in bundles)
    return f"""# Speech to text in the browser

A folder of static files: serve it by any host, or here by

    python -m http.server

and open http://localhost:8000. The recogniser runs in the browser; recordings and speech stay there.

`runtime/` is {PACKAGE} {VERSION}, copyright Microsoft Corporation, under the MIT licence; the rest of the program
is under the Apache License 2.0. The models, in `models/`:

{licences}
"""


def foreign_to_site(folder: Path, *, overwrite: bool = False) -> str | None:
    """What a folder holds besides a page, in words."""
    found = foreign_entry(
        folder,
        lambda path: (
            (path.name in _FOLDERS and path.is_dir() and not path.is_symlink())
            or (path.name in _FILES and path.is_file() and not path.is_symlink())
        ),
    )
    if found or overwrite or not any(folder.iterdir()):
        return found
    try:
        description = json.loads((folder / _DESCRIPTION).read_bytes())
    except (OSError, ValueError, RecursionError):
        description = None
    if isinstance(description, dict) and description.get("kind") == _KIND:
        return None
    return (
        f"holds no {_DESCRIPTION} that asr wrote: it is only replaced with overwrite=true; or name another output_dir"
    )
