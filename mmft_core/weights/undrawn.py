"""Building a network without drawing random weights that are about to be replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset(
    [
        "uniform_",
        "normal_",
        "trunc_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "xavier_normal_",
    ]
)
"""Names of functions of torch that draw, and of functions that libraries put in their place."""


class Undrawn(TorchFunctionMode):
    """A context in which parameters keep whatever their memory holds instead of random values.

    Drawing those of a ResNet-50 takes half a second. Everything else is computed as usual: zeros,
    ones, and random tensors that are not parameters.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS:
            filled = args[0] if args else kwargs["tensor"]
            if isinstance(filled, nn.Parameter):
                return filled
        return func(*args, **kwargs)
