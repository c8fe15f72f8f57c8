"""Each way to fuse as a graph, of samples that have all modalities and such that lack some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch

from mmft_core.contracts import Batch, DatasetInfo, TaskContext
from mmft_fusion.options import FusionClassificationOptions
from mmft_fusion.tasks import build_classification
from mmft_text.backbone import TransformersText
from tests.export.tools import check_any_batch
from tests.text.tools import TEXTS, make_backbone

LACKING = {3: "note", 4: "text", 5: "note"}
"""What some of the samples lack; the first three, which graphs are traced with, lack nothing."""

WAYS = ("concat", "gated", "cross-attention", "late")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_layer")]


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_fuses_what_there_is(way: str) -> None:
    check(way, {"text": make_backbone("minilm"), "note": make_backbone("minilm", seed=1)})


def test_a_graph_of_one_modality() -> None:
    check("concat", {"text": make_backbone("minilm")})


def check(way: str, backbones: Mapping[str, TransformersText]) -> None:
    options = FusionClassificationOptions(fusion=way, width=32)  # type: ignore[arg-type]
    info = DatasetInfo(name="some", classes=("a", "b", "c"))
    task = build_classification(options, TaskContext(backbones=dict(backbones), info=info))
    with torch.no_grad():  # Else what stands for a missing modality is still nothing.
        for parameter in task.parameters():
            parameter += 0.05 * torch.randn_like(parameter)

    def some(chosen: Sequence[int]) -> Batch:
        present, inputs = {}, {}
        for modality, backbone in backbones.items():
            there = [len(backbones) == 1 or LACKING.get(n) != modality for n in chosen]
            # Notes are of other lengths than the texts beside them.
            texts = [TEXTS[n] if modality == "text" else TEXTS[-1 - n] for n in chosen]
            held = [t for t, here in zip(texts, there, strict=True) if here]
            if not all(there):
                present[modality] = torch.tensor(there)
            if held:
                processor = backbone.processor
                prepared = [processor.prepare(text, train=False) for text in held]
                inputs[modality] = processor.collate(prepared)
        return Batch(inputs, None, list(map(str, chosen)), present)

    check_any_batch(task, some, [(0,), (2, 3, 0, 4, 1), (4,), (3, 5)])
