"""Which words of a prompt become hot words."""

from __future__ import annotations

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
