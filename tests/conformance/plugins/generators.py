"""Generators, a sound one and some that each break the contract in one way; see `generator_parts`.

They read the lists of numbers of the sound plugin.
"""

from mmft_core import BackboneSpec, hookimpl

NAMES = (
    "writer",
    "no-generator",
    "codec-without-end",
    "codec-pads-with-zero",
    "codec-takes-empty",
    "half-precision",
    "padding-has-losses",
    "mean-loss",
    "reads-padding",
    "sees-ahead",
    "ignores-input",
    "writes-one-less",
    "writes-by-batch",
    "stays-in-training",
    "writes-something-else",
    "learns-nothing",
    "exports-one-batch",
)


@hookimpl
def register_backbone():
    return [
        BackboneSpec(
            name=name,
            summary="Of the tests",
            modality="numbers",
            provides=("pooled", "sequence", "generation"),
            build=f"generator_parts:{name.title().replace('-', '')}",
            options="sound_options:NetOptions",
            defaults={"engine.lr": 1e-2},
        )
        for name in NAMES
    ]
