"""Networks of any architecture: rows that are shared, positions, what a checkpoint brings along."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_model
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.utils import logging as transformers_logging

from mmft_core.config.generation import Generation
from mmft_core.contracts import PADDING, Generator
from mmft_core.errors import ConfigError, IncompatibleError
from mmft_text.tokenizers import train_tokenizer
from mmft_transformers.depth import depth_order
from tests.text.tools import TEXTS, Texts, collated, make_backbone

AUTO = {"encoder": AutoModel, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
ANY = {"encoder": "text-encoder", "causal": "causal-lm", "seq2seq": "seq2seq-lm"}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0}
PLAIN = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "vocab_size": 400,
}
OPENAI = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 66, "vocab_size": 400}
CAUSAL: dict[str, dict[str, Any]] = {
    "mistral": PLAIN | {"head_dim": 8, "sliding_window": 6},
    "gemma2": PLAIN | {"head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8},
    "qwen2": PLAIN,
    "gptj": OPENAI | {"rotary_dim": 8},
}
MIXING: dict[str, dict[str, Any]] = {
    "opt": PLAIN | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 400},
}


def load(kind: str, model_type: str, folder: Path, settings: dict[str, Any], **options) -> Any:
    """A backbone from a checkpoint of transformers with random weights."""
    config = AutoConfig.for_model(model_type, **(TOKENS | settings))
    torch.manual_seed(0)
    network = AUTO[kind].from_config(config)
    network.config.save_pretrained(folder)
    train_tokenizer(Texts(), 400, kind).save_pretrained(folder)
    save_model(network, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return make_backbone(ANY[kind], weights=str(folder), **({"max_length": 60} | options))


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What transformers logs, even what it says but once."""
    told: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger("transformers")
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    transformers_logging.warning_once.cache_clear()  # type: ignore[attr-defined]
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


@torch.no_grad()
def losses_alone(backbone: Any, tokens: torch.Tensor) -> torch.Tensor:
    """The losses (T - 1,) of one text, by transformers and by nothing else."""
    logits = backbone.network(tokens[None]).logits[0, :-1].float()
    return nn.functional.cross_entropy(logits, tokens[1:], reduction="none")


@pytest.mark.parametrize("model_type", CAUSAL)
@torch.no_grad()
def test_texts_that_share_a_row_are_as_if_alone(model_type: str, tmp_path: Path) -> None:
    backbone = load("causal", model_type, tmp_path, CAUSAL[model_type])
    packing = backbone.packed(join=True)
    items = [packing.prepare(text, train=False) for text in TEXTS]
    batch = packing.collate(items)
    assert len(batch["tokens"]) < len(TEXTS)
    losses = backbone.packed_losses(batch)
    for index, item in enumerate(items):
        own = losses[(batch["samples"] == index) & (batch["positions"] > 0)]
        torch.testing.assert_close(own, losses_alone(backbone, item["tokens"]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("model_type", MIXING)
@torch.no_grad()
def test_where_they_would_mix_this_is_told(model_type: str, tmp_path: Path) -> None:
    backbone = load("causal", model_type, tmp_path, MIXING[model_type])
    with pytest.raises(IncompatibleError, match=r"mixes texts that .* task\.packing=false"):
        backbone.packed(join=True)
    packing = backbone.packed(join=False)
    items = [packing.prepare(text, train=False) for text in TEXTS]
    batch = packing.collate(items)
    losses = backbone.packed_losses(batch)
    for index, item in enumerate(items):
        own = losses[(batch["samples"] == index) & (batch["positions"] > 0)]
        torch.testing.assert_close(own, losses_alone(backbone, item["tokens"]), rtol=0, atol=1e-4)


@torch.no_grad()
def test_packing_says_nothing(said: list[str]) -> None:
    backbone = make_backbone("gpt2")
    packing = backbone.packed(join=True)
    batch = packing.collate([packing.prepare(text, train=False) for text in TEXTS])
    assert (batch["samples"][:, -1] < 0).any()
    backbone.packed_losses(batch)
    assert said == []


@torch.no_grad()
def test_the_first_token_follows_the_start_of_text_where_there_is_one() -> None:
    backbone = make_backbone("gpt2")
    packing = backbone.packed(join=True)
    tokens = packing.prepare("A cat.", train=False)["tokens"]
    assert tokens[0] == backbone.vocabulary.start and tokens[-1] == backbone.vocabulary.end
    losses = backbone.packed_losses(packing.collate([{"tokens": tokens}]))
    assert losses[0, 0] == 0 and (losses[0, 1:] > 0).all()


@pytest.mark.parametrize("model_type", ["xlm-roberta", "mpnet", "camembert"])
@torch.no_grad()
def test_positions_that_begin_behind_the_paddings(model_type: str, tmp_path: Path) -> None:
    backbone = load("encoder", model_type, tmp_path, PLAIN, max_length=512)
    long = collated(backbone, ["Compute the mean of an array. " * 30])
    assert 60 <= long["tokens"].shape[1] == backbone.positions < 66
    assert torch.isfinite(backbone.encode(long).pooled).all()


@pytest.mark.parametrize("name", ["gpt2", "causal-lm", "bart-base", "t5-small"])
@torch.no_grad()
def test_writing_never_leaves_the_positions(name: str) -> None:
    backbone = make_backbone(name, max_length=100_000)
    room = backbone.positions or 512
    text = "Compute the mean of an array. " * (room // 5)
    settings = Generation(max_new_tokens=4)
    processor = backbone.processor.with_prompt("", "", room=4)
    inputs = processor.collate([processor.prepare(text, train=False)])
    if backbone.positions is not None:
        shared = backbone.kind == "causal"
        assert inputs["tokens"].shape[1] == backbone.positions - (4 if shared else 0)
        with pytest.raises(ConfigError, match="tokens are to be written"):
            backbone.processor.with_prompt("", "", room=backbone.positions + 1)
    assert isinstance(backbone, Generator)
    assert len(backbone.generate(inputs, settings)) == 1
    targets = torch.full((1, 4), backbone.vocabulary.end)
    assert torch.isfinite(backbone.token_losses(inputs, targets)).all()


@pytest.mark.parametrize("name", ["gpt2", "causal-lm", "bart-base", "t5-small"])
def test_under_autocast(name: str) -> None:
    backbone = make_backbone(name)
    assert isinstance(backbone, Generator)
    codec, inputs = backbone.codec, collated(backbone)
    targets = codec.collate([codec.encode(text) for text in TEXTS])
    with torch.autocast("cpu", torch.bfloat16):
        losses = backbone.token_losses(inputs, targets)
        written = backbone.generate(inputs, Generation(max_new_tokens=4, num_beams=2))
        if name in ("gpt2", "causal-lm"):
            packing = backbone.packed(join=True)
            packed = packing.collate([packing.prepare(text, train=False) for text in TEXTS])
            assert backbone.packed_losses(packed).dtype == torch.float32
    assert losses.dtype == torch.float32 and len(written) == len(TEXTS)
    full = backbone.token_losses(inputs, targets)[targets != PADDING].mean()
    torch.testing.assert_close(losses[targets != PADDING].mean(), full, rtol=0.02, atol=0)


@torch.no_grad()
def test_logits_of_the_source_are_not_made() -> None:
    backbone = make_backbone("gpt2")
    shapes: list[tuple[int, ...]] = []
    head = backbone.network.get_output_embeddings()
    head.register_forward_hook(lambda _, args, out: shapes.append(tuple(out.shape)))
    codec = backbone.codec
    targets = codec.collate([codec.encode(text) for text in TEXTS])
    backbone.token_losses(collated(backbone), targets)
    assert [shape[1] for shape in shapes] == [targets.shape[1] + 1]


@torch.no_grad()
def test_a_checkpoints_own_way_of_writing_does_not_count(tmp_path: Path) -> None:
    """As of bart-large-cnn, which writes 56 tokens at least, and of Llama, which samples."""
    settings = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 400}
    for half in ("encoder", "decoder"):
        settings |= {f"{half}_attention_heads": 4, f"{half}_ffn_dim": 64}
    plain = load("seq2seq", "bart", tmp_path, settings)
    wanted = plain.generate(collated(plain), Generation(max_new_tokens=12))
    own = {"num_beams": 4, "min_length": 11, "forced_bos_token_id": 9, "do_sample": True}
    own |= {"no_repeat_ngram_size": 1, "temperature": 3.0}
    (tmp_path / "generation_config.json").write_text(json.dumps(own))
    again = make_backbone("seq2seq-lm", weights=str(tmp_path), max_length=60)
    assert again.generate(collated(again), Generation(max_new_tokens=12)) == wanted


def test_layers_of_a_network_with_parameters_of_its_own_and_shared_ones() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.linear = nn.Parameter(torch.ones(2)), nn.Linear(2, 2)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask = nn.Parameter(torch.ones(2))
            self.embeddings = nn.Embedding(3, 2)
            self.blocks = nn.ModuleList([Block(), Block()])
            self.norm, self.head = nn.LayerNorm(2), nn.Linear(2, 3)
            self.head.weight = self.embeddings.weight

    network = Network()
    layers = depth_order(network)
    found = [{id(p) for p in layer.parameters()} for layer in layers]
    assert sum(map(len, found)) == len(set.union(*found)) == len(list(network.parameters()))
    assert found[0] == {id(network.mask), id(network.embeddings.weight)}
    assert found[1] == {id(p) for p in network.blocks[0].parameters()}
    assert id(network.head.bias) in found[2] and id(network.norm.bias) in found[2]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["gpt2", "t5-small", "bart-base", "modernbert-base"])
def test_checkpointing_says_nothing(name: str, said: list[str]) -> None:
    backbone = make_backbone(name).train()
    backbone.enable_checkpointing()
    features = backbone.encode(collated(backbone)).pooled.sum()
    if isinstance(backbone, Generator):
        codec = backbone.codec
        targets = codec.collate([codec.encode(text) for text in TEXTS])
        features = features + backbone.token_losses(collated(backbone), targets).sum()
    features.backward()
    assert said == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["gpt2", "causal-lm", "t5-small", "bart-base"])
def test_writing_says_nothing(name: str, said: list[str]) -> None:
    backbone = make_backbone(name)
    assert isinstance(backbone, Generator)
    for settings in (
        Generation(max_new_tokens=4),
        Generation(max_new_tokens=4, num_beams=2, length_penalty=2.0),
        Generation(max_new_tokens=4, sample=True, top_k=0),
    ):
        backbone.generate(collated(backbone), settings)
    assert said == []


def test_a_network_that_cannot_compute_again() -> None:
    backbone = make_backbone("bert-base")
    backbone.network.supports_gradient_checkpointing = False
    with pytest.raises(IncompatibleError, match="cannot compute its activations again"):
        backbone.enable_checkpointing()
