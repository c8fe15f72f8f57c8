"""Whether a checkpoint is of the kind that a text backbone needs."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto import modeling_auto

from mmft_core.errors import WeightsError
from mmft_text.families import Family, Kind
from mmft_transformers.checkpoints import Checkpoint


def check_fits(
    checkpoint: Checkpoint, config: PreTrainedConfig, tokenizer: Any, family: Family, kind: Kind
) -> None:
    """Check what can be known before the weights are read.

    Raises:
        WeightsError: the checkpoint is of another architecture than the backbone, or of another
            kind, or its parts do not fit together.
    """
    found = _kind(config)
    if not family.any_architecture and config.model_type != family.model_type:
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, "
            f"but the backbone is of type {family.model_type}.",
            hint=f"Choose {_ANY[found]}, which takes any of its kind.",
        )
    if found != kind:
        raise WeightsError(
            f"{checkpoint.folder} holds {_CALLED[found]} (of type {config.model_type}), "
            f"but the backbone is {_CALLED[kind]}.",
            hint=f"Choose {_ANY[found]}.",
        )
    if not isinstance(getattr(config, "hidden_size", None), int):
        raise WeightsError(
            f"{checkpoint.folder} holds a network of type {config.model_type}, "
            "which is not a text-only network."
        )
    tokens = 1 + max(tokenizer.get_vocab().values(), default=-1)
    if tokens > getattr(config, "vocab_size", tokens):
        raise WeightsError(
            f"The tokenizer in {checkpoint.folder} has {tokens} tokens, "
            f"and the network knows {config.vocab_size}.",
            hint="Give a folder whose tokenizer belongs to its weights.",
        )


_ANY: dict[Kind, str] = {
    "encoder": "text-encoder",
    "causal": "causal-lm",
    "seq2seq": "seq2seq-lm",
}
_CALLED: dict[Kind, str] = {
    "encoder": "an encoder",
    "causal": "a causal language model",
    "seq2seq": "an encoder-decoder",
}


def _kind(config: PreTrainedConfig) -> Kind:
    """The kind of a network; BERT counts as an encoder although it could decode as well."""
    halves = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    if config.is_encoder_decoder or config.model_type in halves:
        return "seq2seq"
    masked = config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    causal = config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    decodes = causal and (not masked or getattr(config, "is_decoder", False))
    return "causal" if decodes else "encoder"
