"""mmft from Python: fine-tune a model, look at it, use it.

    import mmft

    run = mmft.run(task="image-cls", backbone="resnet50", dataset="./photos")
    run.metrics["test"]["accuracy"]
    run.predict("photo.jpg")
    run.report                              # shown inline in a notebook

    run = mmft.load("runs/flowers")         # a run of an earlier day, or an export

The command line calls the same functions. What a user does wrong raises an `MmftError`, whose
message says what, where and what to do. Importing this module does not import torch.
"""

from mmft.components import plugins
from mmft.finished import Report, Run, load
from mmft.training import CrossValidation, resume, run
from mmft_core import Registry, __version__
from mmft_core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    ExportError,
    IncompatibleError,
    MissingExtraError,
    MmftError,
    NonFiniteLossError,
    OutOfMemoryError,
    PluginError,
    RunDirectoryError,
    SampleError,
    StorageError,
    TrainingError,
    UnknownComponentError,
    WeightsError,
)

__all__ = [
    "CheckpointError",
    "ConfigError",
    "CrossValidation",
    "DataError",
    "ExportError",
    "IncompatibleError",
    "MissingExtraError",
    "MmftError",
    "NonFiniteLossError",
    "OutOfMemoryError",
    "PluginError",
    "Registry",
    "Report",
    "Run",
    "RunDirectoryError",
    "SampleError",
    "StorageError",
    "TrainingError",
    "UnknownComponentError",
    "WeightsError",
    "__version__",
    "load",
    "plugins",
    "resume",
    "run",
]
