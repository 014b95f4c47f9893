"""The folder of an export: the model, its card, its features, and a README with Python that runs it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from asr.acoustic.outputs import output_slices
from asr.browser.site import foreign_to_site
from asr.bundle import Bundle
from asr.errors import ConfigError
from asr.export.browser_page import export_page
from asr.export.network_source import ExportedNetwork, NetworkSource
from asr.export.targets import TARGETS
from asr.files import check_folder, folder_written_atomically
from asr.packages import asr_version
from asr.settings.export import ExportShapes, ExportTarget
from asr.settings.features import Normalization
from asr.text.pieces import WORD_START

CARD, FEATURES, LOG_MEL, README = "card.json", "features.npz", "log_mel.py", "README.md"
_FORMAT = "asr export 1"


def export_bundle(
    bundle: Bundle,
    folder: str | Path,
    *,
    to: ExportTarget,
    shapes: ExportShapes | None = None,
    license_name: str | None = None,
) -> list[Path]:
    """Export the model of a bundle to another program.

    Parameters
    ----------
    bundle : Bundle
    folder : str or Path
        Replaced, if it is an export that was not changed since.
    to : ExportTarget
    shapes : ExportShapes, optional
        For targets with fixed shapes.
    license_name : str, optional
        By default what the bundle records.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        If the target cannot run the model, or a package that builds it is missing.
    BundleError, LanguageModelError
        If a file of the bundle that the target needs is damaged.
    OutputError
        If there is something else at `folder`.
    OSError
        If the folder cannot be written; an older one is then left as it was.
    """
    check_export_output(folder, to=to)
    if to is ExportTarget.web:
        return export_page(bundle, folder, license_name=license_name)
    exported = TARGETS[to](NetworkSource.of_bundle(bundle, shapes or ExportShapes()))
    files = {
        **exported.files,
        FEATURES: _features(bundle),
        LOG_MEL: Path(__file__).with_name(LOG_MEL).read_bytes(),
        README: readme(bundle, exported, to=to).encode("utf-8"),
    }
    card = _card(bundle, to, license_name) | {"files": {name: _digest(content) for name, content in files.items()}}
    content = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with folder_written_atomically(folder, foreign=_foreign) as new:
        for name, one in {**files, CARD: content.encode("utf-8")}.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(one)
    return [Path(folder) / name for name in (*files, CARD)]


def check_export_output(folder: str | Path, *, to: ExportTarget) -> None:
    """Refuse, before any work, to write an export over what is none; errors as in `export_bundle`."""
    check_folder(folder, foreign=foreign_to_site if to is ExportTarget.web else _foreign)


def _foreign(folder: Path) -> str | None:
    """What a folder holds besides an unchanged export, in words."""
    try:
        card = json.loads((folder / CARD).read_bytes())
        known: dict[str, str] = card["files"] if card["format"] == _FORMAT else {}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        known = {}
    for parent, _, names in os.walk(folder):
        for path in (Path(parent) / name for name in sorted(names)):
            name = path.relative_to(folder).as_posix()
            if name == CARD and known:
                continue
            if known.get(name) != _digest(path.read_bytes()):
                return f"holds {name!r}, which asr did not write, or which was changed since; name another output_dir"
    return None


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _features(bundle: Bundle) -> bytes:
    arrays = {name: getattr(bundle.log_mel, name) for name in ("matrix", "mean", "deviation")}
    file = io.BytesIO()
    np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})
    return file.getvalue()


def _card(bundle: Bundle, to: ExportTarget, license_name: str | None) -> dict[str, Any]:
    """What a program needs to know to run the model, and its user."""
    model = bundle.model
    widths = {"symbols": bundle.alphabet.size, "phones": bundle.phones.size if bundle.phones else 0}
    return {
        "format": _FORMAT,
        "target": to.value,
        "bundle": bundle.name,
        "asr": asr_version(),
        "licence": license_name or bundle.provenance.get("licences") or "unknown: ask who made the bundle",
        "features": _plain(asdict(bundle.log_mel.settings)),
        "model": _plain(asdict(model)),
        "subsampling": model.subsampling,
        "delay_steps": model.delay_steps,
        "outputs": {name: [one.start, one.stop] for name, one in output_slices(model, **widths).items()},
        "blank": 0,
        "symbols": ["", *(symbol.replace(WORD_START, " ") for symbol in bundle.alphabet.symbols)],
        "phones": ["", *bundle.phones.names] if bundle.phones else [],
        "error_rates": dict(bundle.error_rates),
    }


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "value", value) for name, value in settings.items()}


def readme(bundle: Bundle, exported: ExportedNetwork, *, to: ExportTarget) -> str:
    """The content of README.md.

    Raises
    ------
    ConfigError
        If the bundle's name cannot stand in it.
    """
    if any(not character.isprintable() or character in "`#" for character in bundle.name):
        raise ConfigError(f"{bundle.path}: the name of the folder cannot stand in a README: rename it")
    features = bundle.log_mel.settings
    whole = (
        " Frames are normalised by the whole recording."
        if features.normalization is Normalization.utterance
        else " `LogMel().push(samples)` gives those of a stream, as they become complete."
    )
    return f"""\
# {bundle.name}, exported by `asr export to={to}`

{exported.interface}
The best symbols of the steps, repeats merged, are the text (greedy CTC). A language model makes far fewer errors, and
`asr transcribe` decodes with one; see the section `error_rates` of `card.json`.

## Use

```sh
pip install {" ".join(["numpy", "soundfile", *exported.packages])}
```

In this folder, with a recording of one channel and {features.sample_rate} Hz:

```python
{example(exported)}
```

## Files

- `card.json`: settings of the features and the model, symbols, which columns of the output are which, licence.
- `features.npz`: the mel filters, and the statistics of the training set where the normalisation needs them.
- `log_mel.py`: the features with NumPy alone.{whole}
"""


def example(exported: ExportedNetwork) -> str:
    """Lines of Python that transcribe recording.wav."""
    return "\n".join(
        [
            "import numpy as np",
            "import soundfile",
            *exported.imports,
            "from log_mel import LogMel",
            "",
            'samples, rate = soundfile.read("recording.wav", dtype="float32")',
            "log_mel = LogMel()",
            "frames, card = log_mel(samples), log_mel.card",
            *exported.lines,
            'best = log_probs[:, slice(*card["outputs"]["symbols"])].argmax(axis=1)',
            'print("".join(card["symbols"][one] for one, last in zip(best, [0, *best]) if one != last).strip())',
        ]
    )
