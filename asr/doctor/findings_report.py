"""The findings of an examination as a table, as JSON, as a page, and as a list of utterances to leave out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.corpus.manifest import Utterance, manifest_content
from asr.doctor.examination import Diagnosis, Part, character_counts
from asr.doctor.faults import KINDS, Fault, Severity
from asr.files import OutputJournal
from asr.text.alphabet import describe_character

REPORT_FORMAT = 1
_BARS = 40
_EXAMPLES = 3
_MESSAGES = 10
# More players of one kind of fault would make the page unusable; JSON has all faults.
_SHOWN_OF_A_KIND = 100


def format_table(diagnosis: Diagnosis) -> str:
    """Parts and faults as tables of text, and a verdict."""
    lines = [f"{'data':<34}{'utterances':>11}{'hours':>9}{'speakers':>10}{'characters/s':>14}"]
    for part in diagnosis.parts:
        row = _part_object(part)
        pace = "" if row["characters_per_second"] is None else f"{row['characters_per_second']:.1f}"
        lines.append(
            f"{_clipped(part.name, 33):<34}{row['utterances']:>11,}{row['hours']:>9.2f}"
            f"{row['speakers'] or 'unknown':>10}{pace:>14}"
        )
    if diagnosis.quarantined:
        lines.append(f"{'in quarantine, left out':<34}{diagnosis.quarantined:>11,}")
    if diagnosis.unmatched:
        lines.append(f"{'quarantined, but in no manifest':<34}{diagnosis.unmatched:>11,}")
    lines.append("")
    if not diagnosis.faults:
        return "\n".join([*lines, "no fault found"])
    lines.append(f"{'fault':<46}{'':<12}{'utterances':>11}   for example")
    for kind, faults in _by_kind(diagnosis):
        title = KINDS[kind].title
        lines.append(f"{title:<46}{KINDS[kind].severity.name:<12}{_utterances(faults):>11,}   {_examples(faults)}")
    return "\n".join([*lines, "", *_remedies(diagnosis), verdict(diagnosis)])


def _remedies(diagnosis: Diagnosis) -> list[str]:
    """What to do about each kind of fault that makes utterances unusable, and the first messages of that kind."""
    lines: list[str] = []
    for kind, faults in _by_kind(diagnosis):
        if KINDS[kind].severity < Severity.unusable:
            continue
        lines.append(f"{KINDS[kind].title}: {KINDS[kind].advice}")
        lines += [f"  {fault}" for fault in faults[:_MESSAGES]]
        if len(faults) > _MESSAGES:
            lines.append(f"  and {len(faults) - _MESSAGES:,} more (output_dir=FOLDER writes all)")
        lines.append("")
    return lines


def verdict(diagnosis: Diagnosis) -> str:
    """How many utterances cannot be used, and how many are suspicious."""
    unusable = set(diagnosis.at_least(Severity.unusable))
    suspicious = set(diagnosis.at_least(Severity.suspicious)) - unusable
    total = len(diagnosis.utterances) + sum(fault.utterance is None for fault in diagnosis.faults)
    share = f" ({len(unusable) / total:.2%})" if total else ""
    return f"{len(unusable):,} of {total:,} unusable{share}, {len(suspicious):,} more suspicious"


def _by_kind(diagnosis: Diagnosis) -> Iterable[tuple[str, list[Fault]]]:
    for kind in KINDS:
        faults = [fault for fault in diagnosis.faults if fault.kind == kind]
        if faults:
            yield kind, faults


def _utterances(faults: Iterable[Fault]) -> int:
    return len({fault.where for fault in faults})


def _examples(faults: Iterable[Fault]) -> str:
    names = list(dict.fromkeys(fault.utterance.id if fault.utterance else fault.where for fault in faults))
    return ", ".join(_clipped(name, 40) for name in names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else "..." + text[3 - most :]


def _part_object(part: Part) -> dict[str, Any]:
    seconds = sum(one.duration or 0.0 for one in part.utterances)
    characters = sum(len(one.text or "") for one in part.utterances if one.duration)
    return {
        "name": part.name,
        "utterances": len(part.utterances),
        "hours": round(seconds / 3600, 4),
        "speakers": len({one.speaker for one in part.utterances if one.speaker}),
        "characters_per_second": round(characters / seconds, 2) if seconds else None,
    }


def report_object(diagnosis: Diagnosis) -> dict[str, Any]:
    """The report as an object for JSON: parts, faults by kind, characters, measures of every recording."""
    unknown = set(diagnosis.alphabet.unknown("".join(one.text or "" for one in diagnosis.utterances)))
    return {
        "format": REPORT_FORMAT,
        "verdict": verdict(diagnosis),
        "unusable_share": round(diagnosis.unusable_share, 6),
        "quarantined": diagnosis.quarantined,
        "quarantined_but_in_no_manifest": diagnosis.unmatched,
        "parts": [_part_object(part) for part in diagnosis.parts],
        "faults": {
            kind: {
                "title": KINDS[kind].title,
                "severity": KINDS[kind].severity.name,
                "advice": KINDS[kind].advice,
                "utterances": _utterances(faults),
                "found": [
                    {"id": fault.utterance.id if fault.utterance else None, "where": fault.where, "what": fault.message}
                    for fault in faults
                ],
            }
            for kind, faults in _by_kind(diagnosis)
        },
        "characters": [
            {"character": character, "count": count, "example": example, "in_alphabet": character not in unknown}
            for character, (count, example) in character_counts(diagnosis.utterances).items()
        ],
        "recordings": [
            {"id": one.id, "where": one.where, **_rounded(asdict(diagnosis.sounds[one.where]))}
            for one in diagnosis.utterances
            if one.where in diagnosis.sounds
        ],
    }


def _rounded(measures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in measures.items()}


REPORT_FILES = ("report.json", "quarantine.jsonl", "report.html")
"""what `write_report` writes"""


def write_report(folder: str | Path, diagnosis: Diagnosis, *, overwrite: bool = False) -> Path:
    """Write report.json, report.html, and quarantine.jsonl: all unusable or suspicious utterances, with reasons.

    Parameters
    ----------
    folder : str or Path
        Made if missing; each file is written beside and renamed.
    diagnosis : Diagnosis
    overwrite : bool
        Also replace files that asr did not write, or that were changed since.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        Before anything is written, if such a file exists.
    OSError
        If a file cannot be written.
    """
    folder = Path(folder)
    report = json.dumps(report_object(diagnosis), indent=1, ensure_ascii=False) + "\n"
    contents = (
        report.encode("utf-8", "backslashreplace"),
        manifest_content(quarantine(diagnosis), folder),
        _page(diagnosis, folder).encode("utf-8", "xmlcharrefreplace"),
    )
    journal = OutputJournal(overwrite=overwrite)
    journal.check(folder / name for name in REPORT_FILES)
    for name, content in zip(REPORT_FILES, contents, strict=True):
        journal.write(folder / name, content)
    return folder / REPORT_FILES[-1]


def quarantine(diagnosis: Diagnosis) -> list[Utterance]:
    """The utterances that are unusable or suspicious, as rows of a manifest for `data.quarantine`.

    Each has its `reasons`; deleting a line lets its utterance be trained on.
    """
    bad = diagnosis.at_least(Severity.suspicious)
    return [
        replace(one, other={"reasons": [f"{fault.kind}: {fault.message}" for fault in bad[one.where]]})
        for one in diagnosis.utterances
        if one.where in bad
    ]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bars of a histogram, of a height from 0 to 100."""

    title: str
    unit: str
    lowest: str
    highest: str
    median: str
    bars: list[tuple[float, str]]
    """height and label of each"""


def _histogram(title: str, unit: str, values: Iterable[float]) -> Histogram | None:
    found = np.array([value for value in values if np.isfinite(value)])
    if len(found) == 0:
        return None
    # A single outlier must not squeeze all others into one bar: outliers are counted in the outermost bars.
    low, high = _outer(found)
    counts, edges = np.histogram(np.clip(found, low, high), bins=_BARS if high > low else 1)
    bars = [
        (100 * count / counts.max(), f"{left:.4g} to {right:.4g} {unit}: {count:,}")
        for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    lowest = f"{low:.3g}" if low <= found.min() else f"{found.min():.3g} ... {low:.3g}"
    highest = f"{high:.3g}" if high >= found.max() else f"{high:.3g} ... {found.max():.3g}"
    return Histogram(title, unit, lowest, highest, f"{float(np.median(found)):.3g}", bars)


def _outer(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The range of the bars: all values, or the middle nine tenths with a wide margin."""
    left, right = np.percentile(values, (5, 95))
    room = 0.75 * (right - left)
    return max(float(values.min()), float(left - room)), min(float(values.max()), float(right + room))


def _page(diagnosis: Diagnosis, folder: Path) -> str:
    from jinja2 import Environment, PackageLoader

    sounds = list(diagnosis.sounds.values())
    paces = [len(one.text or "") / one.duration for one in diagnosis.utterances if one.duration]
    histograms = [
        _histogram("Duration", "s", (one.duration or 0.0 for one in diagnosis.utterances if one.duration)),
        _histogram("Pace", "characters/s", paces),
        _histogram("Level", "dBFS", (one.level_db for one in sounds)),
        _histogram("Dynamic range", "dB", (one.range_db for one in sounds)),
    ]
    report = report_object(diagnosis)
    groups = [
        {
            "kind": KINDS[kind],
            "count": _utterances(faults),
            "faults": [
                {
                    "id": fault.utterance.id if fault.utterance else "",
                    "text": (fault.utterance.text or "") if fault.utterance else "",
                    "what": str(fault),
                    "audio": _relative(fault, folder),
                }
                for fault in faults[:_SHOWN_OF_A_KIND]
            ],
            "more": max(0, len(faults) - _SHOWN_OF_A_KIND),
        }
        for kind, faults in _by_kind(diagnosis)
    ]
    characters = [{**one, "name": describe_character(one["character"])} for one in report["characters"]]
    environment = Environment(loader=PackageLoader("asr.doctor"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html.j2").render(
        report=report,
        groups=groups,
        characters=sorted(characters, key=lambda one: (one["in_alphabet"], -one["count"])),
        histograms=[one for one in histograms if one],
    )


def _relative(fault: Fault, folder: Path) -> str | None:
    """The address of the recording, relative to the page, if it can be played."""
    if fault.utterance is None or fault.utterance.url or fault.kind in {"missing", "unreadable"}:
        return None
    from urllib.parse import quote

    path = fault.utterance.audio_path.resolve()
    address = quote(os.fsencode(Path(os.path.relpath(path, folder.resolve())).as_posix()))
    start, seconds = fault.utterance.offset, fault.utterance.duration
    return address if start is None else f"{address}#t={start:g},{start + (seconds or 0):g}"
