"""Encoders: BERT and its family."""

from __future__ import annotations

from torch import nn
from transformers import AutoModel

from mmft_core.contracts import Features, Tensors
from mmft_text.backbone import TransformersText, builder
from mmft_text.families import Family
from mmft_text.options import TextBackboneOptions
from mmft_transformers.masked import masked_mean


class Encoder(TransformersText):
    """The pooled features are the mean over all tokens (Reimers and Gurevych, 2019)."""

    auto = AutoModel
    kind = "encoder"

    def __init__(self, network: nn.Module, tokenizer: object, options: TextBackboneOptions) -> None:
        if getattr(network, "pooler", None) is not None:
            network.pooler = nn.Identity()  # Trained for another purpose, and not used.
        super().__init__(network, tokenizer, options)

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"tokens": (B, T), "mask": (B, T)}."""
        mask = inputs["mask"]
        sequence = self.network(inputs["tokens"], attention_mask=mask.long()).last_hidden_state
        return Features(masked_mean(sequence, mask), sequence, mask)


_MINILM = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_ROBERTA = {"max_position_embeddings": 514}

build_bert_base = builder(Encoder, Family("google-bert/bert-base-uncased", "bert"))
build_bert_large = builder(Encoder, Family("google-bert/bert-large-uncased", "bert", _LARGE))
build_distilbert = builder(Encoder, Family("distilbert/distilbert-base-uncased", "distilbert"))
build_roberta_base = builder(Encoder, Family("FacebookAI/roberta-base", "roberta", _ROBERTA))
build_roberta_large = builder(
    Encoder, Family("FacebookAI/roberta-large", "roberta", _LARGE | _ROBERTA)
)
build_minilm = builder(Encoder, Family("sentence-transformers/all-MiniLM-L6-v2", "bert", _MINILM))
build_modernbert_base = builder(Encoder, Family("answerdotai/ModernBERT-base", "modernbert"))
build_text_encoder = builder(Encoder, Family(None, "bert"))
