"""A plugin for mmft: every image network of timm as a backbone.

This module only lists the components. Their code is named by path, and imported when it is used.
"""

from mmft_core import BackboneSpec, hookimpl

_TRANSFORMER = {"engine.lr": 1e-4}
"""Transformers diverge at the learning rates that suit convolutions."""

_NAMED = {
    "timm-mobilenetv4-small": ("mobilenetv4_conv_small", {}),
    "timm-efficientnet-lite0": ("efficientnet_lite0", {}),
    "timm-convnextv2-tiny": ("convnextv2_tiny", _TRANSFORMER),
    "timm-swinv2-tiny": ("swinv2_tiny_window8_256", _TRANSFORMER),
    "timm-maxvit-tiny": ("maxvit_tiny_tf_224", _TRANSFORMER),
    "timm-eva02-tiny": ("eva02_tiny_patch14_224", _TRANSFORMER),
    "timm-dinov2-small": ("vit_small_patch14_dinov2", _TRANSFORMER),
}
"""Names for some that are often asked for; all others go by the option `model`."""


@hookimpl
def register_backbone() -> list[BackboneSpec]:
    return [
        _spec("timm", "Any image network of timm: --set backbone.model=NAME", {}),
        *(
            _spec(name, f"{model} of timm", {"backbone.model": model, **defaults})
            for name, (model, defaults) in _NAMED.items()
        ),
    ]


def _spec(name: str, summary: str, defaults: dict[str, object]) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        summary=summary,
        modality="image",
        provides=("pooled", "sequence"),
        build="mmft_timm.backbone:build",
        options="mmft_timm.options:TimmOptions",
        defaults=defaults,
    )
