"""Small networks of random weights, of each family that sees or hears.

A recipe is a function of a maker of tokenizers (given the tokens that the family needs) and a size.
It gives the family's processor, with a chat template, and the configuration of a network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import transformers

from mmft_chat import paligemma as paligemma_chats
from mmft_chat.scratch import chatml_with
from mmft_chat.voxtral import VoxtralProcessor
from mmft_transformers.options import Size

hf: Any = transformers
Tokenizers = Callable[..., Any]
Recipe = tuple[Any, Any]
"""A processor and a configuration."""

_SIDE, _PATCH = 32, 8
"""Pixels of pictures and of their patches."""

_RATE, _SECONDS = 16_000, 4
"""Samples a second of recordings, and how much of one an encoder takes at a time."""


def llava(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of LLaVA (Liu et al., 2023)."""
    own, mark = tokenizers("<image>"), "<image>"
    family = hf.LlavaProcessor(
        image_processor=_clip(),
        tokenizer=own,
        patch_size=_PATCH,
        vision_feature_select_strategy="full",
        image_token=mark,
        num_additional_image_tokens=0,
        chat_template=chatml_with(mark),
    )
    vision = {"model_type": "siglip_vision_model", "vision_use_head": False, **_vision(size)}
    config = hf.LlavaConfig(
        vision_config=vision,
        text_config={"model_type": "llama", **_text(own, size)},
        image_token_id=own.convert_tokens_to_ids(mark),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    return family, config


def llava_onevision(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of LLaVA-OneVision (Li et al., 2024)."""
    own, mark = tokenizers("<image>", "<video>"), "<image>"
    square = {"height": _SIDE, "width": _SIDE}
    grid = [[_SIDE, _SIDE]]
    family = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=square, image_grid_pinpoints=grid),
        tokenizer=own,
        video_processor=hf.LlavaOnevisionVideoProcessor(size=square),
        num_image_tokens=(_SIDE // _PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=chatml_with(mark),
    )
    vision = {"model_type": "siglip_vision_model", "vision_use_head": False, **_vision(size)}
    config = hf.LlavaOnevisionConfig(
        vision_config=vision,
        text_config={"model_type": "qwen2", **_text(own, size)},
        image_token_index=own.convert_tokens_to_ids(mark),
        video_token_index=own.convert_tokens_to_ids("<video>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_grid_pinpoints=grid,
        vision_aspect_ratio="anyres_max_9",
        tie_word_embeddings=True,
    )
    return family, config


def pixtral(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Pixtral (Mistral AI, 2024), which is a LLaVA with a tower of its own."""
    own = tokenizers("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    patch = {"height": _PATCH, "width": _PATCH}
    family = hf.PixtralProcessor(
        image_processor=hf.PixtralImageProcessor(size={"longest_edge": _SIDE}, patch_size=patch),
        tokenizer=own,
        patch_size=_PATCH,
        spatial_merge_size=1,
        chat_template=chatml_with("[IMG]"),
    )
    config = hf.LlavaConfig(
        vision_config={"model_type": "pixtral", **_vision(size), "head_dim": _head(size)},
        text_config={"model_type": "mistral", **_text(own, size)},
        image_token_id=own.convert_tokens_to_ids("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    return family, config


def idefics3(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Idefics 3 (Laurençon et al., 2024)."""
    pictures = hf.Idefics3ImageProcessor(**_IDEFICS)
    return _idefics(tokenizers, size, hf.Idefics3Processor, hf.Idefics3Config, pictures)


def smolvlm(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of SmolVLM (Marafioti et al., 2025), which takes videos as well."""
    pictures, videos = hf.SmolVLMImageProcessor(**_IDEFICS), hf.SmolVLMVideoProcessor(**_IDEFICS)
    family = partial(hf.SmolVLMProcessor, video_processor=videos)
    return _idefics(tokenizers, size, family, hf.SmolVLMConfig, pictures)


def _idefics(
    tokenizers: Tokenizers, size: Size, processor: Any, config: Any, pictures: Any
) -> Recipe:
    own = _idefics_tokenizer(tokenizers)
    family = processor(
        image_processor=pictures,
        tokenizer=own,
        image_seq_len=4,
        chat_template=chatml_with("<image>"),
    )
    network = config(
        vision_config=_vision(size),
        text_config={"model_type": "llama", **_text(own, size)},
        image_token_id=own.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=own.pad_token_id,
        tie_word_embeddings=True,
    )
    return family, network


def paligemma(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of PaliGemma (Beyer et al., 2024)."""
    own = tokenizers(image_token="<image>")
    square = {"height": _SIDE, "width": _SIDE}
    family = paligemma_chats.PaliGemmaProcessor(
        image_processor=hf.SiglipImageProcessor(size=square, image_seq_length=16),
        tokenizer=own,
        chat_template=paligemma_chats.TEMPLATE,
    )
    config = hf.PaliGemmaConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "vision_use_head": False,
            "projection_dim": size.width,
            **_vision(size),
        },
        text_config={"model_type": "gemma", **_text(own, size)},
        image_token_index=own.image_token_id,
        projection_dim=size.width,
    )
    return family, config


def qwen2_5_vl(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Qwen2.5-VL (Bai et al., 2025)."""
    family, tokens = _qwen_processor(tokenizers, hf.Qwen2_5_VLProcessor)
    config = hf.Qwen2_5_VLConfig(
        vision_config={
            **_qwen_vision(size),
            "window_size": 2 * _PATCH,
            "fullatt_block_indexes": [size.layers - 1],
        },
        text_config=_text(family.tokenizer, size) | _mrope(size),
        tie_word_embeddings=True,
        **tokens,
    )
    return family, config


def qwen3_vl(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Qwen3-VL (Bai et al., 2025)."""
    family, tokens = _qwen_processor(tokenizers, hf.Qwen3VLProcessor)
    config = hf.Qwen3VLConfig(
        vision_config={
            **_qwen_vision(size),
            "num_position_embeddings": (_SIDE // _PATCH) ** 2,
            "deepstack_visual_indexes": [0],
        },
        text_config=_text(family.tokenizer, size) | _mrope(size),
        tie_word_embeddings=True,
        **tokens,
    )
    return family, config


def gemma3(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Gemma 3 (Gemma Team, 2025)."""
    own = tokenizers(
        boi_token="<start_of_image>", eoi_token="<end_of_image>", image_token="<image_soft_token>"
    )
    family = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size={"height": _SIDE, "width": _SIDE}),
        tokenizer=own,
        image_seq_length=4,
        chat_template=chatml_with("<start_of_image>"),
    )
    config = hf.Gemma3Config(
        vision_config={**_vision(size), "vision_use_head": False},
        text_config={"sliding_window": 512, **_text(own, size)},
        mm_tokens_per_image=4,
        image_token_index=own.image_token_id,
        boi_token_index=own.boi_token_id,
        eoi_token_index=own.eoi_token_id,
    )
    return family, config


def internvl(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of InternVL 3 (Zhu et al., 2025)."""
    own = tokenizers(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    square = {"height": _SIDE, "width": _SIDE}
    family = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=square, max_patches=4),
        tokenizer=own,
        video_processor=hf.InternVLVideoProcessor(size=square),
        image_seq_length=4,
        chat_template=chatml_with("<IMG_CONTEXT>"),
    )
    config = hf.InternVLConfig(
        vision_config={
            **_vision(size),
            "image_size": [_SIDE, _SIDE],
            "patch_size": [_PATCH, _PATCH],
        },
        text_config={"model_type": "qwen2", **_text(own, size)},
        image_token_id=own.context_image_token_id,
        image_seq_length=4,
        downsample_ratio=0.5,
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    return family, config


def mllama(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Llama 3.2 Vision (Llama Team, 2024), which attends to pictures across."""
    own = tokenizers("<|image|>", "<|python_tag|>")
    family = hf.MllamaProcessor(
        image_processor=hf.MllamaImageProcessor(
            size={"height": _SIDE, "width": _SIDE}, max_image_tiles=2
        ),
        tokenizer=own,
        # Its processor puts the first token where it is missing.
        chat_template=own.bos_token + chatml_with("<|image|>"),
    )
    vision = _vision(size)
    config = hf.MllamaConfig(
        vision_config={
            "hidden_size": size.width,
            "intermediate_size": vision["intermediate_size"],
            "num_hidden_layers": size.layers,
            "num_global_layers": 1,
            "attention_heads": size.heads,
            "image_size": _SIDE,
            "patch_size": _PATCH,
            "max_num_tiles": 2,
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
            "intermediate_layers_indices": [0],
            "vision_output_dim": 2 * size.width,
        },
        text_config={**_text(own, size), "cross_attention_layers": [1]},
        image_token_index=own.convert_tokens_to_ids("<|image|>"),
        tie_word_embeddings=True,
    )
    return family, config


def qwen2_audio(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Qwen2-Audio (Chu et al., 2024)."""
    own, mark = tokenizers("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"), "<|AUDIO|>"
    family = hf.Qwen2AudioProcessor(
        feature_extractor=_whisper(),
        tokenizer=own,
        chat_template=chatml_with(audio=f"<|audio_bos|>{mark}<|audio_eos|>"),
    )
    config = hf.Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "d_model": size.width,
            "encoder_layers": size.layers,
            "encoder_attention_heads": size.heads,
            "encoder_ffn_dim": 4 * size.width,
            **_WHISPER,
        },
        text_config={"model_type": "qwen2", **_text(own, size)},
        audio_token_index=own.convert_tokens_to_ids(mark),
        tie_word_embeddings=True,
    )
    return family, config


def voxtral(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Voxtral (Liu et al., 2025)."""
    own = tokenizers("[AUDIO]", "[BEGIN_AUDIO]")
    template = chatml_with(audio="[BEGIN_AUDIO][AUDIO]")
    config = hf.VoxtralConfig(
        audio_config=_hearing(size),
        text_config={"model_type": "llama", **_text(own, size)},
        audio_token_id=own.convert_tokens_to_ids("[AUDIO]"),
        tie_word_embeddings=True,
    )
    return VoxtralProcessor(_whisper(), own, template), config


def audio_flamingo_3(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Audio Flamingo 3 (Goel et al., 2025)."""
    own, mark = tokenizers("<sound>"), "<sound>"
    family = hf.AudioFlamingo3Processor(
        feature_extractor=_whisper(), tokenizer=own, chat_template=chatml_with(audio=mark)
    )
    config = hf.AudioFlamingo3Config(
        audio_config=_hearing(size),
        text_config={"model_type": "qwen2", **_text(own, size)},
        audio_token_id=own.convert_tokens_to_ids(mark),
        tie_word_embeddings=True,
    )
    return family, config


def granite_speech(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Granite Speech (Saon et al., 2025)."""
    own, mark = tokenizers("<|audio|>"), "<|audio|>"
    family = hf.GraniteSpeechProcessor(
        hf.GraniteSpeechFeatureExtractor(), own, chat_template=chatml_with(audio=mark)
    )
    config = hf.GraniteSpeechConfig(
        encoder_config={
            "num_layers": size.layers,
            "hidden_dim": size.width,
            "num_heads": size.heads,
            "output_dim": 16,
            "dropout": 0.0,
        },
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": size.width,
            "intermediate_size": 4 * size.width,
            "num_hidden_layers": 1,
            "num_attention_heads": size.heads,
            "encoder_hidden_size": size.width,
        },
        text_config={"model_type": "granite", **_text(own, size)},
        audio_token_index=own.convert_tokens_to_ids(mark),
        has_lora_adapter=False,
        tie_word_embeddings=True,
    )
    return family, config


def phi4_multimodal(tokenizers: Tokenizers, size: Size) -> Recipe:
    """Of Phi-4-multimodal (Abouelenin et al., 2025), which sees and hears."""
    own = tokenizers(image_token="<|endoftext10|>", audio_token="<|endoftext11|>")
    family = hf.Phi4MultimodalProcessor(
        hf.Phi4MultimodalImageProcessor(
            size={"height": _SIDE, "width": _SIDE}, patch_size=_PATCH, dynamic_hd=1
        ),
        hf.Phi4MultimodalFeatureExtractor(),
        own,
        chat_template=chatml_with(own.image_token, own.audio_token),
    )
    config = hf.Phi4MultimodalConfig(
        **_text(own, size),
        original_max_position_embeddings=2048,
        vision_config={
            **_vision(size),
            "crop_size": _SIDE,
            "image_token_id": own.image_token_id,
        },
        audio_config={
            "hidden_size": size.width,
            "intermediate_size": 2 * size.width,
            "num_blocks": size.layers,
            "num_attention_heads": size.heads,
            "ext_pw_out_channel": size.width,
            "depthwise_separable_out_channel": size.width,
            "nemo_conv_channels": size.width,
            "audio_token_id": own.audio_token_id,
        },
    )
    return family, config


# --- what families have in common ---------------------------------------------------------------

_WHISPER = {"num_mel_bins": 80, "max_source_positions": 50 * _SECONDS}
_IDEFICS = {"size": {"longest_edge": 2 * _SIDE}, "max_image_size": {"longest_edge": _SIDE}}


def _text(tokenizer: Any, size: Size) -> dict[str, Any]:
    """The settings of a language model."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": size.width,
        "intermediate_size": round(size.width * 8 / 3 / 8) * 8,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "head_dim": _head(size),
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        **{
            f"{role}_token_id": getattr(tokenizer, f"{role}_token_id")
            for role in ("pad", "bos", "eos")
        },
    }


def _vision(size: Size) -> dict[str, Any]:
    """The settings of a vision tower."""
    return {
        "image_size": _SIDE,
        "patch_size": _PATCH,
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
    }


def _hearing(size: Size) -> dict[str, Any]:
    """The settings of an audio tower of Whisper's kind."""
    return {
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        **_WHISPER,
    }


def _head(size: Size) -> int:
    return size.width // size.heads


def _clip() -> Any:
    square = {"height": _SIDE, "width": _SIDE}
    return hf.CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=square)


def _whisper() -> Any:
    return hf.WhisperFeatureExtractor(feature_size=80, chunk_length=_SECONDS, sampling_rate=_RATE)


def _idefics_tokenizer(tokenizers: Tokenizers) -> Any:
    grid = [f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)]
    frame = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    return tokenizers("<image>", *frame, *grid)


def _qwen_processor(tokenizers: Tokenizers, kind: Any) -> tuple[Any, dict[str, int]]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    own = tokenizers(*names.values())
    family = kind(
        image_processor=hf.Qwen2VLImageProcessor(
            patch_size=_PATCH, merge_size=2, min_pixels=_SIDE**2, max_pixels=4 * _SIDE**2
        ),
        tokenizer=own,
        video_processor=hf.Qwen2VLVideoProcessor(patch_size=_PATCH),
        chat_template=chatml_with("<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return family, {name: own.convert_tokens_to_ids(token) for name, token in names.items()}


def _qwen_vision(size: Size) -> dict[str, Any]:
    return {
        "depth": size.layers,
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_heads": size.heads,
        "patch_size": _PATCH,
        "out_hidden_size": size.width,
    }


def _mrope(size: Size) -> dict[str, Any]:
    """Positions in time, height and width, which divide half a head between them."""
    half = _head(size) // 2
    third = half // 3
    sections = [half - 2 * third, third, third]
    rope = {"rope_type": "default", "mrope_section": sections, "rope_theta": 10000.0}
    return {"rope_parameters": rope}
