from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from asr.bundle import Bundle, load_bundle
from asr.errors import AlignmentError
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.aligner import align_text, cut_utterances, spell
from asr.recognition.transcriber import Transcriber
from asr.recognition.windows import Stretch
from asr.text.alphabet import Alphabet
from asr.text.transcript import Word

from ..conftest import SAMPLES


@pytest.fixture
def bundle(tiny_bundle) -> Bundle:
    return load_bundle(tiny_bundle)


def test_words_keep_their_spelling_and_the_model_gets_its_own(bundle):
    spelling = spell("“Well — I never,” said Mrs. O'Hara in 1984 & left-handed.", bundle)
    assert spelling.words == ("“Well —", "I", "never,”", "said", "Mrs.", "O'Hara", "in 1984 &", "left-handed.")
    assert spelling.labels == ("well", "i", "never", "said", "mrs", "o'hara", "in", "left handed")
    assert spelling.unknown == ("1984",)


def test_a_script_without_spaces_is_spelled_by_characters(bundle):
    spelling = spell("漢字 漢。", replace(bundle, alphabet=Alphabet("漢字")))
    assert spelling.words == ("漢", "字", "漢。")


def acoustic_output(bundle: Bundle, text: str, gap: int = 3) -> AcousticOutput:
    """A recording of a text, a symbol every few steps, from step 10 on."""
    numbers = bundle.alphabet.encode(text)
    probabilities = np.full((20 + gap * len(numbers), bundle.alphabet.size), 0.001)
    probabilities[:, 0] = 1
    for place, number in enumerate(numbers):
        probabilities[10 + gap * place, [0, number]] = 0.001, 1
    log_probs = np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    return AcousticOutput("a.wav", 0.04 * len(log_probs), (Stretch(0, log_probs),))


def test_the_output_over_phones_is_refused():
    bundle = load_bundle("en")
    samples, _ = soundfile.read(SAMPLES / "2086-149214-0001.opus", dtype="float32")
    with Transcriber(bundle) as transcriber:
        output = transcriber.run_model_on_samples(samples)
    with pytest.raises(ValueError, match="over characters, not over phones"):
        align_text(output, spell("a text", bundle), bundle, 0.04)


def test_words_are_where_they_are_said_and_wrong_ones_have_low_scores(bundle):
    recording = acoustic_output(bundle, "the cat sat")
    transcript = align_text(recording, spell("The cat sat.", bundle), bundle, 0.04)
    assert [(word.text, word.start, word.end) for word in transcript.words] == [
        ("The", 0.4, 0.68), ("cat", 0.88, 1.16), ("sat.", 1.36, 1.64),
    ]  # fmt: skip
    assert transcript.text == "The cat sat."
    assert all(word.confidence > 0.95 for word in transcript.words)
    wrong = align_text(recording, spell("the dog sat", bundle), bundle, 0.04)
    assert [word.confidence > 0.5 for word in wrong.words] == [True, False, True]


def test_a_text_without_words_is_refused(bundle):
    with pytest.raises(AlignmentError, match="no words"):
        align_text(acoustic_output(bundle, "a"), spell("1984 —", bundle), bundle, 0.04)


def test_utterances_are_cut_in_the_longest_pauses(rng):
    words, now = [], 0.5
    for number in range(300):
        now += 1.0 if number % 20 == 0 else 0.1
        words.append(Word(str(number), now, now + 0.3, 0.5))
        now += 0.3
    cuts = cut_utterances(words, longest=15, duration=now + 2)
    assert [word for cut in cuts for word in cut.words] == words
    assert all(cut.end - cut.start <= 15 for cut in cuts)
    assert all(int(cut.words[0].text) % 20 == 0 for cut in cuts)
    for before, after in itertools.pairwise(cuts):
        assert before.words[-1].end <= before.end <= after.start <= after.words[0].start
    assert cuts[0].start == pytest.approx(words[0].start - 0.2)
    assert cuts[-1].end == pytest.approx(words[-1].end + 0.2)


def test_neighbours_share_the_pause_between_them():
    """Each keeps some of the silence around it, but never of what the other one says."""
    words = [Word("a", 0.1, 9.0, 1.0), Word("b", 9.1, 18.0, 1.0), Word("c", 18.9, 27.0, 1.0)]
    cuts = cut_utterances(words, longest=10, duration=27.05)
    spans = [(cut.start, cut.end) for cut in cuts]
    assert spans == [(0.0, 9.05), (9.05, 18.2), (18.7, 27.05)]


def test_words_longer_than_the_longest_utterance_are_kept():
    words = [Word("a", 0.0, 20.0, 1.0), Word("b", 20.0, 41.0, 1.0)]
    assert [cut.words for cut in cut_utterances(words, longest=15, duration=41)] == [(words[0],), (words[1],)]


def test_what_cannot_be_said_before_the_first_word_stays_with_it(bundle):
    spelling = spell("1984 — Well", bundle)
    assert spelling.words == ("1984 — Well",)
    assert spelling.text == "1984 — Well"


def test_texts_of_cuts_are_written_as_the_text_is():
    words = [Word(one, number, number + 0.5, 1.0) for number, one in enumerate(["我", "在", "home"])]
    (cut,) = cut_utterances(words, longest=30, duration=9, spaces=["", "", " "])
    assert cut.text == "我在 home"
    assert [one.text for one in cut_utterances(words, longest=1, duration=9)] == ["我", "在", "home"]
