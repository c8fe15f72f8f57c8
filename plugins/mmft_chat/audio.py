"""Audio-language models that chat: recordings between the words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from transformers import AutoModelForMultimodalLM, AutoModelForSeq2SeqLM

from mmft_chat.backbone import ChatBackbone
from mmft_chat.media_backbone import MediaChatBuilder
from mmft_chat.options import MediaBackboneOptions
from mmft_chat.voxtral import VoxtralProcessor
from mmft_core.contracts import BackboneContext
from mmft_transformers.checkpoints import Checkpoint

_UNMASKED = ("granite_speech", "granite_speech_plus", "phi4_multimodal")
_MIXES = (
    "The features of a recording change slightly if a longer one is in the same batch, because "
    "transformers does not mask the padding; engine.batch_size = 1 avoids this."
)


class AudioChatBuilder(MediaChatBuilder):
    """How an audio-language backbone is built."""

    # Some families are in one of the lists of transformers, some in the other.
    autos: ClassVar[tuple[Any, ...]] = (AutoModelForMultimodalLM, AutoModelForSeq2SeqLM)
    parts: ClassVar[tuple[str, ...]] = ("feature_extractor", "audio_processor")
    reads: ClassVar[str] = "recordings"
    network: ClassVar[str] = "qwen2_audio"

    def build(self) -> ChatBackbone:
        backbone = super().build()
        loaded = backbone.loaded
        if backbone.config.model_type in _UNMASKED and loaded.source != "run":
            backbone.loaded = replace(loaded, detail=f"{loaded.detail} {_MIXES}".strip())
        return backbone

    def processor(self, checkpoint: Checkpoint) -> Any:
        if checkpoint.config().model_type == "voxtral":
            return VoxtralProcessor.read(checkpoint.folder)
        return super().processor(checkpoint)


def build_audio_chat(options: MediaBackboneOptions, context: BackboneContext) -> ChatBackbone:
    """Any audio-language model of transformers.

    Raises:
        WeightsError: the weights cannot be had, or have no chat template.
    """
    return AudioChatBuilder(options.hub_id(), options, context).build()
