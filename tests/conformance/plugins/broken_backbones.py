"""Backbones that each break the contract in one way; see `broken_backbone_parts`."""

from mmft_core import BackboneSpec, hookimpl

NAMES = (
    "not-a-backbone",
    "uses-network",
    "loads-weights",
    "unsaid-weights",
    "network-in-processor",
    "unpicklable",
    "random-evaluation",
    "unseeded-training",
    "silent-augmentation",
    "seldom-augmentation",
    "same-stamp",
    "mismeasured",
    "encodes-again",
    "wrong-batch",
    "wrong-width",
    "no-sequence",
    "infinite",
    "float-mask",
    "padding-counts",
    "constant",
    "layer-forgotten",
    "layer-twice",
    "part-forgotten",
    "detached",
    "half-detached",
    "weight-read",
    "layers-kept",
    "unknown-role",
    "checkpointing-forgets",
    "unseeded-weights",
    "hidden-state",
    "looks-at-weights",
)


@hookimpl
def register_backbone():
    return [
        BackboneSpec(
            name=name,
            summary="Broken",
            modality="numbers",
            provides=("pooled", "sequence"),
            build=f"broken_backbone_parts:{name.title().replace('-', '')}",
            options="sound_options:NetOptions",
            parts=("lower",),
        )
        for name in NAMES
    ]
