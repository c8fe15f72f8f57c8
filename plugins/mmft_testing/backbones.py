"""Checks of backbones: features, layers, weights."""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmft_core import BackboneSpec, Component
from mmft_core.config import LoraConfig
from mmft_core.contracts import Backbone, Features, Generator, Tensors
from mmft_core.engine import lora
from mmft_core.errors import IncompatibleError
from mmft_core.loading import seed_everything
from mmft_testing import processors
from mmft_testing.tools import equal, reload_weights
from mmft_testing.workbench import Workbench

Spec = Component[BackboneSpec]

TOLERANCE = 1e-3
"""Between a sample's features alone and in a batch, where sums may run in another order."""


def builds_without_network(bench: Workbench, component: Spec) -> None:
    """With `--weights none` it is built from random weights, asking nobody."""
    backbone = bench.backbone(component)
    assert backbone.width > 0, "its width is not above 0"
    source = backbone.loaded.source
    assert source == "random", f"its weights were asked to be random, and it says '{source}'"


def hands_stored_features_on(bench: Workbench, component: Spec) -> None:
    """Called with features that were computed before, it gives these."""
    features = _encode(bench, component, bench.inputs(component))
    again = bench.backbone(component)(features.tensors())
    for name in ("pooled", "sequence", "mask"):
        assert equal(getattr(again, name), getattr(features, name)), f"it changes stored {name}"


def features_have_their_shapes(bench: Workbench, component: Spec) -> None:
    """pooled (B, D), sequence (B, T, D) and mask (B, T) bool, finite, as declared."""
    width = bench.backbone(component).width
    for size in (1, 3):
        features = _encode(bench, component, bench.inputs(component, size))
        pooled, sequence, mask = features.pooled, features.sequence, features.mask
        assert pooled.shape == (size, width), (
            f"pooled features have shape {tuple(pooled.shape)}, not {(size, width)}"
        )
        assert torch.isfinite(pooled).all(), "pooled features are not finite"
        if "sequence" not in component.spec.provides:
            continue
        assert sequence is not None, "it declares a sequence and gives none"
        shape = tuple(sequence.shape)
        assert len(shape) == 3 and shape[0] == size and shape[2] == width, (
            f"the sequence has shape {shape}, not ({size}, T, {width})"
        )
        assert torch.isfinite(sequence).all(), "the sequence is not finite"
        if mask is not None:
            assert mask.shape == shape[:2] and mask.dtype == torch.bool, (
                f"the mask is {mask.dtype} of shape {tuple(mask.shape)}, not bool {shape[:2]}"
            )
            assert mask.any(1).all(), "the mask leaves nothing of a sample"


def samples_do_not_mix(bench: Workbench, component: Spec) -> None:
    """In evaluation a sample's features are the same alone and in a batch, padded or not."""
    together = _encode(bench, component, bench.inputs(component, 3)).pooled
    each = [bench.inputs(component, 1, start) for start in range(3)]
    alone = torch.cat([_encode(bench, component, inputs).pooled for inputs in each])
    scale = together.abs().max().clamp(min=1e-6)
    difference = float(((together - alone).abs() / scale).max())
    assert difference <= TOLERANCE, (
        f"a sample's features depend on its batch: they differ by {difference:.2g} of their size"
    )
    assert not torch.equal(alone[0], alone[1]), "two samples have the same features"


def layers_cover_every_parameter_once(bench: Workbench, component: Spec) -> None:
    """Freezing, learning rates and unfreezing work from the layers: nothing is left out."""
    backbone = bench.backbone(component)
    layers = list(backbone.layers())
    assert layers, "it has no layers"
    assert all(isinstance(layer, nn.Module) for layer in layers), "a layer is not a Module"
    uses = Counter(id(p) for layer in layers for p in layer.parameters())
    names = {id(parameter): name for name, parameter in backbone.named_parameters()}
    missing = [name for key, name in names.items() if key not in uses]
    assert not missing, f"no layer holds {', '.join(missing[:5])}"
    twice = [names.get(key, "?") for key, count in uses.items() if count > 1]
    assert not twice, f"several layers hold {', '.join(twice[:5])}"
    assert uses.keys() <= names.keys(), "a layer holds parameters that the backbone does not have"


def parts_cover_every_parameter_once(bench: Workbench, component: Spec) -> None:
    """Each of the parts, as the spec names them, can be tuned by itself: nothing is left out."""
    backbone = bench.backbone(component)
    parts = backbone.parts()
    strange = [part for part in parts if part not in component.spec.parts]
    assert not strange, f"its part '{next(iter(strange), '')}' is not among those of its spec"
    if not parts:
        pytest.skip("it has no parts")
    uses = Counter(id(p) for own in parts.values() for layer in own for p in layer.parameters())
    names = {id(parameter): name for name, parameter in backbone.named_parameters()}
    missing = [name for key, name in names.items() if key not in uses]
    assert not missing, f"no part holds {', '.join(missing[:5])}"
    twice = [names.get(key, "?") for key, count in uses.items() if count > 1]
    assert not twice, f"several parts hold {', '.join(twice[:5])}"


def gradients_reach_every_layer(bench: Workbench, component: Spec) -> None:
    """A loss on all features reaches every parameter, once layers are made trainable."""
    backbone = bench.backbone(component)
    for layer in backbone.layers():
        layer.requires_grad_(True)
    loss = _loss_of_all(bench, component, backbone)
    assert loss.requires_grad, "features are cut off from the weights"
    try:
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in backbone.named_parameters():
            assert parameter.grad is not None, f"no gradient reaches {name}"
            assert torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
        for depth, layer in enumerate(backbone.layers()):
            reached = any(p.grad is not None and bool(p.grad.any()) for p in layer.parameters())
            assert reached, f"all gradients of layer {depth} are zero"
    finally:
        backbone.zero_grad(set_to_none=True)


def roles_name_layers_that_are_called(bench: Workbench, component: Spec) -> None:
    """Adapters on the layers of every role change nothing at first, and each of them learns."""
    backbone, inputs = copy.deepcopy(bench.backbone(component)), bench.inputs(component)
    roles = {role: list(names) for role, names in backbone.roles().items()}
    if not roles:
        pytest.skip("it has no layers that take adapters")
    modules = dict(backbone.named_modules())
    for role, names in roles.items():
        unknown = [name for name in names if name not in modules]
        assert not unknown, f"role '{role}' names {unknown[0]}, which is not a module"
    with torch.no_grad():
        wanted = backbone.encode(inputs).pooled
        lora.inject(backbone, LoraConfig(rank=2, targets=("all",)))
        pooled = backbone.encode(inputs).pooled
    assert equal(pooled, wanted, TOLERANCE), "new adapters change the features"
    _loss_of_all(bench, component, backbone).backward()  # type: ignore[no-untyped-call]
    for name, parameter in backbone.named_parameters():
        if "lora_B" in name:
            # It may be zero, for some networks have residual branches that begin at zero.
            reached = parameter.grad is not None
            assert reached, f"no gradient reaches the adapter {name}: its layer is not called"
    layers = {id(p) for layer in backbone.layers() for p in layer.parameters()}
    parameters = dict(backbone.named_parameters())
    for name, parameter in parameters.items():
        if "lora_B" in name:
            below = parameters[f"{name.rpartition('.lora_B')[0]}.base_layer.weight"]
            listed = id(parameter) in layers or id(below) not in layers
            assert listed, f"layers() holds the layer below the adapter {name}, and not that"


def checkpointing_changes_nothing(bench: Workbench, component: Spec) -> None:
    """Losses, gradients and statistics are the same with activations computed again."""
    found = []
    for checkpointing in (False, True):
        backbone = copy.deepcopy(bench.backbone(component))
        if checkpointing:
            try:
                backbone.enable_checkpointing()
            except IncompatibleError as error:
                pytest.skip(error.message)
        backbone.train()
        seed_everything(3)
        loss = _loss_of_all(bench, component, backbone)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {n: p.grad for n, p in backbone.named_parameters() if p.grad is not None}
        found.append((loss.detach(), gradients, dict(backbone.named_buffers())))
    for what, once, again in zip(("losses", "gradients", "buffers"), *found, strict=True):
        assert equal(once, again, 1e-5), f"with gradient checkpointing the {what} differ"


def same_seed_same_weights(bench: Workbench, component: Spec) -> None:
    """Random weights follow from the seed, and from nothing else."""
    first = bench.backbone(component).state_dict()
    assert equal(first, bench.new_backbone(component, seed=0).state_dict()), (
        "with the same seed the weights differ"
    )
    assert not equal(first, bench.new_backbone(component, seed=1).state_dict()), (
        "with another seed the weights are the same"
    )


def weights_survive_saving(bench: Workbench, component: Spec) -> None:
    """Saved as safetensors, with its assets, it comes back with the same features."""
    backbone, inputs = bench.backbone(component), bench.inputs(component)
    with tempfile.TemporaryDirectory() as name:
        assets = Path(name) / "assets"
        assets.mkdir()
        backbone.save_assets(assets)
        again = bench.new_backbone(component, seed=1, weights="run", assets=assets)
        reload_weights(backbone, again, Path(name))
    raw = bench.raw(component, 1)[0]
    prepared = again.processor.prepare(raw, train=False)
    wanted = backbone.processor.prepare(bench.raw(component, 1)[0], train=False)
    assert equal(prepared, wanted), "the reloaded processor prepares something else"
    with torch.no_grad():
        pooled = again.encode(inputs).pooled
    assert equal(pooled, _encode(bench, component, inputs).pooled), (
        "the reloaded backbone gives other features: something is not in its state"
    )


def builds_without_weights(bench: Workbench, component: Spec) -> None:
    """It is built on torch's meta device, as for an export, where graphs stand for its weights."""
    backbone = bench.backbone(component)
    with tempfile.TemporaryDirectory() as name:
        backbone.save_assets(Path(name))
        with torch.device("meta"):
            empty = bench.new_backbone(component, weights="run", assets=Path(name))
    shapes = [{n: p.shape for n, p in b.named_parameters()} for b in (backbone, empty)]
    assert shapes[0] == shapes[1], "without weights it has other parameters"


def _loss_of_all(bench: Workbench, component: Spec, backbone: Backbone) -> Tensor:
    """A loss on all features, and on what a generator writes."""
    inputs = bench.inputs(component)
    features = backbone.encode(inputs)
    generator = torch.Generator().manual_seed(0)
    loss = torch.zeros(())
    for output in (features.pooled, features.sequence):
        if output is not None:
            loss = loss + (output * torch.randn(output.shape, generator=generator)).sum()
    if isinstance(backbone, Generator):  # Its writing half takes no part in the features.
        targets = backbone.codec.collate([backbone.codec.encode("a few words")] * 3)
        loss = loss + backbone.token_losses(inputs, targets).sum()
    return loss


@torch.no_grad()
def _encode(bench: Workbench, component: Spec, inputs: Tensors) -> Features:
    features = bench.backbone(component).encode(inputs)
    assert isinstance(features, Features), "encode returns no Features"
    return features


CHECKS = (
    builds_without_network,
    *processors.CHECKS,
    hands_stored_features_on,
    features_have_their_shapes,
    samples_do_not_mix,
    layers_cover_every_parameter_once,
    parts_cover_every_parameter_once,
    gradients_reach_every_layer,
    roles_name_layers_that_are_called,
    checkpointing_changes_nothing,
    same_seed_same_weights,
    weights_survive_saving,
    builds_without_weights,
)
