"""The text backbones: features, losses and writing that padding does not change; weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model

from mmft_core.config.generation import Generation
from mmft_core.contracts import PADDING, Generator
from mmft_core.errors import ConfigError, WeightsError
from mmft_text.causal import CausalBackbone
from tests.text.tools import TEXTS, collated, make_backbone, minilm_folder

pytestmark = pytest.mark.usefixtures("two_layers")

ENCODERS = ["bert-base", "distilbert", "roberta-base", "minilm", "modernbert-base", "text-encoder"]
CAUSAL = ["gpt2", "distilgpt2", "causal-lm"]
SEQ2SEQ = ["bart-base", "t5-small", "seq2seq-lm"]
SUMMARIES = ["A cat in the rain.", "Rain at night.", "Short.", "The mean.", "Both lists.", "Texts."]


@pytest.mark.parametrize("name", ENCODERS + CAUSAL + SEQ2SEQ)
@torch.no_grad()
def test_padding_does_not_change_a_texts_features(name: str) -> None:
    backbone = make_backbone(name)
    together = backbone.encode(collated(backbone)).pooled
    for text, pooled in zip(TEXTS, together, strict=True):
        alone = backbone.encode(collated(backbone, [text])).pooled[0]
        torch.testing.assert_close(pooled, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS + CAUSAL + SEQ2SEQ)
@torch.no_grad()
def test_small_sizes_have_no_dropout(name: str) -> None:
    backbone = make_backbone(name).train()
    inputs = collated(backbone)
    assert torch.equal(backbone.encode(inputs).pooled, backbone.encode(inputs).pooled)


@pytest.mark.parametrize("name", CAUSAL + SEQ2SEQ)
@torch.no_grad()
def test_nor_the_losses_of_its_summary(name: str) -> None:
    backbone = make_backbone(name)
    assert isinstance(backbone, Generator)
    codec = backbone.codec
    targets = codec.collate([codec.encode(s) for s in SUMMARIES])
    losses = backbone.token_losses(collated(backbone), targets)
    assert losses.shape == targets.shape and losses.dtype == torch.float32
    assert (losses[targets == PADDING] == 0).all() and (losses[targets != PADDING] > 0).all()
    for i, (text, summary) in enumerate(zip(TEXTS, SUMMARIES, strict=True)):
        ids = codec.encode(summary)
        alone = backbone.token_losses(collated(backbone, [text]), codec.collate([ids]))[0]
        torch.testing.assert_close(losses[i, : len(ids)], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CAUSAL + SEQ2SEQ)
@pytest.mark.parametrize(
    "settings",
    [
        Generation(max_new_tokens=8),
        Generation(max_new_tokens=8, num_beams=3, no_repeat_ngram=2, length_penalty=1.5),
        Generation(max_new_tokens=8, repetition_penalty=1.5, no_repeat_ngram=1),
        Generation(max_new_tokens=8, sample=True, temperature=0.7, top_p=0.9),
        Generation(max_new_tokens=8, sample=True, num_beams=2),
    ],
    ids=["greedy", "beams", "penalties", "sampling", "sampled beams"],
)
def test_writing(name: str, settings: Generation, capfd: pytest.CaptureFixture[str]) -> None:
    backbone = make_backbone(name)
    assert isinstance(backbone, Generator)
    inputs = collated(backbone)
    written = backbone.generate(inputs, settings)
    assert len(written) == len(TEXTS) and all(isinstance(text, str) for text in written)
    assert backbone.generate(inputs, settings) == written
    alone = [backbone.generate(collated(backbone, [text]), settings)[0] for text in TEXTS]
    assert alone == written
    captured = capfd.readouterr()
    assert captured.err == "" and captured.out == ""


def test_padding_is_no_word_that_is_repeated() -> None:
    """As with GPT-2's own tokenizer, the end of a text pads as well: it can come all the same."""
    backbone = make_backbone("gpt2")
    assert isinstance(backbone, CausalBackbone)
    backbone.vocabulary = replace(backbone.vocabulary, pad=backbone.vocabulary.end or 0)
    backbone.processor = replace(backbone.processor, vocabulary=backbone.vocabulary)
    texts, wanted = ["efgefgefgefg", "abcd"], ["on", "his"]
    inputs = collated(backbone, texts)
    assert not inputs["mask"].all()
    targets = backbone.codec.collate([backbone.codec.encode(text) for text in wanted])
    assert not set(inputs["tokens"][inputs["mask"]].tolist()) & set(targets.flatten().tolist())
    optimizer = torch.optim.Adam(backbone.parameters(), lr=3e-3)
    losses = backbone.token_losses(inputs, targets)
    while float(losses.detach().max()) > 0.05:
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        losses = backbone.token_losses(inputs, targets)
    for settings in (
        Generation(max_new_tokens=12),
        Generation(max_new_tokens=12, no_repeat_ngram=1),
        Generation(max_new_tokens=12, repetition_penalty=3.0),
        Generation(max_new_tokens=12, num_beams=2, no_repeat_ngram=1),
    ):
        assert backbone.generate(inputs, settings) == wanted, settings
    drawn = Generation(max_new_tokens=8, sample=True, temperature=9.0)
    alone = [backbone.generate(collated(backbone, [text]), drawn)[0] for text in texts]
    assert backbone.generate(inputs, drawn) == alone


@torch.no_grad()
def test_samples_are_drawn_by_their_probability() -> None:
    """Equal texts draw the same, and what many texts draw is spread as the network has it."""
    backbone = make_backbone("gpt2")
    texts = [f"text {number}" for number in range(400)]
    inputs = collated(backbone, texts)
    drawn = backbone.generate(inputs, Generation(max_new_tokens=1, sample=True, top_k=2))
    assert drawn == backbone.generate(inputs, Generation(max_new_tokens=1, sample=True, top_k=2))
    logits = backbone.network(inputs["tokens"], attention_mask=inputs["mask"].long()).logits
    top = logits[:, -1].topk(2)
    first = [backbone.tokenizer.decode(token).strip() for token in top.indices[:, 0]]
    expected = float(top.values.softmax(1)[:, 0].mean())
    share = sum(a == b for a, b in zip(drawn, first, strict=True)) / len(texts)
    assert share == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_packed_losses_are_those_of_each_text_by_itself(name: str) -> None:
    backbone = make_backbone(name, max_length=24)
    packing = backbone.packed(join=True)
    items = [packing.prepare(text, train=False) for text in TEXTS]
    packed = packing.collate(items)
    assert packed["tokens"].shape[0] < sum(-(-len(i["tokens"]) // 24) for i in items)
    losses = backbone.packed_losses(packed)
    for sample, item in enumerate(items):
        alone = packing.collate([item])
        expected = backbone.packed_losses(alone).sum()
        torch.testing.assert_close(losses[packed["samples"] == sample].sum(), expected)
        predicted = (packed["samples"] == sample) & (packed["positions"] > 0)
        assert int(predicted.sum()) == len(item["tokens"]) - 1


@torch.no_grad()
def test_packed_losses_are_the_networks_own() -> None:
    backbone = make_backbone("gpt2")
    packing = backbone.packed(join=False)
    tokens = packing.prepare(TEXTS[0], train=False)["tokens"][None]
    expected = backbone.network(tokens, labels=tokens).loss
    losses = backbone.packed_losses(packing.collate([{"tokens": tokens[0]}]))
    torch.testing.assert_close(losses.sum() / (tokens.shape[1] - 1), expected)


@pytest.mark.parametrize("name", ENCODERS + CAUSAL + SEQ2SEQ)
def test_layers_hold_every_parameter_once_and_embeddings_come_first(name: str) -> None:
    backbone = make_backbone(name)
    layers = backbone.layers()
    ids = [id(p) for layer in layers for p in layer.parameters()]
    assert sorted(ids) == sorted({id(p) for p in backbone.parameters()})
    vocabulary = backbone.network.get_input_embeddings().weight
    assert any(p is vocabulary for p in layers[0].parameters())
    assert len(layers) == 1 + (4 if name in SEQ2SEQ else 2)


@pytest.mark.parametrize("name", ["bert-base", "gpt2", "t5-small"])
@torch.no_grad()
def test_reloaded_from_its_own_assets_it_is_the_same(name: str, tmp_path: Path) -> None:
    backbone = make_backbone(name)
    backbone.save_assets(tmp_path)
    save_model(backbone, str(tmp_path / "weights.safetensors"))
    again = make_backbone(name, assets=tmp_path, seed=1)
    load_model(again, str(tmp_path / "weights.safetensors"))
    one, other = (b.encode(collated(b)).pooled for b in (backbone, again))
    assert torch.equal(one, other)
    assert again.loaded.source == "run"


def test_the_same_texts_give_the_same_tokenizer() -> None:
    one, other = make_backbone("bert-base"), make_backbone("bert-base", seed=3)
    assert one.tokenizer.get_vocab() == other.tokenizer.get_vocab()
    ids = collated(one, ["unseen: żółw ☂"])["tokens"]
    assert one.tokenizer.decode(ids[0], skip_special_tokens=True) == "unseen: żółw ☂"


@torch.no_grad()
def test_pretrained_weights_are_those_of_transformers() -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = minilm_folder()
    backbone = make_backbone("minilm", weights=str(folder), max_length=128)
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    sequence = network.eval()(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    expected = (sequence * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(
        backbone.encode(collated(backbone)).pooled, expected, rtol=0, atol=1e-5
    )
    vectors = torch.nn.functional.normalize(expected, dim=-1)
    rain = vectors @ vectors[0]
    assert rain[1] > rain[3] and rain[1] > rain[4]  # Both of the first tell of rain.


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    gpt = make_backbone("gpt2")
    gpt.network.save_pretrained(tmp_path)
    gpt.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="type gpt2, but the backbone is of type bert"):
        make_backbone("bert-base", weights=str(tmp_path))
    again = make_backbone("causal-lm", weights=str(tmp_path))  # Which takes any.
    inputs = collated(gpt)
    torch.testing.assert_close(again.encode(inputs).pooled, gpt.encode(inputs).pooled)


def test_wrong_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There are no weights at"):
        make_backbone("bert-base", weights=str(tmp_path / "gone"))
    with pytest.raises(WeightsError, match=r"no config\.json in"):
        make_backbone("bert-base", weights=str(tmp_path))
    backbone = make_backbone("bert-base")
    backbone.save_assets(tmp_path)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        make_backbone("bert-base", weights=str(tmp_path))


def test_an_unreachable_hub_is_told_and_a_smaller_network_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    loaded = make_backbone("bert-base", weights="auto").loaded
    assert loaded.fell_back and "cannot be reached" in loaded.detail
    assert "A tiny bert (2 layers, width 64) is trained instead." in loaded.detail
    with pytest.raises(WeightsError, match="cannot be reached"):
        make_backbone("bert-base", weights="pretrained")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_few_bits_without_a_gpu_are_refused() -> None:
    with pytest.raises(ConfigError, match="load_bits = 4 needs a CUDA GPU"):
        make_backbone("minilm", weights=str(minilm_folder()), load_bits=4)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    backbone = make_backbone("bert-base").train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            backbone.enable_checkpointing()
        backbone.zero_grad()
        backbone.encode(collated(backbone)).pooled.square().sum().backward()
        gradients.append([p.grad.clone() for p in backbone.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
