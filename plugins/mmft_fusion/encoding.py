"""What each backbone yields for a batch: one row for each sample, there or not.

A backbone of several modalities, such as "image+text", counts as one modality here; samples then
lack none of them (`TaskSpec.partial_for`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmft_core import read_by
from mmft_core.contracts import Batch, Features, Task


@dataclass(frozen=True, slots=True)
class Encoded:
    """One modality of a batch.

    Attributes:
        pooled: (B, D), zeros where the sample lacks the modality.
        sequence: (B, T, D), or None where the backbone has none or no sample has the modality.
        mask: (B, T) bool, True where `sequence` holds something; None for everywhere.
        present: (B,) bool, which samples have the modality.
    """

    pooled: Tensor
    sequence: Tensor | None
    mask: Tensor | None
    present: Tensor


def encode(task: Task, batch: Batch, dropout: float = 0.0) -> dict[str, Encoded]:
    """Encode what is there of each modality.

    Args:
        dropout: in training, the probability with which a modality of a sample is taken for
            missing; never its last one.
    """
    device = next(task.parameters()).device
    held = {name: _held(batch, name, device) for name in task.backbones}
    kept = _dropped(held, dropout) if task.training and dropout else held
    return {m: _encoded(task, batch, m, held[m], kept[m]) for m in task.backbones}


def _held(batch: Batch, backbone: str, device: torch.device) -> Tensor:
    """(B,) bool, which samples have what a backbone reads."""
    present = [batch.present[m] for m in read_by([backbone]) if m in batch.present]
    if present:
        return torch.stack(present).all(0)
    rows = next(iter(batch.inputs_of(backbone).values()))
    # Not `len(batch)`: in a graph the size of a batch is a symbol.
    return torch.ones(rows.shape[0], dtype=torch.bool, device=device)


def _encoded(task: Task, batch: Batch, name: str, held: Tensor, kept: Tensor) -> Encoded:
    backbone = task.backbone(name)
    reads = read_by([name])
    if batch.inputs.keys().isdisjoint(reads):
        nothing = torch.zeros(len(batch), backbone.width, device=held.device)
        return Encoded(nothing, None, None, kept)
    features = backbone(batch.inputs_of(name))
    if not batch.present.keys().isdisjoint(reads):
        features = Features(
            _spread(features.pooled, held),
            None if features.sequence is None else _spread(features.sequence, held),
            None if features.mask is None else _spread(features.mask, held),
        )
    return Encoded(features.pooled, features.sequence, features.mask, kept)


def _spread(rows: Tensor, held: Tensor) -> Tensor:
    """Rows (P, ...) of the samples that are there, among zeros (B, ...) for the others.

    In a graph every sample has a row, with arbitrary values if it lacks the modality.
    """
    if rows.shape[0] == held.shape[0]:
        there = held.view(-1, *(1 for _ in rows.shape[1:]))
        return torch.where(there, rows, torch.zeros_like(rows))
    spread = rows.new_zeros(len(held), *rows.shape[1:])
    return spread.index_put((held.nonzero().squeeze(1),), rows)


def _dropped(held: dict[str, Tensor], dropout: float) -> dict[str, Tensor]:
    """What is left of each modality when some are dropped at random; of a sample at least one."""
    before = torch.stack(list(held.values()), dim=1)
    after = before & (torch.rand(before.shape, device=before.device) >= dropout)
    after = torch.where(after.any(1, keepdim=True), after, before)
    return dict(zip(held, after.unbind(1), strict=True))
