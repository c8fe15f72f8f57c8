"""torchvision's detectors as backbones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision.models.detection as zoo
from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model_weights
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d

from mmft_core.contracts import BackboneContext, Features, Tensors, map_tensors
from mmft_core.errors import WeightsError
from mmft_core.weights import StateDict, ensure_reachable, fill, read_weights
from mmft_detection.detector import DetectionProcessor, Detector, Found
from mmft_detection.options import TorchvisionDetectorOptions
from mmft_vision.pixel_range import fitted, with_range

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Family:
    """What differs from detector to detector.

    Attributes:
        make: builds it with random weights, for a number of outputs.
        classes: prefixes of the parameters that differ with the number of classes.
        width: of its coarsest feature map.
        two_stage: whether regions are proposed first, as Faster R-CNN does.
        background: whether output 0 stands for no object.
        stretch: see `DetectionProcessor`.
        mean, std: of the pixels that it was trained with, 0 to 1.
        eps: of its normalization when it is frozen, as the published weights need it.
        published: torchvision's name of it; empty where there are no published weights.
    """

    make: Callable[[int], nn.Module]
    classes: tuple[str, ...]
    width: int = 256
    two_stage: bool = False
    background: bool = False
    stretch: bool = False
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    eps: float | None = None
    published: str = ""


class TorchvisionDetector(Detector):
    """A detector of torchvision. Its `body` keeps the published names."""

    published = "body"
    no_graph = (
        "it drops overlapping boxes picture by picture, so pictures have different numbers of "
        "boxes, and a graph has tensors of one shape"
    )

    def __init__(self, body: Any, family: Family, options: TorchvisionDetectorOptions) -> None:
        super().__init__()
        size = options.image_size
        # It normalizes; pictures already have the size to which it would scale them.
        body.transform = GeneralizedRCNNTransform(
            size, size, family.mean, family.std, fixed_size=(size, size)
        )
        # Scores and edges of boxes need more than the 8 bits of precision that bf16 has.
        heads = (body.rpn.head, body.roi_heads.box_predictor) if family.two_stage else (body.head,)
        for head in heads:
            head.register_forward_hook(_in_full_precision)
        self.body, self.family, self.most = body, family, options.max_objects
        self.width = family.width

    def detect(self, inputs: Tensors, targets: Sequence[Tensors] | None) -> Found:
        images = list((inputs["pixels"].float() / 255).unbind())
        loss = None
        if targets is not None:
            with _computing_losses(self.body, learning=self.training):
                losses = self.body(images, [self._numbered(own) for own in targets])
            loss = torch.stack([value.float() for value in losses.values()]).sum()
        if self.training:
            return Found(loss)
        return Found(loss, *self._padded(self.body(images)))

    def roles(self) -> Mapping[str, Sequence[str]]:
        heads = tuple(f"body.{prefix}" for prefix in self.family.classes)
        return {
            role: [name for name in names if not f"{name}.".startswith(heads)]
            for role, names in super().roles().items()
        }

    def _numbered(self, target: Tensors) -> Tensors:
        """A target with the network's own numbers of classes."""
        return {"boxes": target["boxes"], "labels": target["labels"] + int(self.family.background)}

    def _padded(self, found: Sequence[Tensors]) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and labels of the surest objects, with zeros behind the last."""
        boxes = found[0]["boxes"].new_zeros(len(found), self.most, 4)
        scores = boxes.new_zeros(len(found), self.most)
        labels = torch.zeros_like(scores, dtype=torch.int64)
        for row, own in enumerate(found):
            best = own["scores"].float().argsort(descending=True, stable=True)[: self.most]
            boxes[row, : len(best)] = own["boxes"][best]
            scores[row, : len(best)] = own["scores"][best].to(scores.dtype)
            labels[row, : len(best)] = own["labels"][best] - int(self.family.background)
        return boxes, scores, labels

    def encode(self, inputs: Tensors) -> Features:
        """Give the mean of the coarsest feature map, and what the first head says of each place."""
        images = list((inputs["pixels"].float() / 255).unbind())
        maps = list(self.body.backbone(self.body.transform(images)[0].tensors).values())
        if self.family.two_stage:
            objectness, deltas = self.body.rpn.head(maps)
            outputs = [*map(_places, zip(objectness, deltas, strict=True))]
            sequence = torch.cat(outputs, 1)
        else:
            sequence = torch.cat([*self.body.head(maps).values()], -1)
        return Features(maps[-1].mean((2, 3)), sequence)

    def layers(self) -> Sequence[nn.Module]:
        stages = list(_stages(self.body.backbone))
        heads = [child for name, child in self.body.named_children() if name not in _NO_LAYERS]
        return [*stages, nn.ModuleList(heads)]


_NO_LAYERS = ("backbone", "transform", "anchor_generator")


def _in_full_precision(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    return map_tensors(outputs, Tensor.float)


def _places(pair: tuple[Tensor, Tensor]) -> Tensor:
    """Objectness (B, A, H, W) and deltas (B, 4A, H, W) as (B, H * W, 5A)."""
    return torch.cat(pair, 1).flatten(2).transpose(1, 2)


def _stages(backbone: nn.Module) -> Iterator[nn.Module]:
    """The parts of a network with a pyramid, from the input on."""
    for child in backbone.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict) or hasattr(child, "return_layers"):
            yield from child.children() if isinstance(child, nn.ModuleList) else child.values()
        else:
            yield child


@contextmanager
def _computing_losses(body: Any, *, learning: bool) -> Iterator[None]:
    """Let a detector compute losses even if it, or a part of it, is in evaluation mode.

    Its norms stay in their mode. In evaluation, what it samples at random is always the same.
    """
    parts = [body, getattr(body, "rpn", None), getattr(body, "roi_heads", None)]
    resting = [part for part in parts if part is not None and not part.training]
    device = next(body.parameters()).device
    devices = [] if learning or device.type == "cpu" else [device]
    for part in resting:
        part.training = True
    try:
        with torch.random.fork_rng(devices, enabled=not learning):
            if not learning:
                torch.manual_seed(0)
            yield
    finally:
        for part in resting:
            part.training = False


def _freeze_norms(module: nn.Module, eps: float | None) -> None:
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            _freeze_norms(child, eps)
            continue
        frozen = FrozenBatchNorm2d(child.num_features, child.eps if eps is None else eps)
        state = {k: v for k, v in child.state_dict().items() if k in frozen.state_dict()}
        frozen.load_state_dict(state)
        setattr(module, name, frozen)


class _TinyNetwork(nn.Module):
    """Convolutions with a pyramid of three maps, of 1/8, 1/16 and 1/32 of the picture's side."""

    out_channels = 64

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_block(3, 24, 2), _block(24, 48, 2), _block(48, 48, 1)),
                nn.Sequential(_block(48, 96, 2), _block(96, 96, 1)),
                nn.Sequential(_block(96, 128, 2), _block(128, 128, 1)),
                nn.Sequential(_block(128, 128, 2)),
            ]
        )
        self.fpn = FeaturePyramidNetwork([96, 128, 128], self.out_channels)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = OrderedDict()
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number:
                maps[str(number)] = x
        return self.fpn(maps)  # type: ignore[no-any-return]


def _block(channels: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


def _tiny(num_classes: int) -> nn.Module:
    sizes = tuple((side, side * 1.26, side * 1.59) for side in (16, 32, 64))
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3)
    network = _TinyNetwork()
    head = RetinaNetHead(network.out_channels, 9, num_classes, partial(nn.GroupNorm, 8))
    return zoo.RetinaNet(network, num_classes, anchor_generator=anchors, head=head)


def _of_zoo(name: str, **arguments: Any) -> Callable[[int], nn.Module]:
    def make(num_classes: int) -> nn.Module:
        body: nn.Module = getattr(zoo, name)(
            weights=None, weights_backbone=None, num_classes=num_classes, **arguments
        )
        return body.requires_grad_(True)  # The run decides what is trained.

    return make


def _build(
    family: Family, options: TorchvisionDetectorOptions, context: BackboneContext
) -> TorchvisionDetector:
    body = family.make(len(context.info.classes) + int(family.background))
    pixel_range = fitted(options.pixel_range, context)
    state, loaded = context.weights.find(
        published=partial(_published, family.published) if family.published else None,
        local=lambda path: read_weights(path, context.weights.modality),
    )
    if not family.published and context.weights.choice == "auto":
        loaded = replace(loaded, fell_back=False)
    if state is not None:
        _fill(body, state, family.classes, loaded.detail or loaded.source)
    freeze = options.freeze_norm
    if freeze is None:
        freeze = loaded.source == "published"
    if freeze:
        _freeze_norms(body, family.eps)
    detector = TorchvisionDetector(body, family, options)
    detector.processor = DetectionProcessor(
        options.image_size, stretch=family.stretch, pixel_range=pixel_range
    )
    options = replace(options, freeze_norm=freeze)
    detector.fitted_options = with_range(options, pixel_range) or options
    detector.loaded = loaded
    if state is not None:
        detector.fresh = tuple(f"body.{prefix.rstrip('.')}" for prefix in family.classes)
    return detector


def _fill(body: nn.Module, state: StateDict, classes: tuple[str, ...], source: str) -> None:
    """Load weights; the layers of other classes stay random, and norms may lack their counter.

    Raises:
        WeightsError: they do not fit.
    """
    own = body.state_dict()
    state = {name.removeprefix("body."): tensor for name, tensor in state.items()}
    given = {
        name: tensor
        for name, tensor in state.items()
        if not (name.startswith(classes) and tensor.shape != own[name].shape)
    }
    kept = {
        name: tensor
        for name, tensor in own.items()
        if name not in given and (name.startswith(classes) or name.endswith("num_batches_tracked"))
    }
    fill(body, {**kept, **given}, source)


def _published(name: str) -> tuple[Mapping[str, Tensor], str]:
    """Load torchvision's weights for COCO, from its cache or by download.

    Raises:
        WeightsError: they are not in the cache and cannot be downloaded.
    """
    weights: WeightsEnum = get_model_weights(name).DEFAULT
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not cached.exists():
        ensure_reachable(weights.url)
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{weights.url} cannot be loaded: {error}.") from None
    return state, f"torchvision {weights}"


_FAMILIES = {
    "tiny": Family(_tiny, ("head.classification_head.cls_logits.",), width=64),
    "retinanet_resnet50_fpn": Family(
        _of_zoo("retinanet_resnet50_fpn"), ("head.classification_head.cls_logits.",), eps=0.0
    ),
    "fcos_resnet50_fpn": Family(
        _of_zoo("fcos_resnet50_fpn", score_thresh=0.05), ("head.classification_head.cls_logits.",)
    ),
    "ssdlite320_mobilenet_v3_large": Family(
        _of_zoo("ssdlite320_mobilenet_v3_large"),
        ("head.classification_head.",),
        width=128,
        background=True,
        stretch=True,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
    "fasterrcnn_resnet50_fpn": Family(
        _of_zoo("fasterrcnn_resnet50_fpn"),
        ("roi_heads.box_predictor.",),
        two_stage=True,
        background=True,
        eps=0.0,
    ),
}


def _builder(name: str) -> Callable[..., TorchvisionDetector]:
    family = _FAMILIES[name]
    return partial(_build, family if name == "tiny" else replace(family, published=name))


build_retinanet_tiny = _builder("tiny")
build_retinanet_resnet50_fpn = _builder("retinanet_resnet50_fpn")
build_fcos_resnet50_fpn = _builder("fcos_resnet50_fpn")
build_ssdlite320_mobilenet_v3_large = _builder("ssdlite320_mobilenet_v3_large")
build_fasterrcnn_resnet50_fpn = _builder("fasterrcnn_resnet50_fpn")
