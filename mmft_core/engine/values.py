"""Whether the values of tensors are known."""

from __future__ import annotations

import sys

from torch import Tensor


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor holds numbers; not on the meta device, nor where it is only described
    (`mmft_core.engine.described`)."""
    fake = sys.modules.get("torch._subclasses.fake_tensor")  # Without it nothing is described.
    return not tensor.is_meta and (fake is None or not isinstance(tensor, fake.FakeTensor))
