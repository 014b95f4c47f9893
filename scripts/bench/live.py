"""Measures live recognition on recordings that are played on a simulated clock, beside PocketSphinx.

    python scripts/bench/live.py MANIFEST [--speakers A,B] [--minutes 2] [key=value ...]

The recordings of each speaker are joined into a stream, with their own pauses, of so many minutes. A stream is pushed
in blocks of 20 ms. An event is shown when its block has been spoken and computed: the computing time is measured, and
added to the clock, so that nothing depends on the speed at which the file is read. The words of the manifest get their
times from `asr align`. Settings of live recognition (`interval_seconds=0.32`, `endpoint.silence_seconds=1`) follow as
key=value. The figures are explained in docs/live.md. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asr import AutoConfig, Bundle, LiveConfig, Session, Transcriber, align, load_bundle, score
from asr.audio.load import load_audio
from asr.corpus.manifest import read_manifest
from asr.machine import available_cores
from asr.recognition.live_events import Final, Partial
from asr.text.transcript import Word

RATE = 16000
_BLOCK = RATE // 50
# A pause between two recordings that is shorter is none: nobody could say that the speech has ended.
_PAUSE_SECONDS = 0.8
_DELAYS = (0.0, 0.25, 0.5, 1.0, 2.0)

POCKETSPHINX = """
import json, sys, time, numpy, soundfile
from pocketsphinx import Decoder
samples, rate = soundfile.read(sys.argv[1], dtype="int16")
decoder = Decoder(samprate=rate, loglevel="FATAL")
# It is told where the recordings were joined: its own endpointer would be one more difference.
ends = [int(one) for one in sys.argv[2].split(",") if one] + [len(samples)]
states, start = [], 0
for segment, end in enumerate(ends):
    decoder.start_utt()
    for first in range(start, end, 2560):
        block = samples[first : min(first + 2560, end)]
        began = time.process_time()
        decoder.process_raw(block.tobytes())
        text = decoder.hyp().hypstr if decoder.hyp() else ""
        states.append(((first + len(block)) / rate, time.process_time() - began, segment, text, False))
    began = time.process_time()
    decoder.end_utt()
    text = decoder.hyp().hypstr if decoder.hyp() else ""
    states.append((end / rate, time.process_time() - began, segment, text, True))
    start = end
print(json.dumps(states))
"""


@dataclass(frozen=True)
class Stream:
    """Recordings of one speaker, joined."""

    name: str
    samples: np.ndarray[Any, np.dtype[np.float32]]
    words: list[Word]
    """those of the manifest, with their times"""
    ends: list[float]
    """seconds at which speech truly ends"""
    joins: list[float]
    """seconds at which the recordings were joined"""


@dataclass(frozen=True)
class Shown:
    """What is on the screen from a time on: the texts of some segments, of which the last may change."""

    time: float
    segment: int
    text: str
    is_final: bool
    began: float
    """of the segment's audio, in seconds of the stream"""
    spoken: float
    """seconds of the stream that had been pushed"""


@dataclass
class Figures:
    """What was measured, of all streams together."""

    first_shown: list[float] = field(default_factory=list)
    stays: list[float] = field(default_factory=list)
    to_final: list[float] = field(default_factory=list)
    missed_ends: int = 0
    first_partial: list[float] = field(default_factory=list)
    unstable: int = 0
    revised: int = 0
    final_words: int = 0
    cut_words: int = 0
    segments: int = 0
    right_after: dict[float, int] = field(default_factory=lambda: dict.fromkeys(_DELAYS, 0))
    words: int = 0
    seconds: float = 0.0
    core_seconds: float = 0.0
    finals: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    transcribed: list[str] = field(default_factory=list)


def streams(manifest: Path, bundle: Bundle, speakers: Sequence[str], seconds: float) -> Iterator[Stream]:
    """A stream of each speaker, the utterances in order up to so many seconds."""
    utterances = read_manifest(manifest).utterances
    for speaker in speakers or sorted({one.speaker for one in utterances if one.speaker}):
        parts: list[Any] = []
        words: list[Word] = []
        last: list[int] = []
        joins: list[float] = []
        position = 0
        for one in (one for one in utterances if one.speaker == speaker):
            if position >= seconds * RATE:
                break
            samples = load_audio(one.audio, sample_rate=RATE)
            offset = position / RATE
            words += [
                replace(word, start=word.start + offset, end=word.end + offset)
                for word in align(one.audio, one.text or "", bundle=bundle).words
            ]
            last.append(len(words) - 1)
            parts.append(samples)
            position += len(samples)
            joins.append(position / RATE)
        ends = [
            words[index].end
            for index in last
            if index + 1 == len(words) or words[index + 1].start - words[index].end >= _PAUSE_SECONDS
        ]
        yield Stream(speaker, np.concatenate(parts), words, ends, joins[:-1])


def play(stream: Stream, transcriber: Transcriber, live: LiveConfig) -> tuple[list[Shown], float]:
    """What is shown while a stream is played, and the processor seconds that this took."""
    session = Session(transcriber, sample_rate=RATE, live=live)
    shown: list[Shown] = []
    ready = total = 0.0
    for start in range(0, len(stream.samples) + _BLOCK, _BLOCK):
        block = stream.samples[start : start + _BLOCK]
        began = time.process_time()
        events = session.push(block) if len(block) else session.finish()
        spent = time.process_time() - began
        total += spent
        spoken = min(start + _BLOCK, len(stream.samples)) / RATE
        ready = max(ready, spoken) + spent
        shown += [
            Shown(ready, event.segment, event.text, isinstance(event, Final), event.start, spoken)
            for event in events
            if isinstance(event, Partial | Final)
        ]
    return shown, total


def kept_words(texts: Sequence[str], shown: Sequence[str]) -> set[int]:
    """The places of the words that another text also has, by an alignment with the fewest errors."""
    cost = np.zeros((len(texts) + 1, len(shown) + 1), np.int64)
    cost[:, 0], cost[0] = np.arange(len(texts) + 1), np.arange(len(shown) + 1)
    for row, text in enumerate(texts, start=1):
        for column, other in enumerate(shown, start=1):
            cost[row, column] = min(
                cost[row - 1, column - 1] + (text != other), cost[row - 1, column] + 1, cost[row, column - 1] + 1
            )
    found, row, column = set(), len(texts), len(shown)
    while row and column:
        same = texts[row - 1] == shown[column - 1]
        if cost[row, column] == cost[row - 1, column - 1] + (not same):
            row, column = row - 1, column - 1
            if same:
                found.add(row)
        elif cost[row, column] == cost[row - 1, column] + 1:
            row -= 1
        else:
            column -= 1
    return found


def measure(stream: Stream, shown: Sequence[Shown], figures: Figures) -> None:
    """Add the figures of a stream."""
    words = stream.words
    first: dict[int, float] = {}
    since: dict[int, float] = {}  # the words that are shown right now, and since when
    history: list[tuple[float, int, bool]] = []
    before: tuple[int, list[str]] = (-1, [])
    in_segment: set[int] = set()
    boundary = 0.0
    for one in shown:
        text = one.text.split()
        if one.segment != before[0]:
            before, in_segment, boundary = (one.segment, []), set(), one.began - 0.3
            figures.first_partial.append(one.time - one.began)
        changed = len(before[1]) - len(kept_words(before[1], text))
        if one.is_final:
            figures.revised += changed
            figures.final_words += len(text)
            figures.segments += 1
        else:
            figures.unstable += changed
        before = (one.segment, text)
        nearby = [i for i, word in enumerate(words) if boundary <= word.start and word.start <= one.spoken]
        right = {nearby[i] for i in kept_words([words[i].text for i in nearby], text)}
        for index in right - in_segment:
            first.setdefault(index, one.time)
            since[index] = one.time
            history.append((one.time, index, True))
        for index in in_segment - right:
            since.pop(index, None)
            history.append((one.time, index, False))
        in_segment = right
    for index, at in first.items():
        figures.first_shown.append(at - words[index].end)
    for index, at in since.items():
        figures.stays.append(at - words[index].end)
    for delay in _DELAYS:
        state = set()
        for index, word in enumerate(words):
            changes = [is_right for at, other, is_right in history if other == index and at <= word.end + delay]
            if changes and changes[-1]:
                state.add(index)
        figures.right_after[delay] += len(state)
    figures.words += len(words)
    finals = [one for one in shown if one.is_final]
    for end in stream.ends:
        # The first final that has all audio up to the end of speech.
        shown_at = next((one.time for one in finals if one.spoken >= end and _end(one, finals) >= end), None)
        following = [word.start for word in words if word.start > end]
        if shown_at is None or (following and shown_at > following[0] + 1.0):
            figures.missed_ends += 1
        if shown_at is not None:
            figures.to_final.append(shown_at - end)
    cuts = [one.began for one in finals]
    figures.cut_words += sum(any(word.start + 0.04 < cut < word.end - 0.04 for word in words) for cut in cuts)


def _end(one: Shown, finals: Sequence[Shown]) -> float:
    """A final covers the stream up to where the next one begins."""
    following = [other.began for other in finals if other.segment == one.segment + 1]
    return following[0] if following else float("inf")


def run_pocketsphinx(stream: Stream, interpreter: str) -> tuple[list[Shown], float]:
    """What PocketSphinx shows."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, stream.samples, RATE, subtype="PCM_16")
        ends = ",".join(str(round(join * RATE)) for join in stream.joins)
        result = subprocess.run(
            [interpreter, "-c", POCKETSPHINX, file.name, ends], capture_output=True, text=True, check=True
        )
    shown: list[Shown] = []
    ready = total = 0.0
    began = 0.0
    last = (-1, "")
    states: list[tuple[float, float, int, str, bool]] = json.loads(result.stdout)
    for spoken, spent, segment, text, is_final in states:
        ready, total = max(ready, spoken) + spent, total + spent
        if (segment, text) != last or is_final:
            shown.append(Shown(ready, segment, text, is_final, began, spoken))
        last = (segment, text)
        if is_final:
            began = spoken
    return shown, total


def summary(figures: Figures) -> dict[str, float]:
    """The figures, by name."""

    def at(values: Sequence[float], share: float) -> float:
        return round(float(np.percentile(values, share)), 3) if values else float("nan")

    reference = figures.references
    result = {
        "minutes": round(figures.seconds / 60, 2),
        "words": figures.words,
        "wer_of_finals": round(word_error_rate(reference, figures.finals), 4),
        "first_shown_median": at(figures.first_shown, 50),
        "first_shown_95": at(figures.first_shown, 95),
        "stays_median": at(figures.stays, 50),
        "stays_95": at(figures.stays, 95),
        "final_after_speech_median": at(figures.to_final, 50),
        "final_after_speech_95": at(figures.to_final, 95),
        "ends_of_speech": len(figures.to_final),
        "missed_ends": figures.missed_ends,
        "unstable_words": round(figures.unstable / max(1, figures.final_words), 4),
        "words_revised_by_finals": round(figures.revised / max(1, figures.final_words), 4),
        "segments": figures.segments,
        "segments_cut_in_a_word": figures.cut_words,
        "core_seconds_per_second": round(figures.core_seconds / figures.seconds, 4),
    }
    for delay, count in figures.right_after.items():
        result[f"words_not_right_after_{delay:g}_s"] = round(1 - count / max(1, figures.words), 4)
    if figures.transcribed:
        whole = word_error_rate(reference, figures.transcribed)
        result["wer_of_asr_transcribe"] = round(whole, 4)
        result["wer_ratio"] = round(result["wer_of_finals"] / whole, 4)
    result["streams_on_this_machine"] = int(available_cores() / result["core_seconds_per_second"])
    return result


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Of all streams together."""
    rate = score(references, hypotheses).words.rate
    return float("nan") if rate is None else rate


def settings(values: Sequence[str]) -> LiveConfig:
    """The settings of live recognition from key=value."""
    live = LiveConfig()
    for value in values:
        key, _, text = value.partition("=")
        parent: Any = live.endpoint if key.startswith("endpoint.") else live
        name = key.removeprefix("endpoint.")
        if name not in {one.name for one in fields(parent)}:
            sys.exit(f"there is no setting {key!r}")
        parent = replace(parent, **{name: json.loads(text)})
        live = replace(live, endpoint=parent) if key.startswith("endpoint.") else parent
    return live


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings of live recognition")
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--aligner", default="en", help="the bundle that gives the words their times")
    parser.add_argument("--speakers", default="", help="only these, separated by commas")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each speaker")
    parser.add_argument("--beam", type=int, help="width of the second pass")
    parser.add_argument("--no-transcribe", action="store_true", help="leave out `asr transcribe` of the same streams")
    parser.add_argument("--pocketsphinx", help="an interpreter that has pocketsphinx")
    arguments = parser.parse_intermixed_args()
    live = settings(arguments.settings)
    decoder = None if arguments.beam is None else AutoConfig(beam_width=arguments.beam)
    contenders = {"asr": Figures()} | ({"pocketsphinx": Figures()} if arguments.pocketsphinx else {})
    aligner = load_bundle(arguments.aligner)
    speakers = [one for one in arguments.speakers.split(",") if one]
    bundle = load_bundle(arguments.bundle)
    facts = {"settings": arguments.settings, "bundle": bundle.name}
    if not bundle.model.bidirectional:
        step_seconds = bundle.model.subsampling * bundle.log_mel.settings.hop_seconds
        facts["look_ahead_seconds"] = bundle.model.delay_steps * step_seconds
    with Transcriber(bundle, decoder=decoder, workers=1) as transcriber:
        transcriber.transcribe_samples(np.zeros(RATE, np.float32))
        for stream in streams(arguments.manifest, aligner, speakers, arguments.minutes * 60):
            for name, figures in contenders.items():
                shown, spent = (
                    play(stream, transcriber, live)
                    if name == "asr"
                    else run_pocketsphinx(stream, arguments.pocketsphinx)
                )
                measure(stream, shown, figures)
                figures.core_seconds += spent
                figures.seconds += len(stream.samples) / RATE
                figures.finals.append(" ".join(one.text for one in shown if one.is_final))
                figures.references.append(" ".join(word.text for word in stream.words))
            if not arguments.no_transcribe:
                contenders["asr"].transcribed.append(transcriber.transcribe_samples(stream.samples).text)
    results = {name: summary(figures) for name, figures in contenders.items()}
    names = list(dict.fromkeys(key for result in results.values() for key in result))
    print(f"{'':28}" + "".join(f"{name:>14}" for name in results))
    for key in names:
        print(f"{key:28}" + "".join(f"{result.get(key, ''):>14}" for result in results.values()))
    print(json.dumps({**facts, **results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
