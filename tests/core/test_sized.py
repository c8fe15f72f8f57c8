"""Batches by what they hold: every sample once, never too much, little padding, the same again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmft_core.errors import ConfigError, DataError
from mmft_core.loading.token_batch_sampler import TokenBatchSampler, check_sizes, pack

SIZES = st.lists(st.floats(0.01, 100), min_size=1, max_size=200)


def passes(sampler: TokenBatchSampler, epoch: int) -> list[list[int]]:
    steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
    return [[i for _, i in keys] for step in steps for keys in sampler.micro_batches(step)]


@given(SIZES, st.floats(0.1, 500), st.integers(1, 4), st.integers(0, 3))
def test_every_sample_comes_once_an_epoch(
    sizes: list[float], total: float, accumulation_steps: int, epoch: int
) -> None:
    sampler = TokenBatchSampler(sizes, total, accumulation_steps, seed=1)
    found = passes(sampler, epoch)
    assert Counter(i for one in found for i in one) == Counter(range(len(sizes)))
    steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
    assert sum(sampler.samples(step) for step in steps) == len(sizes)
    assert all(1 <= sampler.passes(step) <= accumulation_steps for step in steps)
    for members in found:
        held = max(sizes[i] for i in members) * len(members)
        assert held <= total * (1 + 1e-9) or len(members) == 1


@given(SIZES, st.integers(1, 3))
def test_processes_share_each_pass(sizes: list[float], world: int) -> None:
    whole = passes(TokenBatchSampler(sizes, 50.0, 1, seed=2, world=1), 0)
    ranks = [TokenBatchSampler(sizes, 50.0, 1, 2, rank, world) for rank in range(world)]
    assert len({sampler.steps_per_epoch for sampler in ranks}) == 1
    shares = [passes(sampler, 0) for sampler in ranks]
    together = [sorted(i for share in shares for i in share[k]) for k in range(len(shares[0]))]
    assert sorted(i for one in together for i in one) == sorted(i for one in whole for i in one)
    if len(sizes) >= world:
        assert all(share for shared in shares for share in shared)


def test_without_a_limit_a_bucket_is_a_pass() -> None:
    sampler = TokenBatchSampler([1.0] * 20 + [5.0] * 10, float("inf"), 1, seed=0)
    assert sorted(map(len, passes(sampler, 0))) == [10, 20]


def skewed() -> list[float]:
    return (1 + np.random.default_rng(0).exponential(4, 2000)).tolist()  # type: ignore


def test_little_is_padding_and_passes_are_full() -> None:
    sizes = skewed()
    found = passes(TokenBatchSampler(sizes, 120.0, 1, seed=0), 0)
    held = sum(max(sizes[i] for i in one) * len(one) for one in found)
    assert sum(sizes) / held > 0.9
    assert held / len(found) > 0.75 * 120
    assert len({len(one) for one in found}) > 10


def test_epochs_differ_and_are_repeated() -> None:
    sizes = skewed()
    one, other = (TokenBatchSampler(sizes, 120.0, 2, seed=0) for _ in range(2))
    assert passes(one, 0) != passes(one, 1)
    assert passes(one, 1) == passes(other, 1) and passes(one, 0) == passes(other, 0)
    assert passes(TokenBatchSampler(sizes, 120.0, 2, seed=1), 0) != passes(one, 0)


@given(SIZES, st.floats(0.1, 500), st.none() | st.integers(1, 20))
def test_packing_keeps_the_order(sizes: list[float], total: float, most: int | None) -> None:
    cuts = list(pack(sizes, total, most))
    assert [i for cut in cuts for i in range(len(sizes))[cut]] == list(range(len(sizes)))
    for cut in cuts:
        members = sizes[cut]
        assert len(members) == 1 or max(members) * len(members) <= total
        assert most is None or len(members) <= most


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match=r"samples of this data set have no sizes"):
        check_sizes(None, 1)
    with pytest.raises(ConfigError, match="groups its batches by class"):
        check_sizes([1.0], 4)
    with pytest.raises(DataError, match="empty"):
        TokenBatchSampler([], 10.0, 1, seed=0)
