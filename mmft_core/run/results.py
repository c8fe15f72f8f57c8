"""`results.json`: the results of a run, for reports and other programs."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import resource
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import mmft_core
from mmft_core.config.plan import Plan
from mmft_core.contracts import Backbone
from mmft_core.engine.evaluation import Evaluation
from mmft_core.engine.loop import FitResult
from mmft_core.engine.tuning import count_parameters
from mmft_core.weights import hub_id

if TYPE_CHECKING:
    from mmft_core.run.runner import Run

FORMAT = 1
_LIBRARIES = (
    "torch",
    "torchvision",
    "transformers",
    "peft",
    "accelerate",
    "torchmetrics",
    "datasets",
    "numpy",
    "pillow",
)


def collect_results(
    run: Run, outcome: FitResult, evaluations: Mapping[str, Evaluation]
) -> dict[str, Any]:
    """Put everything of interest into one JSON-serializable record.

    Args:
        evaluations: evaluations of the saved model, by split.
    """
    plan, task, info, engine = run.plan, run.task, run.dataset.info, run.engine
    progress, compute = outcome.progress, engine.compute
    # Of the whole task, and those that were trained at the end of the training.
    total, trained = _parameters(task, progress.step)
    return {
        "format": FORMAT,
        "task": plan.task.component.name,
        "pipeline": plan.task.spec.pipeline_of(task.processors),
        "backbones": {
            modality: {
                "name": part.component.name,
                **_backbone(task.backbone(modality), part.weights, progress.step),
            }
            for modality, part in plan.backbones.items()
        },
        "reads": list(task.processors),
        "reads_files": all(processor.suffixes for processor in task.processors.values()),
        "predicts": plan.task.spec.predicts,
        "usage": list(plan.task.spec.usage),
        "parameters": {
            "total": total,
            "trained": trained,
            "trained_share": round(trained / max(1, total), 6),
        },
        "dataset": {
            "name": info.name,
            "component": plan.dataset.component.qualified,
            "source": info.source,
            "licence": info.licence,
            "synthetic": info.synthetic,
            "notes": list(info.notes),
            "warnings": list(info.warnings),
            "classes": len(info.classes),
            **{key: run.data[key] for key in ("samples", "skipped", "changed")},
        },
        "finished": time.strftime("%Y-%m-%d"),
        "ending": outcome.ending,
        "monitor": {
            "name": engine.monitor.name,
            "best": progress.best,
            "step": progress.best_step,
            "samples": engine.monitored_samples,
        },
        "steps": progress.step,
        "metrics": {split: e.record for split, e in evaluations.items()},
        "kinds": {split: dict(e.kinds) for split, e in evaluations.items() if e.kinds},
        "remarks": {split: list(e.remarks) for split, e in evaluations.items()},
        "timings": {
            "training_seconds": round(progress.seconds, 3),
            "waiting_for_data_seconds": round(progress.waited, 3),
            "evaluation_seconds": round(sum(e.seconds for e in evaluations.values()), 3),
            "total_seconds": round(time.perf_counter() - run.started, 3),
            "samples_per_second": round(progress.samples / max(progress.seconds, 1e-9), 3),
            "peak_memory_mb": round(peak_memory_bytes() / 1e6, 1),
        },
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": str(engine.accelerator.device),
            "precision": compute.precision,
            "threads": compute.threads,
            "inference_precision": engine.inference.precision,
            "versions": {
                "mmft": mmft_core.__version__,
                **{name: _version(name) for name in _LIBRARIES},
                "cuda": torch.version.cuda or "none",
            },
        },
        "command": run.command,
    }


@functools.cache
def _version(distribution: str) -> str:
    """Cached, because looking up a version parses all of the distribution's metadata."""
    return importlib.metadata.version(distribution)


def _parameters(module: nn.Module, steps: int) -> tuple[int, int]:
    """The numbers of all parameters, and of those that were trained."""
    total, trained = count_parameters(module)
    return total, trained if steps else 0


def _backbone(backbone: Backbone, requested: str, steps: int) -> dict[str, Any]:
    loaded = backbone.loaded
    parameters, trained = _parameters(backbone, steps)
    return {
        "weights": {
            "requested": requested,
            "source": loaded.source,
            "detail": loaded.detail,
            "hub_id": hub_id(loaded),
            "fell_back": loaded.fell_back,
        },
        "parameters": parameters,
        "trained": trained,
    }


def suppliers(plan: Plan) -> list[dict[str, str]]:
    """The package and version of each component: `plugins.json`."""
    return [
        {
            "kind": component.kind,
            "name": component.name,
            "plugin": component.plugin,
            "distribution": component.distribution,
            "version": component.version,
        }
        for component in plan.components
    ]


def peak_memory_bytes() -> int:
    """The peak memory of this process, without its worker processes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
