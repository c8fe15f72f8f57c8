"""The precision of training, and that of evaluation and prediction."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import cache

import torch

from mmft_core.errors import ConfigError

_SIDE, _ROUNDS = 512, 6
"""The size of the matrices that are multiplied, and how often they are."""
_WORTH_IT = 1.2
"""How much faster bf16 has to be than fp32 for a CPU to train in it."""


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return Accelerate's name of the precision to train in: as asked, or the fastest safe one.

    A CPU trains in bf16 if it is measured to multiply matrices faster in it: some CPUs are slower
    with their instructions for it.

    Raises:
        ConfigError: the device cannot compute in the precision that was asked for.
    """
    if device.type == "cuda":
        best = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    elif device.type == "cpu":
        best = "no"
        if wanted == "auto" and cpu_computes_bf16():
            best = "bf16" if bf16_speedup() >= _WORTH_IT else "no"
        if wanted == "fp16":
            raise ConfigError(
                "engine.precision = 'fp16' needs a GPU.", hint="Use bf16, fp32 or auto on a CPU."
            )
    else:
        best = "no"
    return {"auto": best, "fp32": "no"}.get(wanted, wanted)


def choose_device(wanted: str) -> torch.device:
    """Return the device of a single process: "cpu" as asked for, or with "auto" the GPU if any.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda is not None
        raise ConfigError(
            "engine.device = 'cuda', but there is no GPU that this installation can use"
            + ("." if built else ": torch is built without CUDA."),
            hint="Leave it out to use what there is"
            + ("." if built else ", or install a build of torch with CUDA."),
        )
    found = None if wanted == "cpu" else torch.accelerator.current_accelerator(True)
    return found or torch.device("cpu")


def inference_precision(wanted: str, device: torch.device) -> str:
    """Return the precision in which a model is evaluated and predicts: "fp32", "bf16" or "fp16".

    As asked for, where the device can compute in it. "auto" is fp32 on a CPU: in bf16 an answer
    may change with the inputs that share its batch, and little time is gained (docs/results.md).
    On a GPU it is the precision of training.
    """
    if device.type == "cpu":
        return "bf16" if wanted == "bf16" else "fp32"
    return choose_precision(wanted, device).replace("no", "fp32")


@dataclass(frozen=True)
class Inference:
    """How a model computes when it is evaluated and when it predicts.

    Attributes:
        device: where its weights are.
        precision: "fp32", "bf16" or "fp16".
    """

    device: torch.device
    precision: str

    @classmethod
    def of(cls, wanted: str, device: torch.device) -> Inference:
        """See `inference_precision`."""
        return cls(device, inference_precision(wanted, device))

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context in which the model is called."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        return torch.autocast(self.device.type, dtype)


@cache
def bf16_speedup() -> float:
    """How many times faster the CPU multiplies matrices in bf16 than in fp32.

    Takes about 50 ms, once per process. Both take turns and the shortest times count, so another
    process on the machine slows both.
    """
    full = torch.linspace(-1.0, 1.0, _SIDE * _SIDE).view(_SIDE, _SIDE)
    half = full.bfloat16()
    times: dict[torch.dtype, list[float]] = {full.dtype: [], half.dtype: []}
    for _ in range(_ROUNDS):
        for matrix in (full, half):
            started = time.perf_counter()
            matrix @ matrix
            times[matrix.dtype].append(time.perf_counter() - started)
    # The first of each prepares its kernel.
    return min(times[full.dtype][1:]) / min(times[half.dtype][1:])


def cpu_computes_bf16() -> bool:
    """Whether bf16 products are computed by the CPU itself (AVX512-BF16, AMX, Arm's BF16)."""
    features = torch.cpu.get_capabilities()
    return any(features.get(f, False) for f in ("avx512_bf16", "amx_bf16", "bf16"))
