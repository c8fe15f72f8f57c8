"""The settings of saved adapters: only those that mmft writes reach PEFT, others are refused.

PEFT's settings can name modules to import, layers to copy and weights to change. A run needs rank,
alpha and dropout; all other settings of the file describe the adapters to other software, or have
PEFT's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from mmft_core.errors import RunDirectoryError, first_line

if TYPE_CHECKING:
    import peft

FILE = "adapter_config.json"

_DESCRIPTIVE = {
    "auto_mapping",
    "base_model_name_or_path",
    "fan_in_fan_out",  # PEFT finds out by the type of each layer.
    "inference_mode",
    "modules_to_save",
    "peft_version",
    "target_modules",
    "task_type",
}
"""Settings that other software reads, and mmft does not."""


class _Read(msgspec.Struct, kw_only=True):
    """The settings that mmft reads."""

    peft_type: Literal["LORA"]
    r: Annotated[int, msgspec.Meta(ge=1)]
    lora_alpha: float
    lora_dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0


def read(folder: Path, rank: int) -> peft.LoraConfig:
    """The settings in a folder of adapters, without the layers that they apply to.

    Args:
        rank: the rank of the adapters' tensors.

    Raises:
        RunDirectoryError: the file holds a setting that mmft does not write, or is damaged.
    """
    import peft

    file = folder / FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = msgspec.convert(content, _Read)
        if found.r != rank:
            raise ValueError(f"'r' is {found.r}, and the adapters have rank {rank}")
        others = dict(_others(content))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RunDirectoryError(
            f"{file} cannot be read: {first_line(error)}.",
            hint="It is damaged or was edited: take it from a copy, or repeat the run.",
        ) from None
    for key, value in others.items():
        raise RunDirectoryError(
            f"{file} is refused: it contains a setting that mmft does not write: "
            f"'{key[:80]}' = {json.dumps(value)[:80]}.",
            hint="Remove it if you know where the file comes from. Files of a newer PEFT need "
            "that version: pip install -U peft",
        )
    alpha: Any = found.lora_alpha
    return peft.LoraConfig(r=found.r, lora_alpha=alpha, lora_dropout=found.lora_dropout)


def _others(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings that are neither read, nor descriptive, nor PEFT's defaults."""
    import peft

    defaults = json.loads(json.dumps(peft.LoraConfig().to_dict(), default=str))  # type: ignore[no-untyped-call]
    for key, value in content.items():
        known = key in _DESCRIPTIVE or key in _Read.__struct_fields__
        if not known and value and value != defaults.get(key):
            yield key, value
