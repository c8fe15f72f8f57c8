"""A backbone of each family as a graph: traced with three samples, it is right for others too.

Those that `test_tasks.py` exports in runs are not here: ResNet, MiniLM (BERT), GPT-2, wav2vec 2.0,
Whisper and the networks for columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from mmft_core import BackboneSpec, TaskSpec, discover
from mmft_core.config.options import convert
from mmft_core.contracts import Backbone, BackboneContext, Batch, DatasetInfo, Task, TaskContext
from mmft_core.loading.prepared import seed_everything
from mmft_core.weights import WeightsRequest
from tests.audio.networks import Recordings
from tests.audio.networks import make_backbone as make_audio
from tests.export.tools import check_any_batch
from tests.text.tools import TEXTS
from tests.text.tools import make_backbone as make_text

OTHERS = ((0,), (4, 1, 0, 2, 3), (3, 2))
"""Batches of other sizes, and of other lengths where inputs have one."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_layers")]


def classifier(name: str, modality: str, backbone: Backbone) -> Task:
    component = discover().get(TaskSpec, name)
    info = DatasetInfo(name="some", classes=("a", "b", "c"))
    context = TaskContext(backbones={modality: backbone}, info=info)
    task = component.build(convert({}, component.options_type(), "task"), context)
    assert isinstance(task, Task)
    with torch.no_grad():  # Else the classes of a new head are all but equally probable.
        for parameter in task.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return task


def batch(modality: str, backbone: Backbone, raw: Sequence[object]) -> Batch:
    processor = backbone.processor
    inputs = processor.collate([processor.prepare(one, train=False) for one in raw])
    return Batch({modality: inputs}, None, [str(number) for number in range(len(raw))])


@pytest.mark.usefixtures("narrow_pictures")
@pytest.mark.parametrize(
    "name", ["convnext-tiny", "efficientnet-b0", "mobilenet-v3-large", "swin-t", "vit-b-16"]
)
def test_pictures(name: str) -> None:
    component = discover().get(BackboneSpec, name)
    info = DatasetInfo(name="pictures")
    context = BackboneContext(weights=WeightsRequest("none", "image"), info=info)
    seed_everything(0)
    options = convert({"image_size": 32}, component.options_type(), "backbone")
    backbone = component.build(options, context)
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)

    def some(chosen: Sequence[int]) -> Batch:
        return Batch({"image": {"pixels": pixels[list(chosen)]}}, None, list(map(str, chosen)))

    check_any_batch(classifier("image-cls", "image", backbone), some, OTHERS)


@pytest.mark.parametrize(
    "name", ["distilbert", "roberta-base", "modernbert-base", "t5-small", "bart-base"]
)
def test_texts(name: str) -> None:
    backbone = make_text(name)
    task = classifier("text-cls", "text", backbone)
    check_any_batch(task, lambda c: batch("text", backbone, [TEXTS[i] for i in c]), OTHERS)


@pytest.mark.parametrize("name", ["ast-base", "hubert-large"])
def test_recordings(name: str, tmp_path: Path) -> None:
    split = Recordings(tmp_path, [1.3, 2.1, 0.9, 0.5, 1.7], list("abcde"))
    backbone = make_audio(name, split, needs=("pooled",))
    task = classifier("audio-cls", "audio", backbone)
    check_any_batch(task, lambda c: batch("audio", backbone, [split.raw(i) for i in c]), OTHERS)
