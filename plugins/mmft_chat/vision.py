"""Vision-language models that chat: pictures between the words."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import AutoModelForImageTextToText

from mmft_chat.backbone import ChatBackbone
from mmft_chat.media_backbone import MediaChatBuilder
from mmft_chat.options import MediaBackboneOptions
from mmft_chat.paligemma import PaliGemmaProcessor
from mmft_core.contracts import BackboneContext
from mmft_transformers.checkpoints import Checkpoint


class VisionChatBuilder(MediaChatBuilder):
    """How a vision-language backbone is built."""

    autos: ClassVar[tuple[Any, ...]] = (AutoModelForImageTextToText,)
    parts: ClassVar[tuple[str, ...]] = ("image_processor",)
    reads: ClassVar[str] = "pictures"
    network: ClassVar[str] = "llava"

    def processor(self, checkpoint: Checkpoint) -> Any:
        if checkpoint.config().model_type == "paligemma":
            return PaliGemmaProcessor.read(checkpoint.folder)
        return super().processor(checkpoint)


def build_vision_chat(options: MediaBackboneOptions, context: BackboneContext) -> ChatBackbone:
    """Any vision-language model of transformers.

    Raises:
        WeightsError: the weights cannot be had, or have no chat template.
    """
    return VisionChatBuilder(options.hub_id(), options, context).build()
