"""A text backbone small enough to train in a second: bags of hashed words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmft_core.contracts import Backbone, Features, Preview, Processor, Sample, Split, Tensors

BUCKETS, LENGTH = 512, 12

SENTENCES = (
    "the cat sleeps on the warm stove",
    "a train leaves the station at noon",
    "bread is baked from flour and water",
    "the violin was tuned before the concert",
    "snow covers the roofs of the village",
    "two boats race across the bay",
    "the teacher wipes the blackboard clean",
    "bees carry pollen from flower to flower",
)


class Words(Processor):
    """Hashes words into buckets."""

    suffixes = (".txt",)

    def prepare(self, raw: Any, *, train: bool) -> Tensors:
        words = [1 + sum(map(ord, word)) * 7 % (BUCKETS - 1) for word in raw.split()][:LENGTH]
        return {"words": torch.tensor(words + [0] * (LENGTH - len(words)))}

    def collate(self, items: Sequence[Tensors]) -> Tensors:
        return {"words": torch.stack([item["words"] for item in items])}

    def parse(self, text: str) -> str:
        return text

    def inspect(self, raw: Any, *, train: bool = False) -> str | None:
        return f"longer than {LENGTH} words" if len(raw.split()) > LENGTH else None

    def preview(self, raw: Any) -> Preview:
        return Preview("text/plain", raw.encode())


class Bag(Backbone):
    """The mean of the words' vectors."""

    width = 16

    def __init__(self) -> None:
        super().__init__()
        self.processor = Words()
        self.vectors = nn.Embedding(BUCKETS, self.width, padding_idx=0)

    def encode(self, inputs: Tensors) -> Features:
        return Features(self.vectors(inputs["words"]).mean(1))

    def layers(self) -> Sequence[nn.Module]:
        return [self.vectors]

    def save_assets(self, folder: Path) -> None:
        pass


class Pairs(Split):
    """Sentences, each looked for in other words."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        text, query = self.pairs[index]
        return Sample({"text": text}, query, f"pairs[{index}]")


def pairs() -> Pairs:
    return Pairs([(text, " ".join(f"asked-{word}" for word in text.split())) for text in SENTENCES])
