"""Where references and hypotheses come from: manifests, JSON lines, NIST's CTM and trn, plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr.corpus.manifest import Utterance, read_manifests, read_rows, utterance_id
from asr.errors import ManifestError
from asr.transcription.transcriber import Word

HYPOTHESIS_SUFFIXES = (".jsonl", ".json", ".ctm", ".trn", ".txt")
_TRN = re.compile(r"^(?P<text>.*)\((?P<id>[^()]+)\)\s*$")


@dataclass(frozen=True, slots=True)
class Output:
    """What a system wrote for an utterance."""

    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class System:
    """The texts of one system for all utterances."""

    name: str
    outputs: Sequence[Output]
    """in the order of the references"""
    about: Mapping[str, Any] = field(default_factory=dict)
    """for JSON: where they come from, how fast it was"""
    unreadable: int = 0
    """recordings that it could not read; their texts are empty"""


def read_references(paths: Sequence[str]) -> list[Utterance]:
    """The utterances of manifests, of trn files (`text (id)`) and of text files (one text a line, the number its id).

    Raises
    ------
    ManifestError
        Naming every line that cannot be used, and every id that comes twice.
    """
    utterances: list[Utterance] = []
    problems: list[str] = []
    for path in paths:
        if Path(path).suffix.lower() not in (".trn", ".txt"):
            reading = read_manifests([path])
            utterances += reading.utterances
            problems += reading.problems
            continue
        for where, name, text in _plain_texts(path, problems):
            utterances.append(Utterance(name, Path(), text, None, None, where))
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
        Their ids must be the same set.

    Returns
    -------
    outputs : list of Output
    notes : list of str
        What a user should know.

    Raises
    ------
    ManifestError
        Naming every line that cannot be used, and every id that is missing on either side. A CTM file alone may lack
        an id: it has no other way to say that nothing was heard.
    """
    suffix = Path(path).suffix.lower()
    problems: list[str] = []
    notes: list[str] = []
    found: dict[str, Output] = {}
    if suffix == ".ctm":
        found = _read_ctm(path, problems)
    elif suffix in (".trn", ".txt"):
        for where, name, text in _plain_texts(path, problems):
            if name in found:
                problems.append(f"{where}: a second text for {name!r}")
            found[name] = Output(text)
    else:
        found = _read_json_lines(path, problems)
    wanted = {one.id: one.where for one in references}
    missing = [name for name in wanted if name not in found]
    if suffix == ".ctm" and not problems:
        if missing:
            notes.append(f"{path} has no word for {len(missing)} utterances ({missing[0]}, ...): they count as empty")
        found |= {name: Output("") for name in missing}
        missing = []
    problems += [f"{wanted[name]}: {name!r} has no text in {path}" for name in missing]
    problems += [f"{path}: {name!r} is in none of the references" for name in found if name not in wanted]
    if problems:
        raise ManifestError(problems)
    return [found[one.id] for one in references], notes


def _plain_texts(path: str, problems: list[str]) -> Iterable[tuple[str, str, str]]:
    """`file:line`, id and text of each line of a trn or text file."""
    is_trn = Path(path).suffix.lower() == ".trn"
    for number, line in enumerate(_text_lines(path), start=1):
        where = f"{path}:{number}"
        if not is_trn:
            yield where, str(number), line
        elif line.strip() and not line.startswith(";;"):
            match = _TRN.match(line)
            if match is None:
                problems.append(f"{where}: `text (id)` is wanted")
            else:
                yield where, match["id"].strip(), match["text"].strip()


def _text_lines(path: str) -> list[str]:
    try:
        content = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ManifestError([f"{path}: cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError:
        raise ManifestError([f"{path}: is not UTF-8 text"]) from None
    # Not splitlines(): a text may hold U+2028 and its kin.
    return content.removesuffix("\n").split("\n")


def _read_ctm(path: str, problems: list[str]) -> dict[str, Output]:
    words: dict[str, list[Word]] = {}
    for number, line in enumerate(_text_lines(path), start=1):
        if not line.strip() or line.startswith(";;"):
            continue
        fields = line.split()
        try:
            name, _, start, seconds, text = fields[:5]
            begin, confidence = float(start), _confidence(fields[5] if len(fields) > 5 else None)
            words.setdefault(name, []).append(Word(text, begin, begin + float(seconds), confidence))
        except ValueError:
            problems.append(f"{path}:{number}: `recording channel start seconds word [confidence]` is wanted")
    return {
        name: Output(" ".join(word.text for word in some), tuple(some))
        for name, unsorted in words.items()
        for some in [sorted(unsorted, key=lambda word: word.start)]
    }


def _read_json_lines(path: str, problems: list[str]) -> dict[str, Output]:
    rows, broken = read_rows(path)
    problems += broken
    found: dict[str, Output] = {}
    for where, row in rows:
        if row.get("id") is None and not isinstance(row.get("audio_filepath"), str):
            problems.append(f"{where}: neither id nor audio_filepath says whose text this is")
        elif not isinstance(row.get("text"), str):
            problems.append(f"{where}: text is missing")
        elif utterance_id(row) in found:
            problems.append(f"{where}: a second text for {utterance_id(row)!r}")
        else:
            found[utterance_id(row)] = Output(row["text"], _timed_words(row.get("words")))
    return found


def _timed_words(rows: Any) -> tuple[Word, ...]:
    """The words of a row that `asr transcribe format=jsonl` wrote; none where another system keeps something else."""
    try:
        return tuple(
            Word(str(row["text"]), float(row["start"]), float(row["end"]), _confidence(row.get("confidence")))
            for row in rows
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return ()


def _confidence(value: Any) -> float | None:
    """A probability; None where there is none, or a system counts in something else."""
    try:
        confidence = float(value)
    except (TypeError, ValueError):
        return None
    return confidence if 0 <= confidence <= 1 else None


def _repeated_ids(utterances: Sequence[Utterance]) -> list[str]:
    """Ids that two files share: no hypothesis could be told apart."""
    first: dict[str, str] = {}
    problems = []
    for one in utterances:
        if one.id in first:
            problems.append(f"{one.where}: the id {one.id!r} is that of {first[one.id]} already")
        first.setdefault(one.id, one.where)
    return problems
