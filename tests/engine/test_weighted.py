"""A loss that is a mean over tokens rather than samples, and batches of like sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmft_core.config.engine_config import EngineConfig
from mmft_core.contracts import Batch, NoTargets, Outputs, Sample, Split, Task
from mmft_core.engine.device import make_accelerator
from mmft_core.engine.loop import Engine
from mmft_core.engine.monitor import Monitor
from mmft_core.loading.prepared import PreparedSplit
from tests.engine.toy import Jitter, Layered, Recorder, recipe

LENGTHS = [1, 9, 2, 7, 3, 8, 1, 5, 6, 4, 2, 9]


class Texts(Split):
    """Texts of so many tokens each, which here is all that is known of them."""

    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, index: int) -> Sample:
        return Sample({"point": (float(LENGTHS[index]), 1.0)}, None, f"text {index}")

    def sizes(self) -> Sequence[int]:
        return LENGTHS


class Still(Jitter):
    """Without noise, so that only the order of samples matters."""

    def prepare(self, raw, *, train):
        return {"values": torch.tensor(raw)}


class TokenMean(Task):
    """Its loss is the mean over tokens, each text having as many as its first number says."""

    def __init__(self) -> None:
        super().__init__()
        backbone = Layered()
        backbone.blocks = nn.ModuleList([nn.Linear(2, 8)])
        backbone.processor = Still()
        self.backbones = nn.ModuleDict({"point": backbone})
        self.codec = NoTargets()
        self.head = nn.Linear(8, 1)
        self.batches: list[list[float]] = []

    def weight(self, batch: Batch) -> int:
        return int(_lengths(batch).sum())

    def forward(self, batch: Batch) -> Outputs:
        lengths = _lengths(batch)
        self.batches.append(lengths.tolist())
        pooled = self.backbone("point").encode(batch.inputs["point"]).pooled
        losses = (self.head(pooled)[:, 0] - 3).square()
        return Outputs((losses * lengths).sum() / lengths.sum(), losses.detach())

    def decode(self, predictions, top_k=1):
        return [{"loss": float(p)} for p in predictions]


def _lengths(batch: Batch) -> Tensor:
    return batch.inputs["point"]["values"][:, 0]


def engine(folder: Path, **settings) -> Engine:
    config = EngineConfig(
        steps=1, device="cpu", precision="fp32", workers=0, optimizer="sgd", **settings
    )
    torch.manual_seed(0)
    task = TokenMean()
    data = PreparedSplit(Texts(), task.processors, task.codec, train=True)
    return Engine(
        task,
        data,
        data,
        recipe(config),
        metrics={},
        monitor=Monitor(name="loss", higher_is_better=False),
        accelerator=make_accelerator(config),
        folder=folder,
        callback=Recorder(),
    )


@pytest.mark.parametrize("batch_size, accumulate", [(6, 2), (4, 3), (5, 3), (1, 12)])
def test_accumulation_weighs_every_token_alike(tmp_path: Path, batch_size, accumulate) -> None:
    whole = engine(tmp_path / "whole", batch_size=12)
    parts = engine(
        tmp_path / "parts", batch_size=batch_size, gradient_accumulation_steps=accumulate
    )
    for made in (whole, parts):
        made.fit()
    assert len(parts.state.task.batches) > len(whole.state.task.batches)
    for name, value in whole.state.task.state_dict().items():
        torch.testing.assert_close(parts.state.task.state_dict()[name], value)
    (one,), (other,) = whole.callback.steps, parts.callback.steps
    assert one.loss == pytest.approx(other.loss)


def test_the_loss_of_an_evaluation_is_the_mean_over_tokens(tmp_path: Path) -> None:
    made = engine(tmp_path, batch_size=5)
    evaluation = made.evaluate(made.train, "all")
    task, expected, tokens = made.state.eval_model.eval(), 0.0, 0
    for i, length in enumerate(LENGTHS):
        batch = made.train.collate([made.train[(0, i)]]).batch
        expected += float(task(batch).loss) * length
        tokens += length
    assert evaluation.loss == pytest.approx(expected / tokens, rel=1e-5)
    assert evaluation.samples == len(LENGTHS)


def test_samples_of_like_sizes_share_a_batch(tmp_path: Path) -> None:
    made = engine(tmp_path, batch_size=3)
    made.fit()
    evaluated = made.state.task.batches[1:]
    assert [max(b) - min(b) for b in evaluated] == [1, 2, 2, 1]
    assert [length for batch in evaluated for length in batch] == sorted(LENGTHS, reverse=True)
