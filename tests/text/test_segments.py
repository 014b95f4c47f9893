from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.text.segments import LINE_CHARACTERS, LINES, LONGEST_SECONDS, cut_cues, display_width
from asr.text.transcript import Segment, Transcript, Word
from asr.text.words import cut_words


def speak(text: str, *, start: float = 0.0, seconds: float = 0.3, pauses: dict[int, float] | None = None) -> list[Word]:
    """Words one behind the other, with pauses before some of them."""
    words = []
    for number, one in enumerate(text.split()):
        start += (pauses or {}).get(number, 0.05)
        words.append(Word(one, round(start, 3), round(start + seconds, 3)))
        start += seconds
    return words


def make_segments(words: list[Word], *, separator: str = " ") -> tuple[Segment, ...]:
    text = separator.join(word.text for word in words)
    return Transcript("a.wav", text, 0.0, 0.0, tuple(words), ()).segments


def test_a_sentence_is_one_subtitle_of_two_lines_of_about_one_length():
    (segment,) = make_segments(speak("the silver is all right thank goodness she said but your banjo"))
    assert segment.lines == ("the silver is all right thank", "goodness she said but your banjo")


def test_subtitles_are_cut_where_the_speaker_pauses():
    segments = make_segments(speak("one two three four five six seven eight nine ten", pauses={4: 0.9, 7: 0.8}))
    assert [one.text for one in segments] == ["one two three four", "five six seven", "eight nine ten"]


def test_no_subtitle_goes_on_over_a_long_pause():
    assert len(make_segments(speak("well then", pauses={1: 2.5}))) == 2


def test_a_short_word_is_shown_for_a_second_if_nothing_follows():
    (segment,) = make_segments([Word("yes", 3.0, 3.2)])
    assert (segment.start, segment.end) == (3.0, 4.0)


def test_a_word_longer_than_a_line_is_kept_whole():
    (segment,) = make_segments([Word("x" * 100, 0.0, 9.0)])
    assert segment.lines == ("x" * 100,)


def test_a_script_without_spaces_is_cut_between_characters():
    words = [Word(one, 0.1 * place, 0.1 * place + 0.1) for place, one in enumerate("漢" * 100)]
    segments = make_segments(words, separator="")
    assert "".join(line for one in segments for line in one.lines) == "漢" * 100
    assert all(len(line) <= LINE_CHARACTERS for one in segments for line in one.lines)


def test_no_words_are_no_subtitles():
    assert make_segments([]) == ()


@given(st.lists(st.tuples(st.integers(1, 20), st.floats(0.02, 1.0), st.floats(0.0, 3.0)), min_size=1, max_size=60))
def test_whatever_is_said_the_limits_hold_and_no_word_is_lost(said):
    words, now = [], 0.0
    for length, seconds, pause in said:
        now += pause
        words.append(Word("w" * length, round(now, 3), round(now + seconds, 3)))
        now += seconds
    segments = make_segments(words)
    assert [word for one in segments for word in one.words] == words
    for one in segments:
        assert len(one.lines) <= LINES
        assert all(len(line) <= LINE_CHARACTERS for line in one.lines)
        assert one.words[-1].end - one.start <= LONGEST_SECONDS + 1e-6
        assert " ".join(one.lines) == " ".join(word.text for word in one.words)
        assert one.end >= one.start
    for before, after in itertools.pairwise(segments):
        assert before.end <= after.start + 1e-9


def test_an_hour_takes_no_time():
    import time

    started = time.monotonic()
    segments = make_segments(speak("word " * 9000))
    assert time.monotonic() - started < 20
    assert len(segments) > 400


@pytest.mark.parametrize("speed", [0.1, 0.2])
def test_fast_speech_still_has_subtitles_that_follow_it(speed):
    segments = make_segments(speak("a quick brown fox jumps over the lazy dog " * 5, seconds=speed))
    assert all(one.start == one.words[0].start for one in segments)


def test_no_subtitle_goes_on_over_a_pause_for_the_sake_of_reading_speed():
    # Together they would be slower to read and cost less.
    words = [Word("x" * 40, 0.0, 0.1), Word("y" * 40, 2.1, 2.2)]
    assert [one.text for one in make_segments(words)] == ["x" * 40, "y" * 40]


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0.02, 1.0), st.floats(0.0, 3.0)), min_size=1, max_size=40))
def test_no_pause_inside_a_subtitle_is_two_seconds_long(said):
    words, now = [], 0.0
    for length, seconds, pause in said:
        now += pause
        words.append(Word("w" * length, round(now, 3), round(now + seconds, 3)))
        now += seconds
    for one in make_segments(words):
        assert all(after.start - before.end < 2.0 for before, after in itertools.pairwise(one.words))


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("abc", 3), ("漢字", 4), ("ガ", 2), ("カ\u3099", 2), ("ที่น้ำ", 3), ("e\u0301", 1), ("한국", 4), ("ｱ", 1)],
)
def test_wide_characters_count_as_two_and_marks_not_at_all(text, width):
    assert display_width(text) == width


@pytest.mark.parametrize(("text", "longest"), [("漢字" * 100, 21), ("ที่นี่" * 60, 120)])
def test_lines_of_a_script_without_spaces_are_no_wider_than_others(text, longest):
    words = [
        Word(text[start:end], 0.2 * place, 0.2 * place + 0.04)
        for place, (start, end) in enumerate(cut_words(text, spaced=False))
    ]
    segments = make_segments(words, separator="")
    lines = [line for one in segments for line in one.lines]
    assert "".join(lines) == "".join(one.text for one in segments) == text
    assert all(len(line) <= longest and display_width(line) <= LINE_CHARACTERS for line in lines)
    assert all(len(one.lines) <= LINES and one.words[-1].end - one.start <= LONGEST_SECONDS for one in segments)
    assert len(segments) < len(text) / 10


def test_subtitles_of_a_script_without_spaces_are_cut_in_pauses():
    words, now = [], 0.0
    for place, one in enumerate("漢" * 50):
        now += 0.9 if place in (12, 30) else 0.15
        words.append(Word(one, round(now, 3), round(now + 0.04, 3)))
    assert [len(one.words) for one in make_segments(words, separator="")] == [12, 18, 20]


def test_spaces_are_those_of_the_text():
    words = [Word(one, number, number + 0.5) for number, one in enumerate(["google", "工", "作"])]
    (segment,) = Transcript("a.wav", "google 工作", 3.0, 0.0, tuple(words), ()).segments
    assert segment.text == "google 工作"


def test_an_hour_of_single_characters_takes_no_time():
    import time

    started = time.process_time()
    make_segments([Word("ก", 0.08 * place, 0.08 * place + 0.04) for place in range(10_000)], separator="")
    assert time.process_time() - started < 10


def test_subtitles_end_with_sentences_and_clauses_where_nothing_else_decides() -> None:
    """Two sentences that fit one subtitle only in part: the cut lies between them, and not in the middle."""
    texts = [*["word"] * 9, "over.", *["then"] * 4, "here,", *["and"] * 9, "done."]
    words = [Word(text, 0.25 * place, 0.25 * place + 0.24) for place, text in enumerate(texts)]
    cues = cut_cues(words, [" "] * len(words))
    assert cues[0].text.endswith("over.")
    plain = [Word(word.text.rstrip(".,"), word.start, word.end) for word in words]
    assert not cut_cues(plain, [" "] * len(words))[0].text.endswith("over")


@pytest.mark.parametrize("title", ["Mr.", "(Dr.", "St.", "J.", "J.R.R.", "Hr."])
def test_no_subtitle_ends_between_a_title_or_an_initial_and_its_name(title: str) -> None:
    words = speak(f"nor is {title} Quilter's manner less interesting than his matter and his books are none the worse")
    assert all(not segment.text.endswith(title) for segment in make_segments(words))
    # The word before a name begins a text; a cue of its own would be shown for a blink.
    words = speak(f"{title} Quilter is the apostle of the middle classes and we are glad to welcome his gospel")
    assert make_segments(words)[0].text.startswith(f"{title} Quilter is")
