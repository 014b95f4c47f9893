"""A report as text: for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest

from asr.evaluation.report import EvaluationReport, SystemReport, UtteranceReport
from asr.evaluation.scoring import Edit, ErrorCounts
from asr.evaluation.statistics import SIGNIFICANT, Comparison, Interval, times_as_much_speech
from asr.text.counts import counted

_SHOWN_SLICES, _SHOWN_CONFUSIONS = 12, 10


def percent(rate: float | None, digits: int = 2) -> str:
    """A share of 1 in percent."""
    return "n/a" if rate is None else f"{100 * rate:.{digits}f} %"


def rate_text(counts: ErrorCounts) -> str:
    """An error rate; where the references are empty, the number of insertions."""
    return str(counts) if counts.rate is None else percent(counts.rate)


def interval_text(interval: Interval | None) -> str:
    """The 95 % interval of a rate."""
    return "" if interval is None else f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %"


def chance(p: float) -> str:
    """A p value as papers give it."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


def format_report(report: EvaluationReport) -> str:
    """The text for the terminal: totals with intervals of every system, then the comparisons."""
    blocks = [_heading(report)]
    for system in report.systems:
        blocks.append(f"{system.name}\n{format_table(system)}")
        if lines := _interval_lines(system):
            blocks[-1] += "\n" + lines
        if speed := speed_text(system):
            blocks[-1] += f"\n{speed}"
        if system.unreadable:
            blocks[-1] += f"\n{system.unreadable} unreadable recordings count as empty texts"
    blocks += [format_comparison(*one) for one in _comparisons(report)]
    return "\n\n".join(blocks)


def _comparisons(report: EvaluationReport) -> list[tuple[Comparison, str, str]]:
    """Of the first system: with each other one, then with the baseline."""
    found = [(one.result, one.first, one.second) for one in report.comparisons]
    if report.baseline:
        found.append((report.baseline.result, report.systems[0].name, report.baseline.report))
    return found


def _heading(report: EvaluationReport) -> str:
    about, policy = report.references, report.policy
    counts = [counted(about.utterances, "utterance"), counted(about.words, "word")]
    counts += [counted(about.speakers, "speaker")] if about.speakers else []
    counts += [f"{about.hours:.2f} h"] if about.hours else []
    title = f"{report.title}\n" if report.title else ""
    return title + f"{', '.join(about.names)}: {', '.join(counts)}\nscoring policy {policy.version}: {policy.name}"


def format_table(system: SystemReport) -> str:
    """The totals of a system as a table."""
    rows = [f"{'':<12}{'error rate':>20}{'errors':>9}{'sub':>8}{'del':>8}{'ins':>8}{'reference':>11}"]
    for name, counts in (("words", system.words.counts), ("characters", system.characters.counts)):
        rows.append(
            f"{name:<12}{rate_text(counts):>20}{counts.errors:>9,}{counts.substitutions:>8,}"
            f"{counts.deletions:>8,}{counts.insertions:>8,}{counts.reference_length:>11,}"
        )
    total, wrong = system.utterances, system.wrong_utterances
    share = percent(wrong / total) if total else "n/a"
    rows.append(f"{'utterances':<12}{share:>20}{wrong:>9,}{'':>24}{total:>11,}")
    return "\n".join(rows)


def _interval_lines(system: SystemReport) -> str:
    lines = [
        f"{interval_text(one)} in 95 of 100 test sets of {one.units:,} other {one.unit}"
        for one in system.words.intervals
    ]
    return "\n".join(f"{'word error rate: ' if number == 0 else '':<17}{line}" for number, line in enumerate(lines))


def speed_text(system: SystemReport) -> str:
    """The speed of a system, if it ran for this report."""
    speed = system.speed
    if speed is None or not speed.wall_seconds:
        return ""
    times = speed.audio_seconds / speed.wall_seconds
    shared = system.about.get("shares_pass_with")
    together = f", in one pass with {' and '.join(shared)}" if shared else ""
    return (
        f"{speed.audio_seconds / 3600:.2f} h of audio in {speed.wall_seconds:.1f} s{together}: {times:.0f} times real "
        f"time, {speed.core_seconds:.1f} core-seconds"
    )


def format_comparison(comparison: Comparison, first: str, second: str) -> str:
    """The difference between two systems, with its interval and the significance tests."""
    if math.isnan(comparison.difference):
        return f"{first} against {second}: no reference words to compare by"
    lines = [f"{first} against {second}: {100 * comparison.difference:+.2f} points of WER"]
    one, pairs = comparison.interval, comparison.matched_pairs
    if one is not None and comparison.p is not None:
        lines.append(
            f"  {100 * one.low:+.2f} to {100 * one.high:+.2f} in 95 of 100 test sets of {one.units:,} other "
            f"{one.unit} (paired bootstrap, {chance(comparison.p)})"
        )
    elif comparison.p is not None:
        lines.append(f"  paired bootstrap: {chance(comparison.p)}")
    if comparison.detectable is not None:
        lines.append(f"  {power_text(comparison)}")
    if pairs is not None:
        z = "infinite" if math.isinf(pairs.z) else f"{pairs.z:+.2f}"
        lines.append(f"  matched pairs (MAPSSWE): {pairs.segments:,} segments, z = {z}, {chance(pairs.p)}")
    return "\n".join(lines)


def power_text(comparison: Comparison) -> str:
    """The smallest difference that this much speech shows, and the speech that the found difference needs."""
    if not comparison.detectable:
        return "the systems make the same errors"
    text = f"this much speech shows differences from {100 * comparison.detectable:.2f} points on (4 of 5 times)"
    times = times_as_much_speech(comparison)
    if times is None or times <= 1:
        return text
    return f"{text}; for one of {100 * abs(comparison.difference):.2f} it takes {_rounded(times)} times as much"


def _rounded(times: float) -> str:
    return f"{times:.1f}" if times < 10 else f"{times:,.0f}" if times < 1000 else "over 1,000"


def format_alignment(alignment: Sequence[Edit]) -> str:
    """Reference and hypothesis one above the other, errors in capitals and marked S, D or I below."""
    rows: tuple[list[str], list[str], list[str]] = ([], [], [])
    for edit in alignment:
        # Stars on the side without a word.
        for left, right in zip_longest(edit.reference, edit.hypothesis, fillvalue=""):
            cells = left or "*" * len(right), right or "*" * len(left)
            width = max(len(cells[0]), len(cells[1]), 1)
            for row, cell in zip(rows, cells, strict=False):
                row.append((cell if edit.kind == "equal" else cell.upper()).ljust(width))
            rows[2].append(({"substitute": "S", "delete": "D", "insert": "I"}.get(edit.kind, "")).ljust(width))
    return "\n".join(
        f"{name} {' '.join(cells)}".rstrip() for name, cells in zip(("REF:", "HYP:", "    "), rows, strict=True)
    )


def format_alignments(report: EvaluationReport) -> str:
    """Every utterance of every system."""
    return "\n".join(
        f"{one.utterance.id}  {system.name}  (word errors: {result.score.words.errors} of "
        f"{result.score.words.reference_length})\n{format_alignment(result.score.alignment)}\n"
        for one in report.utterances
        for system, result in zip(report.systems, one.systems, strict=True)
    )


def worst_utterances(report: EvaluationReport, most: int) -> list[UtteranceReport]:
    """The utterances with the most word errors of the first system; those without an error are never among them."""

    def errors(one: UtteranceReport) -> int:
        return one.systems[0].score.words.errors

    return sorted(filter(errors, report.utterances), key=lambda one: -errors(one))[:most]


def format_summary(report: EvaluationReport) -> str:
    """Markdown for a pull request: headline, comparisons, slices and confusions."""
    about, policy, main = report.references, report.policy, report.systems[0]
    lines = [f"# {plain(report.title)}", ""] if report.title else []
    lines += [
        f"## Word error rate: {rate_text(main.words.counts)}",
        "",
        f"{_code(', '.join(about.names))}: {counted(about.utterances, 'utterance')}, {counted(about.words, 'word')}, "
        f"{counted(about.speakers, 'speaker') if about.speakers else 'unknown speakers'}; "
        f"scoring policy {policy.version} ({plain(policy.name)})",
        "",
        "| system | WER | 95 % interval | CER | sub | del | ins | wrong utterances |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system in report.systems:
        counts = system.words.counts
        interval = next(iter(system.words.intervals), None)
        unit = f" ({interval.units:,} {interval.unit})" if interval else ""
        cells = [
            plain(system.name),
            rate_text(counts),
            interval_text(interval) + unit,
            rate_text(system.characters.counts),
            *(f"{one:,}" for one in (counts.substitutions, counts.deletions, counts.insertions)),
            f"{system.wrong_utterances:,} of {system.utterances:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for one in _comparisons(report):
        lines += ["", verdict(*one)]
    if report.baseline and report.baseline.is_regression:
        lines += ["", f"**A regression of more than {report.baseline.max_regression:g} points.**"]
    return "\n".join(lines + _summary_of_slices(main) + _summary_of_confusions(main)) + "\n"


def verdict(one: Comparison, first: str, second: str) -> str:
    """The result of a comparison in one sentence of Markdown."""
    if math.isnan(one.difference):
        return f"{plain(first)} against {plain(second)}: no reference words to compare by"
    points, p = 100 * one.difference, one.p
    if p is None or p >= SIGNIFICANT:
        word = "is not significantly different from"
    else:
        word = "is **better** than" if points < 0 else "is **worse** than"
    interval = one.interval
    range_text = f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}, " if interval else ""
    sure = f" ({range_text}{chance(p)})" if p else ""
    return f"{plain(first)} {word} {plain(second)}: {points:+.2f} points{sure}"


def _summary_of_slices(system: SystemReport) -> list[str]:
    lines = []
    for table in system.slices:
        if len(table.values) > _SHOWN_SLICES:
            continue
        lines += ["", f"| {plain(table.field)} | utterances | WER | 95 % interval |", "|---|---|---|---|"]
        for one in table.values:
            rate = rate_text(one.words) + (" (few words)" if one.few else "")
            lines.append(f"| {plain(one.value)} | {one.utterances:,} | {rate} | {interval_text(one.interval)} |")
    return lines


def _summary_of_confusions(system: SystemReport) -> list[str]:
    found = system.word_confusions
    shown = [
        ("Substituted", [f"{one} → {other} ({count})" for one, other, count in found.substitutions]),
        ("Deleted", [f"{word} ({count})" for word, count in found.deletions]),
        ("Inserted", [f"{word} ({count})" for word, count in found.insertions]),
    ]
    lines = [f"- {name}: {', '.join(map(plain, words[:_SHOWN_CONFUSIONS]))}" for name, words in shown if words]
    return ["", *lines] if lines else []


def plain(text: str) -> str:
    """Text that Markdown leaves unchanged."""
    for character in "\\`*_[]<>|#&":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{' '.join(text.split()).replace('`', '')}`"
