"""Ways to fuse: what is missing counts for nothing, and weights are shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmft_core.contracts import (
    Backbone,
    Batch,
    DatasetInfo,
    Features,
    Processor,
    TaskContext,
    Tensors,
)
from mmft_core.engine.lone_values import use_running_statistics
from mmft_core.errors import ConfigError
from mmft_core.loading.prepared import seed_everything
from mmft_core.weights import LoadedWeights
from mmft_fusion.encoding import encode
from mmft_fusion.options import FusionClassificationOptions, FusionRegressionOptions
from mmft_fusion.tasks import (
    FusionClassification,
    FusionRegression,
    build_classification,
    build_regression,
)

WAYS = ("concat", "gated", "cross-attention", "late")


class Plain(Backbone):
    """A linear layer; its sequence is of two steps, of which the second may be masked."""

    loaded = LoadedWeights(source="random")
    processor: Processor

    def __init__(self, width: int, *, sequence: bool) -> None:
        super().__init__()
        self.width, self.sequence = width, sequence
        self.layer, self.norm = nn.Linear(3, width), nn.BatchNorm1d(width)

    def encode(self, inputs: Tensors) -> Features:
        pooled = self.norm(self.layer(inputs["x"]))
        if not self.sequence:
            return Features(pooled)
        mask = torch.tensor([True, False]).expand(len(pooled), 2)
        return Features(pooled, torch.stack([pooled, 9 * pooled], dim=1), mask)

    def layers(self) -> list[nn.Module]:
        return [self]


def task(way: str, **more: Any) -> FusionClassification:
    seed_everything(0)
    backbones = {"image": Plain(8, sequence=True), "text": Plain(16, sequence=False)}
    options = FusionClassificationOptions(fusion=way, width=32, **more)  # type: ignore[arg-type]
    context = TaskContext(backbones=backbones, info=DatasetInfo(name="", classes=("a", "b", "c")))
    return build_classification(options, context)


def batch(image: Tensor, text: Tensor, present: Mapping[str, list[bool]] | None = None) -> Batch:
    """A batch of samples; of each modality the rows that are there."""
    masks = {m: torch.tensor(mask) for m, mask in (present or {}).items()}
    whole = {"image": {"x": image}, "text": {"x": text}}
    inputs = {m: {"x": t["x"][masks[m]] if m in masks else t["x"]} for m, t in whole.items()}
    inputs = {m: t for m, t in inputs.items() if len(t["x"])}
    return Batch(
        inputs, torch.zeros(len(image), dtype=torch.int64), list("abcd")[: len(image)], masks
    )


@pytest.mark.parametrize("way", WAYS)
def test_what_a_sample_has_decides_wherever_it_stands_in_a_batch(way: str) -> None:
    """Alone or among others, and whatever the missing one would have been."""
    model, image, text = task(way).eval(), torch.randn(4, 3), torch.randn(4, 3)
    image_there, text_there = [True, False, True, True], [True, True, False, True]
    with torch.no_grad():
        mixed = model(batch(image, text, {"image": image_there, "text": text_there}))
        whole = model(batch(image, text)).predictions
        only_text = model(batch(image, text, {"image": [False] * 4})).predictions
        only_image = model(batch(image, text, {"text": [False] * 4})).predictions
    wanted = torch.stack([whole[0], only_text[1], only_image[2], whole[3]])
    torch.testing.assert_close(mixed.predictions, wanted)
    assert not torch.allclose(only_text[1], whole[1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 4])
def test_all_of_it_learns_and_a_batch_may_be_of_one(way: str, count: int) -> None:
    model = task(way).train()
    use_running_statistics(model, lambda text: None)  # As the engine does.
    loss = model(batch(torch.randn(count, 3), torch.randn(count, 3))).loss
    loss.backward()
    assert torch.isfinite(loss)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    if count > 1:
        assert all(gradients[f"backbones.{m}.layer.weight"].any() for m in model.backbones)


def test_gates_are_shares_and_a_missing_modality_has_none() -> None:
    model, image, text = task("gated").eval(), torch.randn(4, 3), torch.randn(4, 3)
    with torch.no_grad():
        scalars = model(batch(image, text, {"image": [True, False, True, False]})).scalars
    assert set(scalars) == {"modality-weight/image", "modality-weight/text"}
    torch.testing.assert_close(sum(scalars.values()), torch.ones(4))
    shares = scalars["modality-weight/image"]
    assert shares[[1, 3]].eq(0).all() and shares[[0, 2]].gt(0).all()
    assert not task("concat").eval()(batch(image, text)).scalars


def test_modality_dropout_is_for_training_and_leaves_one() -> None:
    model, image, text = task("concat"), torch.randn(4, 3), torch.randn(4, 3)
    some = batch(image, text, {"image": [True, False, True, True]})
    model.train()
    dropped = 0
    for _ in range(50):
        found = encode(model, some, dropout=0.7)
        held = torch.stack([one.present for one in found.values()], dim=1)
        assert held.any(1).all(), "a sample has lost all"
        assert not held[1, 0] and held[1, 1], "what was not there is there, or the last one is gone"
        dropped += int((~held).sum()) - 1
    assert dropped > 50
    found = encode(model.eval(), some, dropout=0.7)
    assert found["text"].present.all()


def test_numbers_are_learned_in_their_own_unit() -> None:
    """From a constant far from zero a network that says nothing yet is right by its mean."""
    backbones = {"image": Plain(8, sequence=True)}
    info = DatasetInfo(name="", target_scale=(5000.0, 10.0))
    model = build_regression(
        FusionRegressionOptions(width=8), TaskContext(backbones=backbones, info=info)
    )
    assert isinstance(model, FusionRegression)
    with torch.no_grad():
        for parameter in model.fusion.parameters():
            parameter.zero_()
        targets = torch.tensor([5010.0, 4990.0, 5000.0])
        outputs = model.eval()(Batch({"image": {"x": torch.randn(3, 3)}}, targets, list("abc")))
    torch.testing.assert_close(outputs.predictions, torch.full((3,), 5000.0))
    assert float(outputs.loss) == pytest.approx(2 / 3)
    assert model.decode(outputs.predictions)[0] == {"value": 5000.0}


@pytest.mark.parametrize("target", ["much", None, float("nan"), "inf"])
def test_what_is_no_number_is_no_target(target: Any) -> None:
    model = build_regression(
        FusionRegressionOptions(width=8),
        TaskContext(backbones={"image": Plain(8, sequence=False)}, info=DatasetInfo(name="")),
    )
    assert model.codec.encode(" 3.5 ") == 3.5
    with pytest.raises(ValueError, match="is not a finite number"):
        model.codec.encode(target)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"task\.heads = 5 does not divide task\.width = 32"):
        task("cross-attention", heads=5)


@pytest.mark.parametrize("way", WAYS)
def test_each_modality_is_listened_to_alone_unless_it_is_not_there(way: str) -> None:
    image, text = torch.randn(4, 3), torch.randn(4, 3)
    whole = batch(image, text)
    some = batch(image, text, {"image": [False] * 4})
    model, plain = task(way, modality_dropout=0.0), task(way, modality_dropout=0.0, alone=0.0)
    for one in (whole, some):
        loss = model.train()(one).loss
        loss.backward()
        assert torch.isfinite(loss)
        with torch.no_grad():
            assert torch.isfinite(model.eval()(one).loss)
    heads = len(model.fusion.alone)
    assert heads == (0 if way == "late" else 2) and not plain.fusion.alone
