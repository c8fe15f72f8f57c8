"""A plugin of one backbone that trains in a second, so that a hundred runs may be killed."""

from mmft_core import BackboneSpec, hookimpl


@hookimpl
def register_backbone():
    return [
        BackboneSpec(
            name="tiny",
            summary="Two convolutions",
            modality="image",
            provides=("pooled", "sequence"),
            build="tests.faults.tiny_net:TinyNet",
            options="mmft_vision.options:ImageBackboneOptions",
        )
    ]
