"""mmft: fine-tune multi-modal models. The contracts, the engine and the command line.

What a plugin's `__init__` needs to declare its components is here, and imports no torch; what its
building code needs is in `mmft_core.contracts`.
"""

from mmft_core.discovery import discover
from mmft_core.errors import MmftError
from mmft_core.hookspecs import hookimpl
from mmft_core.registry import Component, Registry
from mmft_core.specs import (
    ANY_MODALITIES,
    API_VERSION,
    BackboneSpec,
    CallbackSpec,
    CommandSpec,
    DatasetSpec,
    ExporterSpec,
    LauncherSpec,
    MetricSpec,
    OptimizerSpec,
    ScheduleSpec,
    StoreSpec,
    TaskSpec,
)

__version__ = "0.1.0"

__all__ = [
    "ANY_MODALITIES",
    "API_VERSION",
    "BackboneSpec",
    "CallbackSpec",
    "CommandSpec",
    "Component",
    "DatasetSpec",
    "ExporterSpec",
    "LauncherSpec",
    "MetricSpec",
    "MmftError",
    "OptimizerSpec",
    "Registry",
    "ScheduleSpec",
    "StoreSpec",
    "TaskSpec",
    "discover",
    "hookimpl",
]
