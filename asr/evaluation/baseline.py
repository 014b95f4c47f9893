"""Reads an earlier report.json, to compare a system with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from asr.errors import ConfigError
from asr.files import typed_path

REPORT_FORMAT = 2
"""the format of report.json; it goes up when older readers can no longer read it"""


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
        If the file cannot be read, or is of other utterances, of other references or of another policy.
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
        raise ConfigError(f"baseline={path}: is no report.json of `asr evaluate`") from error
    missing = [name for name in ids if name not in rows]
    if missing or len(rows) != len(ids):
        what = f"it lacks {missing[0]!r}" if missing else f"it has {len(rows)}, these are {len(ids)}"
        raise ConfigError(f"baseline={path}: is of other utterances ({what})")
    for name, reference in zip(ids, references, strict=True):
        if rows[name][0] != reference:
            raise ConfigError(
                f"baseline={path}: the reference of {name!r} was another one, or normalised in another way"
            )
    return [rows[name][1] for name in ids]
