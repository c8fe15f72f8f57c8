"""Losses that pull embeddings of one class together and push others apart.

All take embeddings (B, D) of length one and class labels (B,), and give a scalar. They compute in
float32 also under autocast, and where a batch has nothing to compare they give a zero whose
gradient is zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.distributed import gathered


def similarities(a: Tensor, b: Tensor) -> Tensor:
    """Cosines (A, B) of vectors (A, D) and (B, D) of length one, in float32."""
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().T


def supervised_contrastive(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive learning, L_out (Khosla et al., 2020).

    The mean is over the samples that have another of their class in the batch.
    """
    logits = similarities(embeddings, embeddings) / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels) & ~itself
    log_share = logits.masked_fill(itself, -math.inf).log_softmax(-1)
    # Of nothing but itself, a lone sample's share is NaN; it has no positive and drops out here.
    attraction = log_share.masked_fill(~positive, 0).sum(-1)
    positives = positive.sum(-1)
    return _mean(-attraction / positives.clamp(min=1), positives > 0)


def batch_hard_triplet(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Triplets of each sample with its farthest of its class and nearest of another.

    Batch-hard mining with a hinge on Euclidean distances (Hermans, Beyer and Leibe, 2017). The
    mean is over the samples that have both in the batch.
    """
    squared = 2 - 2 * similarities(embeddings, embeddings)
    # The root's slope is infinite at zero, where the clamp stops the gradient.
    distances = squared.clamp(min=1e-6).sqrt()
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = same & ~itself
    farthest = distances.masked_fill(~positive, -math.inf).amax(-1)
    nearest = distances.masked_fill(same, math.inf).amin(-1)
    complete = positive.any(-1) & ~same.all(-1)
    hinge = (farthest - nearest).masked_fill(~complete, 0) + margin
    return _mean(hinge.relu(), complete)


class ArcFace(nn.Module):
    """A classifier whose right angles must be smaller by a margin (Deng et al., 2019)."""

    def __init__(self, classes: int, width: int, margin: float, scale: float) -> None:
        """Args:
        width: D, of the embeddings.
        margin: in radians.
        scale: of the cosines before the softmax.
        """
        super().__init__()
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        if not len(labels):
            return _nothing(embeddings)
        cosines = similarities(embeddings, F.normalize(self.weight.float(), dim=-1))
        right = cosines.gather(-1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        sines = (1 - right.square()).sqrt()
        tightened = right * math.cos(self.margin) - sines * math.sin(self.margin)
        # Beyond pi the cosine of angle and margin would rise again; go on falling instead.
        beyond = right < -math.cos(self.margin)
        falling = right - self.margin * math.sin(self.margin)
        tightened = torch.where(beyond, falling, tightened)
        return F.cross_entropy(self.scale * cosines.scatter(-1, labels[:, None], tightened), labels)


class ProxyAnchor(nn.Module):
    """A learned proxy of each class as the anchor for the batch's samples (Kim et al., 2020)."""

    def __init__(self, classes: int, width: int, margin: float, scale: float) -> None:
        """Args:
        width: D, of the embeddings.
        margin: of the cosines.
        scale: alpha, by which hard samples count more.
        """
        super().__init__()
        self.margin, self.scale = margin, scale
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        if not len(labels):
            return _nothing(embeddings)
        cosines = similarities(embeddings, F.normalize(self.weight.float(), dim=-1))
        positive = labels[:, None] == torch.arange(cosines.shape[-1], device=labels.device)
        pull = _log_one_plus(self.scale * (self.margin - cosines), positive)
        push = _log_one_plus(self.scale * (self.margin + cosines), ~positive)
        return pull.sum() / positive.any(0).sum() + push.mean()


def symmetric_info_nce(
    queries: Tensor, items: Tensor, groups: Tensor, temperature: float | Tensor
) -> Tensor:
    """Each query is to find its item among the batch's, and each item its query.

    In-batch negatives (Henderson et al., 2017) with a temperature (van den Oord et al., 2018), in
    both directions (Radford et al., 2021). In training the negatives are those of all processes.

    Args:
        queries: (B, D) of length one.
        items: (B, D) of length one, in the order of their queries.
        groups: (B,) pairs of the same group are no negatives of each other.
    """
    (all_queries, all_items, all_groups), start = gathered(queries, items, groups)
    place = torch.arange(len(all_groups), device=groups.device)
    own = place[start : start + len(groups)]
    alike = (groups[:, None] == all_groups) & (own[:, None] != place)

    def one_way(mine: Tensor, others: Tensor) -> Tensor:
        logits = similarities(mine, others) / temperature
        return F.cross_entropy(logits.masked_fill(alike, -math.inf), own)

    return (one_way(queries, all_items) + one_way(items, all_queries)) / 2


def _log_one_plus(exponents: Tensor, chosen: Tensor) -> Tensor:
    """log(1 + sum of exp) of the chosen exponents (B, C) over the batch: (C,)."""
    zero = exponents.new_zeros(1, exponents.shape[-1])
    return torch.cat([zero, exponents.masked_fill(~chosen, -math.inf)]).logsumexp(0)


def _mean(losses: Tensor, counted: Tensor) -> Tensor:
    """The mean of those losses (B,) that count, 0 where none does."""
    return losses.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)


def _nothing(embeddings: Tensor) -> Tensor:
    return embeddings.float().sum() * 0
