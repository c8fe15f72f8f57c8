"""Labels: rare and absent classes, and samples that a simple model takes for another class.

Suspects are found by out-of-fold probabilities, as in confident learning (Northcutt, Jiang and
Chuang, 2021), and only where the nearest neighbours say so, too: a false alarm costs more trust
than a missed one.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmft_data_check.findings import Finding
from mmft_data_check.looking import Look

_RARE = 20
"""A class is rare if the largest has more than this many times as many samples."""

_FOLDS = 5
_MOST = 20_000
"""Samples that the model is fitted to; of more, a random part is used."""

_SURE, _DOUBTED = 0.9, 0.06
"""The lowest probability of another class, and the highest of the given one, of a suspect."""

_NEIGHBOURS, _AGREEING = 10, 9


def find_uneven(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """Find classes that are rare in training, or that a split lacks which could have them.

    Args:
        counts: by split, the samples of each class.
    """
    train = counts.get("train", {})
    largest = max(train.values(), default=0)
    for name, number in train.items():
        if number * _RARE < largest:
            text = f"has {number:,} of train's samples, the largest class {largest:,}"
            yield Finding(kind="rare-class", split="train", id=name, text=text)
    everywhere = {name for own in counts.values() for name in own}
    for split, own in counts.items():
        if sum(own.values()) < 5 * len(everywhere) and split != "train":
            continue  # So small a split lacks some by chance.
        for name in sorted(everywhere - own.keys()):
            text = f"has no sample in {split}"
            yield Finding(kind="absent-class", split=split, id=name, text=text)


def find_suspects(looks: Sequence[Look], seed: int = 0) -> Iterator[Finding]:
    """Find samples whose label a model of all others contradicts.

    Samples that lack an input are compared among themselves: they have other features.
    """
    alike: dict[tuple[str, ...], list[Look]] = defaultdict(list)
    for sample in looks:
        if sample.traits and isinstance(sample.target, str):
            alike[tuple(sorted(sample.traits))].append(sample)
    for own in alike.values():
        yield from _suspects(own, seed)


def _suspects(own: list[Look], seed: int) -> Iterator[Finding]:
    counts = Counter(sample.target for sample in own)
    own = [sample for sample in own if counts[sample.target] >= 2 * _FOLDS]
    if len({sample.target for sample in own}) < 2:
        return
    if len(own) > _MOST:
        chosen = np.random.default_rng(seed).permutation(len(own))[:_MOST]
        own = [own[k] for k in sorted(chosen.tolist())]
    features = np.stack([_features(sample) for sample in own])
    labels = np.array([sample.target for sample in own])
    names, probabilities = _out_of_fold(features, labels, seed)
    given = np.searchsorted(names, labels)
    rows = np.arange(len(own))
    likely = probabilities.argmax(1)
    sure = (probabilities[rows, likely] >= _SURE) & (probabilities[rows, given] <= _DOUBTED)
    for row in np.flatnonzero(sure & (_agreeing(features, labels, names[likely]) >= _AGREEING)):
        sample = own[row]
        yield Finding(
            kind="suspect",
            split=sample.split,
            index=sample.index,
            id=sample.id,
            text=f"is labelled {sample.target!r}; the other samples suggest "
            f"{str(names[likely[row]])!r} ({probabilities[row, likely[row]]:.0%})",
        )


def _features(sample: Look) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.concatenate([sample.traits[m].features for m in sorted(sample.traits)])


def _out_of_fold(features: Any, labels: Any, seed: int) -> tuple[Any, Any]:
    """The classes, and the probabilities (n, C) by models that did not see the sample."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a fit that has not wholly converged.
        found = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")
    return np.unique(labels), found


def _agreeing(features: Any, labels: Any, claimed: Any) -> Any:
    """How many of each sample's nearest neighbours have the claimed class."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    plain = StandardScaler().fit_transform(features)
    near = NearestNeighbors(n_neighbors=min(_NEIGHBOURS + 1, len(labels))).fit(plain)
    places = near.kneighbors(plain, return_distance=False)[:, 1:]
    return (labels[places] == claimed[:, None]).sum(1)
