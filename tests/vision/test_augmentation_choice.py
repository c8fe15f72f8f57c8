"""How training pictures are changed where nobody says: by classes, weights and epochs."""

from __future__ import annotations

import pytest
from torch import nn

from mmft_core.config import EngineConfig
from mmft_core.contracts import BackboneContext, DatasetInfo
from mmft_core.weights import LoadedWeights, WeightsRequest
from mmft_vision.options import ImageBackboneOptions
from mmft_vision.parts import ImageBackbone, may_be_mirrored


@pytest.mark.parametrize(
    ("classes", "allowed"),
    [
        ((), True),
        (("cat", "dog"), True),
        (("0", "1", "10"), False),
        (("a", "b", "é", "と", "space"), False),
        (("turn left", "turn right", "stop"), False),
        (("Left-hand", "Right-hand"), False),
        (("left-handed", "right of way"), True),
        (("bright", "leftover"), True),
    ],
)
def test_class_names_tell(classes: tuple[str, ...], allowed: bool) -> None:
    assert may_be_mirrored(classes) is allowed


def build(
    options: ImageBackboneOptions,
    classes: tuple[str, ...] = (),
    epochs: float | None = None,
    source: str = "random",
) -> ImageBackbone:
    context = BackboneContext(
        weights=WeightsRequest("none"),
        info=DatasetInfo(name="pictures", classes=classes),
        epochs=epochs,
    )
    body = nn.Conv2d(3, 4, 3)
    return ImageBackbone(body, options, context, loaded=LoadedWeights(source=source))


@pytest.mark.parametrize(
    ("given", "classes", "expected"),
    [(None, ("7", "8"), False), (True, ("7", "8"), True), (None, ("cat", "dog"), True)],
)
def test_pictures_are_mirrored_by_the_classes(
    given: bool | None, classes: tuple[str, ...], expected: bool
) -> None:
    backbone = build(ImageBackboneOptions(flip=given, image_size=32), classes)
    assert backbone.fitted_options.flip is expected
    assert backbone.processor.augment is not None
    steps = backbone.processor.augment.transforms
    assert any("Flip" in type(step).__name__ for step in steps) is expected


@pytest.mark.parametrize(
    ("epochs", "source", "expected"),
    [
        (1, "random", "none"),
        (5, "random", "light"),
        (1, "published", "light"),
        (0.2, "random", "none"),
    ],
)
def test_few_epochs_from_random_weights_change_no_pictures(
    epochs: float, source: str, expected: str
) -> None:
    backbone = build(ImageBackboneOptions(image_size=32), epochs=epochs, source=source)
    assert backbone.fitted_options.augment == expected
    assert (backbone.processor.augment is None) is (expected == "none")
    asked = build(ImageBackboneOptions(augment="light", image_size=32), epochs=epochs)
    assert asked.processor.augment is not None


def test_steps_count_as_epochs() -> None:
    assert EngineConfig(epochs=7).passes(100) == 7
    assert EngineConfig(steps=50, batch_size=8, gradient_accumulation_steps=2).passes(400) == 2
