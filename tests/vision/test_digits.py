"""The embedded default: real digits, divided by class and seed."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mmft_core.errors import ConfigError
from tests.vision.tools import ids, open_dataset, sizes, targets


def test_every_digit_is_there_once_and_is_the_real_one() -> None:
    dataset = open_dataset("digits")
    assert dataset.info.classes == tuple("0123456789")
    assert sizes(dataset) == {"train": 1439, "val": 179, "test": 179}
    everything = [i for split in dataset.splits.values() for i in ids(split)]
    assert len(everything) == len(set(everything)) == 1797
    real = load_digits()
    for split in dataset.splits.values():
        sample = split[5]
        row = int(sample.id.removeprefix("digits[").removesuffix("]"))
        image = sample.inputs["image"]
        assert (image.mode, image.size) == ("L", (8, 8))
        assert np.array_equal(np.round(np.asarray(image, float) * 16 / 255), real.images[row])
        assert sample.target == split.target(5) == str(real.target[row])


def test_splits_hold_every_class_in_proportion() -> None:
    dataset = open_dataset("digits")
    for split in dataset.splits.values():
        counts = Counter(targets(split)).values()
        assert len(counts) == 10 and max(counts) <= 1.1 * min(counts)


def test_the_division_follows_from_the_seed() -> None:
    first, again, other = (open_dataset("digits", seed=s).splits["test"] for s in (3, 3, 4))
    assert ids(first) == ids(again) != ids(other)


def test_shares_are_heeded() -> None:
    assert sizes(open_dataset("digits", val=0, test=0)) == {"train": 1797}
    assert sizes(open_dataset("digits", val=0.5, test=0)) == {"train": 896, "val": 901}
    with pytest.raises(ConfigError, match=r"dataset.val = 0.5 and dataset.test = 0.6 leave noth"):
        open_dataset("digits", val=0.5, test=0.6)


def test_splits_travel_to_worker_processes() -> None:
    split = open_dataset("digits").splits["val"]
    again = pickle.loads(pickle.dumps(split))
    assert ids(again) == ids(split)
    assert again[7].inputs["image"].tobytes() == split[7].inputs["image"].tobytes()
