"""What a training for retrieval brought: against the network that it started from, and raw data.

    python benchmarks/retrieval_baselines.py runs/NAME

Evaluates on the run's test split (or val) the trained model, the network that the run started from,
the same with random weights, and what needs no network: the pictures' own pixels as the network
would get them, or the words of the texts, weighed by TF-IDF.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from mmft_core.config.plan import Plan
from mmft_core.config.resolving import make_plan
from mmft_core.contracts import Batch, Dataset, Split, Task
from mmft_core.discovery import discover
from mmft_core.loading.loaders import batches, evaluation_loader
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.run import artifacts
from mmft_core.run.build import build_dataset, build_metrics, build_task
from mmft_core.run.directory import RunDirectory

Pairs = Iterator[tuple[Any, Any]]
"""Predictions and targets, as metrics take them."""


def main(run: Path) -> None:
    registry = discover()
    plan = make_plan(RunDirectory(run).open(), registry)
    dataset = build_dataset(plan)
    split = dataset.splits.get("test") or dataset.splits["val"]
    trained = artifacts.load(run, registry).task
    rows = {"trained": _predicted(trained, split)}
    if any(part.weights != "none" for part in plan.backbones.values()):
        rows["at the start"] = _predicted(build_task(plan, dataset, say=print), split)
    random = build_task(_from_random_weights(plan), dataset, say=print)
    rows["random"] = _predicted(random, split)
    if "image" in plan.backbones:
        rows["pixels"] = _pixels(trained, split)
    elif plan.task.spec.target == "text":
        rows["TF-IDF"] = _words(trained, dataset.splits["train"], split)
    found = {title: _evaluate(plan, dataset, pairs) for title, pairs in rows.items()}
    names = list(found["trained"])
    print(f"{'':14}" + "".join(f"{name:>26}" for name in names))
    for title, figures in found.items():
        print(f"{title:14}" + "".join(f"{figures[name]:26.4f}" for name in names))


def _from_random_weights(plan: Plan) -> Plan:
    parts = {m: replace(part, weights="none") for m, part in plan.backbones.items()}
    return replace(plan, backbones=parts)


def _batches(task: Task, split: Split) -> Iterator[Batch]:
    data = PreparedSplit(split, task.processors, task.codec, train=False)
    return batches(evaluation_loader(data, 64, workers=0))


def _predicted(task: Task, split: Split) -> Pairs:
    task.eval()
    for batch in _batches(task, split):
        outputs = task(batch)
        yield outputs.predictions, batch.targets if outputs.targets is None else outputs.targets


def _pixels(task: Task, split: Split) -> Pairs:
    for batch in _batches(task, split):
        pixels = batch.inputs["image"]["pixels"].float().flatten(1)
        yield F.normalize(pixels - pixels.mean(1, keepdim=True), dim=-1), batch.targets


def _words(task: Task, train: Split, split: Split) -> Pairs:
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigh = TfidfVectorizer(sublinear_tf=True).fit(_texts(train))
    items, queries = (
        torch.from_numpy(weigh.transform(texts).toarray()).float()
        for texts in (_texts(split), [split.target(i) for i in range(len(split))])
    )
    groups = torch.cat([batch.targets["group"] for batch in _batches(task, split)])
    yield items, {"group": groups, "query": queries}


def _texts(split: Split) -> list[str]:
    return [split[i].inputs["text"] for i in range(len(split))]


@torch.no_grad()
def _evaluate(plan: Plan, dataset: Dataset, pairs: Pairs) -> Mapping[str, float]:
    metrics = build_metrics(plan.metrics, dataset.info)
    for predictions, targets in pairs:
        for metric in metrics.values():
            metric.update(predictions, targets)
    return {
        f"{name}/{part}" if part else name: float(value)
        for name, metric in metrics.items()
        for part, value in metric.compute().items()
        if isinstance(value, float)
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
