"""NIST's formats: `trn` (text and id), `stm` (segments of recordings) and `ctm` (words with times)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asr.corpus.manifest import Utterance
from asr.evaluation.alternatives import NOTHING, Alternatives, Choice, Items, OptionalWord
from asr.text.transcript import Word

Channel = tuple[str, str]
"""recording and channel"""
Regions = Mapping[Channel, Sequence[tuple[float, float]]]
"""starts and ends of the scored regions"""
Lines = Iterable[tuple[str, str]]
"""`file:line` and the line's text"""

_TRN = re.compile(r"^(?P<text>.*)\((?P<id>[^()]+)\)\s*$")
_CTM_FIELDS = "`recording channel start seconds word [confidence]`"
_STM_FIELDS = "`recording channel speaker start end [<labels>] text`"
_UEM_FIELDS = "`recording channel start end`"
_IGNORED = frozenset({"ignore_time_segment_in_scoring", "ignoretimesegmentinscoring"})
_ALTERNATION = frozenset({"<alt_begin>", "<alt>", "<alt_end>"})


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a recording's channel."""

    start: float
    end: float
    id: str | None
    """of the utterance; None if its words are not scored"""


@dataclass(frozen=True, slots=True)
class Reference(Utterance):
    """An utterance of a NIST file: its text may have alternatives, and a CTM's words are assigned to it by time."""

    alternatives: Alternatives = field(kw_only=True)
    channel: Channel | None = field(default=None, kw_only=True)
    segments: Mapping[Channel, Sequence[Segment]] = field(default_factory=dict, kw_only=True)
    """all segments of its file; empty if the format has none"""
    regions: Regions | None = field(default=None, kw_only=True)
    """the scored regions, if there is a UEM file"""


def scored_lines(lines: Lines) -> Iterator[tuple[str, str]]:
    """Without empty lines and comments, which begin with `;;`."""
    return ((where, line) for where, line in lines if line.strip() and not line.lstrip().startswith(";;"))


def read_trn(lines: Lines, problems: list[str]) -> Iterator[tuple[str, str, Alternatives]]:
    """`file:line`, id and text of each line of a trn file; every other line is added to the problems."""
    for where, line in scored_lines(lines):
        match = _TRN.match(line)
        if match is None:
            problems.append(f"{where}: `text (id)` is wanted")
            continue
        text = _parse(match["text"], where, problems)
        if text is not None:
            yield where, match["id"].strip(), text


def _parse(text: str, where: str, problems: list[str]) -> Alternatives | None:
    try:
        return Alternatives.parse(text)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None


def read_stm(lines: Lines, problems: list[str]) -> list[Reference]:
    """The segments of an STM file as utterances.

    Parameters
    ----------
    lines : iterable of (str, str)
    problems : list of str
        Gets a line for every line that cannot be read.

    Returns
    -------
    list of Reference
        Named as sclite names them: the speaker, and the number of the segment among the speaker's own, from 000.
        Labels become fields to slice by. Segments that are marked to be ignored are not utterances; words in their
        time are not scored.
    """
    found: list[Reference] = []
    segments: dict[Channel, list[Segment]] = {}
    spoken: Counter[str] = Counter()
    for where, line in scored_lines(lines):
        head = line.split(maxsplit=5)
        try:
            recording, channel, speaker = head[:3]
            start, end = (float(value) for value in head[3:5])
        except ValueError:
            problems.append(f"{where}: {_STM_FIELDS} is wanted")
            continue
        if not 0 <= start <= end < float("inf"):
            problems.append(f"{where}: a segment from {head[3]} to {head[4]} s cannot be")
            continue
        text = head[5] if len(head) > 5 else ""
        labels: list[str] = []
        if match := re.match(r"<([^\s>]*)>(?:\s+|$)", text):
            labels, text = match[1].split(","), text[match.end() :]
        timeline = segments.setdefault((recording, channel), [])
        if text.strip().lower() in _IGNORED:
            timeline.append(Segment(start, end, None))
            continue
        alternatives = _parse(text, where, problems)
        if alternatives is None:
            continue
        name = f"{speaker}-{spoken[speaker]:03d}"
        spoken[speaker] += 1
        timeline.append(Segment(start, end, name))
        fields = {f"label_{place}": label for place, label in enumerate(labels, start=1) if label}
        found.append(
            Reference(
                name, Path(), str(alternatives), round(end - start, 6), speaker, where,
                {"recording": recording, "channel": channel, **fields},
                alternatives=alternatives, channel=(recording, channel), segments=segments,
            )
        )  # fmt: skip
    for timeline in segments.values():
        timeline.sort(key=lambda one: one.start)
    return found


def read_uem(lines: Lines, problems: list[str]) -> dict[Channel, list[tuple[float, float]]]:
    """The regions of a UEM file (unpartitioned evaluation map); every other line is added to the problems."""
    regions: dict[Channel, list[tuple[float, float]]] = {}
    for where, line in scored_lines(lines):
        try:
            recording, channel, *times = line.split()
            start, end = map(float, times)
        except ValueError:
            problems.append(f"{where}: {_UEM_FIELDS} is wanted")
            continue
        if not 0 <= start <= end < float("inf"):
            problems.append(f"{where}: a region from {times[0]} to {times[1]} s cannot be")
            continue
        regions.setdefault((recording, channel), []).append((start, end))
    return regions


def words_in_regions(words: Mapping[Channel, Sequence[Word]], regions: Regions) -> dict[Channel, list[Word]]:
    """The words whose middle is in a region of their channel, as NIST's asclite selects them."""
    kept = {
        key: [
            word
            for word in some
            if any(start <= (word.start + word.end) / 2 <= end for start, end in regions.get(key, ()))
        ]
        for key, some in words.items()
    }
    return {key: some for key, some in kept.items() if some}


def restrict_to_regions(references: Sequence[Reference], regions: Regions, problems: list[str]) -> list[Reference]:
    """The segments of STM files that are in the regions; as asclite, a segment partly inside is refused.

    Words of the other segments are not scored. References of CTM files are restricted word by word when they are read.
    """
    spans = {
        one.id: (one.start, one.end)
        for timelines in {id(each.segments): each.segments for each in references}.values()
        for timeline in timelines.values()
        for one in timeline
    }
    kept: list[Reference] = []
    for one in references:
        if one.channel is not None and one.id in spans:
            begin, finish = spans[one.id]
            scored = regions.get(one.channel, ())
            if all(finish <= start or begin >= end for start, end in scored):
                continue
            if not any(start <= begin and finish <= end for start, end in scored):
                problems.append(
                    f"{one.where}: the segment from {begin:g} to {finish:g} s is partly outside the regions of the UEM "
                    "file: a segment is scored as a whole, or not at all"
                )
        kept.append(one)
    names = {one.id for one in kept}
    timelines = {id(one.segments): one.segments for one in kept}
    restricted = {
        number: {
            key: [one if one.id in names else replace(one, id=None) for one in some] for key, some in found.items()
        }
        for number, found in timelines.items()
    }
    return [replace(one, regions=regions, segments=restricted[id(one.segments)]) for one in kept]


def read_ctm(lines: Lines, problems: list[str]) -> dict[Channel, list[Word]]:
    """The words of each channel in a CTM file of hypotheses, in order of time; every other line is a problem."""
    words: dict[Channel, list[Word]] = {}
    for where, line in scored_lines(lines):
        fields = line.split()
        if len(fields) > 4 and fields[4].lower() in _ALTERNATION:
            problems.append(f"{where}: alternatives are for references: a hypothesis is one text")
            continue
        read = _ctm_word(fields)
        if read is None:
            problems.append(f"{where}: {_CTM_FIELDS} is wanted")
        else:
            words.setdefault(read[0], []).append(read[1])
    return {key: sorted(some, key=lambda word: word.start) for key, some in words.items()}


def _ctm_word(fields: Sequence[str]) -> tuple[Channel, Word] | None:
    if len(fields) not in (5, 6):
        return None
    try:
        start, seconds = float(fields[2]), float(fields[3])
    except ValueError:
        return None
    if not (0 <= start < float("inf") and 0 <= seconds < float("inf")):
        return None
    confidence = probability(fields[5] if len(fields) > 5 else None)
    return (fields[0], fields[1]), Word(fields[4], start, start + seconds, confidence)


def probability(value: object) -> float | None:
    """A confidence between 0 and 1; None if there is none, or the system has another scale."""
    try:
        confidence = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return confidence if 0 <= confidence <= 1 else None


def read_ctm_references(lines: Lines, problems: list[str], regions: Regions | None = None) -> list[Reference]:
    """The recordings of a CTM file of references as utterances, one for each channel.

    Parameters
    ----------
    lines : iterable of (str, str)
        In order of time. `<ALT_BEGIN>`, `<ALT>` and `<ALT_END>` separate alternatives; an empty one means no word.
    problems : list of str
        Gets a line for every line that cannot be read.
    regions : mapping, optional
        Words outside of them are left out.

    Returns
    -------
    list of Reference
        Named by the recording, and by the channel too (`call-A`) if a recording has several.
    """
    texts: dict[Channel, list[str | OptionalWord | Choice]] = {}
    places: dict[Channel, str] = {}
    open_choices: dict[Channel, tuple[str, list[list[str | OptionalWord | Choice]]]] = {}
    for where, line in scored_lines(lines):
        fields = line.split()
        mark = fields[4].lower() if len(fields) > 4 else ""
        key = (fields[0], fields[1]) if len(fields) > 1 else ("", "")
        choice = open_choices.get(key)
        if mark in _ALTERNATION:
            if (mark == "<alt_begin>") == (choice is not None):
                problems.append(f"{where}: {fields[4]} out of order: <ALT_BEGIN> ... <ALT> ... <ALT_END> is wanted")
            elif choice is None:
                open_choices[key] = (where, [[]])
            elif mark == "<alt>":
                choice[1].append([])
            else:
                sequences = open_choices.pop(key)[1]
                texts.setdefault(key, []).append(Choice(tuple(tuple(one) or (NOTHING,) for one in sequences)))
            places.setdefault(key, where)
            continue
        read = _ctm_word(fields)
        if read is None:
            problems.append(f"{where}: {_CTM_FIELDS} is wanted")
            continue
        if regions is not None and not words_in_regions({read[0]: [read[1]]}, regions):
            continue
        places.setdefault(key, where)
        word = _parse(read[1].text, where, problems)
        if word is not None:
            (texts.setdefault(key, []) if choice is None else choice[1][-1]).extend(word.items)
    problems += [f"{where}: <ALT_BEGIN> without <ALT_END>" for where, _ in open_choices.values()]
    channels = Counter(recording for recording, _ in places)
    found = []
    for (recording, channel), where in places.items():
        items: Items = tuple(texts.get((recording, channel), ()))
        alternatives = Alternatives(items)
        name = recording if channels[recording] == 1 else f"{recording}-{channel}"
        found.append(
            Reference(
                name, Path(), str(alternatives), None, None, where, {"recording": recording, "channel": channel},
                alternatives=alternatives, channel=(recording, channel), regions=regions,
            )
        )  # fmt: skip
    return found


def words_of_segments(segments: Sequence[Segment], words: Sequence[Word]) -> dict[str, list[Word]]:
    """Assign words to segments as sclite does.

    Parameters
    ----------
    segments : sequence of Segment
        Of one channel, in order of time.
    words : sequence of Word
        Of the same channel, in order of time.

    Returns
    -------
    dict of str to list of Word
        Words of each utterance. A word belongs to the first segment that ends after the word's middle and is not
        before the segment of the preceding word; words after the last segment belong to it. Words of ignored segments
        are left out.
    """
    found: dict[str, list[Word]] = {one.id: [] for one in segments if one.id is not None}
    place = 0
    for word in words:
        middle = (word.start + word.end) / 2
        while place < len(segments) - 1 and middle >= segments[place].end:
            place += 1
        name = segments[place].id
        if name is not None:
            found[name].append(word)
    return found
