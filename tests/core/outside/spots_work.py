"""What the plugin `spots` builds."""

import json
import random

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
    Preview,
    Processor,
    Sample,
    Split,
    TargetCodec,
    Task,
)

SIDE = 6
KINDS = ("square", "round")
SIDES = ("left", "right")


class Grids(Split):
    def __init__(self, name, count, target) -> None:
        self.name, self.count, self.wanted = name, count, target

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        draw = random.Random(f"{self.name}{index}")
        grid = [[draw.uniform(0, 0.2) for _ in range(SIDE)] for _ in range(SIDE)]
        row, column = draw.randrange(SIDE), draw.randrange(SIDE)
        grid[row][column] = 1.0
        word = SIDES[column >= SIDE // 2]
        spots = [{"row": row, "column": column, "kind": KINDS[index % 3 > 1]}]
        target = spots if self.wanted == "spots" else word
        return Sample({"grid": grid, "word": word}, target, f"{self.name}[{index}]")


def build_dataset(options, context):
    sizes = {"train": 64, "val": 24, "test": 24}
    classes = SIDES if context.target == "class" else ()
    info = DatasetInfo(name="spot-grids", classes=classes, synthetic=True)
    splits = {name: Grids(name, size, context.target) for name, size in sizes.items()}
    return Dataset(info=info, splits=splits)


class GridProcessor(Processor):
    def prepare(self, raw, *, train):
        return {"cells": torch.tensor(raw)}

    def collate(self, items):
        return {"cells": torch.stack([item["cells"] for item in items])}

    def parse(self, text):
        return json.loads(text) if text.startswith("[") else None

    def preview(self, raw):
        return Preview("text/plain", b"a bare grid")


class WordProcessor(Processor):
    def prepare(self, raw, *, train):
        return {"length": torch.tensor([float(len(raw))])}

    def collate(self, items):
        return {"length": torch.stack([item["length"] for item in items])}

    def parse(self, text):
        return text


class GridNet(Backbone):
    def __init__(self, options, context) -> None:
        super().__init__()
        self.processor, self.width = GridProcessor(), SIDE * SIDE
        # A view of a larger tensor, as torchaudio's transforms register.
        self.register_buffer("window", torch.ones(2 * SIDE)[::2])
        self.mix = nn.Linear(self.width, self.width)
        self.loaded = context.weights.load(self, published=None)

    def encode(self, inputs):
        cells = inputs["cells"] * self.window
        return Features(self.mix(cells.flatten(1)))

    def layers(self):
        return [self.mix]


class GridWordNet(GridNet):
    def __init__(self, options, context) -> None:
        super().__init__(options, context)
        self.processors = {"grid": self.processor, "word": WordProcessor()}

    def encode(self, inputs):
        pooled = super().encode({"cells": inputs["grid.cells"]}).pooled
        return Features(pooled + inputs["word.length"])


class SpotCodec(TargetCodec):
    """Mirrors the grid and its spots together."""

    def __init__(self, processor, kinds) -> None:
        self.processor, self.kinds = processor, kinds

    def prepare(self, inputs, target, *, train):
        grid, spots = inputs["grid"], target
        if train and random.random() < 0.5:
            grid = [row[::-1] for row in grid]
            spots = [{**spot, "column": SIDE - 1 - spot["column"]} for spot in spots]
        prepared = {"grid": self.processor.prepare(grid, train=False)}
        return prepared, None if spots is None else self.encode(spots)

    def encode(self, target):
        (spot,) = target
        if spot["kind"] not in self.kinds:
            raise ValueError(f"its kind {spot['kind']!r} is not in train")
        return {"place": spot["row"] * SIDE + spot["column"], "spots": target}

    def collate(self, targets):
        return {
            "place": torch.tensor([t["place"] for t in targets]),
            "spots": [t["spots"] for t in targets],
        }


class SpotTask(Task):
    reads = ("pooled",)

    def __init__(self, options, context) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(dict(context.backbones))
        if context.assets is None:
            targets = map(context.train.target, range(len(context.train)))
            self.kinds = sorted({spot["kind"] for target in targets for spot in target})
        else:
            self.kinds = json.loads((context.assets / "kinds.json").read_text())
        self.codec = SpotCodec(self.backbone("grid").processor, self.kinds)
        self.register_buffer("threshold", torch.zeros(()))

    def save_assets(self, folder):
        (folder / "kinds.json").write_text(json.dumps(self.kinds))

    def targets_of(self, batch):
        return batch.targets and batch.targets["spots"]

    def forward(self, batch):
        scores = self.backbone("grid")(batch.inputs["grid"]).pooled
        loss = None
        if batch.targets is not None:
            loss = F.cross_entropy(scores, batch.targets["place"])
        probabilities = scores.softmax(-1)
        return Outputs(
            loss,
            None
            if self.training
            else {"places": probabilities, "threshold": self.threshold.expand(scores.shape[0])},
        )

    def calibrate(self, predictions, targets):
        assert len(predictions["places"]) == len(targets) == 24
        assert all(isinstance(spot, dict) for (spot,) in targets)
        self.threshold.fill_(float(predictions["places"].amax(-1).min()) * 0.9)

    def decode(self, predictions, top_k=1):
        records = []
        for places, threshold in zip(predictions["places"], predictions["threshold"], strict=True):
            found = (places > threshold).nonzero().flatten().tolist()
            spots = [{"row": p // SIDE, "column": p % SIDE} for p in found]
            records.append({"spots": spots, "threshold": round(float(threshold), 6)})
        return records

    def rank(self, predictions, targets):
        places = [spot["row"] * SIDE + spot["column"] for (spot,) in targets]
        found = predictions["places"]
        return {"Most wrong": 1 - found[torch.arange(len(places)), torch.tensor(places)]}

    def complete(self, record, inputs):
        cells = [inputs["grid"][s["row"]][s["column"]] for s in record["spots"]]
        return {**record, "brightness": [round(cell, 3) for cell in cells]}

    def show(self, inputs, record, target):
        drawn = f"drawn {record['spots']} on {len(inputs['grid'])} rows, truly {target}"
        return {"grid": Preview("text/plain", drawn.encode())}


class Hits(Metric):
    def __init__(self, options, context) -> None:
        self.reset()

    def reset(self):
        self.right, self.all = 0, 0

    def update(self, predictions, targets):
        for places, (spot,) in zip(predictions["places"], targets, strict=True):
            self.right += int(places.argmax()) == spot["row"] * SIDE + spot["column"]
            self.all += 1

    def compute(self):
        return {"": self.right / max(1, self.all)}

    def state(self):
        return self.right, self.all

    def merge(self, state):
        self.right, self.all = self.right + state[0], self.all + state[1]


def build_sides(options, context):
    return Sides(context)


class SideCodec(TargetCodec):
    def encode(self, target):
        return SIDES.index(target)

    def collate(self, targets):
        return torch.tensor(targets)


class Sides(Task):
    def __init__(self, context) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(dict(context.backbones))
        self.codec = SideCodec()
        self.head = nn.Linear(self.backbone("grid+word").width, 2)

    def forward(self, batch):
        features = self.backbone("grid+word")(batch.inputs_of("grid+word"))
        logits = self.head(features.pooled)
        loss = None if batch.targets is None else F.cross_entropy(logits, batch.targets)
        return Outputs(loss, None if self.training else logits.softmax(-1))

    def decode(self, predictions, top_k=1):
        return [{"label": SIDES[i]} for i in predictions.argmax(-1).tolist()]
