"""Reads an earlier report.json, to compare a system with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from asr.errors import ConfigError
from asr.files import names_without_folders, typed_path

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
    try:
        report = json.loads(typed_path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"baseline={path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"baseline={path}: is not a report.json of `asr evaluate`") from error
    if not isinstance(report, dict) or not isinstance(report.get("sets"), list):
        if is_alone:
            return str(path)
        raise ConfigError(f"baseline={path}: is a report on one test set; for several, name the report on all of them")
    reports = {one.get("name"): one.get("report") for one in report["sets"] if isinstance(one, dict)}
    found = reports.get(name)
    if not isinstance(found, str):
        raise ConfigError(f"baseline={path}: has no test set {name!r}, but {', '.join(map(str, reports))}")
    return str(typed_path(path).parent / found)


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
    try:
        report = json.loads(typed_path(path).read_bytes())
        if report["format"] != REPORT_FORMAT:
            raise ConfigError(
                f"baseline={path}: is of format {report['format']}, this asr writes {REPORT_FORMAT}: evaluate again"
            )
        rows = {row["id"]: (row["reference"], row["systems"][0]["hypothesis"]) for row in report["utterances"]}
    except OSError as error:
        raise ConfigError(f"baseline={path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"baseline={path}: is not a report.json of `asr evaluate`") from error
    if not rows.keys() & set(ids):  # absolute paths are shortened where a report is written
        short = names_without_folders(ids)
        ids = [short[name] for name in ids]
    missing = [name for name in ids if name not in rows]
    if missing or len(rows) != len(ids):
        what = f"it lacks {missing[0]!r}" if missing else f"it has {len(rows)}, these are {len(ids)}"
        raise ConfigError(f"baseline={path}: has other utterances ({what})")
    for name, reference in zip(ids, references, strict=True):
        if rows[name][0] != reference:
            raise ConfigError(
                f"baseline={path}: the reference of {name!r} was another one, or normalised in another way"
            )
    return [rows[name][1] for name in ids]
