"""The name that `mmft_core.contracts.lora_targets` had in mmft 0.1."""

from mmft_core.contracts.lora_targets import called_layers as called
from mmft_core.contracts.lora_targets import find_roles

__all__ = ["called", "find_roles"]
