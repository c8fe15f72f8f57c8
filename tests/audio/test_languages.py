"""Multilingual Whispers: what they are asked for, and which language they hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from mmft_audio.options import WhisperOptions
from mmft_audio.whisper_text import Prompt, languages
from mmft_core.errors import ConfigError
from mmft_transformers.tokenizers import train
from tests.audio.networks import Recordings, make_backbone

SPECIAL = ("startoftranscript", "en", "de", "fr", "translate", "transcribe", "notimestamps")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, recordings: Recordings) -> Path:
    """A small random multilingual Whisper that says "de" whatever it hears."""
    folder = tmp_path_factory.mktemp("whisper")
    tokenizer = train(recordings.texts, 300, "seq2seq")
    tokens = [f"<|{name}|>" for name in SPECIAL]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    ids: dict[str, int] = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(tokens), strict=True))
    torch.manual_seed(0)
    network = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer),
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            decoder_start_token_id=ids["startoftranscript"],
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
    )
    decoder = network.model.decoder
    with torch.no_grad():
        # Whatever is heard, the state after the norm is this, and points at German.
        decoder.layer_norm.weight.zero_()
        decoder.layer_norm.bias.copy_(10 * decoder.embed_tokens.weight[ids["de"]])
    network.generation_config = GenerationConfig()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def asked(backbone: Any) -> list[str]:
    return list(backbone.tokenizer.convert_ids_to_tokens(list(backbone.prompt.tokens)))


def test_the_language_is_heard(recordings: Recordings, checkpoint: Path) -> None:
    backbone = make_backbone("whisper", recordings, weights=str(checkpoint))
    assert asked(backbone) == [
        "<|startoftranscript|>",
        "<|de|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]


def test_and_remembered(recordings: Recordings, checkpoint: Path, tmp_path: Path) -> None:
    backbone = make_backbone("whisper", recordings, weights=str(checkpoint))
    backbone.save_assets(tmp_path)
    again = make_backbone("whisper", None, assets=tmp_path)
    assert again.prompt == backbone.prompt


def test_or_given_with_a_task(recordings: Recordings, checkpoint: Path) -> None:
    backbone = make_backbone(
        "whisper", recordings, weights=str(checkpoint), language="FR", speech_task="translate"
    )
    assert asked(backbone)[1:3] == ["<|fr|>", "<|translate|>"]


def test_one_that_the_network_does_not_know(recordings: Recordings, checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"'df' is not one of the network's 3 languages.*de"):
        make_backbone("whisper", recordings, weights=str(checkpoint), language="df")


def test_a_network_of_one_language_is_told_none(recordings: Recordings) -> None:
    backbone = make_backbone("whisper-tiny", recordings)
    assert languages(backbone.tokenizer) == {}
    assert len(backbone.prompt.tokens) == 1
    with pytest.raises(ConfigError, match="not one of the network's 0 languages"):
        Prompt.of(backbone.tokenizer, backbone.config, WhisperOptions(language="en"))
