"""Reads references and hypotheses: manifests, JSON lines, NIST's trn, stm and ctm, plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from asr.corpus.manifest import Utterance, read_manifests, read_rows, utterance_id
from asr.errors import ManifestError, encoding_problem
from asr.evaluation.formats import JSON_LINES, advise, recognize_format
from asr.evaluation.nist import (
    Channel,
    Lines,
    Reference,
    Regions,
    Segment,
    probability,
    read_ctm,
    read_ctm_references,
    read_stm,
    read_trn,
    read_uem,
    restrict_to_regions,
    scored_lines,
    words_in_regions,
    words_of_segments,
)
from asr.evaluation.subtitle_cues import read_cues
from asr.files import is_url
from asr.text.transcript import Word
from asr.text.words import has_cut_words, join_words
from asr.writers.ctm_stm import recording_field

SUBTITLES = (".srt", ".vtt")
HYPOTHESIS_SUFFIXES = (".jsonl", ".json", ".ctm", *SUBTITLES, ".trn", ".txt")
_WANTED = "JSON lines, trn, stm, ctm or one text per line"
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
    """The output of a system for an utterance."""

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
    """wall seconds per second of audio"""
    peak_memory_mb: float | None
    """of the first system that ran; None for the others"""
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
    """for JSON: the source of the texts"""
    unreadable: int = 0
    """recordings that could not be read; their texts are empty"""
    speed: Speed | None = None
    """None if the texts come from a file"""


def is_hypotheses(name: str) -> bool:
    """Whether a name is that of a file of hypotheses, and not of a bundle."""
    path = Path(name)
    if path.is_fifo():
        return True
    return path.suffix.lower() in HYPOTHESIS_SUFFIXES or (path.is_dir() and bool(_subtitle_files(path)))


def _subtitle_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUBTITLES)


def split_regions(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files of references, and the UEM files among them, which select what is scored."""
    regions = [path for path in paths if Path(path).suffix.lower() == ".uem"]
    return [path for path in paths if path not in regions], regions


def read_references(paths: Sequence[str]) -> list[Utterance]:
    """The utterances of manifests, of NIST's trn, stm and ctm files, and of text files.

    Parameters
    ----------
    paths : sequence of str
        Read by their suffixes; any but `.trn`, `.stm`, `.ctm`, `.uem` and `.txt` is a manifest. UEM files restrict
        what is scored of the STM and CTM files.

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
    paths, maps = split_regions(paths)
    regions = _read_regions(maps, paths) if maps else None
    for path in paths:
        suffix = Path(path).suffix.lower()
        if suffix not in (".trn", ".stm", ".ctm", ".txt"):
            _check_json_lines(path, as_references=True)
            reading = read_manifests([path], audio_required=False, remote=True)
            utterances += reading.utterances
            problems += reading.problems if reading.utterances else _summarised_json(path, reading.problems)
            continue
        lines = _text_lines(path, as_references=True)
        found: list[str] = []
        match suffix:
            case ".stm":
                segments = read_stm(lines, found)
                utterances += segments if regions is None else restrict_to_regions(segments, regions, found)
            case ".ctm":
                utterances += read_ctm_references(lines, found, regions)
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
        problems += _summarised(path, suffix, lines, found, as_references=True)
    problems += _repeated_ids(utterances)
    if problems:
        raise ManifestError(problems)
    if not utterances:
        where = ""
        if maps:
            where = f" in the regions of {', '.join(maps)}: are the names of recordings and channels the same?"
        raise ManifestError([f"{', '.join(paths)}: no utterances{where}"])
    return utterances


def _read_regions(maps: Sequence[str], paths: Sequence[str]) -> Regions:
    """The regions of UEM files.

    Raises
    ------
    ManifestError
        If a file is not a UEM file, or the references have no times.
    """
    problems = [
        f"{path}: its texts have no times, so a UEM file cannot restrict them: STM or CTM references are wanted"
        for path in paths
        if Path(path).suffix.lower() not in (".stm", ".ctm")
    ]
    regions: dict[Channel, list[tuple[float, float]]] = {}
    for path in maps:
        lines = _text_lines(path, as_references=True)
        unread: list[str] = []
        for key, some in read_uem(lines, unread).items():
            regions.setdefault(key, []).extend(some)
        problems += _summarised(path, ".uem", lines, unread, as_references=True)
    if not paths:
        problems.append(f"{maps[0]}: selects what is scored: name the references (STM or CTM) too")
    if problems:
        raise ManifestError(problems)
    return regions


def read_hypotheses(path: str, references: Sequence[Utterance]) -> tuple[list[Output], list[str]]:
    """The texts of a file, in the order of the references.

    Parameters
    ----------
    path : str
        JSON lines, or by its suffix `.ctm`, `.trn` or `.txt`.
    references : sequence of Utterance
        Their ids must be the same set. Words of a CTM file belong to the segments of an STM file by their times; else
        to the reference that has the name of the recording, or of the recording and the channel (`call-A`), with `_`
        for white space. Of a recording with several channels, the reference's field `channel` may choose one.

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
    is_folder = Path(path).is_dir()
    has_times = is_folder or suffix in (".ctm", *SUBTITLES)
    if is_folder or suffix in SUBTITLES:
        timed = _timed_subtitles(path, references, problems, notes)
        if not problems:
            found = _spelled_as(references, _outputs_of_ctm(path, timed, references, problems, notes))
    elif suffix in (".ctm", ".trn", ".txt"):
        lines = _text_lines(path)
        unread: list[str] = []
        if suffix == ".ctm":
            timed = _with_ids(path, read_ctm(lines, unread), references, problems)
            if not unread and not problems:
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
    if not has_times:
        problems += [f"{wanted[name]}: {name!r} has no text in {path}" for name in missing]
    elif missing and not problems:
        notes.append(f"{path} has no word for {len(missing)} utterances ({missing[0]}, ...): they count as empty")
        found |= {name: Output("") for name in missing}
    problems += [f"{path}: {name!r} is in none of the references" for name in found if name not in wanted]
    if problems:
        raise ManifestError(problems)
    return [found[one.id] for one in references], notes


def _timed_subtitles(
    path: str, references: Sequence[Utterance], problems: list[str], notes: list[str]
) -> dict[Channel, list[Word]]:
    """The words of a file of subtitles, or of those in a folder; a file is named after its recording."""
    files = _subtitle_files(Path(path)) if Path(path).is_dir() else [Path(path)]
    if not files:
        problems.append(f"{path}: the folder holds no subtitles (.srt, .vtt)")
    names: dict[str, list[Channel]] = {}
    for one in references:
        key = one.channel if isinstance(one, Reference) and one.channel else (one.id, "1")
        for name in dict.fromkeys((key[0], PurePath(key[0]).name, one.id)):
            if key not in names.setdefault(name, []):
                names[name].append(key)
    recordings = {key[0]: None for keys in names.values() for key in keys}
    words: dict[Channel, list[Word]] = {}
    for file in files:
        lines = _text_lines(str(file))
        keys = names.get(file.stem, [])
        if not keys and len(files) == len(recordings) == 1:
            (only,) = recordings
            keys = names[only]
            notes.append(f"{file}: taken as subtitles of {only!r}, the only recording of the references")
        if len(keys) != 1:
            reason = (
                f"the references have {len(keys)} of them: subtitles have no channels"
                if keys
                else "subtitles are named after their recording: " + ", ".join([*recordings][:3])
            )
            problems.append(f"{file}: {file.stem!r} is no single recording of the references; {reason}")
            continue
        unread: list[str] = []
        words.setdefault(keys[0], []).extend(read_cues(lines, unread))
        problems += _summarised(str(file), file.suffix.lower(), lines, unread)
    return {key: sorted(some, key=lambda word: word.start) for key, some in words.items()}


def _with_ids(
    path: str, words: Mapping[Channel, list[Word]], references: Sequence[Utterance], problems: list[str]
) -> dict[Channel, list[Word]]:
    """The words of a CTM file, with recordings named as the references are: a field of a CTM file has no spaces."""
    ids: dict[str, dict[str, str]] = {}
    for one in references:
        if not isinstance(one, Reference) or one.channel is None:
            ids.setdefault(recording_field(one.id), {})[one.id] = one.where
    found: dict[Channel, list[Word]] = {}
    for (recording, channel), some in words.items():
        name = recording
        for field_name, ending in ((f"{recording}-{channel}", f"-{channel}"), (recording, "")):
            if len(same := ids.get(field_name, {})) > 1:
                (first, where), (second, _) = [*same.items()][:2]
                problems.append(
                    f"{where}: {path} has words of {field_name!r}, which may be {first!r} or {second!r}: a CTM file "
                    "has _ for spaces; hypotheses as JSON lines (format=jsonl) have the ids as they are"
                )
            elif same:
                name = next(iter(same)).removesuffix(ending)
        found[name, channel] = some
    return found


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
    regions = next((one.regions for one in references if isinstance(one, Reference) and one.regions is not None), None)
    words = words if regions is None else words_in_regions(words, regions)
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
    # Other values of such a field, such as "telephone", are not channels.
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
    ".uem": ("a UEM file", "`recording channel start end`"),
    ".srt": ("SRT subtitles", "a cue with times, `00:00:01,500 --> 00:00:03,000`"),
    ".vtt": ("WebVTT subtitles", "a cue with times, `00:01.500 --> 00:03.000`"),
}


def _summarised(path: str, suffix: str, lines: Lines, problems: list[str], *, as_references: bool = False) -> list[str]:
    """The problems, or one sentence if no line at all can be read: the file has another format."""
    lines = list(lines)
    if suffix not in _NOTATIONS or not problems:
        return problems
    count = sum(1 for _ in scored_lines(lines))
    kind = recognize_format("\n".join(line for _, line in lines))
    unread = sum(one.endswith("is wanted") or ": a cue is wanted" in one for one in problems)
    if kind is not None and kind.suffix != suffix and unread:
        return [advise(path, kind, as_references=as_references, wanted=_WANTED)]
    has_cues = suffix in SUBTITLES and any("-->" in line for _, line in lines)
    if has_cues or (suffix not in SUBTITLES and unread < max(count, 2)):
        return problems
    name, notation = _NOTATIONS[suffix]
    return [f"{path}: not {name}: none of its {count} lines is {notation}"]


def _summarised_json(path: str, problems: list[str]) -> list[str]:
    """The problems of a file without a usable line, or one sentence if no line is JSON."""
    if len(problems) < 2 or not all(": not JSON (" in one for one in problems):
        return problems
    count, example = len(problems), '{"id": "a", "text": "hello"}'
    reason = f"not JSON lines (such as {example}): none of its {count} lines is a JSON object"
    return [f"{path}: {reason}; {_WANTED} is wanted"]


def _text_lines(path: str, *, as_references: bool = False) -> list[tuple[str, str]]:
    """The lines of a text file, each with its `file:line`."""
    if is_url(path):
        raise ManifestError([f"{path}: only manifests are read by URL: copy this file, and name the copy"])
    try:
        content = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ManifestError([f"{path}: cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError as error:
        raise ManifestError([f"{path}: {encoding_problem(error)}"]) from None
    _check_format(path, content, as_references=as_references)
    # Not splitlines(): a text may contain U+2028 and similar characters.
    lines = content.removesuffix("\n").split("\n") if content else []
    return [(f"{path}:{number}", line.removesuffix("\r")) for number, line in enumerate(lines, start=1)]


def _check_format(path: str, content: str, *, as_references: bool) -> None:
    """Refuse a file of another format as a whole, by its beginning."""
    suffix = Path(path).suffix.lower()
    kind = recognize_format(_whole_lines(content[: _LOOKED_AT + 1]))
    if kind is None or kind.suffix == suffix or (suffix in SUBTITLES and kind.suffix in SUBTITLES):
        return
    # The reader of a NIST format or of subtitles reports a wrong format itself.
    is_of_lines = suffix in _NOTATIONS and kind.suffix is not None and kind.suffix not in SUBTITLES
    is_text = suffix == ".txt" and kind.suffix != ".jsonl" and len(content.strip().splitlines()) < 2
    if not is_of_lines and not is_text:
        raise ManifestError([advise(path, kind, as_references=as_references, wanted=_WANTED)])


def _whole_lines(beginning: str) -> str:
    """Without the last line if it is cut off."""
    return beginning[: beginning.rfind("\n") + 1] or beginning if len(beginning) > _LOOKED_AT else beginning


def _check_json_lines(path: str, *, as_references: bool = False) -> None:
    """Refuse a file of another format that is to be read as JSON lines; its reader reports all other problems."""
    if Path(path).is_fifo():  # what is read here would be lost
        return
    try:
        with open(path, "rb") as file:
            beginning = file.read(_LOOKED_AT + 1)
    except OSError:
        return
    kind = recognize_format(_whole_lines(beginning.decode("utf-8", "replace")))
    if kind is not None and kind is not JSON_LINES:
        raise ManifestError([advise(path, kind, as_references=as_references, wanted=_WANTED)])


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
            problems.append(f"{one.where}: the id {one.id!r} occurs in {first[one.id]} already")
        first.setdefault(one.id, one.where)
    return problems
