from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr import (
    AudioError,
    AutoConfig,
    EndpointConfig,
    GreedyConfig,
    LiveConfig,
    Session,
    Transcriber,
    load_bundle,
    score,
)
from asr.audio.load import StreamResampler, load_audio, resample
from asr.errors import ConfigError
from asr.recognition.endpointing import Endpointer
from asr.recognition.partial_text import PartialText
from asr.recognition.sliding_window import SampleBuffer, SlidingWindow

from ..conftest import RATE, SAMPLES

PATHS = sorted(SAMPLES.glob("*.opus"))[:2]


@pytest.fixture(scope="module")
def transcriber():
    with Transcriber(load_bundle("en"), decoder=AutoConfig(beam_width=16)) as transcriber:
        yield transcriber


@pytest.fixture(scope="module")
def speech():
    """Two recordings with silence around them."""
    pause = np.zeros(RATE, np.float32)
    return np.concatenate([pause, *(part for path in PATHS for part in (load_audio(path, sample_rate=RATE), pause))])


def events_of(session, samples, cuts=()):
    events = [event for block in np.split(samples, list(cuts)) for event in session.push(block)]
    return events + session.finish()


@pytest.fixture(scope="module")
def events(transcriber, speech):
    return events_of(Session(transcriber), speech)


def test_the_division_into_blocks_changes_no_event(transcriber, speech, events, rng):
    for cuts in (range(1600, len(speech), 1600), np.sort(rng.integers(0, len(speech), 300)), range(7, 3000, 7)):
        assert events_of(Session(transcriber), speech, cuts) == events


def test_the_division_into_blocks_changes_no_event_at_another_rate(transcriber, speech, rng):
    short = resample(speech[: 6 * RATE], RATE, 44_100)
    whole = events_of(Session(transcriber, sample_rate=44_100), short)
    assert [event.type for event in whole].count("final") >= 1
    cuts = np.sort(rng.integers(0, len(short), 200))
    assert events_of(Session(transcriber, sample_rate=44_100), short, cuts) == whole


def test_a_final_is_the_transcript_of_its_samples(transcriber, speech, events):
    finals = [event for event in events if event.type == "final"]
    assert len(finals) >= 2
    for final in finals:
        alone = transcriber.transcribe_samples(speech[round(final.start * RATE) : round(final.end * RATE)])
        assert final.text == alone.text
        assert [word.text for word in final.words] == [word.text for word in alone.words]
        assert [word.confidence for word in final.words] == [word.confidence for word in alone.words]
        for word, expected in zip(final.words, alone.words, strict=True):
            assert word.start == pytest.approx(final.start + expected.start, abs=1e-3)
            assert word.end == pytest.approx(final.start + expected.end, abs=1e-3)


def check_order(events):
    """Each segment: it starts, its texts, it ends, its final text; times and numbers never go back."""
    open_segment, number, time = False, 0, 0.0
    ended = None
    for event in events:
        if event.type == "speech_started":
            assert not open_segment
            assert event.time >= time - 1e-6
            open_segment, ended = True, None
        elif event.type == "partial":
            assert open_segment
            assert event.segment == number
        elif event.type == "speech_ended":
            assert open_segment
            open_segment, ended = False, event.time
        else:
            assert ended is not None
            assert event.segment == number
            assert event.start >= time - 1e-6
            assert event.start <= event.words[0].start
            assert event.words[-1].end <= event.end
            number, time, ended = number + 1, event.end, None
    assert not open_segment


def test_events_come_in_the_order_of_what_they_report(events):
    check_order(events)


@pytest.mark.parametrize("decoder", [AutoConfig(beam_width=8), GreedyConfig()])
def test_settled_text_never_changes(speech, decoder):
    live = LiveConfig(second_pass=False)
    with Transcriber(load_bundle("en"), decoder=decoder) as transcriber:
        events = events_of(Session(transcriber, live=live), speech)
    check_order(events)
    settled, most = "", 0
    for event in events:
        if event.type == "partial":
            assert event.text.startswith(settled)
            settled, most = event.text[: event.settled], max(most, event.settled)
        elif event.type == "final":
            assert event.text.startswith(settled)
            settled = ""
    assert most > 10


def test_a_stream_without_a_second_pass_says_nearly_what_the_transcript_says(transcriber, speech):
    events = events_of(Session(transcriber, live=LiveConfig(second_pass=False)), speech)
    whole = transcriber.transcribe_samples(speech).text
    assert score([whole], [" ".join(event.text for event in events if event.type == "final")]).words.rate < 0.25


def test_silence_has_no_events_and_is_not_kept(transcriber):
    session = Session(transcriber)
    for _ in range(60):
        assert session.push(np.zeros(RATE, np.float32)) == []
        assert len(session._samples._samples) < 20 * RATE
    assert session.finish() == []
    assert session.position == 60


def test_a_long_stream_keeps_no_more_than_a_segment(transcriber, speech):
    session = Session(transcriber, live=LiveConfig(interval_seconds=0.5))
    for _ in range(3):
        session.push(speech)
        assert len(session._samples._samples) < 60 * RATE
        assert len(session._window._frames) < 1000
    assert session.position == pytest.approx(3 * len(speech) / RATE)


def test_whole_numbers_of_16_bits_are_samples_too(transcriber, speech):
    short = (speech[: 4 * RATE] * 32767).astype(np.int16)
    floats = short.astype(np.float32) / 32768
    assert events_of(Session(transcriber), short) == events_of(Session(transcriber), floats)


def test_samples_that_are_none_are_refused_and_the_session_goes_on(transcriber, speech, events):
    session = Session(transcriber)
    found = session.push(speech[:RATE])
    for wrong in (np.full(10, np.nan), np.zeros((10, 2), np.float32), np.zeros(10, np.int32)):
        with pytest.raises(AudioError, match="wanted are floating-point numbers"):
            session.push(wrong)
    found += session.push(speech[RATE:])
    assert found + session.finish() == events


def test_a_finished_session_takes_no_more(transcriber):
    session = Session(transcriber)
    assert session.push(np.zeros(0, np.float32)) == []
    assert session.finish() == []
    assert session.finish() == []
    with pytest.raises(RuntimeError, match="this Session is finished"):
        session.push(np.zeros(10, np.float32))


def test_speech_up_to_the_end_is_recognised(transcriber):
    samples = load_audio(PATHS[0], sample_rate=RATE)[: 3 * RATE]  # it ends within the speech
    events = events_of(Session(transcriber), samples)
    assert [event.type for event in events[-2:]] == ["speech_ended", "final"]
    assert events[-1].end == pytest.approx(3)


def test_a_rate_too_low_for_speech_is_refused(transcriber):
    with pytest.raises(AudioError, match="has 500 samples a second"):
        Session(transcriber, sample_rate=500)


def test_settings_out_of_their_bounds_are_refused():
    for settings in ({"interval_seconds": 0.0}, {"left_seconds": 99.0}, {"left_seconds": 30.0, "right_seconds": 5.0}):
        with pytest.raises(ConfigError, match=r"live\."):
            LiveConfig(**settings)
    with pytest.raises(ConfigError, match=r"endpoint\.silence_seconds"):
        EndpointConfig(silence_seconds=0)


@pytest.mark.parametrize(
    ("silence", "length", "end_log_prob", "ends"),
    [
        (0.3, 3, -0.1, False),
        (0.5, 3, -0.1, True),
        (0.5, 3, -9.0, False),
        (0.5, 3, None, False),
        (0.7, 3, -9.0, True),
        (0.1, 19, -9.0, False),
        (0.3, 20, -9.0, True),
        (0.2, 20, -9.0, False),
        (0.2, 24, -9.0, True),
        (0.0, 30, -9.0, True),
    ],
)
def test_a_segment_ends_by_the_first_rule_that_holds(silence, length, end_log_prob, ends):
    endpointer = Endpointer(EndpointConfig(), lambda text: end_log_prob)
    assert endpointer.ends("a text", silence=silence, length=length) is ends


@pytest.mark.parametrize(
    ("results", "shown"),
    [
        (["a", "a"], ["", "a"]),
        (["a b", "a b c", "a b c"], ["", "a b", "a b c"]),
        (["a b", "a b", "a", "a b"], ["", "a b", "a b", "a b"]),
        (["a b", "a b", "a", "a"], ["", "a b", "a b", "a"]),
        (["a b", "a b", "a -", "a -", "a -"], ["", "a b", "a b", "a b", "a b"]),  # something is growing in its place
        (["a b", "a b", "a c", "a b"], ["", "a b", "a b", "a b"]),
        (["a b", "a b", "a c", "a c"], ["", "a b", "a b", "a c"]),
        (["a b", "a b", "x", "y"], ["", "a b", "a b", ""]),
    ],
)
def test_a_word_is_shown_and_replaced_when_two_results_agree(results, shown):
    partial, found = PartialText(), []
    for result in results:
        words = result.removesuffix("-").split()
        partial.update(words, growing=result.endswith("-"))
        found.append(" ".join(partial.words))
    assert found == shown


def test_settled_words_are_shown_at_once():
    partial = PartialText()
    partial.update(["a", "b"], settled=1)
    assert partial.words == ("a",)
    partial.update(["a", "c"], settled=2)
    assert partial.words == ("a", "c")


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 60)), max_size=20))
def test_a_sample_buffer_is_the_stream_without_what_was_dropped(pushes):
    buffer, stream, dropped = SampleBuffer(), np.zeros(0, np.float32), 0
    for count, drop in pushes:
        block = np.arange(len(stream), len(stream) + count, dtype=np.float32)
        buffer.push(block)
        stream = np.concatenate([stream, block])
        buffer.drop_before(drop)
        dropped = max(dropped, min(drop, len(stream)))
        assert buffer.end == len(stream)
        for first, end in ((dropped, len(stream)), (dropped, dropped + 5), (0, len(stream))):
            assert buffer.slice(first, end).tolist() == stream[max(first, dropped) : max(end, dropped)].tolist()


def test_a_window_that_reaches_back_to_the_start_gives_the_output_of_the_whole(transcriber):
    bundle = transcriber.bundle
    samples = load_audio(PATHS[0], sample_rate=RATE)
    output = bundle.output_for(bundle.decoder)
    live = LiveConfig(left_seconds=29.0)
    window = SlidingWindow(transcriber.engine, bundle.log_mel, bundle.model.subsampling, output, live)
    buffer, steps = SampleBuffer(), 0
    for start in range(0, len(samples), 4000):
        buffer.push(samples[start : start + 4000])
        found = window.run(buffer)
        assert found.first_step == steps
        steps += found.final
        assert steps * 640 <= max(0, buffer.end - 0.64 * RATE) + 640
    last = window.run(buffer, last=True)
    whole = transcriber.engine.run(bundle.log_mel(samples))[:, output]
    assert last.first_step == steps
    assert last.final == len(last.log_probs)
    assert steps + last.final == len(whole)
    np.testing.assert_allclose(np.exp(last.log_probs), np.exp(whole[steps:]), atol=1e-5)


def test_a_stream_resampled_in_blocks_is_the_recording_resampled(rng):
    samples = rng.normal(size=30_000).astype(np.float32) * 0.1
    for rate in (8000, 16_000, 22_050, 48_000):
        resampler = StreamResampler(rate, RATE)
        found = [resampler.push(block) for block in np.split(samples, np.sort(rng.integers(0, 30_000, 50)))]
        assert np.array_equal(np.concatenate([*found, resampler.finish()]), _in_one_block(samples, rate))


def _in_one_block(samples, rate):
    resampler = StreamResampler(rate, RATE)
    return np.concatenate([resampler.push(samples), resampler.finish()])


def test_a_stretch_of_loud_noise_is_no_endless_segment(transcriber, rng):
    noise = (rng.normal(size=8 * RATE) * 0.1).astype(np.float32)
    session = Session(transcriber)
    events = events_of(session, noise)
    check_order(events)
    assert sum(len(event.words) for event in events if event.type == "final") <= 2


def test_a_longest_length_ends_segments_between_words(transcriber, speech):
    endpoint = EndpointConfig(silence_seconds=5.0, sentence_end_seconds=5.0, longest_seconds=2.0)
    events = events_of(Session(transcriber, live=LiveConfig(endpoint=endpoint)), speech)
    finals = [event for event in events if event.type == "final"]
    assert len(finals) >= 3
    assert max(one.end - one.start for one in finals) < 12
    whole = transcriber.transcribe_samples(speech).words
    for final in finals[1:]:
        assert not any(word.start + 0.04 < final.start < word.end - 0.04 for word in whole)
