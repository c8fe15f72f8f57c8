"""AdamW of bitsandbytes whose states are in paged memory after a resume, too."""

from __future__ import annotations

from typing import Any

import bitsandbytes
from torch import Tensor

_PAGED = ("state1", "state2")
"""The states that are as large as their parameter."""
_AdamW: Any = bitsandbytes.optim.AdamW  # Types are known of parts of it.


class PagedAdamW(_AdamW):  # type: ignore[misc]
    """bitsandbytes itself loads states into ordinary memory of the GPU, where they may not fit."""

    def load_state_dict(self, state_dict: dict[str, Any], move_to_device: bool = True) -> None:
        super().load_state_dict(state_dict, move_to_device=False)
        for parameter, state in self.state.items():
            for name, value in state.items():
                if not isinstance(value, Tensor):
                    continue
                place: Any = None
                if name in _PAGED:
                    place = self.get_state_buffer(parameter, dtype=value.dtype)
                if getattr(place, "is_paged", False):
                    state[name] = place.copy_(value)
                elif move_to_device:
                    state[name] = value.to(parameter.device)
