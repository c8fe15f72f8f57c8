"""Making the Accelerator of a run: device, precision and processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from mmft_core import cpus
from mmft_core.config.engine_config import EngineConfig
from mmft_core.distributed import comm
from mmft_core.errors import ConfigError
from mmft_core.precision import choose_device, choose_precision


def make_accelerator(
    config: EngineConfig, *, partial: bool = False, chosen: Mapping[str, Any] | None = None
) -> Accelerator:
    """Create the Accelerator, which knows device, precision and processes.

    Args:
        partial: whether a batch may lack a whole modality, so that its backbone is not used.
        chosen: how the run computed when it started (`Compute.record`); used on a device of the
            same type.

    Raises:
        ConfigError: a GPU is requested and there is none, the device does not support the
            precision, or `accelerate launch` was configured with something that a run's settings
            decide.
    """
    cpus.limit_threads(config.threads)
    choose_device(config.device)  # Refuses a GPU that is not there.
    for way in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{way}", "false").lower() == "true":
            raise ConfigError(
                f"Accelerate's configuration asks for {way}, but the run's settings decide this.",
                hint="Leave it out there; --set engine.parallel=fsdp shards the model.",
            )
    # Accelerate brings processes without GPUs together only if it is told to use the CPU.
    alone = comm.several() and not torch.accelerator.is_available()
    cpu = config.device == "cpu" or alone
    gradual = config.tuning.changes
    device = PartialState(cpu=cpu).device
    precision = choose_precision(config.precision, device)
    if config.precision == "auto":  # What the main process has measured holds for all of them.
        precision = comm.from_main(lambda: precision)
        if chosen is not None and chosen["device"] == device.type:
            precision = chosen["precision"].replace("fp32", "no")
    # Accelerate keeps the precision of a process's first Accelerator; each run chooses its own.
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=cpu,
        mixed_precision=precision,
        rng_types=[],
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=gradual or partial)],
    )
