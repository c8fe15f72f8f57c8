"""A plugin whose faults lie in what it declares."""

import broken_options
import torch  # noqa: F401  The fault: torch is imported to list what there is.

from mmft_core import BackboneSpec, hookimpl

COMMON = {"summary": "Broken", "modality": "numbers", "build": "sound_parts:MeanNet"}
OPTIONS = [name for name in vars(broken_options) if name.endswith("Options")]


@hookimpl
def register_backbone():
    return [
        *(
            BackboneSpec(name=name.lower(), options=f"broken_options:{name}", **COMMON)
            for name in OPTIONS
        ),
        BackboneSpec(name="nowhere", **{**COMMON, "build": "sound_parts:NoSuch"}),
        BackboneSpec(name="uncallable", **{**COMMON, "build": "sound_parts:CLASSES"}),
        BackboneSpec(name="mistyped-default", defaults={"engine.learning_rate": 1}, **COMMON),
        BackboneSpec(name="unplaced-default", defaults={"lr": 1}, **COMMON),
        BackboneSpec(name="unheeded-default", from_scratch={"backbone.width": 1}, **COMMON),
        BackboneSpec(name="undeclared-extra", extras=("no-such",), **COMMON),
    ]


@hookimpl
def register_dataset():
    raise RuntimeError("the fault of this hook")
