"""Reads references and hypotheses: manifests, JSON lines, NIST's trn, stm and ctm, plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr.corpus.manifest import Utterance, read_manifests, read_rows, utterance_id
from asr.errors import ManifestError
from asr.evaluation.nist import (
    Channel,
    Lines,
    Reference,
    Segment,
    probability,
    read_ctm,
    read_ctm_references,
    read_stm,
    read_trn,
    scored_lines,
    words_of_segments,
)
from asr.text.transcript import Word
from asr.text.words import has_cut_words, join_words

HYPOTHESIS_SUFFIXES = (".jsonl", ".json", ".ctm", ".trn", ".txt")
_WANTED = "JSON lines, trn, stm, ctm or a text a line"
# Bytes or characters that identify a format.
_LOOKED_AT = 4096


@dataclass(frozen=True, slots=True)
class Spike:
    """A symbol that is likely at a step of a model's output."""

    seconds: float
    """the middle of the step"""
    symbol: str
    """a character, or the name of a phone"""
    probability: float


@dataclass(frozen=True, slots=True)
class Output:
    """What a system wrote for an utterance."""

    text: str
    words: tuple[Word, ...] = ()
    """with times, if the system gave any"""
    spikes: tuple[Spike, ...] = ()
    """of the output layer that was decoded"""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a system was."""

    audio_seconds: float
    wall_seconds: float
    """of the pass over all recordings, with the systems that shared it"""
    core_seconds: float
    """processor time, without that of the other systems' decoders"""
    real_time_factor: float | None
    """wall seconds a second of audio"""
    peak_memory_mb: float | None
    """of the first system that ran; None of the others"""
    workers: int
    """processor cores used"""
    machine: Mapping[str, Any]
    """see `asr.machine.describe_machine`"""


@dataclass(frozen=True, slots=True)
class System:
    """The texts of one system for all utterances."""

    name: str
    outputs: Sequence[Output]
    """in the order of the references"""
    about: Mapping[str, Any] = field(default_factory=dict)
    """for JSON: where the texts come from"""
    unreadable: int = 0
    """recordings that could not be read; their texts are empty"""
    speed: Speed | None = None
    """None if the texts come from a file"""


def is_hypotheses(name: str) -> bool:
    """Whether a name is that of a file of hypotheses, and not of a bundle."""
    return Path(name).suffix.lower() in HYPOTHESIS_SUFFIXES


def split_regions(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files of references, and the UEM files among them, which say what is scored."""
    regions = [path for path in paths if Path(path).suffix.lower() == ".uem"]
    return [path for path in paths if path not in regions], regions


def read_references(paths: Sequence[str]) -> list[Utterance]:
    """The utterances of manifests, of NIST's trn, stm and ctm files, and of text files.

    Parameters
    ----------
    paths : sequence of str
        Read by their suffixes; any but `.trn`, `.stm`, `.ctm` and `.txt` is a manifest.

    Returns
    -------
    list of Utterance
        Those of NIST's files are of type `Reference` and may have alternatives. A line of a text file is named by its
        number.

    Raises
    ------
    ManifestError
        Naming every line that cannot be used, and every id that occurs twice.
    """
    utterances: list[Utterance] = []
    problems: list[str] = []
    for path in paths:
        suffix = Path(path).suffix.lower()
        if suffix not in (".trn", ".stm", ".ctm", ".txt"):
            _check_json_lines(path)
            reading = read_manifests([path])
            utterances += reading.utterances
            problems += reading.problems if reading.utterances else _summarised_json(path, reading.problems)
            continue
        lines = _text_lines(path)
        found: list[str] = []
        match suffix:
            case ".stm":
                utterances += read_stm(lines, found)
            case ".ctm":
                utterances += read_ctm_references(lines, found)
            case ".trn":
                utterances += [
                    Reference(name, Path(), str(text), None, None, where, alternatives=text)
                    for where, name, text in read_trn(lines, found)
                ]
            case _:
                utterances += [
                    Utterance(str(number), Path(), line, None, None, where)
                    for number, (where, line) in enumerate(lines, start=1)
                ]
        problems += _summarised(path, suffix, lines, found)
    problems += _repeated_ids(utterances)
    if problems:
        raise ManifestError(problems)
    if not utterances:
        raise ManifestError([f"{', '.join(paths)}: no utterances"])
    return utterances


def read_hypotheses(path: str, references: Sequence[Utterance]) -> tuple[list[Output], list[str]]:
    """The texts of a file, in the order of the references.

    Parameters
    ----------
    path : str
        JSON lines, or by its suffix `.ctm`, `.trn` or `.txt`.
    references : sequence of Utterance
        Their ids must be the same set. Words of a CTM file belong to the segments of an STM file by their times; else
        to the reference that has the name of the recording, or of the recording and the channel (`call-A`). Of a
        recording with several channels, the reference's field `channel` may choose one.

    Returns
    -------
    outputs : list of Output
    notes : list of str
        Warnings for the user.

    Raises
    ------
    ManifestError
        Naming every line that cannot be used, every id that is missing on either side, and recordings with an
        unclear channel. Only a CTM file may lack an id: it has no other way to say that nothing was recognised.
    """
    suffix = Path(path).suffix.lower()
    problems: list[str] = []
    notes: list[str] = []
    found: dict[str, Output] = {}
    if suffix in (".ctm", ".trn", ".txt"):
        lines = _text_lines(path)
        unread: list[str] = []
        if suffix == ".ctm":
            timed = read_ctm(lines, unread)
            if not unread:
                found = _spelled_as(references, _outputs_of_ctm(path, timed, references, problems, notes))
        else:
            found = _plain_texts(suffix, lines, unread)
        problems += _summarised(path, suffix, lines, unread)
    else:
        if suffix == ".stm":
            raise ManifestError([f"{path}: STM is a format of references; hypotheses are JSON lines, ctm, trn or txt"])
        _check_json_lines(path)
        found = _read_json_lines(path, problems)
    if problems and not found:
        raise ManifestError(problems)
    wanted = {one.id: one.where for one in references}
    missing = [name for name in wanted if name not in found]
    if suffix != ".ctm":
        problems += [f"{wanted[name]}: {name!r} has no text in {path}" for name in missing]
    elif missing and not problems:
        notes.append(f"{path} has no word for {len(missing)} utterances ({missing[0]}, ...): they count as empty")
        found |= {name: Output("") for name in missing}
    problems += [f"{path}: {name!r} is in none of the references" for name in found if name not in wanted]
    if problems:
        raise ManifestError(problems)
    return [found[one.id] for one in references], notes


def _plain_texts(suffix: str, lines: Lines, problems: list[str]) -> dict[str, Output]:
    """The texts of a trn or text file by id."""
    if suffix == ".txt":
        return {str(number): Output(line) for number, (_, line) in enumerate(lines, start=1)}
    found: dict[str, Output] = {}
    for where, name, text in read_trn(lines, problems):
        if name in found:
            problems.append(f"{where}: a second text for {name!r}")
        if text.has_choices:
            problems.append(f"{where}: alternatives are for references: a hypothesis is one text")
        found[name] = Output(text.first)
    return found


def _outputs_of_ctm(
    path: str,
    words: Mapping[Channel, Sequence[Word]],
    references: Sequence[Utterance],
    problems: list[str],
    notes: list[str],
) -> dict[str, Output]:
    """The words of each reference; a recording without a reference gets its own name."""
    left = dict(words)
    channels: dict[str, list[str]] = {}
    for recording, channel in sorted(words):
        channels.setdefault(recording, []).append(channel)
    found = _outputs_of_segments(left, references)
    by_name = {"-".join(key): key for key in words}
    chosen: set[str] = set()
    for one in references:
        if isinstance(one, Reference) and one.channel is not None:
            if one.channel in words and not one.segments:
                found[one.id] = _output(words[one.channel])
                left.pop(one.channel, None)
        elif one.id in channels:
            chosen.add(one.id)
            there = channels[one.id]
            selected = _choose_channel(one, there)
            if selected is None:
                problems.append(
                    f"{one.where}: {path} has the channels {', '.join(there)} of {one.id!r}, whose words must not be "
                    f'mixed: choose one by a field, "channel": "{there[0]}", or by the id, {one.id}-{there[0]}'
                )
                continue
            found[one.id] = _output(words[one.id, selected])
            if len(there) > 1:
                notes.append(f"{path}: of the channels {', '.join(there)} of {one.id!r}, {selected} is scored")
        elif one.id in by_name:
            found[one.id] = _output(words[by_name[one.id]])
            left.pop(by_name[one.id], None)
    for recording, channel in left:
        if recording not in chosen:
            found[recording if len(channels[recording]) == 1 else f"{recording}-{channel}"] = Output("")
    return found


def _outputs_of_segments(words: dict[Channel, Sequence[Word]], references: Sequence[Utterance]) -> dict[str, Output]:
    """The words of the segments of STM files, which are removed from `words`."""
    files = {id(one.segments): one.segments for one in references if isinstance(one, Reference)}
    timelines: dict[Channel, list[Segment]] = {}
    for segments in files.values():
        for key, some in segments.items():
            timelines.setdefault(key, []).extend(some)
    found: dict[str, Output] = {}
    for key, timeline in timelines.items():
        timeline.sort(key=lambda one: one.start)
        assigned = words_of_segments(timeline, words.pop(key, ()))
        found |= {name: _output(some) for name, some in assigned.items() if some}
    return found


def _choose_channel(reference: Utterance, channels: Sequence[str]) -> str | None:
    """The channel of a reference; None if it is unclear."""
    wanted = str(reference.other.get("channel", ""))
    if wanted in channels:
        return wanted
    # Other values of such a field, such as "telephone", are no channels.
    names_one = re.fullmatch(r"[A-Za-z]|\d{1,2}", wanted)
    return channels[0] if len(channels) == 1 and not names_one else None


def _output(words: Sequence[Word]) -> Output:
    return Output(" ".join(word.text for word in words), tuple(words))


def _spelled_as(references: Sequence[Utterance], found: Mapping[str, Output]) -> dict[str, Output]:
    """Timed words as texts; scripts without spaces get spaces only if the references have them, as CTM has none."""
    spaced = any(has_cut_words(one.text or "") for one in references)
    return {
        name: Output(join_words([word.text for word in one.words], spaced=spaced), one.words)
        for name, one in found.items()
    }


_NOTATIONS = {
    ".trn": ("a trn file", "`text (id)`"),
    ".stm": ("an STM file", "`recording channel speaker start end text`"),
    ".ctm": ("a CTM file", "`recording channel start seconds word`"),
}


def _summarised(path: str, suffix: str, lines: Lines, problems: list[str]) -> list[str]:
    """The problems, or one sentence if no line at all can be read: the file has another format."""
    count = sum(1 for _ in scored_lines(lines))
    if suffix not in _NOTATIONS or sum(one.endswith("is wanted") for one in problems) < max(count, 2):
        return problems
    name, notation = _NOTATIONS[suffix]
    return [f"{path}: not {name}: none of its {count} lines is {notation}"]


def _summarised_json(path: str, problems: list[str]) -> list[str]:
    """The problems of a file without a usable line, or one sentence if no line is JSON."""
    if len(problems) < 2 or not all(": not JSON (" in one for one in problems):
        return problems
    return [f"{path}: not JSON lines: none of its {len(problems)} lines is a JSON object; {_WANTED} is wanted"]


def _text_lines(path: str) -> list[tuple[str, str]]:
    """The lines of a text file, each with its `file:line`."""
    try:
        content = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ManifestError([f"{path}: cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError:
        raise ManifestError([f"{path}: is not UTF-8 text"]) from None
    _check_format(path, content)
    # Not splitlines(): a text may contain U+2028 and similar characters.
    lines = content.removesuffix("\n").split("\n")
    return [(f"{path}:{number}", line.removesuffix("\r")) for number, line in enumerate(lines, start=1)]


# Formats of other programs, by their first characters.
_OTHER_FORMATS = (
    (r"\d+\s*\n\d+:\d\d:\d\d[,.]\d+ --> ", "SRT subtitles"),
    (r"WEBVTT\b", "WebVTT subtitles"),
    (r'File type = "ooTextFile', "a TextGrid of Praat"),
    (r"\{\\rtf", "a text with formatting (RTF)"),
    (r"<(\?xml|!doctype|html)", "XML or HTML"),
    (r"\[\s*(\{|\])", "a JSON array, not JSON lines (one object a line)"),
)


def _check_format(path: str, content: str) -> None:
    """Refuse a file of another format as a whole."""
    beginning = content[:_LOOKED_AT].lstrip("\ufeff \t\r\n")
    for pattern, name in _OTHER_FORMATS:
        if re.match(pattern, beginning, re.IGNORECASE):
            raise ManifestError([f"{path}: {name}; {_WANTED} is wanted"])


def _check_json_lines(path: str) -> None:
    """Refuse a file of another format that is to be read as JSON lines; its reader reports all other problems."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(_LOOKED_AT)
    except OSError:
        return
    _check_format(path, beginning.decode("utf-8", "replace"))


def _read_json_lines(path: str, problems: list[str]) -> dict[str, Output]:
    rows, broken = read_rows(path)
    problems += broken if rows else _summarised_json(path, broken)
    found: dict[str, Output] = {}
    for where, row in rows:
        if row.get("id") is None and not isinstance(row.get("audio_filepath"), str):
            problems.append(f"{where}: neither id nor audio_filepath: one of them must identify the utterance")
        elif not isinstance(row.get("text"), str):
            problems.append(f"{where}: text is missing")
        elif utterance_id(row) in found:
            problems.append(f"{where}: a second text for {utterance_id(row)!r}")
        else:
            found[utterance_id(row)] = Output(row["text"], _timed_words(row.get("words")))
    return found


def _timed_words(rows: Any) -> tuple[Word, ...]:
    """The words of a row that `asr transcribe format=jsonl` wrote; none if another system wrote other objects."""
    try:
        return tuple(
            Word(str(row["text"]), float(row["start"]), float(row["end"]), probability(row.get("confidence")))
            for row in rows
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return ()


def _repeated_ids(utterances: Sequence[Utterance]) -> list[str]:
    """Ids that occur twice: their hypotheses would be ambiguous."""
    first: dict[str, str] = {}
    problems = []
    for one in utterances:
        if one.id in first:
            problems.append(f"{one.where}: the id {one.id!r} is that of {first[one.id]} already")
        first.setdefault(one.id, one.where)
    return problems
