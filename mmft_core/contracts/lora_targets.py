"""The roles of a network's layers, from their types and names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def find_roles(
    network: nn.Module, linear: tuple[type[nn.Module], ...] = (nn.Linear,)
) -> dict[str, list[str]]:
    """Sort the layers that can take adapters by role.

    A linear layer belongs to attention if its name or the name of a surrounding module says so
    ("attn", "SelfAttention"), which holds in nearly every network; otherwise to the MLPs. Left out
    are grouped convolutions, whose adapters could not be merged; layers that share their weights
    with another; and the layers inside torch's `MultiheadAttention`, which are never called.

    Args:
        linear: types of layers that multiply by a matrix.

    Returns:
        {"attention", "mlp", "convolution"} or fewer: names of modules in the network's order.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    uses = Counter(id(m.weight) for m in modules.values() if "weight" in m._parameters)
    closed = tuple(f"{n}." for n, m in modules.items() if isinstance(m, nn.MultiheadAttention))
    roles: dict[str, list[str]] = {"attention": [], "mlp": [], "convolution": []}
    for name, module in modules.items():
        role = _role(name, module, linear)
        if role and uses[id(module.weight)] == 1 and not name.startswith(closed):
            roles[role].append(name)
    return {role: names for role, names in roles.items() if names}


def _role(name: str, module: nn.Module, linear: tuple[type[nn.Module], ...]) -> str | None:
    if isinstance(module, _CONVOLUTIONS):
        return "convolution" if module.groups == 1 else None
    if isinstance(module, linear):
        return "attention" if "attn" in name.lower() or "attention" in name.lower() else "mlp"
    return None


def called_layers(
    network: nn.Module, roles: Mapping[str, Sequence[str]], forward: Callable[[], object]
) -> dict[str, list[str]]:
    """Leave out layers that a forward pass does not call because it only reads their weights.

    Meant for libraries with too many networks to inspect each.

    Args:
        forward: runs a forward pass of the network.
    """
    seen: set[nn.Module] = set()
    modules = dict(network.named_modules())
    hooks = [
        modules[name].register_forward_hook(lambda module, *_: seen.add(module))
        for names in roles.values()
        for name in names
    ]
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            network.eval()
            forward()
    finally:
        for module, mode in modes.items():
            module.training = mode
        for hook in hooks:
            hook.remove()
    kept = {
        role: [name for name in names if modules[name] in seen] for role, names in roles.items()
    }
    return {role: names for role, names in kept.items() if names}
