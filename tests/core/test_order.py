"""Orders of an epoch: permutations that depend on seed and epoch alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmft_core.loading.batch_sampler import SampleBatchSampler
from mmft_core.loading.grouping import BySize

SHAPES = {
    "sizes": st.lists(st.integers(0, 500), min_size=1, max_size=300),
    "batch_size": st.integers(1, 16),
    "accumulation_steps": st.integers(1, 3),
    "seed": st.integers(0, 100),
}


def passes(
    sizes, batch_size, accumulation_steps, seed, *, epoch=0, arranged=True
) -> list[list[int]]:
    """The indices of each forward pass of an epoch."""
    arrangement = BySize(sizes) if arranged else None
    sampler = SampleBatchSampler(
        len(sizes), batch_size, accumulation_steps, seed, arrangement=arrangement
    )
    first = epoch * sampler.steps_per_epoch
    steps = range(first, first + sampler.steps_per_epoch)
    return [[i for _, i in keys] for step in steps for keys in sampler.micro_batches(step)]


@given(**SHAPES)
def test_every_sample_once_and_in_as_many_passes_as_without(**shape) -> None:
    arranged, plain = passes(**shape), passes(**shape, arranged=False)
    assert sorted(i for p in arranged for i in p) == list(range(len(shape["sizes"])))
    assert [len(p) for p in arranged] == [len(p) for p in plain]


@given(**SHAPES)
def test_the_same_seed_and_epoch_give_the_same_order(**shape) -> None:
    assert passes(**shape) == passes(**shape)


def test_epochs_and_seeds_differ() -> None:
    sizes = list(range(100))
    orders = {str(passes(sizes, 10, 1, seed, epoch=e)) for seed in (0, 1) for e in (0, 1)}
    assert len(orders) == 4


def padding(batches: list[list[int]], sizes: list[int]) -> float:
    """The share of padding when each batch is padded to its longest sample."""
    padded = sum(len(b) * max(sizes[i] for i in b) for b in batches)
    return 1 - sum(sizes) / padded


def test_little_is_padding() -> None:
    sizes = np.random.default_rng(0).lognormal(4, 1, 5000).astype(int).tolist()
    assert padding(passes(sizes, 32, 1, 0, arranged=False), sizes) > 0.5
    assert padding(passes(sizes, 32, 1, 0), sizes) < 0.2


def test_long_and_short_batches_come_in_random_order() -> None:
    sizes = list(range(640))
    means = [np.mean([sizes[i] for i in p]) for p in passes(sizes, 10, 1, 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3
