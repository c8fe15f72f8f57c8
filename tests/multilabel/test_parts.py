"""Losses, thresholds, weights and metrics, each against what others compute."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch.nn import functional as F  # noqa: N812
from torchvision.ops import sigmoid_focal_loss

from mmft_classification.multilabel import (
    LabelCodec,
    asymmetric,
    best_threshold,
    focal,
    positive_weights,
)
from mmft_classification.multilabel_metrics import LabelAveragePrecision, LabelF1
from mmft_classification.task import ClassCodec, Classifier, balanced_weights
from mmft_core.contracts import Batch

LABELS = ("a", "b", "c", "nowhere")


def drawn(seed: int = 0, samples: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(samples, len(LABELS), generator=random)
    targets = (torch.rand(samples, len(LABELS), generator=random) < 0.4).float()
    targets[:, 3] = 0
    logits[:, 3] = -20
    return logits, targets


def split_of(*targets: object) -> SimpleNamespace:
    class Split(SimpleNamespace):
        def __len__(self) -> int:
            return len(targets)

    return Split(target=targets.__getitem__)


def test_the_focal_loss_is_torchvisions() -> None:
    logits, targets = drawn()
    theirs = sigmoid_focal_loss(logits, targets, alpha=-1, gamma=1.5)
    torch.testing.assert_close(focal(logits, targets, 1.5), theirs)


def test_the_asymmetric_loss_is_that_of_the_paper() -> None:
    logits, targets = drawn()
    p = logits.double().sigmoid().numpy()
    shifted = np.maximum(p - 0.05, 0)  # Equations 5 and 7.
    theirs = np.where(targets.numpy() > 0, -np.log(p), -(shifted**4) * np.log(1 - shifted))
    np.testing.assert_allclose(asymmetric(logits, targets, 4, 0.05), theirs, rtol=1e-4, atol=1e-6)
    plain = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(asymmetric(logits, targets, 0, 0), plain)
    assert asymmetric(torch.tensor([[200.0, -200.0]]), torch.zeros(1, 2), 4, 0.05).isfinite().all()


def test_thresholds_have_the_highest_f1() -> None:
    logits, targets = drawn()
    for probabilities, true in zip(logits.sigmoid().T, targets.T, strict=True):
        chosen = best_threshold(probabilities, true > 0)
        if not true.any():
            assert chosen == 0.5
            continue
        tried = [f1_score(true, probabilities > t) for t in np.linspace(0, 1, 101)]
        assert f1_score(true, probabilities > chosen) >= max(tried) - 1e-9


@pytest.mark.parametrize(
    ("probabilities", "positive", "threshold"),
    [
        ([0.75, 0.25], [True, False], 0.5),
        ([0.75, 0.25], [True, True], 0.125),
        ([0.5, 0.5, 0.25], [True, False, False], 0.375),  # Equal ones go together.
        # F1 is 2/3 if one, two or three are taken (1 of 1, 1 of 1 and 2 of 3): the middle.
        ([0.875, 0.625, 0.375, 0.125], [True, False, True, False], 0.25),
        ([0.5, 0.25, 0.125], [False, False, False], 0.5),
    ],
)
def test_a_threshold_is_in_the_middle(
    probabilities: list[float], positive: list[bool], threshold: float
) -> None:
    found = best_threshold(torch.tensor(probabilities), torch.tensor(positive))
    assert found == threshold


def test_neighbouring_numbers_are_told_apart() -> None:
    low = torch.tensor(0.3)
    high = torch.nextafter(low, torch.tensor(1.0))
    found = torch.tensor(best_threshold(torch.stack([high, low]), torch.tensor([True, False])))
    assert high > found and not low > found


def test_metrics_are_those_of_scikit_learn() -> None:
    logits, targets = drawn()
    probabilities, thresholds = logits.sigmoid(), torch.tensor([0.3, 0.5, 0.7, 0.5])
    precision, f1, merged = LabelAveragePrecision(LABELS), LabelF1(LABELS), LabelF1(LABELS)
    for rows in torch.arange(60).split(25):
        own = probabilities[rows]
        predictions = {"probabilities": own, "thresholds": thresholds.expand_as(own)}
        precision.update(predictions, targets[rows])
        part = LabelF1(LABELS)
        part.update(predictions, targets[rows])
        f1.update(predictions, targets[rows])
        merged.merge(part.state())
    found, values = precision.compute(), f1.compute()
    theirs = average_precision_score(targets[:, :3], probabilities[:, :3], average=None)
    assert found["per-label"][:3] == pytest.approx(theirs, abs=1e-6)
    assert math.isnan(found["per-label"][3]) and found["macro"] == pytest.approx(theirs.mean())
    taken = probabilities > thresholds
    each = f1_score(targets, taken, average=None, zero_division=np.nan)
    assert values["per-class"] == pytest.approx(each, nan_ok=True)
    assert values["macro"] == pytest.approx(np.nanmean(each))
    assert values["micro"] == pytest.approx(f1_score(targets, taken, average="micro"))
    assert values["weighted"] == pytest.approx(
        f1_score(targets[:, :3], taken[:, :3], average="weighted")
    )
    assert values["support"] == targets.sum(0).tolist()
    assert values["threshold"] == pytest.approx([0.3, 0.5, 0.7, 0.5])
    for name, value in merged.compute().items():
        assert value == pytest.approx(values[name], nan_ok=True)
    for metric in (precision, f1):
        (remark,) = metric.remarks()
        assert "1 of 4 labels" in remark and "nowhere" in remark


def test_weights_follow_from_the_training_data() -> None:
    codec = LabelCodec(("a", "b", "c", "d"))
    train = split_of(("a", "b"), ("a",), (), ("a",), ("d",) * 2)
    assert positive_weights(train, codec).tolist() == pytest.approx([2 / 3, 4, 1, 4])
    many = split_of(*[()] * 999, ("a",))
    assert positive_weights(many, codec).tolist() == [100, 1, 1, 1]
    classes = ClassCodec(("x", "y", "z"))
    assert balanced_weights(split_of("x", "x", "x", "y"), classes).tolist() == pytest.approx(
        [4 / 9, 4 / 3, 1]
    )


class Bare(Classifier):
    def forward(self, batch: Batch) -> None:
        raise NotImplementedError


def test_class_weights_count_in_the_loss_and_are_saved() -> None:
    train = split_of("x", "x", "x", "y")
    task = Bare(("x", "y"), class_weights="auto", train=train).train()
    logits, targets = torch.tensor([[1.0, 0.5], [2.0, -1.0]]), torch.tensor([0, 1])
    each = F.cross_entropy(logits, targets, reduction="none")
    found = task.outputs_for(logits, Batch({}, targets, ["1", "2"])).loss
    torch.testing.assert_close(found, (each * torch.tensor([2 / 3, 2.0])).mean())
    again = Bare(("x", "y"), class_weights="auto")
    again.load_state_dict(task.state_dict())
    torch.testing.assert_close(again.class_weights, torch.tensor([2 / 3, 2.0]))
    assert not Bare(("x", "y"), train=train).state_dict()
