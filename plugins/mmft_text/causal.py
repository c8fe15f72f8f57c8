"""Causal language models: GPT and its family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from mmft_core.config import Generation
from mmft_core.contracts import PADDING, Features, Generator, Graph, Runner, Tensors
from mmft_core.errors import IncompatibleError
from mmft_text.backbone import TransformersText, builder, position_ids
from mmft_text.families import Family
from mmft_text.options import TextBackboneOptions
from mmft_text.packing import PackingProcessor
from mmft_text.processing import TokenCodec
from mmft_text.writing import write
from mmft_transformers.caches import blank
from mmft_transformers.exported import ExportedCausal
from mmft_transformers.graphs import causal_graphs, one_step
from mmft_transformers.masked import cross_entropies
from mmft_transformers.quiet import quietly
from mmft_transformers.steps import accepted


class CausalBackbone(TransformersText, Generator):
    """Sources are padded on the left, so that what is written follows them at once.

    The pooled features are those of the last token, the only one that has seen all others.
    """

    auto = AutoModelForCausalLM
    kind = "causal"
    prompt = "{text}\n\nTL;DR:"

    def __init__(self, network: nn.Module, tokenizer: object, options: TextBackboneOptions) -> None:
        super().__init__(network, tokenizer, options)
        self.processor = replace(self.processor, side="left", positions=self.positions, shared=True)
        self.codec = TokenCodec(self.vocabulary, framed=False)

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"tokens": (B, T), "mask": (B, T)}, padded on the left."""
        mask = inputs["mask"]
        body = self.network.base_model
        assert isinstance(body, nn.Module)
        more = accepted(body.forward, position_ids=position_ids(mask), use_cache=False)
        sequence = body(inputs["tokens"], attention_mask=mask.long(), **more).last_hidden_state
        return Features(sequence[:, -1], sequence, mask)

    def token_losses(self, inputs: Tensors, targets: Tensor) -> Tensor:
        given = targets != PADDING
        tokens = targets.masked_fill(~given, self.vocabulary.pad)
        if "prefix" in inputs:
            source, known = inputs["prefix"], given.new_ones(inputs["prefix"].shape[:2])
            embed: nn.Module = self.network.get_input_embeddings()  # type: ignore[operator]
            whole = torch.cat([source, embed(tokens).to(source.dtype)], 1)
        else:
            known, whole = inputs["mask"], torch.cat([inputs["tokens"], tokens], 1)
        mask = torch.cat([known, given], 1)
        # Of the sources only the last position predicts a target.
        logits = self._logits(whole, mask.long(), position_ids(mask), keep=targets.shape[1] + 1)
        return cross_entropies(logits[:, :-1], targets)

    def packed_losses(self, inputs: Tensors) -> Tensor:
        """The loss (R, L) in nats of each token of packed rows, given those before it in its text.

        It is 0 where there are none: for the first token of a piece, and for padding.
        """
        tokens, samples, positions = inputs["tokens"], inputs["samples"], inputs["positions"]
        logits = self._logits(tokens, None, positions)
        wanted = tokens.masked_fill((samples < 0) | (positions == 0), PADDING)
        # The first of a row begins a text, so what comes around to the end is padding.
        return cross_entropies(logits, wanted.roll(-1, 1)).roll(1, 1)

    def generate(self, inputs: Tensors, settings: Generation) -> list[str]:
        taken = inputs["prefix" if "prefix" in inputs else "tokens"].shape[1]
        most = None if self.positions is None else self.positions - taken
        return write(self, inputs, settings, most=most)

    def graphs(self, inputs: Tensors) -> Sequence[Graph]:
        return causal_graphs(self.network, vectors="prefix" in inputs)

    def adopt(self, runners: Mapping[str, Runner]) -> None:
        self.network = ExportedCausal(self.config, runners, blank(one_step(self.network)))

    def packed(self, *, join: bool) -> PackingProcessor:
        """The preprocessing for language modelling.

        Raises:
            IncompatibleError: pieces are to share rows, and the network would mix them.
        """
        if join and not self._keeps_apart():
            raise IncompatibleError(
                f"A network of type {self.config.model_type} mixes texts that share a row.",
                hint="Turn packing off: --set task.packing=false",
            )
        return PackingProcessor(self.processor, self.processor.max_length, join)

    @torch.no_grad()
    def _keeps_apart(self) -> bool:
        """Whether a text's logits stay the same behind another text and before a third.

        transformers tells from positions that begin anew where another text begins, but not for
        all its networks; those pass over it in silence.
        """
        device = self.network.get_input_embeddings().weight.device  # type: ignore[operator]
        if device.type == "meta":
            return True  # Of an export, whose run was asked.
        first, text, last = torch.arange(24, device=device).view(3, 8)
        rows = torch.stack([torch.cat([first, text]), torch.cat([text, last])])
        positions = torch.arange(8, device=device).repeat(2, 2)
        training = self.network.training
        self.network.eval()
        logits = self._logits(rows, None, positions)
        self.network.train(training)
        behind, before = logits[0, 8:], logits[1, :8]
        rounding = 1e-2 if self.quantized else 1e-4
        return bool((behind - before).abs().max() <= rounding * behind.abs().max())

    def _logits(
        self, whole: Tensor, mask: Tensor | None, positions: Tensor, keep: int = 0
    ) -> Tensor:
        """The logits (B, keep, V) at the last positions, in full precision.

        Args:
            whole: tokens (B, T), or vectors (B, T, D) in their place.
            keep: 0 for all. A size of a graph that is traced is none: transformers would take it
                for a position.
        """
        more = accepted(self.network.forward, position_ids=positions, logits_to_keep=keep)
        more["inputs_embeds" if whole.is_floating_point() else "input_ids"] = whole
        with quietly():  # Packed rows have padding without a mask, and it belongs to no text.
            output = self.network(attention_mask=mask, use_cache=False, **more)
        logits: Tensor = output.logits[:, -keep:]
        return logits.float()


_MEDIUM = {"n_embd": 1024, "n_layer": 24, "n_head": 16}
# Plain sizes in the manner of Llama, for random weights; any architecture can be loaded.
_LLAMA = {
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "tie_word_embeddings": True,
}

build_gpt2 = builder(CausalBackbone, Family("openai-community/gpt2", "gpt2"))
build_gpt2_medium = builder(CausalBackbone, Family("openai-community/gpt2-medium", "gpt2", _MEDIUM))
build_distilgpt2 = builder(CausalBackbone, Family("distilbert/distilgpt2", "gpt2", {"n_layer": 6}))
build_causal_lm = builder(CausalBackbone, Family(None, "llama", _LLAMA))
