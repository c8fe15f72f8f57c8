"""mmft fine-tunes multi-modal models: contracts, training engine and command line.

This module has what a plugin's `__init__` needs to declare its components, and imports no torch.
`mmft_core.contracts` has what the code that builds them needs.
"""

from mmft_core.discovery import discover
from mmft_core.errors import MmftError
from mmft_core.hookspecs import PROJECT, hookimpl
from mmft_core.registry import Component, NoOptions, Registry
from mmft_core.specs import (
    ANY_MODALITIES,
    API_VERSION,
    PARTS,
    BackboneSpec,
    CallbackSpec,
    CommandSpec,
    ConfigurableSpec,
    DatasetSpec,
    ExporterSpec,
    LauncherSpec,
    MetricSpec,
    OptimizerSpec,
    PartSpec,
    ScheduleSpec,
    Spec,
    StoreSpec,
    TaskSpec,
    read_by,
    resolve,
)

__version__ = "0.1.0"

__all__ = [
    "ANY_MODALITIES",
    "API_VERSION",
    "PARTS",
    "PROJECT",
    "BackboneSpec",
    "CallbackSpec",
    "CommandSpec",
    "Component",
    "ConfigurableSpec",
    "DatasetSpec",
    "ExporterSpec",
    "LauncherSpec",
    "MetricSpec",
    "MmftError",
    "NoOptions",
    "OptimizerSpec",
    "PartSpec",
    "Registry",
    "ScheduleSpec",
    "Spec",
    "StoreSpec",
    "TaskSpec",
    "__version__",
    "discover",
    "hookimpl",
    "read_by",
    "resolve",
]
