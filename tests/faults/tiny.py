"""A plugin of backbones that train in a second, so that a hundred runs may be killed."""

from mmft_core import BackboneSpec, hookimpl


@hookimpl
def register_backbone():
    return [
        BackboneSpec(
            name=name,
            summary="Two convolutions",
            modality="image",
            provides=("pooled", "sequence"),
            build=f"tests.faults.tiny_net:{build}",
            options="mmft_vision.options:ImageBackboneOptions",
        )
        for name, build in (("tiny", "TinyNet"), ("tiny-plain", "PlainNet"))
    ]
