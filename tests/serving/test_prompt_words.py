"""Which words of a prompt become hot words."""

from __future__ import annotations

import time

import pytest

from asr.serving.prompt_words import prompt_phrases


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ("", []),
        ("  \n", []),
        ("Siobhan", ["Siobhan"]),
        ("ZyntriQix, Digique Plus, CynapseFive", ["ZyntriQix", "Digique Plus", "CynapseFive"]),
        ("kathleen; new york\nboston", ["kathleen", "new york", "boston"]),
        ("Hello. Welcome to the show.", []),
        ("Welcome to the show of Anna Maria Schmidt.", ["Anna Maria Schmidt"]),
        ("Welcome to the show of Anna, Bert and Carla.", ["Anna", "Bert", "Carla"]),
        ("The transcript is about OpenAI, which makes GPT-4 and DALL·E.", ["OpenAI", "GPT-4", "DALL·E"]),
        ("GPT4 is the subject of this conversation", ["GPT4"]),
        ("It was said that it rains", []),
        ("She said that iPhones are here (in Berlin).", ["iPhones", "Berlin"]),
        ("we saw Anna and we saw Anna again", ["Anna"]),
        ('"Kathleen", "Bert"', ["Kathleen", "Bert"]),
        ("10:30", ["10:30"]),
        (",,;;", []),
    ],
)
def test_entries_of_lists_and_names_in_sentences(prompt, phrases):
    assert prompt_phrases(prompt) == phrases


def test_a_prompt_gives_a_bounded_number_of_phrases():
    assert len(prompt_phrases(",".join(f"Name{number}" for number in range(10_000)))) == 200


@pytest.mark.parametrize("marks", ["(", "!", " ", "\n", "!(", ". "])
def test_the_time_for_a_prompt_is_linear_in_its_length(marks):
    begin = time.process_time()
    for prompt in (f"Name{marks * 100_000}Name", f"Name of one who is here{marks * 100_000}Name"):
        prompt_phrases(prompt)
    assert time.process_time() - begin < 1
