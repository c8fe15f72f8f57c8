"""Vision-language models that chat: pictures between the words."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn
from transformers import AutoModelForImageTextToText

from mmft_chat.backbone import ChatBackbone
from mmft_chat.media_backbone import MediaChatBackbone, MediaChatBuilder
from mmft_chat.options import ChatBackboneOptions
from mmft_chat.paligemma import PaliGemmaProcessor
from mmft_core.contracts import BackboneContext
from mmft_transformers.checkpoints import Checkpoint
from mmft_transformers.network import fix_parameter


class VisionChatBackbone(MediaChatBackbone):
    """A vision-language model."""

    def __init__(
        self, network: nn.Module, family: Any, options: ChatBackboneOptions, template: str
    ) -> None:
        super().__init__(network, family, options, template)
        if hasattr(self.config, "vision_feature_layer"):  # The states before this norm are read.
            norm = getattr(self.network.model.vision_tower, "post_layernorm", None)
            for name in ("weight", "bias") if norm is not None else ():
                fix_parameter(norm, name)


class VisionChatBuilder(MediaChatBuilder):
    """How a vision-language backbone is built."""

    kind = VisionChatBackbone
    autos: ClassVar[tuple[Any, ...]] = (AutoModelForImageTextToText,)
    parts: ClassVar[tuple[str, ...]] = ("image_processor",)
    reads: ClassVar[str] = "pictures"
    network: ClassVar[str] = "llava"

    def processor(self, checkpoint: Checkpoint) -> Any:
        if checkpoint.config().model_type == "paligemma":
            return PaliGemmaProcessor.read(checkpoint.folder)
        return super().processor(checkpoint)


def build_vision_chat(options: ChatBackboneOptions, context: BackboneContext) -> ChatBackbone:
    """Any vision-language model of transformers.

    Raises:
        WeightsError: the weights cannot be had, or have no chat template.
    """
    return VisionChatBuilder(options.hub_id(), options, context).build()
