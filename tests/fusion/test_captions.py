"""A caption is of its own input, whatever else is in the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmft_core.contracts import Batch
from mmft_fusion.captioning import Captioning
from mmft_fusion.options import CaptioningOptions
from tests.export.test_generators import shaken
from tests.text.tools import TEXTS, collated, make_backbone

WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"num_beams": 3},
    {"repetition_penalty": 1.5, "no_repeat_ngram": 2},
    {"sample": True},
    {"sample": True, "num_beams": 2},
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way) or "greedy")
@torch.no_grad()
def test_captions_alone_and_in_a_batch(way: dict[str, Any]) -> None:
    reader = shaken(make_backbone("minilm", seed=1))
    options = CaptioningOptions(prefix_length=4, heads=2, max_new_tokens=8, **way)
    backbones = {"text-read": reader, "text": shaken(make_backbone("gpt2"))}
    torch.manual_seed(0)
    task = Captioning("text-read", backbones, options).eval()
    for parameter in (*task.projection.parameters(), *task.resampler.parameters()):
        parameter += 0.2 * torch.randn_like(parameter)  # So that inputs have unlike captions.

    def captions(*chosen: int) -> list[str]:
        inputs = {"text-read": collated(reader, [TEXTS[i] for i in chosen])}
        written: list[str] = task(Batch(inputs=inputs, targets=None, ids=[])).predictions
        return written

    together = captions(0, 1, 2, 3, 4)
    assert [captions(i)[0] for i in range(5)] == together
    assert captions(4, 2, 0) == [together[i] for i in (4, 2, 0)]
    assert len(set(together)) > 1
