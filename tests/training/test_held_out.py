"""Which documents of texts are held out."""

from __future__ import annotations

import random
from pathlib import Path

from asr.punctuation.written_tags import read_words
from asr.training.held_out import TEST, TRAIN, VALID, document_parts, documents_by_part, part_of
from asr.training.tagger_run import read_corpora

SHARE = 0.1
NOTICE = "This text is free for everyone who wants to read it, to print it or to give it away."


def work(number: int, paragraphs: int = 40) -> list[str]:
    rng = random.Random(number)
    return [
        "".join(rng.choice("abcdefgh") for _ in range(6)).capitalize()
        + " "
        + " ".join("".join(rng.choice("abcdefgh") for _ in range(6)) for _ in range(15))
        + "."
        for _ in range(paragraphs)
    ]


def written(path: Path, *documents: list[str]) -> Path:
    path.write_text("\n\n".join("\n".join(one) for one in documents) + "\n")
    return path


def parts_alone(count: int, tmp_path: Path) -> list[str]:
    return [document_parts([written(tmp_path / "one.txt", work(number))], SHARE)[0] for number in range(count)]


def test_a_share_of_the_documents_is_held_out_by_their_content(tmp_path: Path) -> None:
    texts = written(tmp_path / "texts.txt", *(work(number) for number in range(300)))
    parts = document_parts([texts], SHARE)
    assert parts == parts_alone(300, tmp_path)
    assert 15 <= parts.count(VALID) <= 45
    assert 15 <= parts.count(TEST) <= 45


def test_another_edition_goes_where_the_first_one_goes(tmp_path: Path) -> None:
    """Other editions begin with a preface, print other marks and capitals, and may be volumes with other works."""
    alone = parts_alone(60, tmp_path)
    works = [work(number) for number in range(60)]
    others = [
        [*work(1000 + number, 5), *(one.upper().replace(".", "!") for one in works[number]), *work(2000 + number)]
        for number in range(60)
    ]
    texts = [written(tmp_path / "first.txt", *works), written(tmp_path / "others.txt", *others)]
    assert document_parts(texts, SHARE) == [*alone, *alone]
    by_their_beginnings = [part_of([read_words(one) for one in other], SHARE) for other in others]
    assert by_their_beginnings != alone


def test_documents_that_share_only_a_notice_are_different_works(tmp_path: Path) -> None:
    for copies in (2, 30):
        works = [[*work(number, 60), NOTICE] for number in range(copies)]
        alone = [document_parts([written(tmp_path / "one.txt", one)], SHARE)[0] for one in works]
        assert document_parts([written(tmp_path / "texts.txt", *works)], SHARE) == alone


def test_a_work_is_not_validated_on_where_another_edition_of_it_is_trained_on(tmp_path: Path) -> None:
    alone = parts_alone(60, tmp_path)
    number, other = alone.index(VALID), alone.index(TRAIN)
    first, second = work(number), [*work(other)[:5], *work(number)]
    rest = [work(1 + one) for one in range(100, 110)]
    text = written(tmp_path / "texts.txt", first, second, *rest)
    train, valid, _ = read_corpora([text], SHARE)
    words = {word for paragraph in first for word in paragraph.lower().rstrip(".").split()}
    shared = [train.types[place] for place in train.words if train.types[place] in words]
    assert len(shared) < 0.05 * len(words)
    assert valid.documents >= 2


def test_documents_without_long_paragraphs_stay_by_themselves(tmp_path: Path) -> None:
    text = written(tmp_path / "texts.txt", ["A b."], ["A b."], ["C."])
    assert len(document_parts([text], SHARE)) == 3
    assert [len(one) for _, one in documents_by_part([text], SHARE)] == [1, 1, 1]
