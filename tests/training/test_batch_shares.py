"""The rows of a batch that ranks share: together they are the batch of a single rank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.bundle import load_bundle
from asr.corpus.batching import PlannedBatch, Shape
from asr.corpus.manifest import read_manifest
from asr.errors import TrainingError
from asr.settings.augment import AugmentConfig
from asr.settings.model import ModelConfig
from asr.text.alphabet import Alphabet
from asr.training.batch_shares import agree_on_batch, join_parts, rows_of, summary
from asr.training.distributed import Ranks
from asr.training.examples import Examples, Prepared
from asr.training.teacher import Teacher

from ..conftest import smoke_manifests

ALPHABET = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")


class Pretended(Ranks):
    """One rank of several in a test, where it knows the values of all."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self.parts: list = []

    def gather(self, value):
        return self.parts


def agree(planned: PlannedBatch, parts: list[Prepared], examples: Examples):
    """What each rank has after the exchange."""
    agreed = []
    for rank, part in enumerate(parts):
        ranks = Pretended(rank, len(parts))
        ranks.parts = [summary(one) for one in parts]
        agreed.append(agree_on_batch(ranks, planned, part, examples))
    return agreed


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Examples:
    manifest = smoke_manifests(tmp_path_factory.mktemp("data"), train=6, valid=1)["train"]
    bundle = load_bundle("tiny")
    settings = bundle.log_mel.settings
    return Examples(
        read_manifest(manifest).utterances,
        ALPHABET,
        LogMel.from_librosa(settings),
        ModelConfig(),
        augmenter=Augmenter(AugmentConfig(speeds=[0.9, 1.1]), settings.sample_rate),
        teacher=Teacher(bundle, [slice(0, bundle.alphabet.size)]),
    )


PLANNED = PlannedBatch((4, 1, 5, 0, 2), Shape(5, 500, 50))


def prepared_parts(examples: Examples, count: int) -> list[Prepared]:
    return [examples.prepare(rows_of(PLANNED, Pretended(rank, count)), 0, may_be_empty=True) for rank in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_parts_of_all_ranks_are_the_batch_of_one(examples, count):
    """Also with more ranks than rows: the others have one row without an utterance."""
    whole = examples.prepare(PLANNED, 0)
    agreed = agree(PLANNED, prepared_parts(examples, count), examples)
    seen = []
    for part, share in agreed:
        assert part.batch.frames.shape[1] == whole.batch.frames.shape[1]
        assert (share.rows, share.symbols) == (5, whole.batch.label_counts.sum())
        if not part.indices:
            assert part.batch.frame_counts.tolist() == [0]
            assert part.batch.teacher[0, :, 0].tolist() == [1.0] * part.batch.teacher.shape[1]
            continue
        seen += share.own_rows.tolist()
        np.testing.assert_array_equal(part.batch.frames, whole.batch.frames[share.own_rows])
        np.testing.assert_array_equal(part.batch.teacher, whole.batch.teacher[share.own_rows])
        np.testing.assert_array_equal(part.batch.label_counts, whole.batch.label_counts[share.own_rows])
    assert sorted(seen) == list(range(5))
    joined = join_parts(PLANNED, [part for part, _ in agreed])
    assert joined.indices == whole.indices
    for name in ("frames", "frame_counts", "labels", "label_counts"):
        np.testing.assert_array_equal(getattr(joined.batch, name), getattr(whole.batch, name))


def test_rows_move_up_where_an_utterance_is_left_out_on_another_rank(examples):
    first, second = prepared_parts(examples, 2)
    # As after an unreadable recording: of the first rank's 4, 5 and 2, the middle one.
    kept = replace(
        first.batch, **{name: getattr(first.batch, name)[[0, 2]] for name in
                        ("frames", "frame_counts", "labels", "label_counts", "teacher")}
    )  # fmt: skip
    first = replace(first, batch=kept, indices=(4, 2), left_out=("b.wav: it is gone",))
    (_, one), (_, two) = agree(PLANNED, [first, second], examples)
    assert one.own_rows.tolist() == [0, 3]
    assert two.own_rows.tolist() == [1, 2]
    assert one.left_out == two.left_out == ("b.wav: it is gone",)
    assert one.rows == two.rows == 4


def test_a_batch_of_which_no_recording_can_be_read_is_an_error(examples):
    empty = examples.prepare(PlannedBatch((), PLANNED.shape), 0, may_be_empty=True)
    parts = [replace(empty, left_out=(f"{name}: it is gone",)) for name in ("a.wav", "b.wav")]
    with pytest.raises(TrainingError, match=r"no recording of a batch can be read: b\.wav: it is gone"):
        agree(PLANNED, parts, examples)
