"""Steps that are not computed: a torch mode that describes tensors and counts their bytes.

Floating-point tensors have a shape, a type and a device, but no values (torch's `FakeTensorMode`),
so a step of any network takes about a second and no memory. Integers, booleans and small constants
are computed as usual, because networks depend on them: which tokens are pictures, which tokens are
learned, how long a sample is.

A network that depends on its own floating-point numbers, as detectors do on scores, cannot be
described. Its step is computed with random weights, and counted in the same way.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmft_core.engine.values import has_values

T = TypeVar("T")

UNDESCRIBED = (
    fake_tensor.DataDependentOutputException,
    fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedFakeTensorException,
    fake_tensor.UnsupportedOperatorException,
)
"""What is raised where numbers are needed that are only described."""

_CONSTANT = 4096
"""Tensors that are created from no others are computed, whatever their type, up to this many
elements."""

_aten = torch.ops.aten
_INDEXED = (
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._unsafe_index.Tensor,
)


class Described(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The mode. What is allocated within it is counted until it is freed.

    Attributes:
        computed: whether all numbers are computed after all.
        held: bytes at this moment.
        peak: the most bytes so far.
    """

    def __init__(self, *, computed: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.computed = computed
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.held = self.peak = 0
        self._known: dict[int, Any] = {}

    def like(self, tensor: Tensor, device: torch.device) -> Tensor:
        """A tensor as it would be on a device: described, except for integers.

        Integers on the meta device become zeros.
        """
        described = tensor.is_floating_point() and not self.computed
        if has_values(tensor) and not described:
            return self._count(tensor.to(device))
        dtype = tensor.dtype
        if not tensor.is_floating_point():
            return self._count(torch.zeros(tensor.shape, dtype=dtype, device=device))
        context: Any = self.fake if described else contextlib.nullcontext()
        with context:
            made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device=device)
        return self._count(made if described else made.normal_(0.5, 0.02))

    def move(self, module: nn.Module, device: torch.device) -> None:
        """Replace a module's tensors by descriptions. Shared ones stay shared."""
        put: dict[int, tuple[Tensor, Tensor]] = {}  # Holds tensors, so that no id is reused.
        for part in module.modules():
            tables: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
            for table in tables:
                for name, tensor in table.items():
                    if tensor is not None and id(tensor) not in put:
                        put[id(tensor)] = tensor, self._moved(tensor, device)
                    table[name] = None if tensor is None else put[id(tensor)][1]

    def _moved(self, tensor: Tensor, device: torch.device) -> Tensor:
        found = self.like(tensor, device)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(found, requires_grad=tensor.requires_grad)
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        tensors = [t for t in tree_leaves((args, given)) if isinstance(t, Tensor)]
        if any(isinstance(t, FakeTensor) for t in tensors):
            return self._count(self._describe(func, args, given))
        if tensors or self.computed:
            return self._count(func(*args, **given))
        with self.fake:
            made = func(*args, **given)
        if isinstance(made, Tensor) and made.is_floating_point() and made.numel() > _CONSTANT:
            return self._count(made)
        return self._count(func(*args, **given))

    def _describe(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if func in _INDEXED:
            args = (args[0], _numbers(args[1]), *args[2:])
        with self.fake:
            if func is _aten.masked_select.default and not isinstance(args[1], FakeTensor):
                source, mask = args
                shape = torch.broadcast_shapes(source.shape, mask.shape)  # type: ignore[no-untyped-call]
                return source.new_empty(int(mask.expand(shape).sum()))
            return func(*args, **kwargs)

    def _count(self, result: T) -> T:
        """Add the memory of a result that is new."""
        for tensor in tree_leaves(result):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key in self._known:
                continue
            self._known[key] = weakref.finalize(storage, self._free, key, size)
            self._known[key].atexit = False
            self.held += size
            self.peak = max(self.peak, self.held)
        return result

    def _free(self, key: int, size: int) -> None:
        del self._known[key]
        self.held -= size


def _numbers(indices: Any) -> list[Tensor | None]:
    """Indices, with masks replaced by the positions that they select."""
    found: list[Tensor | None] = []
    for index in indices:
        if isinstance(index, Tensor) and index.dtype == torch.bool:
            found += index.nonzero().unbind(-1)
        else:
            found.append(index)
    return found
