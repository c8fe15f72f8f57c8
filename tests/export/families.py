"""Tiny networks of each family as transformers saves them, with tokenizer or preprocessing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AlbertConfig,
    ASTConfig,
    ASTFeatureExtractor,
    BartConfig,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    HubertConfig,
    LlamaConfig,
    ModernBertConfig,
    OPTConfig,
    PreTrainedConfig,
    RobertaConfig,
    T5Config,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperTokenizer,
)

from mmft_transformers.tokenizers import train
from tests.text.tools import TEXTS

LAYERS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
HALVES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
WAVES: dict[str, Any] = {
    **LAYERS,
    "conv_dim": [32] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
STABLE: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}


@dataclass(frozen=True)
class Family:
    """A tiny network that somebody else has trained.

    Attributes:
        backbone: the one of mmft that loads it.
        kind: the class of transformers that it was saved by.
        config: its configuration, but for the vocabulary.
        noise: added to random weights, without which all that a network gives is nearly the same.
        beside: writes what stands beside its weights, and tells settings that follow from it.
    """

    backbone: str
    kind: str
    config: PreTrainedConfig
    beside: Callable[[Path], Mapping[str, Any]]
    noise: float = 0.05

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        torch.manual_seed(0)
        for name, value in self.beside(folder).items():
            setattr(self.config, name, value)
        network = getattr(transformers, self.kind)(self.config)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += self.noise * torch.randn_like(parameter)
        network.save_pretrained(folder)
        return folder


def text(kind: str) -> Callable[[Path], dict[str, Any]]:
    def beside(folder: Path) -> dict[str, Any]:
        tokenizer = train(TEXTS, 400, kind)  # type: ignore[arg-type]
        tokenizer.save_pretrained(folder)
        pad, start, end = (
            tokenizer.pad_token_id,
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
        )
        ids = {"pad_token_id": pad, "bos_token_id": start, "eos_token_id": end}
        if kind == "seq2seq":
            ids |= {"decoder_start_token_id": pad}
        if kind == "encoder":
            ids |= {"cls_token_id": start, "sep_token_id": end}
        return {"vocab_size": len(tokenizer), **ids}

    return beside


def waves(folder: Path) -> dict[str, Any]:
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return {}


def letters(folder: Path) -> dict[str, Any]:
    labels = ["<pad>", "|", "<unk>", *"abcdefghijklmnopqrstuvwxyz"]
    file = folder / "vocab.json"
    file.write_text(json.dumps({label: i for i, label in enumerate(labels)}))
    Wav2Vec2CTCTokenizer(str(file), bos_token=None, eos_token=None).save_pretrained(folder)
    return {"vocab_size": len(labels), "pad_token_id": 0, **waves(folder)}


def spectra(folder: Path) -> dict[str, Any]:
    ASTFeatureExtractor(max_length=256, mean=-3.0, std=4.0).save_pretrained(folder)
    return {}


def whisper(folder: Path) -> dict[str, Any]:
    """A multilingual tokenizer, as OpenAI's are ordered."""
    trained = train(TEXTS, 400, "causal").backend_tokenizer
    state = json.loads(trained.to_str())["model"]
    tokenizer = WhisperTokenizer(
        vocab=state["vocab"], merges=[tuple(pair) for pair in state["merges"]]
    )
    special = ["startoftranscript", "en", "de", "translate", "transcribe", "startoflm"]
    special += ["startofprev", "nospeech", "notimestamps", *(f"{0.02 * i:.2f}" for i in range(9))]
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{s}|>" for s in special]})
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80, chunk_length=3).save_pretrained(folder)
    end, start = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|startoftranscript|>"])
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": end,
        "bos_token_id": end,
        "eos_token_id": end,
        "decoder_start_token_id": start,
    }


TEXT: dict[str, Family] = {
    "bert": Family(
        "text-encoder", "BertForSequenceClassification", BertConfig(**LAYERS), text("encoder")
    ),
    "distilbert": Family(
        "distilbert",
        "DistilBertForMaskedLM",
        DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64),
        text("encoder"),
    ),
    "roberta": Family(
        "roberta-base", "RobertaForMaskedLM", RobertaConfig(**LAYERS), text("encoder")
    ),
    "minilm": Family("minilm", "BertModel", BertConfig(**LAYERS), text("encoder")),
    "modernbert": Family(
        "modernbert-base", "ModernBertForMaskedLM", ModernBertConfig(**LAYERS), text("encoder")
    ),
    "albert": Family(
        "text-encoder", "AlbertModel", AlbertConfig(**LAYERS, embedding_size=16), text("encoder")
    ),
    "gpt2": Family(
        "gpt2", "GPT2LMHeadModel", GPT2Config(n_embd=32, n_layer=2, n_head=2), text("causal")
    ),
    "llama": Family(
        "causal-lm",
        "LlamaForCausalLM",
        LlamaConfig(**LAYERS, num_key_value_heads=1, tie_word_embeddings=False),
        text("causal"),
    ),
    "opt": Family(
        "causal-lm",
        "OPTForCausalLM",
        OPTConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=64,
            word_embed_proj_dim=32,
        ),
        text("causal"),
    ),
    "bart": Family(
        "bart-base", "BartForConditionalGeneration", BartConfig(**HALVES), text("seq2seq")
    ),
    "t5": Family(
        "t5-small",
        "T5ForConditionalGeneration",
        T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2),
        text("seq2seq"),
        noise=0.3,
    ),
}
AUDIO: dict[str, Family] = {
    "wav2vec2": Family("ctc", "Wav2Vec2ForCTC", Wav2Vec2Config(**WAVES, **STABLE), letters),
    "wav2vec2, norms by groups": Family("ctc", "Wav2Vec2ForCTC", Wav2Vec2Config(**WAVES), letters),
    "hubert": Family("ctc", "HubertForCTC", HubertConfig(**WAVES, **STABLE), letters),
    "wav2vec2, no head": Family("ctc", "Wav2Vec2Model", Wav2Vec2Config(**WAVES, **STABLE), waves),
    "whisper": Family(
        "whisper",
        "WhisperForConditionalGeneration",
        WhisperConfig(**HALVES, max_source_positions=150, begin_suppress_tokens=None),
        whisper,
    ),
    "ast": Family("ast-base", "ASTModel", ASTConfig(**LAYERS, max_length=256), spectra),
}
