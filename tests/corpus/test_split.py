from __future__ import annotations

from pathlib import Path

import pytest

from asr.corpus.manifest import Utterance
from asr.corpus.split import hold_out
from asr.errors import ManifestError


def utterances(counts: dict[str | None, int]) -> list[Utterance]:
    return [
        Utterance(f"{speaker}-{number}", Path(f"{speaker}-{number}.wav"), "a", 1.0, speaker, "m:1")
        for speaker, count in counts.items()
        for number in range(count)
    ]


def test_no_speaker_is_on_both_sides():
    corpus = utterances({f"s{number}": 5 + number for number in range(30)})
    kept, held = hold_out(corpus, 0.1)
    assert not {one.speaker for one in kept} & {one.speaker for one in held}
    assert 0.05 < len(held) / len(corpus) < 0.15
    assert sorted([*kept, *held], key=lambda one: one.id) == sorted(corpus, key=lambda one: one.id)


def test_the_split_does_not_depend_on_the_order():
    corpus = utterances({f"s{number}": 5 for number in range(20)})
    assert {one.id for one in hold_out(corpus, 0.2)[1]} == {one.id for one in hold_out(corpus[::-1], 0.2)[1]}


def test_a_speaker_of_most_of_the_corpus_is_not_held_out():
    _, held = hold_out(utterances({"often": 90, "a": 5, "b": 5}), 0.1)
    assert {one.speaker for one in held} <= {"a", "b"}


@pytest.mark.parametrize("counts", [{None: 40}, {"alone": 40}])
def test_without_speakers_recordings_are_held_out(counts):
    kept, held = hold_out(utterances(counts), 0.1)
    assert (len(kept), len(held)) == (36, 4)


def test_two_large_speakers_are_still_kept_apart():
    kept, held = hold_out(utterances({"a": 60, "b": 40}), 0.1)
    assert {one.speaker for one in held} == {"b"}
    assert {one.speaker for one in kept} == {"a"}


def test_one_recording_cannot_be_split():
    with pytest.raises(ManifestError, match="leaves nothing to hold out"):
        hold_out(utterances({"a": 1}), 0.5)


def test_recordings_of_one_name_in_several_folders_are_several_wherever_the_corpus_lies():
    def corpus(top: str) -> list[Utterance]:
        names = [f"{folder:02}/{name}" for folder in range(20) for name in ("story.wav", "talk.wav")]
        return [Utterance(name, Path(top) / name, "a", 1.0, None, "m:1") for name in names]

    kept, held = hold_out(corpus("here"), 0.1)
    assert len(held) == 4
    assert len(kept) == 36
    assert [one.id for one in hold_out(corpus("/moved/there"), 0.1)[1]] == [one.id for one in held]
