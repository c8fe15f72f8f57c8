"""Image retrieval: pictures of one class lie close together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from mmft_core.contracts import TaskContext
from mmft_retrieval import losses
from mmft_retrieval.task import ClassRetrieval
from mmft_vision.options import ImageRetrievalOptions

_MARGINS = {"triplet": 0.2, "arcface": 0.5, "proxy": 0.1}
_SCALES = {"arcface": 30.0, "proxy": 32.0}


def build(options: ImageRetrievalOptions, context: TaskContext) -> ClassRetrieval:
    """Build the task on the image backbone."""
    backbone = context.backbones["image"]
    classes = context.info.classes
    width = options.dim or backbone.width
    compares = options.loss in ("supcon", "triplet")
    return ClassRetrieval(
        "image",
        backbone,
        classes,
        _loss(options, len(classes), width),
        dim=options.dim,
        group_size=options.group_size if compares else 1,
    )


def _loss(
    options: ImageRetrievalOptions, classes: int, width: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """The chosen loss. Unset options are as in its paper, except ArcFace's scale, which suits fewer
    classes."""
    margin = _MARGINS.get(options.loss, 0.0) if options.margin is None else options.margin
    scale = _SCALES.get(options.loss, 1.0) if options.scale is None else options.scale
    if options.loss == "supcon":
        return partial(losses.supervised_contrastive, temperature=options.temperature)
    if options.loss == "triplet":
        return partial(losses.batch_hard_triplet, margin=margin)
    proxies = losses.ArcFace if options.loss == "arcface" else losses.ProxyAnchor
    return proxies(classes, width, margin, scale)
