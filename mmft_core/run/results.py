"""`results.json`: what a run came to, in one record that reports and other programs read."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch

import mmft_core
from mmft_core.config.plan import Plan
from mmft_core.contracts import DatasetInfo, Task
from mmft_core.engine.evaluation import Evaluation
from mmft_core.engine.loop import Engine, Outcome
from mmft_core.engine.state import Progress
from mmft_core.engine.tuning import count_parameters
from mmft_core.registry import Component
from mmft_core.weights import hub_id

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
    plan: Plan,
    task: Task,
    info: DatasetInfo,
    data: Mapping[str, Any],
    engine: Engine,
    outcome: Outcome,
    evaluations: Mapping[str, Evaluation],
    *,
    total_seconds: float,
    command: str,
) -> dict[str, Any]:
    """Put everything of interest into one JSON-ready record.

    Args:
        task: as it was trained.
        data: sizes of the splits and skipped samples, as in `data.json`.
        engine: that trained it.
        evaluations: by split, of the kept model.
    """
    progress, monitor, accelerator = outcome.progress, engine.monitor, engine.accelerator
    return {
        "format": FORMAT,
        "task": plan.task.component.name,
        "pipeline": plan.task.spec.pipeline_of(task.processors),
        "backbones": {m: _backbone(plan, task, m) for m in plan.backbones},
        "reads": list(task.processors),
        "reads_files": all(processor.suffixes for processor in task.processors.values()),
        "predicts": plan.task.spec.predicts,
        "parameters": _parameters(task),
        "dataset": _dataset(plan, info, data),
        "finished": time.strftime("%Y-%m-%d"),
        "ending": outcome.ending,
        "monitor": {"name": monitor.name, "best": progress.best, "step": progress.best_step},
        "steps": progress.step,
        "metrics": {split: e.record for split, e in evaluations.items()},
        "remarks": {split: list(e.remarks) for split, e in evaluations.items()},
        "timings": _timings(progress, evaluations, total_seconds),
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "device": str(accelerator.device),
            "precision": engine.compute.precision,
            "threads": engine.compute.threads,
            "inference_precision": engine.inference.precision,
            "versions": {"mmft": mmft_core.__version__, **_versions()},
        },
        "command": command,
    }


def suppliers(plan: Plan) -> list[dict[str, str]]:
    """Who supplied each component, with versions: `plugins.json`."""
    return [_supplier(component) for component in plan.components]


def peak_memory_bytes() -> int:
    """The largest memory that this process ever held, without its worker processes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _supplier(component: Component[Any]) -> dict[str, str]:
    return {
        "kind": component.kind,
        "name": component.name,
        "plugin": component.plugin,
        "distribution": component.distribution,
        "version": component.version,
    }


def _dataset(plan: Plan, info: DatasetInfo, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": info.name,
        "component": plan.dataset.component.qualified,
        "source": info.source,
        "licence": info.licence,
        "synthetic": info.synthetic,
        "notes": list(info.notes),
        "warnings": list(info.warnings),
        "classes": len(info.classes),
        "samples": data["samples"],
        "skipped": data["skipped"],
        "changed": data["changed"],
    }


def _timings(
    progress: Progress, evaluations: Mapping[str, Evaluation], total_seconds: float
) -> dict[str, float]:
    return {
        "training_seconds": round(progress.seconds, 3),
        "waiting_for_data_seconds": round(progress.waited, 3),
        "evaluation_seconds": round(sum(e.seconds for e in evaluations.values()), 3),
        "total_seconds": round(total_seconds, 3),
        "samples_per_second": round(progress.samples / max(progress.seconds, 1e-9), 3),
        "peak_memory_mb": round(peak_memory_bytes() / 1e6, 1),
    }


def _backbone(plan: Plan, task: Task, modality: str) -> dict[str, Any]:
    part, backbone = plan.backbones[modality], task.backbone(modality)
    parameters, trained = count_parameters(backbone)
    loaded = backbone.loaded
    return {
        "name": part.component.name,
        "weights": {
            "requested": part.weights,
            "source": loaded.source,
            "detail": loaded.detail,
            "hub_id": hub_id(loaded),
            "fell_back": loaded.fell_back,
        },
        "parameters": parameters,
        "trained": trained,
    }


def _parameters(task: Task) -> dict[str, Any]:
    """Those of the whole task, and what share of them the end of the training trained."""
    total, trained = count_parameters(task)
    return {"total": total, "trained": trained, "trained_share": round(trained / total, 6)}


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _LIBRARIES} | {
        "cuda": torch.version.cuda or "none"
    }
