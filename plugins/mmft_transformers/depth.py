"""The layers of a network of transformers in depth order."""

from __future__ import annotations

from torch import nn


def depth_order(network: nn.Module) -> list[nn.Module]:
    """The layers: embeddings, then the blocks. Every parameter is in exactly one.

    Blocks are lists of like modules. What is registered before the first of them, or is an
    embedding, belongs to the embeddings; what comes behind a block (a norm, a head) to that block;
    weights that two modules share (of embeddings and output) to the first of them.
    """
    layers = [nn.ModuleList()]
    inside: list[str] = []
    seen: set[int] = set()
    for name, module in network.named_modules():
        if name.startswith(tuple(inside)):
            continue
        blocks = _blocks(module)
        if blocks:
            inside.append(f"{name}.")
            layers += [nn.ModuleList([block]) for block in blocks]
            seen |= {id(p) for p in module.parameters()}
            continue
        own = list(module.parameters(recurse=False))
        new = [p for p in own if id(p) not in seen]
        seen |= {id(p) for p in new}
        whole = len(new) == len(own) and not list(module.children())
        if new or (whole and not own):  # Dropout has no parameters, yet is trained or not.
            layer = layers[0] if "embed" in name or "shared" in name else layers[-1]
            layer.append(module if whole else nn.ParameterList(new))
    return list(layers)


def _blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks, if a module is a list of such of one class."""
    blocks = list(module.children()) if isinstance(module, nn.ModuleList) else []
    alike = len({type(block) for block in blocks}) == 1 and list(blocks[0].children())
    return blocks if alike else []
