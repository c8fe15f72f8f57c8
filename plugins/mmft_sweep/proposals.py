"""A space as Optuna sees it: distributions, a sampler, a pruner, and what is left to try."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from mmft_sweep.folder import Pruner
from mmft_sweep.space import Choice, Dimension, Space, Value

_MOST_COMBINATIONS = 10_000
"""In a larger space no trial is expected to be proposed twice."""

Combination: TypeAlias = tuple[tuple[str, str], ...]


def make_sampler(seed: int, number: int) -> optuna.samplers.BaseSampler:
    """A tree-structured Parzen estimator (Bergstra et al., 2011), which takes the
    running trials into account, too.

    Args:
        number: of trials before the one that is to be chosen.
    """
    own = int(np.random.default_rng((seed, number)).integers(2**31))
    return optuna.samplers.TPESampler(seed=own, constant_liar=True)


def distribution(dimension: Dimension) -> BaseDistribution:
    """The values of a dimension, in Optuna's terms."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.whole:
        step = int(dimension.step or 1)
        low, high = int(dimension.low), int(dimension.high)
        return IntDistribution(low, high, log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def make_pruner(name: Pruner) -> optuna.pruners.BasePruner:
    """Median: stops a trial whose best figure so far is below the median of the others at that
    validation, once five are complete (Golovin et al., 2017, "Google Vizier"). Hyperband:
    trains many trials briefly and few for long (Li et al., 2018)."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner()
    return optuna.pruners.NopPruner()


def untried(space: Space, tried: Collection[Combination], seed: int) -> dict[str, Value] | None:
    """One of the combinations that were not tried, at random; None if none is left, or if there
    are too many to look at."""
    if space.size > _MOST_COMBINATIONS:
        return None
    keys = [d.key for d in space.dimensions]
    grid = itertools.product(*(_values(d) for d in space.dimensions))
    left = [dict(zip(keys, values, strict=True)) for values in grid]
    left = [params for params in left if combination(params) not in tried]
    random = np.random.default_rng((seed, len(tried)))
    return left[int(random.integers(len(left)))] if left else None


def _values(dimension: Dimension) -> list[Any]:
    if isinstance(dimension, Choice):
        return list(dimension.values)
    numbers = [dimension.low + k * (dimension.step or 1) for k in range(int(dimension.size))]
    return numbers if dimension.whole else [float(f"{n:.12g}") for n in numbers]


def combination(params: Mapping[str, Any]) -> Combination:
    """Settings to compare. Floats that result from steps are compared by their digits."""
    return tuple(sorted((key, _digits(value)) for key, value in params.items()))


def _digits(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else repr(value)
