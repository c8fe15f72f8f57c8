"""The losses: what they prefer, by hand-written references, and what they do with nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmft_retrieval.losses import (
    ArcFace,
    ProxyAnchor,
    batch_hard_triplet,
    supervised_contrastive,
    symmetric_info_nce,
)


def vectors(count: int, seed: int = 0, width: int = 8) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=random), dim=-1)


def arcface(embeddings: Tensor, labels: Tensor) -> Tensor:
    torch.manual_seed(0)
    return ArcFace(4, embeddings.shape[-1], 0.5, 30.0)(embeddings, labels)


def proxy_anchor(embeddings: Tensor, labels: Tensor) -> Tensor:
    torch.manual_seed(0)
    return ProxyAnchor(4, embeddings.shape[-1], 0.1, 32.0)(embeddings, labels)


def supcon(embeddings: Tensor, labels: Tensor) -> Tensor:
    return supervised_contrastive(embeddings, labels, 0.1)


def triplet(embeddings: Tensor, labels: Tensor) -> Tensor:
    return batch_hard_triplet(embeddings, labels, 0.2)


LOSSES = {"supcon": supcon, "triplet": triplet, "arcface": arcface, "proxy": proxy_anchor}
LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])


def test_supervised_contrastive_is_the_formula_of_the_paper() -> None:
    z = vectors(8)
    losses = []
    for i in range(8):
        others = [a for a in range(8) if a != i]
        positives = [p for p in others if LABELS[p] == LABELS[i]]
        total = sum(math.exp(z[i] @ z[a] / 0.1) for a in others)
        if positives:
            shares = [math.log(math.exp(z[i] @ z[p] / 0.1) / total) for p in positives]
            losses.append(-sum(shares) / len(positives))
    assert supcon(z, LABELS).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert len(losses) == 7, "the lone sample has no positive"


def test_batch_hard_takes_the_farthest_positive_and_the_nearest_negative() -> None:
    z = vectors(8)
    distance = torch.cdist(z, z)
    losses = []
    for i in range(8):
        positives = [p for p in range(8) if p != i and LABELS[p] == LABELS[i]]
        negatives = [n for n in range(8) if LABELS[n] != LABELS[i]]
        if positives:
            gap = max(distance[i, p] for p in positives) - min(distance[i, n] for n in negatives)
            losses.append(max(0.0, float(gap) + 0.2))
    assert triplet(z, LABELS).item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_arcface_is_cross_entropy_with_a_margin_on_the_angle() -> None:
    torch.manual_seed(0)
    loss, z = ArcFace(4, 8, 0.5, 30.0), vectors(8)
    cosines = z @ F.normalize(loss.weight, dim=-1).T
    angles = cosines.acos() + 0.5 * F.one_hot(LABELS, 4)
    assert (angles < math.pi).all(), "the case that the paper's formula is for"
    wanted = F.cross_entropy(30 * angles.cos(), LABELS)
    assert loss(z, LABELS).item() == pytest.approx(wanted.item(), rel=1e-4)


def test_proxy_anchor_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    loss, z = ProxyAnchor(5, 8, 0.1, 32.0), vectors(8)
    cosines = (z @ F.normalize(loss.weight, dim=-1).T).detach()
    pull, push = [], []
    for proxy in range(5):
        mine = torch.eq(LABELS, proxy)
        pull.append(math.log(1 + (-32 * (cosines[mine, proxy] - 0.1)).exp().sum()))
        push.append(math.log(1 + (32 * (cosines[~mine, proxy] + 0.1)).exp().sum()))
    wanted = sum(pull) / 4 + sum(push) / 5  # four proxies have samples
    assert loss(z, LABELS).item() == pytest.approx(wanted, rel=1e-4)


def test_info_nce_asks_in_both_directions_and_spares_equal_groups() -> None:
    queries, items = vectors(4, 1), vectors(4, 2)
    apart, shared = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 0, 3])
    logits = queries @ items.T / 0.05
    order = torch.arange(4)
    wanted = (F.cross_entropy(logits, order) + F.cross_entropy(logits.T, order)) / 2
    assert torch.allclose(symmetric_info_nce(queries, items, apart, 0.05), wanted)
    logits[0, 2] = logits[2, 0] = -math.inf
    wanted = (F.cross_entropy(logits, order) + F.cross_entropy(logits.T, order)) / 2
    assert torch.allclose(symmetric_info_nce(queries, items, shared, 0.05), wanted)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_to_compare_gives_a_finite_loss_and_finite_gradients(name: str) -> None:
    nothing = [[]] if name in ("arcface", "proxy") else []  # none of the batch is of its classes
    for labels in ([0], [0, 1, 2, 3], [1, 1, 1], *nothing):
        raw = torch.randn(len(labels), 8, requires_grad=True)
        loss = LOSSES[name](F.normalize(raw, dim=-1), torch.tensor(labels, dtype=torch.int64))
        loss.backward()
        assert loss.isfinite() and raw.grad is not None and raw.grad.isfinite().all(), labels
        if name in ("supcon", "triplet") and labels != [1, 1, 1]:
            assert loss == 0 and not raw.grad.any(), labels


def test_equal_embeddings_have_finite_gradients() -> None:
    for loss in LOSSES.values():
        raw = torch.ones(8, 8, requires_grad=True)
        loss(F.normalize(raw, dim=-1), LABELS).backward()
        assert raw.grad is not None and raw.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_descent_brings_classes_together(name: str) -> None:
    torch.manual_seed(0)
    labels = torch.arange(4).repeat_interleave(4)
    modules = {"arcface": ArcFace(4, 8, 0.5, 30.0), "proxy": ProxyAnchor(4, 8, 0.1, 32.0)}
    loss = modules.get(name, LOSSES[name])
    raw = torch.randn(16, 8, requires_grad=True)
    weights = [raw, *(modules[name].parameters() if name in modules else ())]
    optimizer = torch.optim.Adam(weights, lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss(F.normalize(raw, dim=-1), labels).backward()
        optimizer.step()
    z = F.normalize(raw.detach(), dim=-1)
    same = labels[:, None] == labels
    assert (z @ z.T)[same].mean() > (z @ z.T)[~same].mean() + 0.5


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_nothing(name: str) -> None:
    z = vectors(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = LOSSES[name](z, LABELS)
    assert low.dtype == torch.float32 and torch.equal(low, LOSSES[name](z, LABELS))
