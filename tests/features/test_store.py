"""The store: samples are found by their keys, whichever file they lie in."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch

from mmft_core.contracts import Features
from mmft_core.features.reading import StoredFeatures
from mmft_core.features.store import MISSING, FeatureStore, Keys


def keys(*names: str) -> Keys:
    return np.array([name.encode().ljust(16, b".") for name in names], dtype="S16")


def test_samples_are_found_in_whichever_file_they_are(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path, {"weights": "a"})
    store.write(keys("one", "two"), [Features(torch.tensor([[1.0], [2.0]]))])
    store.write(keys("three"), [Features(torch.tensor([[3.0]]))])
    store.reload()
    places = store.find(keys("three", "none", "one"))
    assert places[1] == MISSING
    assert [float(store[int(p)]["pooled"]) for p in places[[0, 2]]] == [3.0, 1.0]
    again = pickle.loads(pickle.dumps(store))
    assert float(again[int(again.find(keys("two"))[0])]["pooled"]) == 2.0


def test_other_identities_have_other_folders(tmp_path: Path) -> None:
    one, other, same = (FeatureStore.open(tmp_path, {"weights": w}) for w in "aba")
    assert one.folder == same.folder != other.folder


def test_sequences_come_back_without_their_padding(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path, {})
    sequence = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[True, True, False], [False, True, True]])  # Padded on either side.
    features = Features(torch.zeros(2, 2), sequence, mask)
    store.write(keys("a", "b"), [features, Features(torch.ones(1, 2), torch.ones(1, 1, 2))][:1])
    store.reload()
    a, b = (store[int(p)] for p in store.find(keys("a", "b")))
    assert torch.equal(a["sequence"], sequence[0, :2]) and torch.equal(
        b["sequence"], sequence[1, 1:]
    )
    batch = Features.stored(StoredFeatures().collate([a, b]))
    assert batch is not None and batch.mask is None
    short = {"pooled": torch.ones(2), "sequence": torch.ones(1, 2)}
    batch = Features.stored(StoredFeatures().collate([a, short]))
    assert batch is not None and batch.mask is not None
    assert batch.mask.tolist() == [[True, True], [True, False]]


def test_features_keep_their_precision(tmp_path: Path) -> None:
    store = FeatureStore.open(tmp_path, {})
    store.write(keys("a"), [Features(torch.tensor([[1.5]], dtype=torch.bfloat16))])
    store.reload()
    assert store[0]["pooled"].dtype == torch.bfloat16
