"""RT-DETR and D-FINE of transformers as backbones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert
from transformers import (
    AutoModelForObjectDetection,
    DFineConfig,
    PreTrainedConfig,
    RTDetrConfig,
    RTDetrResNetConfig,
)

from mmft_core.contracts import BackboneContext, Features, Tensors
from mmft_core.errors import ConfigError, WeightsError, first_line
from mmft_core.weights import LoadedWeights
from mmft_detection.detector import DetectionProcessor, Detector, Found
from mmft_detection.options import TransformersDetectorOptions
from mmft_transformers.checkpoints import Checkpoint, fill_from_run, find_checkpoint, make_network
from mmft_transformers.narrowing import check_weights
from mmft_transformers.quiet import quietly
from mmft_vision.pixel_range import fitted, with_range

_KNOWN = ("rt_detr", "rt_detr_v2", "d_fine")
"""Types of networks that give each query an independent score for each class."""

_BACKBONES = ("rt_detr_resnet", "hgnet_v2")
"""Types of the networks inside of them."""

_HEADS = ("class_embed", "bbox_embed", "bbox_head", "enc_output", "score_head", "lqe_layers")
"""Parts of the names of layers that take no adapters, because they compute scores and boxes."""

_CLASSES = ("class_embed", "enc_score_head")
"""Parts of the names of parameters that differ with the number of classes."""


class TransformersDetector(Detector):
    """A detector of transformers, as `network`.

    Args:
        preprocessing: the settings of its published preprocessing.
    """

    published = "network"

    def __init__(
        self,
        network: Any,
        options: TransformersDetectorOptions,
        context: BackboneContext,
        preprocessing: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.network, self.most = network, options.max_objects
        self.preprocessing = dict(preprocessing)
        self.width = network.config.d_model
        pixel_range = fitted(options.pixel_range, context)
        self.fitted_options = with_range(options, pixel_range)
        self.processor = DetectionProcessor(
            options.image_size, stretch=True, pixel_range=pixel_range
        )
        plain = not preprocessing.get("do_normalize", False)
        mean, std = (
            ((0.0,) * 3, (1.0,) * 3)
            if plain
            else (preprocessing["image_mean"], preprocessing["image_std"])
        )
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def detect(self, inputs: Tensors, targets: Sequence[Tensors] | None) -> Found:
        side = self.processor.size  # type: ignore[attr-defined]
        labels = None if targets is None else [_normalized(own, side) for own in targets]
        outputs = self._outputs(inputs, labels)
        loss = None if labels is None else outputs.loss.float()
        if self.training:
            return Found(loss)
        classes = outputs.logits.shape[-1]
        scores, best = (
            outputs.logits.float()
            .sigmoid()
            .flatten(1)
            .topk(min(self.most, outputs.logits.shape[1] * classes))
        )
        places = (best // classes).unsqueeze(-1).expand(-1, -1, 4)
        boxes = box_convert(outputs.pred_boxes.float().gather(1, places), "cxcywh", "xyxy")
        return Found(loss, boxes * side, scores, best % classes)

    def encode(self, inputs: Tensors) -> Features:
        """Give the mean of the queries' states, and the scores and box of each query."""
        outputs = self._outputs(inputs, None)
        sequence = torch.cat([outputs.logits, outputs.pred_boxes], -1)
        return Features(outputs.last_hidden_state.mean(1), sequence)

    def _outputs(self, inputs: Tensors, labels: Any) -> Any:
        assert isinstance(self.mean, Tensor) and isinstance(self.std, Tensor)
        pixels = (inputs["pixels"].float() / 255 - self.mean) / self.std
        if not torch.compiler.is_exporting():
            return self.network(pixel_values=pixels, labels=labels)
        with _batches_of_any_size(self.network):
            return self.network(pixel_values=pixels)

    def layers(self) -> Sequence[nn.Module]:
        model = self.network.model
        (backbone,) = model.backbone.children()
        own = dict(model.named_children())
        neck = [part for name, part in own.items() if name not in ("backbone", "decoder")]
        return [backbone.embedder, *backbone.encoder.stages, nn.ModuleList(neck), model.decoder]

    def roles(self) -> Mapping[str, Sequence[str]]:
        return {
            role: [name for name in names if not any(part in name for part in _HEADS)]
            for role, names in super().roles().items()
        }

    def save_assets(self, folder: Path) -> None:
        self.network.config.save_pretrained(folder)
        if self.preprocessing:
            text = json.dumps(self.preprocessing, indent=2)
            (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


@contextmanager
def _batches_of_any_size(network: Any) -> Iterator[None]:
    """Let `len` of a tensor be a symbol in the network's code, for tracing a graph.

    The library asks for the size of a batch by `len`, which Python makes a plain number, so that
    the graph would only compute batches of the size of its example.
    """
    code: Any = sys.modules[type(network).__module__]
    code.len = lambda value: value.shape[0] if isinstance(value, Tensor) else len(value)
    try:
        yield
    finally:
        del code.len


def _normalized(target: Tensors, side: int) -> Tensors:
    """A target as the library's loss takes it: centres and sizes as shares of the side."""
    boxes = box_convert(target["boxes"] / side, "xyxy", "cxcywh")
    return {"boxes": boxes, "class_labels": target["labels"]}


def _build(
    hub_id: str | None,
    config: Callable[[str], PreTrainedConfig],
    options: TransformersDetectorOptions,
    context: BackboneContext,
) -> TransformersDetector:
    weights = context.weights
    if weights.choice == "run" and context.assets is not None:
        checkpoint = Checkpoint(context.assets)
        network = make_network(AutoModelForObjectDetection, checkpoint.config(_BACKBONES))
        loaded = LoadedWeights(source="run")
        preprocessing = checkpoint.preprocessing()
    else:
        found, loaded = find_checkpoint(context, hub_id, tokenizer=False)
        preprocessing = {} if found is None else found.preprocessing()
        if found is None:
            own = _of_classes(config(options.size), context.info.classes)
            network = make_network(AutoModelForObjectDetection, own)
        elif found.run is not None:
            network = make_network(AutoModelForObjectDetection, found.config(_BACKBONES))
        else:
            network = _loaded(found, context.info.classes)
    _check_size(network.config, options.image_size)
    detector = TransformersDetector(network, options, context, preprocessing)
    if weights.choice != "run" and found is not None and found.run is not None:
        fill_from_run(detector, found.run, weights.modality)
    detector.loaded = loaded
    if loaded.source not in ("random", "run"):
        detector.fresh = tuple(
            name
            for name, _ in detector.named_modules()
            if name.endswith(_CLASSES) and "denoising" not in name
        )
    return detector


def _check_size(config: Any, side: int) -> None:
    """Raises:
    ConfigError: the feature maps have fewer places than the network has queries.
    """

    def places(side: int) -> int:
        return sum((side // stride) ** 2 for stride in config.feat_strides)

    if places(side) < config.num_queries:
        enough = next(s for s in range(side, 4096, 32) if places(s) >= config.num_queries)
        raise ConfigError(
            f"backbone.image_size = {side} is too small for the {config.num_queries} queries of "
            "this network.",
            hint=f"Give at least --set backbone.image_size={enough}.",
        )


def _of_classes(config: PreTrainedConfig, classes: Sequence[str]) -> PreTrainedConfig:
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: index for index, name in enumerate(classes)}
    return config


def _loaded(checkpoint: Checkpoint, classes: Sequence[str]) -> nn.Module:
    """A network with a checkpoint's weights; what depends on other classes is random.

    Raises:
        WeightsError: it is a network of another type, or the weights do not fit.
    """
    config = checkpoint.config(_BACKBONES)
    if config.model_type not in _KNOWN:
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type '{config.model_type}', which this "
            "backbone cannot use.",
            hint=f"Give one of type {', '.join(_KNOWN)}.",
        )
    check_weights(checkpoint.folder)
    try:
        with quietly():
            network, told = AutoModelForObjectDetection.from_pretrained(
                checkpoint.folder,
                config=_of_classes(config, classes),
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
            )
    except Exception as error:  # Files of any content may raise anything.
        raise WeightsError(
            f"The weights in {checkpoint.folder} cannot be loaded: {first_line(error)}.",
            hint="They must be safetensors; nothing else is loaded.",
        ) from None
    misfits = [*told["missing_keys"], *(key[0] for key in told["mismatched_keys"])]
    strange = [key for key in misfits if not any(part in key for part in _CLASSES)]
    if strange:
        raise WeightsError(
            f"The weights in {checkpoint.folder} do not fit its config.json: '{strange[0]}' is "
            f"missing or of another shape ({len(strange)} tensors in all)."
        )
    return network  # type: ignore[no-any-return]


_TINY: dict[str, Any] = {
    "encoder_hidden_dim": 64,
    "d_model": 64,
    "encoder_ffn_dim": 128,
    "encoder_attention_heads": 4,
    "decoder_in_channels": [64, 64, 64],
    "decoder_layers": 2,
    "decoder_ffn_dim": 128,
    "decoder_attention_heads": 4,
    "num_queries": 50,
    "hidden_expansion": 0.5,
    "freeze_backbone_batch_norms": False,
}


def _resnet(embedding: int, widths: list[int], depth: int) -> dict[str, Any]:
    network = RTDetrResNetConfig(
        embedding_size=embedding,
        hidden_sizes=widths,
        depths=[depth] * 4,
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    return {"backbone_config": network, "encoder_in_channels": widths[1:]}


def _rt_detr_r18(size: str) -> PreTrainedConfig:
    if size == "tiny":
        return RTDetrConfig(**_TINY, **_resnet(32, [32, 48, 64, 96], 1))
    return RTDetrConfig(
        **_resnet(64, [64, 128, 256, 512], 2),
        hidden_expansion=0.5,
        decoder_layers=3,
        freeze_backbone_batch_norms=False,
    )


def _rt_detr_r50(size: str) -> PreTrainedConfig:
    if size == "tiny":
        return _rt_detr_r18(size)
    return RTDetrConfig(freeze_backbone_batch_norms=False)


def _d_fine_l(size: str) -> PreTrainedConfig:
    if size == "tiny":
        network = {
            "model_type": "hgnet_v2",
            "stem_channels": [3, 16, 24],
            "stage_in_channels": [24, 32, 48, 64],
            "stage_mid_channels": [16, 16, 24, 32],
            "stage_out_channels": [32, 48, 64, 96],
            "stage_num_blocks": [1, 1, 1, 1],
            "stage_numb_of_layers": [2, 2, 2, 2],
            "hidden_sizes": [32, 48, 64, 96],
            "depths": [1, 1, 1, 1],
            "embedding_size": 24,
            "out_features": ["stage2", "stage3", "stage4"],
        }
        return DFineConfig(**_TINY, backbone_config=network, encoder_in_channels=[48, 64, 96])
    return DFineConfig(freeze_backbone_batch_norms=False)


build_rt_detr_r18 = partial(_build, "PekingU/rtdetr_r18vd", _rt_detr_r18)
build_rt_detr_r50 = partial(_build, "PekingU/rtdetr_r50vd", _rt_detr_r50)
build_d_fine_l = partial(_build, "ustc-community/dfine-large-coco", _d_fine_l)
build_hub_detector = partial(_build, None, _rt_detr_r18)
