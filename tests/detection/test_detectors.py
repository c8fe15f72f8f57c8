"""Detectors: their losses, their gradients, their boxes in pixels; and the task's codec."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from PIL import Image

from mmft_core.contracts import BackboneContext, Batch, DatasetInfo, TaskContext
from mmft_core.errors import ConfigError, IncompatibleError
from mmft_core.loading.prepared import PreparedSplit, seed_processors
from mmft_core.weights import WeightsRequest
from mmft_detection import torchvision_detectors, transformers_detectors
from mmft_detection.boxes import fault_of
from mmft_detection.codec import BoxCodec
from mmft_detection.detector import DetectionProcessor
from mmft_detection.options import (
    DetectionOptions,
    TorchvisionDetectorOptions,
    TransformersDetectorOptions,
)
from mmft_detection.task import Detection
from tests.detection.tools import scenes

CONTEXT = BackboneContext(
    weights=WeightsRequest("none", "image"), info=DatasetInfo(name="", classes=("a", "b", "c"))
)
TARGETS = [
    {"boxes": torch.tensor([[10.0, 10, 50, 60], [0, 0, 20, 20]]), "labels": torch.tensor([1, 2])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
]


def pixels() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {"pixels": torch.randint(256, (2, 3, 96, 96), generator=draw, dtype=torch.uint8)}


def torchvision_detector(name: str, **options):
    torch.manual_seed(0)
    build = getattr(torchvision_detectors, f"build_{name}")
    return build(TorchvisionDetectorOptions(image_size=96, **options), CONTEXT)


def transformers_detector(name: str, side: int = 96, size: str = "tiny"):
    torch.manual_seed(0)
    build = getattr(transformers_detectors, f"build_{name}")
    return build(TransformersDetectorOptions(image_size=side, size=size), CONTEXT)


@pytest.mark.parametrize(
    "name",
    [
        "ssdlite320_mobilenet_v3_large",
        pytest.param("retinanet_resnet50_fpn", marks=pytest.mark.slow),
        pytest.param("fcos_resnet50_fpn", marks=pytest.mark.slow),
        pytest.param("fasterrcnn_resnet50_fpn", marks=pytest.mark.slow),
        "rt_detr_r18",
        "d_fine_l",
    ],
)
def test_a_loss_reaches_every_parameter_and_evaluation_repeats_itself(name: str) -> None:
    of_torchvision = hasattr(torchvision_detectors, f"build_{name}")
    detector = (torchvision_detector if of_torchvision else transformers_detector)(name)
    trained = [p for p in detector.parameters() if p.requires_grad]
    loss = detector.train().detect(pixels(), TARGETS).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(parameter.grad is not None for parameter in trained)
    detector.eval()
    with torch.no_grad():
        first, second = (detector.detect(pixels(), TARGETS) for _ in range(2))
        alone = detector.detect(pixels(), None)
    assert first.loss == second.loss
    assert alone.loss is None
    for one, other in zip(
        (first.boxes, first.scores, first.labels),
        (alone.boxes, alone.scores, alone.labels),
        strict=True,
    ):
        assert torch.equal(one, other), "predictions depend on the targets"
    assert first.boxes.shape == (2, 100, 4)
    assert (first.scores.diff() <= 0).all() and first.labels.max() < 3


def test_boxes_are_those_of_torchvision_itself() -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    torch.manual_seed(0)
    reference = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    own = torchvision_detectors.build_ssdlite320_mobilenet_v3_large(
        TorchvisionDetectorOptions(image_size=320), CONTEXT
    )
    own.body.load_state_dict(reference.state_dict())
    image = scenes().splits["train"][0].inputs["image"].resize((320, 320))
    inputs = own.processor.collate([own.processor.prepare(image, train=False)])
    with torch.no_grad():
        (wanted,) = reference.eval()(list(inputs["pixels"].float() / 255))
        found = own.eval().detect(inputs, None)
    assert len(wanted["boxes"]) >= 100
    assert torch.allclose(found.boxes[0], wanted["boxes"][:100], atol=1e-3)
    assert torch.allclose(found.scores[0], wanted["scores"][:100], atol=1e-6)
    assert torch.equal(found.labels[0], wanted["labels"][:100] - 1)


def test_boxes_are_those_of_transformers_itself() -> None:
    from transformers import RTDetrImageProcessor

    own = transformers_detector("rt_detr_r18").eval()
    image = scenes().splits["train"][0].inputs["image"].resize((192, 96))
    library = RTDetrImageProcessor(size={"height": 96, "width": 96})
    given = library(images=image, return_tensors="pt")
    task = Detection(
        DetectionOptions(), TaskContext(backbones={"image": own}, info=CONTEXT.info)
    ).eval()
    inputs = own.processor.collate([own.processor.prepare(image, train=False)])
    assert torch.allclose(given["pixel_values"], inputs["pixels"] / 255, atol=0.02)
    with torch.no_grad():
        outputs = own.network(pixel_values=inputs["pixels"] / 255)
        found = task(Batch({"image": inputs}, None, ["x"])).predictions
    (wanted,) = library.post_process_object_detection(outputs, 0.0, target_sizes=[(96, 192)])
    count = min(len(wanted["scores"]), 50)
    edges = wanted["boxes"][:count].clamp(min=0).minimum(torch.tensor([192.0, 96, 192, 96]))
    assert torch.allclose(found["scores"][0, :count], wanted["scores"][:count], atol=1e-6)
    assert torch.allclose(found["boxes"][0, :count], edges, atol=1e-3)


def test_frozen_norms_compute_as_those_of_torchvision_do_in_evaluation() -> None:
    loose, frozen = (
        torchvision_detector("retinanet_tiny", freeze_norm=freeze) for freeze in (False, True)
    )
    assert frozen.fitted_options.freeze_norm is True
    with torch.no_grad():
        wanted, found = (d.eval().detect(pixels(), TARGETS) for d in (loose, frozen))
        assert found.loss == pytest.approx(float(wanted.loss), rel=1e-4)
        before = frozen.train().encode(pixels()).pooled
        assert torch.allclose(before, frozen.eval().encode(pixels()).pooled)


def test_weights_of_other_classes_are_taken_but_for_the_classes(tmp_path) -> None:
    from safetensors.torch import save_file

    other = torchvision_detectors.build_retinanet_tiny(
        TorchvisionDetectorOptions(image_size=96),
        dataclasses.replace(CONTEXT, info=DatasetInfo(name="", classes=tuple("abcdefg"))),
    )
    file = tmp_path / "w.safetensors"
    save_file({k: v.contiguous() for k, v in other.body.state_dict().items()}, file)
    context = dataclasses.replace(CONTEXT, weights=WeightsRequest(str(file), "image"))
    options = TorchvisionDetectorOptions(image_size=96)
    taken = torchvision_detectors.build_retinanet_tiny(options, context)
    assert taken.fresh == ("body.head.classification_head.cls_logits",)
    own, theirs = taken.body.state_dict(), other.body.state_dict()
    differing = [name for name in own if not torch.equal(own[name], theirs[name])]
    assert differing == [f"head.classification_head.cls_logits.{n}" for n in ("weight", "bias")]


def test_a_folder_of_transformers_is_taken_with_new_classes(tmp_path) -> None:
    other = transformers_detectors.build_rt_detr_r18(
        TransformersDetectorOptions(image_size=96, size="tiny"),
        dataclasses.replace(CONTEXT, info=DatasetInfo(name="", classes=tuple("abcdefg"))),
    )
    other.network.save_pretrained(tmp_path)
    context = dataclasses.replace(CONTEXT, weights=WeightsRequest(str(tmp_path), "image"))
    options = TransformersDetectorOptions(image_size=96)
    taken = transformers_detectors.build_hub_detector(options, context)
    assert taken.network.config.id2label == {0: "a", 1: "b", 2: "c"}
    own, theirs = taken.network.state_dict(), other.network.state_dict()
    differing = [n for n in own if own[n].shape != theirs[n].shape]
    assert differing and all("class_embed" in n or "score_head" in n for n in differing)
    assert all(torch.equal(own[n], theirs[n]) for n in own if n not in differing)


def test_a_picture_too_small_for_the_queries_is_refused() -> None:
    with pytest.raises(ConfigError, match="too small for the 300 queries") as told:
        transformers_detector("rt_detr_r18", size="published")
    assert "image_size=128" in told.value.hint


@pytest.mark.parametrize("stretch", [False, True])
def test_boxes_move_with_their_picture_and_come_back_to_its_pixels(stretch: bool) -> None:
    """A white object on black is where its box is, however the picture is changed."""
    image = Image.new("RGB", (120, 60))
    image.paste((255, 255, 255), (70, 10, 100, 50))
    target = [
        {"label": "a", "box": [70, 10, 100, 50]},
        {"label": "b", "box": [0, 0, 9, 9], "crowd": True},
    ]
    processor = DetectionProcessor(96, stretch=stretch, pixel_range=None)
    codec = BoxCodec(("a", "b"), processor, "image", DetectionOptions(augment="strong"))
    seen = set()
    for seed in range(12):
        seed_processors(seed)
        inputs, encoded = codec.prepare({"image": image}, target, train=True)
        learned = encoded["learned"]
        assert len(encoded["boxes"]) == 2, "metrics see what the data set says"
        white = inputs["image"]["pixels"].amin(0) > 128
        if len(learned["boxes"]) == 0:
            continue
        (box,) = learned["boxes"].tolist()
        rows, columns = white.any(1).nonzero().flatten(), white.any(0).nonzero().flatten()
        there = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert [float(edge) for edge in there] == pytest.approx(box, abs=2.5)
        seen.add(tuple(round(edge) for edge in box))
    assert len(seen) > 5, "it is augmented"


def test_a_task_finds_in_original_pixels_and_ranks_what_is_wrong() -> None:
    class Known(torchvision_detectors.TorchvisionDetector):
        def detect(self, inputs, targets):
            found = torch.tensor([[[0.0, 0, 48, 48], [60, 60, 200, 90]]]).repeat(2, 1, 1)
            scores, labels = torch.tensor([[0.9, 0.6]] * 2), torch.tensor([[1, 0]] * 2)
            return torchvision_detectors.Found(torch.zeros(()), found, scores, labels)

    detector = torchvision_detector("retinanet_tiny")
    detector.__class__ = Known
    context = TaskContext(backbones={"image": detector}, info=CONTEXT.info)
    task = Detection(DetectionOptions(), context).eval()
    image = Image.new("RGB", (192, 96))
    inputs, target = task.codec.prepare(
        {"image": image}, [{"label": "b", "box": [0, 0, 96, 96]}], train=False
    )
    other = {**target, "labels": torch.tensor([2])}
    batch = Batch(
        {"image": detector.processor.collate([inputs["image"]] * 2)}, [target, other], ["x", "y"]
    )
    predictions = task(batch).predictions
    record = task.decode(predictions)[0]
    assert record["objects"][0] == {"label": "b", "score": 0.9, "box": [0, 0, 96, 96]}
    assert record["objects"][1]["box"] == [120, 96, 192, 96], "cut off at the picture's edge"
    wrong = task.rank(predictions, task.targets_of(batch))["Most wrong"]
    assert wrong.tolist() == pytest.approx([1 / 3, 1])
    with pytest.raises(IncompatibleError, match="cannot be exported: it drops overlapping boxes"):
        task.graphs(batch)


def test_boxes_are_alike_in_any_order() -> None:
    context = TaskContext(
        backbones={"image": torchvision_detector("retinanet_tiny")}, info=CONTEXT.info
    )
    task = Detection(DetectionOptions(), context)
    boxes = torch.rand(1, 4, 4) * 90
    scores, labels = torch.tensor([[0.9, 0.8, 0.8, 0.0]]), torch.tensor([[0, 1, 2, 0]])
    one = {"boxes": boxes, "scores": scores, "labels": labels}
    turned = {name: tensor[:, [0, 2, 1, 3]] for name, tensor in one.items()}
    assert task.alike(one, turned) == [1.0]
    assert task.alike(one, {**one, "labels": torch.tensor([[0, 1, 1, 0]])}) == [4 / 6]
    assert task.alike(one, {**one, "boxes": boxes + 5}) == [0.0]
    assert task.alike(one, {**one, "scores": torch.zeros(1, 4)}) == [0.0]


def test_prepared_scenes_are_the_same_whenever_they_are_read() -> None:
    split = scenes().splits["train"]
    detector = torchvision_detector("retinanet_tiny")
    codec = BoxCodec(tuple("0123456789"), detector.processor, "image", DetectionOptions())
    data = PreparedSplit(split, {"image": detector.processor}, codec, train=True, seed=1)
    first, again, later = data[(0, 3)], data[(0, 3)], data[(1, 3)]
    assert torch.equal(first.inputs["image"]["pixels"], again.inputs["image"]["pixels"])
    assert not torch.equal(first.inputs["image"]["pixels"], later.inputs["image"]["pixels"])


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ((0, 0, 10, 10), None),
        ((-0.9, 0, 10, 10.5), None),
        ((0, 0, float("nan"), 1), "not a number"),
        ((5, 5, 4, 9), "inverted"),
        ((5, 5, 5, 9), "empty"),
        ((5, 5, 12, 9), "outside"),
        ((10, 0, 10.5, 9), "outside"),
    ],
)
def test_faults_of_boxes(box, told: str | None) -> None:
    fault = fault_of(box, 10, 10)
    assert (fault is None) if told is None else told in fault
