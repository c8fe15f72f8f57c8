"""Encoder-decoders: BART and T5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForSeq2SeqLM

from mmft_core.config import Generation
from mmft_core.contracts import PADDING, Features, Generator, Graph, Runner, Tensors
from mmft_text.backbone import TransformersText, builder
from mmft_text.families import Family, positions
from mmft_text.options import TextBackboneOptions
from mmft_text.processing import TokenCodec
from mmft_text.writing import write
from mmft_transformers.caches import blank
from mmft_transformers.exported import ExportedSeq2Seq
from mmft_transformers.graphs import one_step, seq2seq_graphs
from mmft_transformers.masked import cross_entropies, masked_mean

_START = "decoder_start_token_id"


class Seq2SeqBackbone(TransformersText, Generator):
    """The features are the encoder's, pooled by their mean."""

    auto = AutoModelForSeq2SeqLM
    kind = "seq2seq"

    def __init__(self, network: nn.Module, tokenizer: object, options: TextBackboneOptions) -> None:
        told = [getattr(c, _START, None) for c in (network.config, network.generation_config)]
        super().__init__(network, tokenizer, options)
        self.start = next((int(s) for s in told if s is not None), self.vocabulary.pad)
        self.written = positions(network, "decoder")
        self.processor = replace(self.processor, positions=self.written)
        self.codec = TokenCodec(self.vocabulary, framed=True)
        if self.config.model_type == "t5":
            self.prompt = "summarize: {text}"  # As in its training (Raffel et al., 2019).

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"tokens": (B, T), "mask": (B, T)}."""
        mask, network = inputs["mask"], self.network
        encoder = network.get_encoder()  # type: ignore[operator]
        sequence = encoder(inputs["tokens"], attention_mask=mask.long()).last_hidden_state
        return Features(masked_mean(sequence, mask), sequence, mask)

    def token_losses(self, inputs: Tensors, targets: Tensor) -> Tensor:
        given = targets.masked_fill(targets == PADDING, self.vocabulary.pad)
        before = F.pad(given[:, :-1], (1, 0), value=self.start)
        logits = self.network(
            inputs["tokens"],
            attention_mask=inputs["mask"].long(),
            decoder_input_ids=before,
            use_cache=False,
        ).logits.float()
        return cross_entropies(logits, targets)

    def generate(self, inputs: Tensors, settings: Generation) -> list[str]:
        return write(self, inputs, settings, most=self.written, start=self.start)

    def graphs(self, inputs: Tensors) -> Sequence[Graph]:
        return seq2seq_graphs(self.network)

    def adopt(self, runners: Mapping[str, Runner]) -> None:
        own = one_step(self.network).self_attention_cache
        self.network = ExportedSeq2Seq(self.config, runners, blank(own))


_BART_BASE = {
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
}
_T5_BASE = {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_ff": 3072}

build_bart_base = builder(Seq2SeqBackbone, Family("facebook/bart-base", "bart", _BART_BASE))
build_bart_large = builder(Seq2SeqBackbone, Family("facebook/bart-large", "bart"))
build_t5_small = builder(Seq2SeqBackbone, Family("google-t5/t5-small", "t5"))
build_t5_base = builder(Seq2SeqBackbone, Family("google-t5/t5-base", "t5", _T5_BASE))
build_seq2seq_lm = builder(Seq2SeqBackbone, Family(None, "t5"))
