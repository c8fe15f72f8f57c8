"""What a plugin's objects do: the contracts behind the specs.

A component's `build(options, context)` receives its typed options and a context of its kind, and
returns:

    kind        context             result
    dataset     DatasetContext      Dataset
    backbone    BackboneContext     Backbone
    task        TaskContext         Task
    metric      MetricContext       Metric
    optimizer   OptimizerContext    torch.optim.Optimizer
    schedule    ScheduleContext     torch.optim.lr_scheduler.LRScheduler

The others have no context: a callback's `build(options)` returns a `Callback`, an exporter's
`build()` an `ExportReader`.

Data flow: `Split[i]` returns a lazily decoded `Sample`. In a worker process, `Processor.prepare`
turns the raw input of each modality into tensors and the task's `TargetCodec.encode` does the same
for the target; or the codec prepares both together (`JointPreparation`). Their `collate` methods
build a `Batch`. `Task.forward(batch)` calls its backbones and returns `Outputs`, which metrics and
`Task.decode` read.
"""

from typing import Any

from mmft_core.contracts.backbones import (
    PADDING,
    Backbone,
    BackboneContext,
    Features,
    Generator,
)
from mmft_core.contracts.callbacks import (
    Callback,
    Ending,
    Evaluated,
    FinishedFolds,
    FinishedRun,
    Record,
    RunStart,
    TrainStart,
    TrainStep,
)
from mmft_core.contracts.capabilities import (
    Accepting,
    Attaching,
    Calibrated,
    Comparable,
    Completing,
    JointPreparation,
    LearnedPart,
    Referenced,
    Showing,
    ShowingLearned,
    ShownToken,
)
from mmft_core.contracts.data import (
    Batch,
    Dataset,
    DatasetContext,
    DatasetInfo,
    Origin,
    Sample,
    Split,
    Tensors,
    map_tensors,
)
from mmft_core.contracts.exporters import ExportReader
from mmft_core.contracts.graphs import Axes, Graph, Runner
from mmft_core.contracts.inspection import (
    Bytes,
    Cutter,
    Cutting,
    Floats,
    InputPiece,
    Inspector,
    Traits,
)
from mmft_core.contracts.lora_targets import called_layers, find_roles
from mmft_core.contracts.metrics import (
    Metric,
    MetricContext,
    MetricValue,
    SampleMean,
)
from mmft_core.contracts.modules import ModuleBackbone, as_features, masked_mean
from mmft_core.contracts.optimizers import OptimizerContext, ScheduleContext
from mmft_core.contracts.preprocessing import (
    Extent,
    Preview,
    Processor,
    ProcessorWrapper,
    TargetCodec,
    data_url,
)
from mmft_core.contracts.published import WEIGHTS, AdapterBase, PublishedModel
from mmft_core.contracts.returned import decoded
from mmft_core.contracts.tasks import (
    Example,
    Gallery,
    NoTargets,
    Outputs,
    Related,
    Task,
    TaskContext,
)
from mmft_core.contracts.whole import GraphPart, flatten_tensors, input_axes, unflatten_tensors

__all__ = [
    "PADDING",
    "WEIGHTS",
    "Accepting",
    "AdapterBase",
    "Attaching",
    "Axes",
    "Backbone",
    "BackboneContext",
    "Batch",
    "Bytes",
    "Calibrated",
    "Callback",
    "Comparable",
    "Completing",
    "Cutter",
    "Cutting",
    "Dataset",
    "DatasetContext",
    "DatasetInfo",
    "Ending",
    "Evaluated",
    "Example",
    "ExportReader",
    "Extent",
    "Features",
    "FinishedFolds",
    "FinishedRun",
    "Floats",
    "Gallery",
    "Generator",
    "Graph",
    "GraphPart",
    "InputPiece",
    "Inspector",
    "JointPreparation",
    "LearnedPart",
    "Metric",
    "MetricContext",
    "MetricValue",
    "ModuleBackbone",
    "NoTargets",
    "OptimizerContext",
    "Origin",
    "Outputs",
    "Preview",
    "Processor",
    "ProcessorWrapper",
    "PublishedModel",
    "Record",
    "Referenced",
    "Related",
    "RunStart",
    "Runner",
    "Sample",
    "SampleMean",
    "ScheduleContext",
    "Showing",
    "ShowingLearned",
    "ShownToken",
    "Split",
    "TargetCodec",
    "Task",
    "TaskContext",
    "Tensors",
    "TrainStart",
    "TrainStep",
    "Traits",
    "as_features",
    "called_layers",
    "data_url",
    "decoded",
    "find_roles",
    "flatten_tensors",
    "input_axes",
    "map_tensors",
    "masked_mean",
    "unflatten_tensors",
]

_OLD_NAMES = {
    "Part": GraphPart,
    "called": called_layers,
    "grouped": unflatten_tensors,
    "named": flatten_tensors,
}
"""What was renamed since mmft 0.1, for plugins that were written against it."""


def __getattr__(name: str) -> Any:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _OLD_NAMES[name]
