"""All modalities of a batch, encoded and lined up: one row for each sample, there or not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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
    held = {m: _held(batch, m, device) for m in task.backbones}
    kept = _dropped(held, dropout) if task.training and dropout else held
    return {m: _encoded(task, batch, m, held[m], kept[m]) for m in task.backbones}


def _held(batch: Batch, modality: str, device: torch.device) -> Tensor:
    """(B,) bool, which samples have the modality."""
    if modality in batch.present:
        return batch.present[modality]
    rows = next(iter(batch.inputs[modality].values()))
    # Not `len(batch)`: in a graph the size of a batch is a symbol.
    return torch.ones(rows.shape[0], dtype=torch.bool, device=device)


def _encoded(task: Task, batch: Batch, modality: str, held: Tensor, kept: Tensor) -> Encoded:
    backbone = task.backbone(modality)
    if modality not in batch.inputs:
        nothing = torch.zeros(len(batch), backbone.width, device=held.device)
        return Encoded(nothing, None, None, kept)
    features = backbone(batch.inputs[modality])
    if modality in batch.present:
        features = Features(
            _spread(features.pooled, held),
            None if features.sequence is None else _spread(features.sequence, held),
            None if features.mask is None else _spread(features.mask, held),
        )
    return Encoded(features.pooled, features.sequence, features.mask, kept)


def _spread(rows: Tensor, held: Tensor) -> Tensor:
    """Rows (P, ...) of the samples that are there, among zeros (B, ...) for the others.

    In a graph every sample has a row, whatever it holds where there is nothing.
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
