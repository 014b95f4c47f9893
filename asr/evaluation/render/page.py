"""A report as one HTML file: tables without a script, and an explorer of every utterance with one."""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.evaluation.render.media import MEDIA_TYPES, Medium
from asr.evaluation.render.text_report import chance, interval_text, percent, power_text, rate_text, speed_text
from asr.evaluation.report import EvaluationReport, UtteranceReport
from asr.evaluation.sources import Spike
from asr.text.transcript import Word

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

PAGE_TITLE = "Word error rate"
_TEMPLATES = resources.files("asr.evaluation.render") / "templates"
_HISTOGRAM_TOP = 1.0
_HISTOGRAM_BARS = 20
_SHOWN_CONFUSIONS = 25


@dataclass(frozen=True, slots=True)
class HistogramBar:
    """The utterances of a range of error rates."""

    name: str
    count: int
    height: float
    """percent of the highest bar"""


def render_page(report: EvaluationReport, media: Sequence[Medium | None] = (), *, folder: str | None = None) -> str:
    """Make the page.

    Parameters
    ----------
    report : EvaluationReport
    media : sequence of Medium or None
        Of every utterance; none for a page without recordings.
    folder : str, optional
        The folder of the media, relative to the page; without one they are read and embedded.

    Returns
    -------
    str
        HTML that loads nothing from a network.
    """
    from markupsafe import Markup

    return page_environment().get_template("page.html.j2").render(
        report=report,
        title=report.title or PAGE_TITLE,
        power=power_text,
        speeds=[speed_text(system) for system in report.systems],
        scale=_scale(report),
        difference_scale=_difference_scale(report),
        histogram=_histogram(report),
        most_confusions=_SHOWN_CONFUSIONS,
        style=page_style(),
        script=Markup((_TEMPLATES / "page.js").read_text("utf-8")),
        data=Markup(_script_text(_explorer_data(report, media, folder))),
        has_sound=any(one is not None for one in media),
    )  # fmt: skip


def page_environment() -> Environment:
    """The environment of the templates of pages."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("asr.evaluation.render"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "rate": rate_text, "interval": interval_text, "chance": chance}
    environment.tests["nan"] = math.isnan
    return environment


def page_style() -> Markup:
    """The style sheet of all pages."""
    from markupsafe import Markup

    return Markup((_TEMPLATES / "page.css").read_text("utf-8"))


def _script_text(value: Any) -> str:
    """JSON in which no text can close the script element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _explorer_data(report: EvaluationReport, media: Sequence[Medium | None], folder: str | None) -> dict[str, Any]:
    """Every utterance for the script; numbers of words and symbols in columns, which browsers read faster than rows."""
    rows = []
    for number, one in enumerate(report.utterances):
        row: dict[str, Any] = {
            "id": one.utterance.id,
            "speaker": one.utterance.speaker,
            "fields": dict(one.fields),
            "duration": one.utterance.duration,
            "systems": _explorer_systems(one),
        }
        medium = media[number] if media else None
        if medium is not None:
            row["seconds"] = round(medium.seconds, 3)
            row["audio"] = _address(medium.audio, folder)
            row["picture"] = medium.picture and _address(medium.picture, folder)
            row["spikes"] = _spike_columns(one.systems[0].spikes)
        rows.append(row)
    return {"systems": [system.name for system in report.systems], "utterances": rows}


def _explorer_systems(one: UtteranceReport) -> list[dict[str, Any]]:
    return [
        {
            "errors": result.score.words.errors,
            "words": result.score.words.reference_length,
            "edits": [
                [edit.kind[0], *map(" ".join, (edit.reference, edit.hypothesis)[: 1 if edit.kind == "equal" else 2])]
                for edit in result.score.alignment
            ],
            "times": result.words and _word_columns(result.words),
        }
        for result in one.systems
    ]


def _word_columns(words: Sequence[Word]) -> list[list[int | None]]:
    """Starts and ends of words in milliseconds, and their confidences in percent."""
    return [
        [round(1000 * word.start) for word in words],
        [round(1000 * word.end) for word in words],
        [None if word.confidence is None else round(100 * word.confidence) for word in words],
    ]


def _spike_columns(spikes: Sequence[Spike]) -> list[Any]:
    """Times in milliseconds, symbols, and probabilities in percent."""
    symbols = [one.symbol for one in spikes]
    # JavaScript indexes a text by UTF-16 units: names of phones and rare characters need a list.
    is_short = all(len(one) == 1 and one <= "\uffff" for one in symbols)
    return [
        [round(1000 * one.seconds) for one in spikes],
        "".join(symbols) if is_short else symbols,
        [round(100 * one.probability) for one in spikes],
    ]


def _address(path: Path, folder: str | None) -> str:
    if folder is not None:
        return f"{folder}/{path.name}"
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _scale(report: EvaluationReport) -> float:
    """The error rate at the right end of all bars: a round one above all intervals of systems and slices."""
    highest = 0.05
    for system in report.systems:
        rates = [system.words.rate, *(one.high for one in system.words.intervals)]
        rates += [one.interval.high for table in system.slices for one in table.values if one.interval and not one.few]
        highest = max([highest, *(rate for rate in rates if rate is not None)])
    return min(1.5, next(step for step in (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, float("inf")) if step >= highest))


def _difference_scale(report: EvaluationReport) -> float:
    """The difference at either end of the bars of comparisons."""
    results = [one.result for one in report.comparisons] + ([report.baseline.result] if report.baseline else [])
    ends = [abs(end) for one in results if one.interval for end in (one.interval.low, one.interval.high)]
    return float(max([0.01, *ends]) * 1.15)


def _histogram(report: EvaluationReport) -> list[HistogramBar]:
    """Utterances of the first system by their error rate: none wrong, in steps of 5 %, and 100 % and more."""
    edges = [number / _HISTOGRAM_BARS * _HISTOGRAM_TOP for number in range(_HISTOGRAM_BARS + 1)]
    counts = [0] * (_HISTOGRAM_BARS + 2)
    for one in report.utterances:
        words = one.systems[0].score.words
        if words.errors == 0:
            counts[0] += 1
        elif words.rate is None or words.rate >= _HISTOGRAM_TOP:
            counts[-1] += 1
        else:
            counts[1 + int(words.rate / _HISTOGRAM_TOP * _HISTOGRAM_BARS)] += 1
    names = [
        "no error",
        *(f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in itertools.pairwise(edges)),
        "100 % and more",
    ]
    highest = max([1, *counts])
    return [HistogramBar(name, count, 100 * count / highest) for name, count in zip(names, counts, strict=True)]
