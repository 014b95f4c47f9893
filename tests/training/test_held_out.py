"""Which documents of texts are held out."""

from __future__ import annotations

import random
from pathlib import Path

from asr.punctuation.written_tags import read_words
from asr.training.held_out import TEST, TRAIN, VALID, document_parts, documents_by_part, paragraphs_by_part, part_of
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


def everything(*texts: Path) -> list[tuple[str, str]]:
    """The words of each document that is read, with its part."""
    return [
        (part, " ".join(word.written for paragraph in document for word in paragraph))
        for part, document in paragraphs_by_part(texts, SHARE)()
    ]


def plain(paragraphs: list[str]) -> str:
    return " ".join(paragraphs).replace(".", "")


def train_work(tmp_path: Path, paragraphs: int = 40) -> list[str]:
    """A work that is trained on if it is alone."""
    return next(
        one
        for one in (work(number, paragraphs) for number in range(50))
        if document_parts([written(tmp_path / "one.txt", one)], SHARE) == [TRAIN]
    )


def test_of_one_book_the_last_paragraphs_are_held_out(tmp_path: Path) -> None:
    book = train_work(tmp_path)
    text = written(tmp_path / "book.txt", book)
    assert everything(text) == [(TRAIN, plain(book[:-4])), (VALID, plain(book[-4:]))]
    train, valid, _ = read_corpora([text], SHARE)
    assert (len(train.words), len(valid.words)) == (36 * 16, 4 * 16)
    undivided = paragraphs_by_part([text], SHARE, may_divide=False)()
    assert [(part, len(document)) for part, document in undivided] == [(TRAIN, 40)]


def test_of_articles_of_a_paragraph_each_the_last_are_held_out(tmp_path: Path) -> None:
    articles = [one for one in (work(number, 1) for number in range(40)) if part_of_one(one, tmp_path) == TRAIN][:20]
    found = everything(written(tmp_path / "articles.txt", *articles))
    assert [part for part, _ in found] == [TRAIN] * 18 + [VALID] * 2
    assert [text for _, text in found] == [plain(one) for one in articles]


def part_of_one(document: list[str], tmp_path: Path) -> str:
    return document_parts([written(tmp_path / "one.txt", document)], SHARE)[0]


def test_a_held_out_paragraph_is_not_trained_on_where_the_text_has_it_twice(tmp_path: Path) -> None:
    book = train_work(tmp_path)
    text = written(tmp_path / "book.txt", book)
    found = everything(text, text)
    assert [part for part, _ in found] == [TRAIN, TRAIN, VALID]
    held = found[-1][1]
    assert held == plain(book[-8:])  # a tenth of both copies
    assert found[0] == found[1] == (TRAIN, plain(book[:-8]))


def test_a_text_with_a_document_for_validation_is_divided_by_documents_alone(tmp_path: Path) -> None:
    works = [work(number) for number in range(60)]
    text = written(tmp_path / "texts.txt", *works)
    parts = document_parts([text], SHARE)
    assert VALID in parts
    assert everything(text) == [(part, plain(one)) for part, one in zip(parts, works, strict=True)]


def test_most_of_a_text_is_trained_on_and_all_of_one_that_cannot_be_divided(tmp_path: Path) -> None:
    paragraph, short = train_work(tmp_path, 1)[0], "So it was."
    for paragraphs, held in (
        ([paragraph], 0),
        ([paragraph, paragraph], 0),
        ([short, paragraph], 0),
        ([paragraph, short], 1),
        ([short, short, short], 1),
    ):
        text = written(tmp_path / "small.txt", paragraphs)
        if document_parts([text], SHARE) == [TRAIN]:
            found = everything(text)
            assert found[0] == (TRAIN, plain(paragraphs[: len(paragraphs) - held]))
            assert len(found) == 1 + bool(held)


def test_documents_without_long_paragraphs_stay_by_themselves(tmp_path: Path) -> None:
    text = written(tmp_path / "texts.txt", ["A b."], ["A b."], ["C."])
    assert len(document_parts([text], SHARE)) == 3
    assert [len(one) for _, one in documents_by_part([text], SHARE)] == [1, 1, 1]
