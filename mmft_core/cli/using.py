"""The engine's settings under which a finished model predicts: `--set engine.precision=bf16`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmft_core.errors import ConfigError
from mmft_core.planning.options import convert
from mmft_core.planning.trees import Tree

if TYPE_CHECKING:
    from mmft_core.artifacts import LoadedModel
    from mmft_core.inference.predictor import Predictor

ENGINE = ("engine.precision", "engine.device", "engine.workers")
"""What of the engine can be set then; the rest is of training."""


def make_predictor(model: LoadedModel, settings: Tree, batch_size: int) -> Predictor:
    """A predictor of a loaded model.

    Args:
        settings: `--set` arguments, of which `engine` counts.

    Raises:
        ConfigError: a setting is wrong, or the model cannot compute so.
    """
    from mmft_core.inference.predictor import Predictor
    from mmft_core.planning.config import EngineConfig

    check_engine(model, settings)
    given = {**settings.get("engine", {}), "batch_size": batch_size}
    return Predictor(model, convert(given, EngineConfig, "engine"))


def check_engine(model: LoadedModel, settings: Tree) -> None:
    """Raises:
    ConfigError: a precision is asked for that the model, or this machine, does not compute in.
    """
    import torch

    wanted = settings.get("engine", {}).get("precision")
    if model.exported and wanted in ("bf16", "fp16"):
        raise ConfigError(
            f"engine.precision = '{wanted}' is for runs: an export computes as it was written.",
            hint="Leave it out, or give the run.",
        )
    if wanted == "fp16" and not torch.cuda.is_available():
        raise ConfigError(
            "engine.precision = 'fp16' needs a GPU.", hint="Use bf16, fp32 or auto on a CPU."
        )
