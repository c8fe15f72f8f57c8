"""The linear probe: how much of the targets a linear model finds in a sample's features.

Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes".
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mmft_core.errors import DataError

_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Score:
    """What the probe found, over its folds.

    Attributes:
        name: "accuracy" of classes, "r2" of numbers.
        mean, deviation: over the folds.
        guess: the score of always giving the most frequent class, or the mean.
    """

    name: str
    mean: float
    deviation: float
    guess: float


def probe(
    features: npt.NDArray[np.float32], targets: Sequence[Any], kind: str, seed: int
) -> Score | None:
    """Cross-validate a linear model.

    Args:
        features: (n, D).
        targets: (n,) of the features' samples.
        kind: of the targets: "class" or "number"; of others there is no score.

    Raises:
        DataError: there are too few samples.
    """
    if kind == "class":
        return _classes(features, np.array([str(t) for t in targets]), seed)
    if kind == "number":
        return _numbers(features, np.array(targets, dtype=np.float64), seed)
    return None


def _classes(features: npt.NDArray[np.float32], labels: npt.NDArray[Any], seed: int) -> Score:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    counts = Counter(labels.tolist())
    common = np.array([counts[label] >= 2 for label in labels.tolist()])  # Else no fold has both.
    features, labels = features[common], labels[common]
    if len(set(labels.tolist())) < 2:
        raise DataError(
            "The sample holds too few of each class to compare backbones.",
            hint="Give a larger --samples.",
        )
    fewest = min(n for n in counts.values() if n >= 2)
    folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    guess = max(Counter(labels.tolist()).values()) / len(labels)
    model = LogisticRegression(max_iter=1000)
    return _scored("accuracy", model, features, labels, folds, guess)


def _numbers(features: npt.NDArray[np.float32], numbers: npt.NDArray[Any], seed: int) -> Score:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    if len(numbers) < 2 * _FOLDS:
        raise DataError(
            f"The sample holds {len(numbers)} numbers, too few to compare backbones.",
            hint="Give a larger --samples.",
        )
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    model = RidgeCV(alphas=np.logspace(-2, 5, 15))
    return _scored("r2", model, features, numbers, folds, 0.0)


def _scored(
    name: str,
    model: Any,
    features: npt.NDArray[np.float32],
    targets: npt.NDArray[Any],
    folds: Any,
    guess: float,
) -> Score:
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a fit that has not wholly converged.
        scores = cross_val_score(
            make_pipeline(StandardScaler(), model), features, targets, cv=folds, scoring=name
        )
    return Score(
        name=name, mean=float(scores.mean()), deviation=float(scores.std()), guess=float(guess)
    )
