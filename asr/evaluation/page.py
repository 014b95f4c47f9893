"""A report as one HTML file: numbers and tables that need no script, and an explorer of every utterance that does."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from asr.evaluation.recordings import MEDIA_TYPES, Medium
from asr.evaluation.text import chance, interval_text, percent, rate_text, speed_text

PAGE_TITLE = "Word error rate"
_HISTOGRAM_TOP = 1.0
_HISTOGRAM_BARS = 20
_SHOWN_CONFUSIONS = 25


@dataclass(frozen=True, slots=True)
class Sound:
    """What the page has of a recording besides its texts."""

    medium: Medium
    spikes: Sequence[tuple[float, str, float]] = ()
    """what the model heard: seconds, character, probability"""


def render_page(report: Mapping[str, Any], sounds: Sequence[Sound | None] = (), *, folder: str | None = None) -> str:
    """Make the page.

    Parameters
    ----------
    report : dict
        From `make_report`.
    sounds : sequence of Sound or None
        Of every utterance; none for a page without recordings.
    folder : str, optional
        Where, relative to the page, the media lie; without one they are read and embedded.

    Returns
    -------
    str
        HTML that fetches nothing from any network.
    """
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("asr.evaluation"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "rate": rate_text, "interval": interval_text, "chance": chance}
    assets = resources.files("asr.evaluation") / "templates"
    return environment.get_template("page.html.j2").render(
        report=report,
        title=PAGE_TITLE,
        speeds=[speed_text(system) for system in report["systems"]],
        scale=_scale(report),
        difference_scale=_difference_scale(report),
        histogram=_histogram(report),
        most_confusions=_SHOWN_CONFUSIONS,
        style=Markup((assets / "page.css").read_text("utf-8")),
        script=Markup((assets / "page.js").read_text("utf-8")),
        data=Markup(_script_text(_explorer_data(report, sounds, folder))),
        has_sound=any(one is not None for one in sounds),
    )


def _script_text(value: Any) -> str:
    """JSON that ends no script element and begins no comment, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _explorer_data(report: Mapping[str, Any], sounds: Sequence[Sound | None], folder: str | None) -> dict[str, Any]:
    """Every utterance as the script wants it: there may be thousands, and a browser takes columns faster than rows."""
    rows = []
    for number, one in enumerate(report["utterances"]):
        row: dict[str, Any] = {"id": one["id"], "speaker": one["speaker"], "fields": one["fields"]}
        row["duration"] = one["duration"]
        row["systems"] = [
            {
                "errors": detail["words"]["errors"],
                "words": detail["words"]["reference_length"],
                "edits": [
                    [kind[0], reference] if kind == "equal" else [kind[0], reference, hypothesis]
                    for kind, reference, hypothesis in detail["alignment"]
                ],
                "times": detail["times"] and _columns(detail["times"]),
            }
            for detail in one["systems"]
        ]
        sound = sounds[number] if sounds else None
        if sound is not None:
            row["seconds"] = round(sound.medium.seconds, 3)
            row["audio"] = _address(sound.medium.audio, folder)
            row["picture"] = sound.medium.picture and _address(sound.medium.picture, folder)
            row["spikes"] = [
                [round(1000 * at) for at, _, _ in sound.spikes],
                "".join(symbol for _, symbol, _ in sound.spikes),
                [round(100 * sure) for _, _, sure in sound.spikes],
            ]
        rows.append(row)
    return {"systems": [system["name"] for system in report["systems"]], "utterances": rows}


def _columns(times: Sequence[Sequence[float | None]]) -> list[list[int | None]]:
    """Starts and ends of words in milliseconds, and their confidences in percent."""
    columns = zip(*times, strict=True)
    return [
        [None if one is None else round(scale * one) for one in column]
        for scale, column in zip((1000, 1000, 100), columns, strict=True)
    ]


def _address(path: Path, folder: str | None) -> str:
    if folder is not None:
        return f"{folder}/{path.name}"
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _scale(report: Mapping[str, Any]) -> float:
    """The error rate at the right end of all bars: a round one above all intervals of systems and slices."""
    highest = 0.05
    for system in report["systems"]:
        parts = [system["words"]["rate"], *(one["high"] for one in system["words"]["intervals"])]
        parts += [
            one["words"]["interval"]["high"]
            for field in system["slices"]
            for one in field["values"]
            if one["words"]["interval"] and not one["few"]
        ]
        highest = max([highest, *(part for part in parts if part is not None)])
    return min(1.5, next(step for step in (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, float("inf")) if step >= highest))


def _difference_scale(report: Mapping[str, Any]) -> float:
    """The difference, to both sides of none, at the ends of the bars of comparisons."""
    compared = [*report["comparisons"], *([report["baseline"]] if report["baseline"] else [])]
    ends = [abs(one["interval"][side]) for one in compared if one["interval"] for side in ("low", "high")]
    return float(max([0.01, *ends]) * 1.15)


def _histogram(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Utterances of the first system by their error rate: none wrong, in steps of 5 %, and 100 % and more."""
    edges = [number / _HISTOGRAM_BARS * _HISTOGRAM_TOP for number in range(_HISTOGRAM_BARS + 1)]
    counts = [0] * (_HISTOGRAM_BARS + 2)
    for one in report["utterances"]:
        words = one["systems"][0]["words"]
        if words["errors"] == 0:
            counts[0] += 1
        elif words["rate"] is None or words["rate"] >= _HISTOGRAM_TOP:
            counts[-1] += 1
        else:
            counts[1 + int(words["rate"] / _HISTOGRAM_TOP * _HISTOGRAM_BARS)] += 1
    names = [
        "no error",
        *(f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in itertools.pairwise(edges)),
    ]
    names.append("100 % and more")
    highest = max([1, *counts])
    return [
        {"name": name, "count": count, "height": 100 * count / highest}
        for name, count in zip(names, counts, strict=True)
    ]
