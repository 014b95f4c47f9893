"""A report as text: for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from asr.evaluation.statistics import SIGNIFICANT

_SHOWN_SLICES, _SHOWN_CONFUSIONS = 12, 10


def percent(rate: float | None, digits: int = 2) -> str:
    """A share as people write it."""
    return "n/a" if rate is None else f"{100 * rate:.{digits}f} %"


def rate_text(counts: Mapping[str, Any]) -> str:
    """An error rate, or, where there is no reference, the insertions."""
    return f"n/a ({counts['insertions']} insertions)" if counts["rate"] is None else percent(counts["rate"])


def interval_text(interval: Mapping[str, Any] | None) -> str:
    """From where to where a rate would be in 95 of 100 test sets."""
    return "" if interval is None else f"{100 * interval['low']:.2f} to {100 * interval['high']:.2f} %"


def chance(p: float) -> str:
    """A probability as papers give it."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


def format_report(report: Mapping[str, Any]) -> str:
    """What the terminal shows: totals with intervals of every system, then the comparisons."""
    parts = [_heading(report)]
    for system in report["systems"]:
        parts.append(f"{system['name']}\n{format_table(system)}")
        if lines := _interval_lines(system):
            parts[-1] += "\n" + lines
        if speed := speed_text(system):
            parts[-1] += f"\n{speed}"
        if system["unreadable"]:
            parts[-1] += f"\n{system['unreadable']} unreadable recordings count as empty texts"
    parts += [format_comparison(one, one["first"], one["second"]) for one in report["comparisons"]]
    if report["baseline"]:
        parts.append(format_comparison(report["baseline"], report["systems"][0]["name"], report["baseline"]["report"]))
    return "\n\n".join(parts)


def _heading(report: Mapping[str, Any]) -> str:
    about = report["references"]
    parts = [f"{about['utterances']:,} utterances", f"{about['words']:,} words"]
    parts += [f"{about['speakers']:,} speakers"] if about["speakers"] else []
    parts += [f"{about['hours']:.2f} h"] if about["hours"] else []
    policy = report["policy"]
    return f"{', '.join(about['names'])}: {', '.join(parts)}\nscoring policy {policy['version']}: {policy['name']}"


def format_table(system: Mapping[str, Any]) -> str:
    """The totals of a system as a table."""
    rows = [f"{'':<12}{'error rate':>20}{'errors':>9}{'sub':>8}{'del':>8}{'ins':>8}{'reference':>11}"]
    for name in ("words", "characters"):
        counts = system[name]
        rows.append(
            f"{name:<12}{rate_text(counts):>20}{counts['errors']:>9,}{counts['substitutions']:>8,}"
            f"{counts['deletions']:>8,}{counts['insertions']:>8,}{counts['reference_length']:>11,}"
        )
    total, wrong = system["utterances"]["total"], system["utterances"]["wrong"]
    share = percent(wrong / total) if total else "n/a"
    rows.append(f"{'utterances':<12}{share:>20}{wrong:>9,}{'':>24}{total:>11,}")
    return "\n".join(rows)


def _interval_lines(system: Mapping[str, Any]) -> str:
    lines = [
        f"{interval_text(one)} in 95 of 100 test sets of {one['units']:,} other {one['unit']}"
        for one in system["words"]["intervals"]
    ]
    return "\n".join(f"{'word error rate: ' if number == 0 else '':<17}{line}" for number, line in enumerate(lines))


def speed_text(system: Mapping[str, Any]) -> str:
    """How fast a system was, if it ran for this report."""
    speed = system["about"].get("speed")
    if not speed or not speed["wall_seconds"]:
        return ""
    hours, wall = speed["audio_seconds"] / 3600, speed["wall_seconds"]
    times = speed["audio_seconds"] / wall
    return (
        f"{hours:.2f} h of audio in {wall:.1f} s: {times:.0f} times real time, {speed['core_seconds']:.1f} core-seconds"
    )


def format_comparison(comparison: Mapping[str, Any], first: str, second: str) -> str:
    """How much better or worse one system is than another, and how sure that is."""
    if comparison["difference"] is None:
        return f"{first} against {second}: no reference words to compare by"
    lines = [f"{first} against {second}: {100 * comparison['difference']:+.2f} points of WER"]
    one, p, pairs = comparison["interval"], comparison["p"], comparison["matched_pairs"]
    if one is not None and p is not None:
        lines.append(
            f"  {100 * one['low']:+.2f} to {100 * one['high']:+.2f} in 95 of 100 test sets of {one['units']:,} other "
            f"{one['unit']} (paired bootstrap, {chance(p)})"
        )
    if pairs is not None:
        z = "infinite" if pairs["z"] is None else f"{pairs['z']:+.2f}"
        lines.append(f"  matched pairs (MAPSSWE): {pairs['segments']:,} segments, z = {z}, {chance(pairs['p'])}")
    return "\n".join(lines)


def format_alignment(alignment: Sequence[Sequence[str]]) -> str:
    """Reference and hypothesis one above the other, errors in capitals and marked S, D or I below."""
    rows: tuple[list[str], list[str], list[str]] = ([], [], [])
    for kind, reference, hypothesis in alignment:
        # Stars where one side has no word.
        for left, right in zip_longest(reference.split(), hypothesis.split()):
            wrong = kind != "equal"
            cells = left or "*" * len(right), right or "*" * len(left)
            width = max(len(cells[0]), len(cells[1]), 1)
            for row, cell in zip(rows, cells, strict=False):
                row.append((cell.upper() if wrong else cell).ljust(width))
            rows[2].append(({"substitute": "S", "delete": "D", "insert": "I"}.get(kind, "")).ljust(width))
    return "\n".join(
        f"{name} {' '.join(cells)}".rstrip() for name, cells in zip(("REF:", "HYP:", "    "), rows, strict=True)
    )


def format_alignments(report: Mapping[str, Any]) -> str:
    """Every utterance of every system."""
    return "\n".join(
        f"{one['id']}  {system['name']}  (word errors: {detail['words']['errors']} of "
        f"{detail['words']['reference_length']})\n{format_alignment(detail['alignment'])}\n"
        for one in report["utterances"]
        for system, detail in zip(report["systems"], one["systems"], strict=True)
    )


def worst_utterances(report: Mapping[str, Any], most: int) -> list[Mapping[str, Any]]:
    """The utterances with the most word errors of the first system; those without an error are never among them."""
    wrong = [one for one in report["utterances"] if one["systems"][0]["words"]["errors"]]
    return sorted(wrong, key=lambda one: -one["systems"][0]["words"]["errors"])[:most]


def format_summary(report: Mapping[str, Any]) -> str:
    """Markdown for a pull request: headline, comparisons, where the errors are."""
    about, policy = report["references"], report["policy"]
    lines = [
        f"## Word error rate: {rate_text(report['systems'][0]['words'])}",
        "",
        f"{_code(', '.join(about['names']))}: {about['utterances']:,} utterances, {about['words']:,} words, "
        f"{about['speakers'] or 'unknown'} speakers; scoring policy {policy['version']} ({_plain(policy['name'])})",
        "",
        "| system | WER | 95 % interval | CER | sub | del | ins | wrong utterances |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system in report["systems"]:
        words, utterances = system["words"], system["utterances"]
        interval = next(iter(words["intervals"]), None)
        unit = f" ({interval['units']:,} {interval['unit']})" if interval else ""
        cells = [
            _plain(system["name"]),
            rate_text(words),
            interval_text(interval) + unit,
            rate_text(system["characters"]),
            *(f"{words[name]:,}" for name in ("substitutions", "deletions", "insertions")),
            f"{utterances['wrong']:,} of {utterances['total']:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    compared = [(one["first"], one["second"], one) for one in report["comparisons"]]
    if report["baseline"]:
        compared.append((report["systems"][0]["name"], report["baseline"]["report"], report["baseline"]))
    for first, second, one in compared:
        lines += ["", _verdict(one, first, second)]
    if report["baseline"] and report["baseline"]["is_regression"]:
        lines += ["", f"**A regression of more than {report['baseline']['max_regression']:g} points.**"]
    lines += _summary_of_slices(report["systems"][0]) + _summary_of_confusions(report["systems"][0])
    return "\n".join(lines) + "\n"


def _verdict(one: Mapping[str, Any], first: str, second: str) -> str:
    if one["difference"] is None:
        return f"{_plain(first)} against {_plain(second)}: no reference words to compare by"
    points, p = 100 * one["difference"], one["p"]
    if p is None or p >= SIGNIFICANT:
        word = "cannot be told from"
    else:
        word = "is **better** than" if points < 0 else "is **worse** than"
    interval = one["interval"]
    sure = f" ({100 * interval['low']:+.2f} to {100 * interval['high']:+.2f}, {chance(p)})" if interval and p else ""
    return f"{_plain(first)} {word} {_plain(second)}: {points:+.2f} points{sure}"


def _summary_of_slices(system: Mapping[str, Any]) -> list[str]:
    lines = []
    for field in system["slices"]:
        if len(field["values"]) > _SHOWN_SLICES:
            continue
        lines += ["", f"| {_plain(field['field'])} | utterances | WER | 95 % interval |", "|---|---|---|---|"]
        for one in field["values"]:
            rate = rate_text(one["words"]) + (" (few words)" if one["few"] else "")
            value = _plain(one["value"])
            lines.append(f"| {value} | {one['utterances']:,} | {rate} | {interval_text(one['words']['interval'])} |")
    return lines


def _summary_of_confusions(system: Mapping[str, Any]) -> list[str]:
    found = system["confusions"]["words"]
    shown = [
        ("Taken for another", [f"{one} → {other} ({count})" for one, other, count in found["substitutions"]]),
        ("Left out", [f"{word} ({count})" for word, count in found["deletions"]]),
        ("Put in", [f"{word} ({count})" for word, count in found["insertions"]]),
    ]
    lines = [f"- {name}: {', '.join(map(_plain, words[:_SHOWN_CONFUSIONS]))}" for name, words in shown if words]
    return ["", *lines] if lines else []


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', '')}`"
