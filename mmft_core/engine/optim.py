"""Building the optimizer and the learning-rate schedule, which come from plugins."""

from __future__ import annotations

from typing import Any, TypeVar

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mmft_core.config.plan import PlanPart, Recipe
from mmft_core.contracts import OptimizerContext, ScheduleContext, Task
from mmft_core.engine.tuning import parameter_groups
from mmft_core.errors import MmftError, PluginError
from mmft_core.plugin_errors import describe_error, kind_of

T = TypeVar("T")


def build_optimizer(task: Task, recipe: Recipe) -> Optimizer:
    """Build the optimizer over all parameters; frozen ones get no gradient.

    Raises:
        PluginError: it cannot be built, is something else, or leaves parameters out.
    """
    config = recipe.engine
    groups = parameter_groups(
        task, config.lr, config.weight_decay, config.layer_decay, config.head_lr
    )
    wanted = {id(parameter) for group in groups for parameter in group["params"]}
    context = OptimizerContext(groups=groups, lr=config.lr)
    optimizer = _build(recipe.optimizer, context, Optimizer)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if held != wanted:
        raise _fault(recipe.optimizer, f"holds {len(held)} of {len(wanted)} parameters")
    return optimizer


def build_schedule(optimizer: Optimizer, recipe: Recipe, total_steps: int) -> LRScheduler:
    """Build the schedule of an optimizer's learning rates.

    Raises:
        PluginError: it cannot be built, or is something else.
    """
    warmup = round(recipe.engine.warmup * total_steps)
    context = ScheduleContext(optimizer=optimizer, total_steps=total_steps, warmup_steps=warmup)
    return _build(recipe.schedule, context, LRScheduler)


def _build(part: PlanPart[Any], context: Any, wanted: type[T]) -> T:
    component = part.component
    try:
        built = component.build(part.options, context)
    except MmftError:
        raise
    except Exception as error:  # Such as torch's about an option out of range.
        package = component.spec.build.partition(":")[0].partition(".")[0]
        raise _fault(part, f"cannot be built: {describe_error(error, package)}") from error
    if not isinstance(built, wanted):
        raise _fault(part, f"built {kind_of(built)}, not a torch {wanted.__name__}")
    return built


def _fault(part: PlanPart[Any], what: str) -> PluginError:
    component = part.component
    return PluginError(
        f"The {component.kind} '{component.qualified}' {what}.",
        hint=f"This is a fault of {component.distribution} {component.version}.",
    )
