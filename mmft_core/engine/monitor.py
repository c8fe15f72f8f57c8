"""The metric that chooses the best model of a training."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from mmft_core.config.plan import Plan
from mmft_core.errors import ConfigError, did_you_mean
from mmft_core.plugin_errors import recommended_by


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """The monitored metric, and its direction."""

    name: str
    higher_is_better: bool

    def better(
        self, value: float | None, loss: float | None, best: float | None, best_loss: float | None
    ) -> bool:
        """Whether a value beats the best so far, or equals it with a lower val loss.

        A value that is undefined (None) never does.
        """
        if value is None:
            return False
        if value == best:
            if loss is None or best_loss is None or not math.isfinite(loss):
                return False
            return loss < best_loss or math.isnan(best_loss)
        return best is None or (value > best if self.higher_is_better else value < best)


def choose_monitor(plan: Plan) -> Monitor:
    """The monitored metric of a plan, which must be among the metrics of the run.

    Raises:
        ConfigError: it is not.
    """
    name = plan.monitor
    metric = name.partition("/")[0]
    if metric == "loss":
        return Monitor(name=name, higher_is_better=False)
    for part in plan.metrics:
        if part.component.name == metric:
            return Monitor(name=name, higher_is_better=part.spec.higher_is_better)
    names = ["loss", *(part.component.name for part in plan.metrics)]
    with naming_the_recommender(plan):
        raise ConfigError(
            f"engine.monitor = '{name}' is not one of the run's metrics."
            f"{did_you_mean(metric, names)}",
            hint=f"Choose one of {', '.join(names)}, or add --metric {metric}.",
        )


def naming_the_recommender(plan: Plan) -> AbstractContextManager[None]:
    """Have an error about the monitor name the component that chose it, if the user did not."""
    return nullcontext() if plan.engine.monitor else recommended_by(plan.task.component.full_name)
