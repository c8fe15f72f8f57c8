"""Language models as all families have them: called, their logits, and what trying them tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from mmft_core.engine import has_values
from mmft_transformers.quiet import quietly
from mmft_transformers.steps import accepted


def forward(module: Any, arguments: Mapping[str, Any]) -> Any:
    """Call a network, leaving out `position_ids` if its forward pass does not accept them."""
    known = accepted(module.forward, position_ids=None, use_cache=None)
    given = {n: t for n, t in arguments.items() if n != "position_ids" or n in known}
    with quietly():
        return module(**given, **({"use_cache": False} if "use_cache" in known else {}))


def head_logits(network: Any, states: Tensor) -> Tensor:
    """From states (N, D) to logits (N, V), scaled as some families do."""
    config = network.config.get_text_config()
    logits: Tensor = network.get_output_embeddings()(states)
    divisor, factor = (
        getattr(config, "logits_scaling", None),
        getattr(config, "logit_scale", None),
    )
    cap = getattr(config, "final_logit_softcapping", None)
    logits = logits / divisor if divisor else logits
    logits = logits * factor if factor else logits
    return cap * torch.tanh(logits / cap) if cap else logits


@torch.no_grad()
def computes_logits_by_head(network: Any) -> bool:
    """Whether the logits are what the output layer makes of the last states, so that they may be
    computed piece by piece."""
    head = network.get_output_embeddings()
    if head is None or network.base_model is network:
        return False
    if not has_values(head.weight):
        return True
    tokens = torch.arange(8, device=head.weight.device)[None]
    with evaluated(network):
        given = {"input_ids": tokens, "position_ids": tokens}
        states = forward(network.base_model, given).last_hidden_state
        logits = forward(network, given).logits
    own = head_logits(network, states)
    rounding = 1e-4 if logits.dtype == torch.float32 else 2e-2
    same = own.shape == logits.shape
    return same and bool((own - logits).abs().max() <= rounding * logits.abs().max())


@torch.no_grad()
def keeps_apart(network: Any, rounding: float) -> bool:
    """Whether a chat's logits stay the same after another one and before a third.

    transformers tells from positions that begin anew where another begins, but not for all
    its networks; the others silently ignore it.

    Args:
        rounding: by how much of the largest they may differ.
    """
    weight = network.get_input_embeddings().weight
    if not has_values(weight):
        return True  # Of an export, where no chats share a row, or of an estimate.
    device = weight.device
    first, text, last = torch.arange(24, device=device).view(3, 8)
    rows = torch.stack([torch.cat([first, text]), torch.cat([text, last])])
    positions = torch.arange(8, device=device).repeat(2, 2)
    with evaluated(network):
        both = {"input_ids": rows, "position_ids": positions}
        one = {"input_ids": text[None], "position_ids": positions[:1, :8]}
        logits = forward(network, both).logits.float()
        alone = forward(network, one).logits.float()[0]
    most = rounding * alone.abs().max()
    return all(bool((own - alone).abs().max() <= most) for own in (logits[0, 8:], logits[1, :8]))


@torch.no_grad()
def ignores_padding(network: Any, rounding: float) -> bool:
    """Whether what is written after a prompt stays the same with padding before the prompt.

    Attention leaves padding out; some recurrent networks (RWKV) read it.

    Args:
        rounding: by how much of the largest logit it may differ.
    """
    weight = network.get_input_embeddings().weight
    if not has_values(weight):
        return True  # Of an estimate.
    tokens = torch.arange(1, 14, device=weight.device)[None]
    mask = torch.ones_like(tokens)
    mask[:, :5] = 0
    settings = GenerationConfig(
        max_new_tokens=1, output_logits=True, return_dict_in_generate=True, pad_token_id=0
    )

    def first(prompt: Tensor, seen: Tensor) -> Tensor:
        written = network.generate(
            input_ids=prompt, attention_mask=seen, generation_config=settings
        )
        logits: Tensor = written.logits[0].float()
        return logits

    with evaluated(network), quietly():
        padded, alone = first(tokens, mask), first(tokens[:, 5:], mask[:, 5:])
    return bool((padded - alone).abs().max() <= rounding * alone.abs().max())


@contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """In eval mode, and afterwards as it was."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
