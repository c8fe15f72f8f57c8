"""The linear probe: how much of the targets a linear model finds in a sample's features.

Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes".
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mmft_core.data import Indices, fold_groups
from mmft_core.errors import DataError

Numbers: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[Any]

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
    features: npt.NDArray[np.float32],
    targets: Sequence[Any],
    kind: str,
    seed: int,
    groups: Sequence[str] | None = None,
) -> Score | None:
    """Cross-validate a linear model.

    Args:
        features: (n, D).
        targets: (n,) of the features' samples.
        kind: of the targets: "class" or "number"; others have no score.
        groups: (n,) of the samples; none is in both train and test, as in a run.

    Raises:
        DataError: there are too few samples or groups.
    """
    known = None if groups is None else np.array(groups)
    if kind == "class":
        return _classes(features, np.array([str(t) for t in targets]), known, seed)
    if kind == "number":
        return _numbers(features, np.array(targets, dtype=np.float64), known, seed)
    return None


def _classes(features: Numbers, labels: Labels, groups: Labels | None, seed: int) -> Score:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, StratifiedKFold

    counts = Counter(labels.tolist())
    # A class of one sample cannot be both learned and tested.
    common = np.array([counts[label] >= 2 for label in labels.tolist()])
    features, labels = features[common], labels[common]
    if len(set(labels.tolist())) < 2:
        raise _too_few("too few of each class")
    fewest = min(n for n in counts.values() if n >= 2)
    folds: Any = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    if groups is not None:
        fold_of = _grouped(groups[common], labels, fewest, seed)
        for fold in set(fold_of.tolist()):
            if len(set(labels[fold_of != fold].tolist())) < 2:
                raise _too_few("only groups of one class")
        folds = PredefinedSplit(fold_of)
    guess = max(Counter(labels.tolist()).values()) / len(labels)
    model = LogisticRegression(max_iter=1000)
    return _scored("accuracy", model, features, labels, folds, guess)


def _numbers(features: Numbers, numbers: Labels, groups: Labels | None, seed: int) -> Score:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, PredefinedSplit

    if len(numbers) < 2 * _FOLDS:
        raise _too_few(f"{len(numbers)} numbers, too few")
    folds: Any = KFold(_FOLDS, shuffle=True, random_state=seed)
    if groups is not None:
        folds = PredefinedSplit(_grouped(groups, np.zeros(len(groups), np.int64), _FOLDS, seed))
    if not np.ptp(numbers):
        raise _too_few(f"only one distinct number ({numbers[0]:g}), too few")
    model = RidgeCV(alphas=np.logspace(-2, 5, 15))
    return _scored("r2", model, features, numbers, folds, 0.0, _explained)


def _explained(model: Any, features: Numbers, numbers: Labels) -> float:
    """R2; NaN (undefined) where all numbers are the same."""
    return float(model.score(features, numbers)) if np.ptp(numbers) else float("nan")


def _grouped(groups: Labels, labels: Labels, most: int, seed: int) -> Indices:
    """(n,) the fold of each sample, of at most `most`."""
    names = set(groups.tolist())
    if len(names) < 2:
        raise _too_few("only one group, too few")
    return fold_groups(groups.tolist(), labels, min(_FOLDS, most, len(names)), seed)


def _too_few(what: str) -> DataError:
    return DataError(
        f"The sample holds {what} to compare backbones.", hint="Give a larger --samples."
    )


def _scored(
    name: str,
    model: Any,
    features: Numbers,
    targets: Labels,
    folds: Any,
    guess: float,
    scorer: Any = None,
) -> Score:
    """Cross-validate a model, over the folds in which the score is defined.

    Args:
        scorer: computes the score; None for scikit-learn's of that name.
    """
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a fit that has not wholly converged.
        scores = cross_val_score(
            make_pipeline(StandardScaler(), model),
            features,
            targets,
            cv=folds,
            scoring=scorer or name,
        )
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        raise _too_few("too few different numbers")
    return Score(
        name=name, mean=float(scores.mean()), deviation=float(scores.std()), guess=float(guess)
    )
