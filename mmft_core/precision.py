"""The precision in which a model is trained, and the one in which it is judged and predicts."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch

from mmft_core.errors import ConfigError


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return Accelerate's name of the precision to train in: as asked, or the fastest safe one.

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


def inference_precision(wanted: str, device: torch.device) -> str:
    """Return the precision in which a model is judged and predicts: "fp32", "bf16" or "fp16".

    As asked for, where the device can compute in it. "auto" is fp32 on a CPU: in bf16 an answer
    may change with the inputs that share its batch, and little time is gained (docs/results.md).
    On a GPU it is the precision of training.
    """
    if device.type == "cpu":
        return "bf16" if wanted == "bf16" else "fp32"
    return choose_precision(wanted, device).replace("no", "fp32")


@dataclass(frozen=True)
class Inference:
    """How a model computes when it is judged and when it predicts.

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


def _cpu_computes_bf16() -> bool:
    """Whether bf16 products are computed by the CPU itself (AVX512-BF16, AMX, Arm's BF16)."""
    features = torch.cpu.get_capabilities()
    return any(features.get(f, False) for f in ("avx512_bf16", "amx_bf16", "bf16"))
