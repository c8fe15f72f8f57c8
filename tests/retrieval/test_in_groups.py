"""Batches for losses that compare samples: groups of one class, and many classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmft_core.loading.batch_sampler import SampleBatchSampler
from mmft_core.loading.grouping import InGroups

SHAPES = {
    "labels": st.lists(st.integers(0, 12), min_size=1, max_size=300),
    "batch_size": st.integers(1, 40),
    "group_size": st.integers(2, 6),
    "seed": st.integers(0, 50),
}


def passes(
    labels, batch_size, group_size, seed=0, *, epoch=0, accumulation_steps=1
) -> list[list[int]]:
    """The indices of each forward pass of an epoch."""
    arrangement = InGroups(labels, group_size)
    sampler = SampleBatchSampler(
        len(labels), batch_size, accumulation_steps, seed, arrangement=arrangement
    )
    first = epoch * sampler.steps_per_epoch
    steps = range(first, first + sampler.steps_per_epoch)
    return [[i for _, i in keys] for step in steps for keys in sampler.micro_batches(step)]


def classes_of(labels, batch) -> Counter[int]:
    return Counter(int(labels[i]) for i in batch)


@given(**SHAPES, accumulation_steps=st.integers(1, 3))
@settings(deadline=None)
def test_every_sample_once_an_epoch_and_the_same_again(**shape) -> None:
    batches = passes(**shape)
    assert sorted(i for batch in batches for i in batch) == list(range(len(shape["labels"])))
    assert max(len(batch) for batch in batches) <= shape["batch_size"]
    assert batches == passes(**shape)


def test_epochs_and_seeds_differ() -> None:
    labels = np.repeat(np.arange(10), 20)
    orders = {str(passes(labels, 20, 4, seed, epoch=e)) for seed in (0, 1) for e in (0, 1)}
    assert len(orders) == 4


@given(
    classes=st.integers(1, 20),
    groups=st.integers(1, 12),
    size=st.integers(2, 5),
    width=st.integers(1, 20),
    seed=st.integers(0, 20),
)
@settings(deadline=None)
def test_balanced_classes_fill_batches_evenly(
    classes: int, groups: int, size: int, width: int, seed: int
) -> None:
    """Where all comes out even, a batch holds exactly K of each of as many classes as fit."""
    width = min(width, classes)
    while classes * groups % width:
        width -= 1
    labels = np.repeat(np.arange(classes), groups * size)
    for batch in passes(labels, width * size, size, seed):
        assert set(classes_of(labels, batch).values()) == {size}
        assert len(classes_of(labels, batch)) == width


def test_unbalanced_classes_keep_company() -> None:
    """Beside a class of nine tenths of the data every batch has others, in groups."""
    labels = np.repeat(np.arange(11), [900, *[10] * 10])
    batches = passes(labels, 50, 4)
    counts = [classes_of(labels, batch) for batch in batches]
    assert all(38 <= count[0] <= 50 for count in counts)
    assert sum(len(count) > 1 for count in counts) >= 0.9 * len(counts)
    alone = sum(n == 1 for count in counts for n in count.values())
    assert alone <= 0.02 * len(labels)


def test_two_classes_meet_sometimes_and_part_sometimes() -> None:
    """Which classes share a batch changes from batch to batch: their contrasts are varied."""
    labels = np.repeat(np.arange(10), 80)
    batches = [set(classes_of(labels, batch)) for batch in passes(labels, 20, 4)]
    pairs = Counter((a, b) for batch in batches for a in batch for b in batch if a < b)
    assert len(pairs) == 45, "every two classes meet within an epoch"


def test_rare_classes_come_at_any_time() -> None:
    labels = np.repeat(np.arange(21), [1000, *[4] * 20])
    places = [
        number
        for seed in range(10)
        for number, batch in enumerate(passes(labels, 40, 4, seed))
        for label in classes_of(labels, batch)
        if label
    ]
    assert 10 < np.mean(places) < 16, "27 batches; the mean place is about the middle"
