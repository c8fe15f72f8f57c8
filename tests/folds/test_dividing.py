"""Folds: every sample is validated once, every class in proportion, the test split untouched."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmft_core.config.trees import parse_set
from mmft_core.contracts import Dataset, DatasetInfo, Sample, Split
from mmft_core.data.fold_choice import Folds
from mmft_core.data.folds import assign, in_folds
from mmft_core.errors import ConfigError, DataError


class Words(Split):
    """Samples with targets of any kind."""

    def __init__(self, name: str, targets: list[object]) -> None:
        self.name, self.targets = name, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        return Sample({"text": "a"}, self.targets[index], f"{self.name}[{index}]")


def dataset(classes: tuple[str, ...] = ("a", "b"), **splits: list[object]) -> Dataset:
    return Dataset(
        info=DatasetInfo(name="words", classes=classes),
        splits={name: Words(name, targets) for name, targets in splits.items()},
    )


def ids(split: Split) -> list[str]:
    return [split.sample_id(index) for index in range(len(split))]


@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.integers(2, 7), st.integers(0, 9))
def test_folds_are_even_in_size_and_in_every_class(
    labels: list[int], count: int, seed: int
) -> None:
    part = assign(np.asarray(labels), Folds(count=count), seed)
    sizes = np.bincount(part, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for label in set(labels):
        own = np.bincount(part[np.asarray(labels) == label], minlength=count)
        assert own.max() - own.min() <= 1


def test_train_and_val_are_divided_and_test_stays() -> None:
    data = dataset(train=["a"] * 7 + ["b"] * 5, val=["a", "b", "b"], test=["a", "b"])
    everything = Counter(ids(data.splits["train"]) + ids(data.splits["val"]))
    validated: Counter[str] = Counter()
    for folds in Folds(count=3).each():
        fold = in_folds(data, folds, seed=5)
        train, val = ids(fold.splits["train"]), ids(fold.splits["val"])
        assert Counter(train + val) == everything
        assert fold.splits["test"] is data.splits["test"]
        assert f"val is fold {folds.chosen} of 3" in fold.info.notes[-1]
        validated.update(val)
    assert validated == everything


def test_the_seed_decides() -> None:
    data = dataset(train=["a"] * 20 + ["b"] * 20)
    first = Folds(count=4, chosen=1)
    same = [ids(in_folds(data, first, seed=3).splits["val"]) for _ in range(2)]
    assert same[0] == same[1]
    assert same[0] != ids(in_folds(data, first, seed=4).splits["val"])


@pytest.mark.parametrize(
    "targets", [[0.5, 1.5, 2.5, 3.5], ["x", "y", "z", "w"], [["a"], ["b"]] * 2]
)
def test_targets_that_are_no_classes_are_divided_at_random(targets: list[object]) -> None:
    fold = in_folds(dataset(train=targets), Folds(count=2, chosen=2), seed=0)
    assert len(fold.splits["val"]) == 2
    assert "by class" not in fold.info.notes[-1]


def test_too_few_samples_or_too_few_of_a_class() -> None:
    with pytest.raises(DataError, match=r"has 3 samples to learn from, too few for 4 folds"):
        in_folds(dataset((), train=[1, 2, 3]), Folds(count=4, chosen=1), seed=0)
    data = dataset(train=["a"] * 9 + ["b"] * 2, val=["b"])
    assert len(in_folds(data, Folds(count=3, chosen=1), seed=0).splits["val"]) == 4
    with pytest.raises(DataError, match=r"smallest class .* has 3 samples .* --folds 3 or fewer"):
        in_folds(data, Folds(count=4, chosen=1), seed=0)
    with pytest.raises(DataError, match=r"has 1 sample .* Give more samples of it"):
        in_folds(dataset(train=["a"] * 9 + ["b"]), Folds(count=2, chosen=1), seed=0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["folds=1"], "folds = 1 is not valid"),
        (["folds=-3"], "folds = -3 is not valid"),
        (["folds=two"], "folds = 'two' is not valid: expected a whole number"),
        (["folds=true"], "expected a whole number"),
        (["fold=1"], "fold = 1 is set, but not the number of folds"),
        (["folds=3", "fold=4"], "There is no fold 4 of 3"),
        (["folds=3", "fold=0"], "There is no fold 0 of 3"),
    ],
)
def test_settings_that_make_no_folds(settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Folds.of(parse_set(settings))


def test_settings_that_do() -> None:
    assert Folds.of({}) is None and Folds.of({"folds": "none"}) is None
    folds = Folds.of({"folds": 3, "fold": 2})
    assert folds == Folds(count=3, chosen=2)
    assert folds is not None and Folds.of(folds.tree()) == folds
