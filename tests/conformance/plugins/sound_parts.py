"""What the sound plugin builds. Broken plugins inherit from it and break one thing each."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import (
    Backbone,
    Dataset,
    DatasetInfo,
    Features,
    Metric,
    Outputs,
    Processor,
    Sample,
    Split,
    TargetCodec,
    Task,
)
from mmft_core.errors import DataError

CLASSES = ("negative", "positive")


class Padder(Processor):
    def __init__(self, noise: float) -> None:
        self.noise = noise
        self.augments = "numbers get noise"

    def prepare(self, raw, *, train):
        numbers = torch.tensor(raw)
        return {"x": numbers + self.noise * torch.randn(len(raw)) if train else numbers}

    def collate(self, items):
        rows = [item["x"] for item in items]
        lengths = torch.tensor([len(row) for row in rows])
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return {"x": padded, "mask": torch.arange(padded.shape[1]) < lengths[:, None]}


class MeanNet(Backbone):
    def __init__(self, options, context) -> None:
        super().__init__()
        self.processor = Padder(options.noise)
        self.width = options.width
        self.embed = nn.Linear(1, self.width)
        self.mix = nn.Linear(self.width, self.width)
        self.loaded = context.weights.load(self, published=None)

    def encode(self, inputs):
        sequence = self.mix(self.embed(inputs["x"][..., None]).tanh())
        mask = inputs["mask"]
        pooled = (sequence * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return Features(pooled, sequence, mask)

    def layers(self):
        return [self.embed, self.mix]


class Signs(Split):
    """Lists of numbers on one side of zero."""

    def __init__(self, name: str, indices: list[int]) -> None:
        self.name, self.indices = name, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index):
        number = self.indices[index]
        draw = random.Random(number)
        sign = 1 if number % 2 else -1
        numbers = [sign * draw.uniform(0.5, 2) for _ in range(1 + number % 5)]
        return Sample({"numbers": numbers}, CLASSES[number % 2], f"signs[{number}]")


def divided(options, context) -> dict[str, list[int]]:
    if options.path and not Path(options.path).exists():
        raise DataError(f"There is no file {options.path}.")
    order = list(range(200))
    random.Random(context.seed).shuffle(order)
    return {"train": order[:150], "val": order[150:]}


def build_signs(options, context) -> Dataset:
    parts = divided(options, context)
    return Dataset(
        info=DatasetInfo(name="signs", classes=CLASSES, synthetic=True),
        splits={name: Signs(name, indices) for name, indices in parts.items()},
    )


class SignCodec(TargetCodec):
    def encode(self, target):
        return CLASSES.index(target)

    def collate(self, targets):
        return torch.tensor(targets)


class SignTask(Task):
    reads = ("pooled",)

    def __init__(self, options, context) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(dict(context.backbones))
        self.codec = SignCodec()
        self.head = nn.Linear(self.backbone("numbers").width, len(CLASSES))

    def forward(self, batch):
        logits = self.head(self.backbone("numbers")(batch.inputs["numbers"]).pooled)
        loss = None if batch.targets is None else F.cross_entropy(logits, batch.targets)
        return Outputs(loss, None if self.training else logits.softmax(-1))

    def decode(self, predictions, top_k=1):
        return [{"label": CLASSES[i]} for i in predictions.argmax(-1).tolist()]

    def rank(self, predictions, targets):
        return {"Most wrong": 1 - predictions.gather(-1, targets[:, None]).squeeze(-1)}


class Hits(Metric):
    def __init__(self, options, context) -> None:
        self.reset()

    def reset(self):
        self.right = self.all = 0

    def update(self, predictions, targets):
        self.right += int((predictions.argmax(-1) == targets).sum())
        self.all += len(targets)

    def compute(self):
        return {"": self.right / max(1, self.all)}

    def state(self):
        return self.right, self.all

    def merge(self, state):
        self.right, self.all = self.right + state[0], self.all + state[1]
