"""Device, precision and processes, all of them Accelerate's."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from mmft_core.distributed import processes
from mmft_core.errors import ConfigError
from mmft_core.planning.config import EngineConfig
from mmft_core.planning.tuning_choice import Tunings


def make_accelerator(config: EngineConfig, *, partial: bool = False) -> Accelerator:
    """Make the Accelerator, which knows device, precision and processes.

    Args:
        partial: whether a batch may lack whole modalities, so that a backbone is not used.

    Raises:
        ConfigError: the precision is none of the device's, or `accelerate launch` was configured to
            decide what a run's settings do.
    """
    for way in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{way}", "false").lower() == "true":
            raise ConfigError(
                f"Accelerate's own configuration asks for {way}, which a run's settings decide.",
                hint="Leave it out there; --set engine.parallel=fsdp is for shards.",
            )
    # Accelerate brings processes without GPUs together only if it is told to use the CPU.
    alone = processes.several() and not torch.accelerator.is_available()
    cpu = config.device == "cpu" or alone
    gradual = Tunings.parse(config.tune).changes
    # Accelerate keeps the precision of a process's first Accelerator; each run chooses its own.
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=cpu,
        mixed_precision=choose_precision(config.precision, PartialState(cpu=cpu).device),
        rng_types=[],
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=gradual or partial)],
    )


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return Accelerate's name of the precision: as asked, or the fastest safe one of the device.

    Raises:
        ConfigError: the device cannot compute in the precision that was asked for.
    """
    if device.type == "cuda":
        best = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    elif device.type == "cpu":
        best = "bf16" if _cpu_computes_bf16() else "no"
        if wanted == "fp16":
            raise ConfigError(
                "engine.precision = 'fp16' needs a GPU.", hint="Use bf16, fp32 or auto on a CPU."
            )
    else:
        best = "no"
    return {"auto": best, "fp32": "no"}.get(wanted, wanted)


def _cpu_computes_bf16() -> bool:
    """Whether bf16 products are computed by the CPU itself (AVX512-BF16, AMX, Arm's BF16)."""
    features = torch.cpu.get_capabilities()
    return any(features.get(f, False) for f in ("avx512_bf16", "amx_bf16", "bf16"))
