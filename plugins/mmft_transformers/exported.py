"""Networks whose steps runners compute: what transformers generates with, as with its own.

They take the place of a network, and are called as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    DynamicCache,
    GenerationConfig,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import ModelOutput

from mmft_core.contracts import Runner, Tensors
from mmft_transformers.caches import (
    PAST,
    PRESENT,
    SOURCE,
    cache_of,
    rows_of_nothing,
    tensors_of,
)


class ExportedNetwork(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """What every one of them has for transformers' generation."""

    main_input_name = "input_ids"
    device = torch.device("cpu")
    dtype = torch.float32
    _supports_sdpa = True  # Whatever attention a graph was made of.

    def __init__(
        self, config: PreTrainedConfig, runners: Mapping[str, Runner], blanks: Tensors
    ) -> None:
        """Args:
        runners: by the names of their graphs.
        blanks: keys and values of no token, for one row.
        """
        super().__init__(config)
        self.runners, self.blanks = dict(runners), blanks
        self.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """Asked by transformers, whose cache may forget; graphs are given all keys and values."""
        return False

    def past(self, cache: Any, rows: int) -> Tensors:
        """What the decoder is given of the tokens before."""
        if cache is None:
            return rows_of_nothing(self.blanks, rows)
        return tensors_of(cache, PAST)


_CACHE = "cache" if hasattr(ModelOutput, "past_key_values") else "past_key_values"
"""What outputs call the cache. Where it was renamed the old name still works, with a warning."""


def answer(found: Tensors) -> ModelOutput:
    """What a decoder gave, as transformers wants it."""
    return ModelOutput({"logits": found["logits"], _CACHE: cache_of(found, PRESENT)})


class ExportedCausal(ExportedNetwork):
    """A language model by its graph "decoder", and "embedding" if that takes vectors."""

    def get_input_embeddings(self) -> nn.Module:
        return _Table(self.runners["embedding"])

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache: DynamicCache | None = None,
        past_key_values: DynamicCache | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> ModelOutput:
        """See `CausalDecoder`; what else transformers tells a network is not for a graph."""
        read = input_ids if inputs_embeds is None else inputs_embeds
        assert read is not None
        if "embedding" in self.runners and inputs_embeds is None:
            read = self.get_input_embeddings()(read)
        rows, new = read.shape[:2]
        past = self.past(cache if past_key_values is None else past_key_values, rows)
        old = next(iter(past.values())).shape[2]
        if attention_mask is None:
            attention_mask = torch.ones(rows, old + new, dtype=torch.int64)
        if position_ids is None:
            position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, old:]
        given = {
            "vectors" if read.is_floating_point() else "tokens": read,
            "mask": attention_mask[:, old:],
            "positions": position_ids,
            "keep": torch.arange(new)[-logits_to_keep:],
            "past.mask": attention_mask[:, :old],
            **past,
        }
        return answer(self.runners["decoder"](given))


class _Table(nn.Module):
    """Vectors of tokens."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner

    def forward(self, tokens: Tensor) -> Tensor:
        return self.runner({"tokens": tokens})["vectors"]


class ExportedSeq2Seq(ExportedNetwork):
    """An encoder-decoder by its graphs "encoder", "source" and "decoder"."""

    def get_encoder(self, *_: Any) -> nn.Module:
        return _Reader(self.runners)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: Mapping[str, Tensor] | None = None,
        cache: DynamicCache | None = None,
        past_key_values: DynamicCache | None = None,
        **_: Any,
    ) -> ModelOutput:
        """See `SourceDecoder`; what else transformers tells a network is not for a graph."""
        assert attention_mask is not None and decoder_input_ids is not None
        if encoder_outputs is None:
            encoder_outputs = self.get_encoder()(input_ids, attention_mask)
        given = {
            "tokens": decoder_input_ids,
            "source.mask": attention_mask,
            **{name: t for name, t in encoder_outputs.items() if name.startswith(f"{SOURCE}.")},
            **self.past(
                cache if past_key_values is None else past_key_values, len(decoder_input_ids)
            ),
        }
        return answer(self.runners["decoder"](given))


class _Reader(nn.Module):
    """An encoder, and what the decoder attends to of its states.

    transformers repeats all that it gives for every beam, and once.
    """

    def __init__(self, runners: Mapping[str, Runner]) -> None:
        super().__init__()
        self.runners = runners

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> ModelOutput:
        read = self.runners["encoder"]({"tokens": input_ids, "mask": attention_mask})
        states = read["states"]
        source = self.runners["source"]({"states": states})
        return ModelOutput(last_hidden_state=states, **source)
