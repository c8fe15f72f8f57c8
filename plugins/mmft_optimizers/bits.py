"""AdamW by bitsandbytes: with states in 8 bits, or in memory that moves between GPU and CPU.

Dettmers et al. (2022), "8-bit Optimizers via Block-wise Quantization". Tensors of fewer than 4,096
numbers keep states in 32 bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from mmft_core.contracts import OptimizerContext
from mmft_core.errors import ConfigError
from mmft_optimizers.options import BitsAdamOptions


def adamw_8bit(options: BitsAdamOptions, context: OptimizerContext) -> Optimizer:
    return _adamw(options, context, bits=8)


def paged_adamw(options: BitsAdamOptions, context: OptimizerContext) -> Optimizer:
    """Raises:
    ConfigError: there is no GPU.
    """
    return _adamw(options, context, bits=32, paged="paged-adamw")


def paged_adamw_8bit(options: BitsAdamOptions, context: OptimizerContext) -> Optimizer:
    """Raises:
    ConfigError: there is no GPU.
    """
    return _adamw(options, context, bits=8, paged="paged-adamw-8bit")


def _adamw(
    options: BitsAdamOptions, context: OptimizerContext, *, bits: int, paged: str = ""
) -> Optimizer:
    """Args:
    paged: the name of the optimizer if its states move between GPU and CPU.
    """
    if paged and not torch.cuda.is_available():
        raise ConfigError(
            f"engine.optimizer = '{paged}' needs a CUDA GPU, which this machine does not have.",
            hint="Choose adamw, or adamw-8bit, which works on CPUs as well.",
        )
    import bitsandbytes

    library: Any = bitsandbytes.optim  # Types are known of parts of it.
    make = library.AdamW
    if paged:
        from mmft_optimizers.paged import PagedAdamW

        make = PagedAdamW
    optimizer: Optimizer = make(
        list(context.groups),
        lr=context.lr,
        betas=options.betas,
        eps=options.eps,
        optim_bits=bits,
        is_paged=bool(paged),
    )
    return optimizer
