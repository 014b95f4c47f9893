"""Reads an earlier report.json, to compare a system with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr.errors import ConfigError
from asr.files import names_without_folders, refuse_pipe, typed_path

REPORT_FORMAT = 2
"""the format of report.json; it goes up when older readers can no longer read it"""


def baseline_of_set(path: str | Path, name: str, *, is_alone: bool) -> str:
    """The report.json of a test set in an earlier report, which may cover several sets.

    Parameters
    ----------
    path : str or Path
        The report.json of one set, or of several.
    name : str
        Of the set.
    is_alone : bool
        Whether no other set is evaluated: then `path` may be the report on it.

    Raises
    ------
    ConfigError
        If the report has no such set, or cannot be read.
    """
    report = read_report_object(typed_path(path), f"baseline={path}")
    if not isinstance(report.get("sets"), list):
        if is_alone:
            return str(path)
        raise ConfigError(f"baseline={path}: is a report on one test set; for several, name the report on all of them")
    rows = [one if isinstance(one, dict) else {} for one in report["sets"]]
    reports = _texts(path, [one.get("name") for one in rows], [one.get("report") for one in rows])
    if name not in reports:
        raise ConfigError(f"baseline={path}: has no test set {name!r}, but {', '.join(reports)}")
    return str(typed_path(path).parent / reports[name])


def read_baseline(path: str | Path, ids: Sequence[str], references: Sequence[str]) -> list[str]:
    """The texts of the first system of an earlier report.json, for the same utterances and in their order.

    Parameters
    ----------
    path : str or Path
    ids, references : sequences of str
        Of the utterances to compare on, in any order; the references as the policy normalises them.

    Raises
    ------
    ConfigError
        If the file cannot be read, or has other utterances, other references or another policy.
    """
    report = read_report_object(typed_path(path), f"baseline={path}")
    try:
        if report["format"] != REPORT_FORMAT:
            raise ConfigError(
                f"baseline={path}: is of format {report['format']}, this asr writes {REPORT_FORMAT}: evaluate again"
            )
        rows = report["utterances"]
        names = [row["id"] for row in rows]
        earlier = _texts(path, names, [row["reference"] for row in rows])
        hypotheses = _texts(path, names, [row["systems"][0]["hypothesis"] for row in rows])
    except (KeyError, TypeError, IndexError) as error:
        raise no_report(f"baseline={path}") from error
    if not earlier.keys() & set(ids):  # absolute paths are shortened where a report is written
        short = names_without_folders(ids)
        ids = [short[name] for name in ids]
    missing = [name for name in ids if name not in earlier]
    if missing or len(rows) != len(ids):
        what = f"it lacks {missing[0]!r}" if missing else f"it has {len(rows)}, these are {len(ids)}"
        raise ConfigError(f"baseline={path}: has other utterances ({what})")
    for name, reference in zip(ids, references, strict=True):
        if earlier[name] != reference:
            raise ConfigError(
                f"baseline={path}: the reference of {name!r} was another one, or normalised in another way"
            )
    return [hypotheses[name] for name in ids]


def read_report_object(file: Path, shown: str) -> dict[str, Any]:
    """The object in a report.json of one or several test sets.

    Parameters
    ----------
    file : Path
    shown : str
        The file in messages, with the setting that names it.

    Raises
    ------
    ConfigError
        If it cannot be read, or holds something else.
    """
    refuse_pipe(file, shown)
    try:
        report = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise no_report(shown) from error
    if not isinstance(report, dict):
        raise no_report(shown)
    return report


def no_report(shown: str) -> ConfigError:
    """The error for a file that is no report.json."""
    return ConfigError(f"{shown}: is not a report.json of `asr evaluate`")


def _texts(path: str | Path, names: Sequence[Any], values: Sequence[Any]) -> dict[str, str]:
    """Texts by name; anything else is in no report."""
    if not all(isinstance(one, str) for one in (*names, *values)):
        raise no_report(f"baseline={path}")
    return dict(zip(names, values, strict=True))
