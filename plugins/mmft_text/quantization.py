"""Weights in few bits, by bitsandbytes."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BitsAndBytesConfig

from mmft_core.errors import ConfigError
from mmft_core.utils import require_extra


def check_bits(bits: int | None, choice: str, hub_id: str | None) -> None:
    """Check that weights can be loaded in so few bits, before anything is fetched.

    Args:
        bits: 4 or 8; None for full precision.
        choice: which weights are asked for.
        hub_id: of the published weights; None where there are none.

    Raises:
        ConfigError: there are no weights to load so, or there is no GPU.
        MissingExtraError: bitsandbytes is not installed.
    """
    if bits is None:
        return
    option = f"backbone.load_bits = {bits}"
    if choice == "none" or (choice == "auto" and hub_id is None):
        raise ConfigError(
            f"{option} needs pretrained weights, and these are random.",
            hint="Leave it out, or give --weights PATH_OR_HUB_ID.",
        )
    if not torch.cuda.is_available():
        raise ConfigError(
            f"{option} needs a CUDA GPU, which this machine does not have.",
            hint="Leave it out to load in 32 bits.",
        )
    require_extra(option, "quantize")


def check_full(bits: int | None, run: Path | None) -> None:
    """Raises:
    ConfigError: the weights of a run are to be loaded in few bits, which is not provided for.
    """
    if bits is not None and run is not None:
        raise ConfigError(
            f"backbone.load_bits = {bits} only works with transformers checkpoints, and {run} "
            "is a run directory.",
            hint="Leave it out, or start from the weights that the run started from.",
        )


def quantization(bits: int | None) -> BitsAndBytesConfig | None:
    """As Dettmers et al. (2023, "QLoRA") have it: NF4, computed in bfloat16; or LLM.int8."""
    if bits is None:
        return None
    return BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
