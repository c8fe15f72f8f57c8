"""The families of models that have a name of their own, as rows of a table.

A row is enough for a backbone: its options get the sizes that are published, and random weights are
a small network of the family's own architecture. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmft_core import BackboneSpec

Kind = Literal["text", "vision", "audio"]

BUILDS: Mapping[Kind, str] = {
    "text": "mmft_chat.building:build_chat_lm",
    "vision": "mmft_chat.vision:build_vision_chat",
    "audio": "mmft_chat.audio:build_audio_chat",
}


DATASETS: Mapping[Kind, str] = {
    "text": "",
    "vision": "chat-pictures",
    "audio": "chat-recordings",
}
"""What is learned without a dataset of one's own; "" for the task's default."""


PARTS: Mapping[Kind, tuple[str, ...]] = {
    "text": (),
    "vision": ("language", "vision", "connector"),
    "audio": ("language", "audio", "vision", "connector"),
}
"""What such models may be made of; some of those that hear also see."""


@dataclass(frozen=True)
class Family:
    """Models of one architecture.

    Attributes:
        summary: what they are, in a line.
        network: what random weights are of: a type of transformers for texts, else a recipe of
            `mmft_chat.small_networks`.
        published: Hub ids by size, the default first; none where what is published needs code or
            adapters from the Hub, so that it has to be converted first.
        extras: of mmft, which its processor needs.
    """

    name: str
    kind: Kind
    summary: str
    network: str
    published: Mapping[str, str] = field(default_factory=dict)
    extras: tuple[str, ...] = ()

    @property
    def attribute(self) -> str:
        """Of `mmft_chat.family_options`."""
        return self.name.replace(".", "_").replace("-", "_")

    def spec(self, **training: Any) -> BackboneSpec:
        """Args:
        training: what is recommended for training.
        """
        return BackboneSpec(
            name=self.name,
            summary=self.summary,
            modality="chat",
            provides=("pooled", "chat"),
            build=BUILDS[self.kind],
            options=f"mmft_chat.family_options:{self.attribute}",
            default_dataset=DATASETS[self.kind],
            parts=PARTS[self.kind],
            extras=self.extras,
            **training,
        )


def _sizes(pattern: str, *sizes: str) -> Mapping[str, str]:
    """Hub ids that differ in the size alone."""
    return {size.lower(): pattern.format(size) for size in sizes}


FAMILIES: tuple[Family, ...] = (
    Family(
        "qwen2.5",
        "text",
        "Qwen2.5 (Qwen Team, 2024), 0.5 to 72 B parameters",
        "qwen2",
        _sizes("Qwen/Qwen2.5-{}-Instruct", "0.5B", "1.5B", "3B", "7B", "14B", "32B", "72B"),
    ),
    Family(
        "qwen3",
        "text",
        "Qwen3 (Qwen Team, 2025), 0.6 to 32 B parameters",
        "qwen3",
        _sizes("Qwen/Qwen3-{}", "0.6B", "1.7B", "4B", "8B", "14B", "32B"),
    ),
    Family(
        "smollm2",
        "text",
        "SmolLM2 (Ben Allal et al., 2025), 135 M to 1.7 B parameters",
        "llama",
        _sizes("HuggingFaceTB/SmolLM2-{}-Instruct", "360M", "135M", "1.7B"),
    ),
    Family(
        "smollm3",
        "text",
        "SmolLM3 (Hugging Face, 2025), 3 B parameters",
        "smollm3",
        _sizes("HuggingFaceTB/SmolLM3-{}", "3B"),
    ),
    Family(
        "llama-3.2",
        "text",
        "Llama 3.2 (Llama Team, 2024), 1 and 3 B parameters",
        "llama",
        _sizes("meta-llama/Llama-3.2-{}-Instruct", "1B", "3B"),
    ),
    Family(
        "gemma-3",
        "text",
        "Gemma 3 for texts (Gemma Team, 2025), 270 M and 1 B parameters",
        "gemma3_text",
        _sizes("google/gemma-3-{}-it", "1b", "270m"),
    ),
    Family(
        "mistral",
        "text",
        "Mistral 0.3 (Jiang et al., 2023), 7 B parameters",
        "mistral",
        _sizes("mistralai/Mistral-{}-Instruct-v0.3", "7B"),
    ),
    Family(
        "qwen2.5-vl",
        "vision",
        "Qwen2.5-VL (Bai et al., 2025), 3 to 72 B parameters",
        "qwen2_5_vl",
        _sizes("Qwen/Qwen2.5-VL-{}-Instruct", "3B", "7B", "32B", "72B"),
    ),
    Family(
        "qwen3-vl",
        "vision",
        "Qwen3-VL (Bai et al., 2025), 2 to 32 B parameters",
        "qwen3_vl",
        _sizes("Qwen/Qwen3-VL-{}-Instruct", "2B", "4B", "8B", "32B"),
    ),
    Family(
        "smolvlm",
        "vision",
        "SmolVLM2 (Marafioti et al., 2025), 256 M to 2.2 B parameters",
        "smolvlm",
        {
            "500m": "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
            "256m": "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
            "2.2b": "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        },
        extras=("smolvlm",),
    ),
    Family(
        "idefics3",
        "vision",
        "Idefics 3 (Laurençon et al., 2024), 8 B parameters",
        "idefics3",
        _sizes("HuggingFaceM4/Idefics3-{}-Llama3", "8B"),
    ),
    Family(
        "llama-3.2-vision",
        "vision",
        "Llama 3.2 Vision (Llama Team, 2024), 11 and 90 B parameters",
        "mllama",
        _sizes("meta-llama/Llama-3.2-{}-Vision-Instruct", "11B", "90B"),
    ),
    Family(
        "gemma-3-vision",
        "vision",
        "Gemma 3 with pictures (Gemma Team, 2025), 4 to 27 B parameters",
        "gemma3",
        _sizes("google/gemma-3-{}-it", "4b", "12b", "27b"),
    ),
    Family(
        "llava-onevision",
        "vision",
        "LLaVA-OneVision (Li et al., 2024), 0.5 to 72 B parameters",
        "llava_onevision",
        {
            "0.5b": "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
            "7b": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
            "72b": "llava-hf/llava-onevision-qwen2-72b-ov-hf",
        },
    ),
    Family(
        "llava-1.5",
        "vision",
        "LLaVA 1.5 (Liu et al., 2023), 7 and 13 B parameters",
        "llava",
        _sizes("llava-hf/llava-1.5-{}-hf", "7b", "13b"),
    ),
    Family(
        "paligemma",
        "vision",
        "PaliGemma (Beyer et al., 2024), 3 B parameters, one question and answer per chat",
        "paligemma",
        {"3b": "google/paligemma-3b-mix-224", "3b-448": "google/paligemma-3b-mix-448"},
    ),
    Family(
        "internvl3",
        "vision",
        "InternVL 3 (Zhu et al., 2025), 1 to 78 B parameters",
        "internvl",
        _sizes("OpenGVLab/InternVL3-{}-hf", "1B", "2B", "8B", "14B", "38B", "78B"),
    ),
    Family(
        "pixtral",
        "vision",
        "Pixtral (Agrawal et al., 2024), 12 B parameters",
        "pixtral",
        _sizes("mistral-community/pixtral-{}", "12b"),
    ),
    Family(
        "qwen2-audio",
        "audio",
        "Qwen2-Audio (Chu et al., 2024), 7 B parameters",
        "qwen2_audio",
        _sizes("Qwen/Qwen2-Audio-{}-Instruct", "7B"),
    ),
    Family(
        "voxtral",
        "audio",
        "Voxtral (Liu et al., 2025), 3 and 24 B parameters",
        "voxtral",
        {
            "3b": "mistralai/Voxtral-Mini-3B-2507",
            "24b": "mistralai/Voxtral-Small-24B-2507",
        },
    ),
    Family(
        "audio-flamingo-3",
        "audio",
        "Audio Flamingo 3 (Goel et al., 2025), 7 B parameters, one recording per chat",
        "audio_flamingo_3",
        {"7b": "nvidia/audio-flamingo-3-hf"},
    ),
    Family(
        "granite-speech",
        "audio",
        "Granite Speech 3.3 (Saon et al., 2025), given by --weights with merged adapters",
        "granite_speech",
    ),
    Family(
        "phi-4-multimodal",
        "audio",
        "Phi-4-multimodal (Abouelenin et al., 2025), also with vision, given by --weights",
        "phi4_multimodal",
    ),
)
