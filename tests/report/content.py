"""The content of reports for the tests: real figures of a softmax regression on the digits."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from mmft_classification import metrics
from mmft_core.contracts import DatasetInfo, MetricContext, Preview
from mmft_core.registry import NoOptions
from mmft_report.content import ReportContent, ReportExample

CONFIG = {
    "metrics": ["classification/accuracy", "classification/f1"],
    "on_bad_sample": "fail",
    "task": {"name": "vision/image-cls", "dropout": 0.0, "label_smoothing": 0.1},
    "backbone": {"image": {"weights": "auto", "name": "vision/resnet50", "image_size": 224}},
    "dataset": {"name": "vision/digits", "val": 0.15, "test": 0.15},
    "engine": {"epochs": 10, "lr": 3e-4, "clip_norm": None, "tune": "full", "monitor": None},
}


@cache
def digits_content() -> ReportContent:
    """Train, judge, and put it all into a report's content."""
    digits = load_digits()
    images, labels = digits.images / 16, digits.target
    order = np.random.default_rng(0).permutation(len(labels))
    train, val, test = np.split(order, [1257, 1527])
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 10)
    x, y = torch.tensor(images.reshape(-1, 64), dtype=torch.float32), torch.tensor(labels)
    info = DatasetInfo(
        name="digits",
        classes=tuple(str(i) for i in range(10)),
        source="scikit-learn, from the UCI machine learning repository",
        licence="CC BY 4.0",
        notes=("Split at random, stratified by class, with seed 0.",),
    )
    history = _train(model, x, y, train, val, info)
    judged = {s: _judge(model, x[i], y[i], info) for s, i in {"val": val, "test": test}.items()}
    with torch.no_grad():
        probabilities = model(x[test]).softmax(-1)
    return ReportContent(
        title="image-cls · resnet50 · digits",
        results=results(judged, {"train": len(train), "val": len(val), "test": len(test)}, 10),
        info=info,
        config=CONFIG,
        history=history,
        examples=_examples(probabilities, images[test], labels[test]),
    )


def results(judged: dict[str, Any], samples: dict[str, int], classes: int) -> dict[str, Any]:
    """What `results.json` would hold."""
    return {
        "format": 1,
        "task": "image-cls",
        "backbones": {
            "image": {
                "name": "resnet50",
                "weights": {
                    "requested": "auto",
                    "source": "published",
                    "detail": "ResNet50_Weights.IMAGENET1K_V2",
                    "fell_back": False,
                },
                "parameters": 23_508_032,
                "trained": 23_508_032,
            }
        },
        "dataset": {
            "name": "digits",
            "component": "vision/digits",
            "source": "scikit-learn",
            "licence": "CC BY 4.0",
            "synthetic": False,
            "notes": [],
            "classes": classes,
            "samples": samples,
            "skipped": [],
        },
        "ending": "finished",
        "monitor": {"name": "accuracy", "best": 0.9593, "step": 580},
        "steps": 600,
        "metrics": judged,
        "timings": {
            "training_seconds": 133.9,
            "waiting_for_data_seconds": 1.7,
            "evaluation_seconds": 2.71,
            "total_seconds": 141.2,
            "samples_per_second": 93.9,
            "peak_memory_mb": 1203.4,
        },
        "environment": {
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64",
            "device": "cpu",
            "precision": "bf16",
            "versions": {"mmft": "0.1.0", "torch": "2.11.0", "numpy": "2.3.1", "cuda": "none"},
        },
        "command": "mmft run --task image-cls --backbone resnet50 --dataset digits",
    }


def wide_content(classes: int, per_class: int = 50) -> ReportContent:
    """A report over many classes, with predictions drawn so that a quarter of them is wrong."""
    random = np.random.default_rng(1)
    names = tuple(f"n{i:08d} {_word(random)}" for i in range(classes))
    labels = np.repeat(np.arange(classes), per_class)
    near = (labels + random.geometric(0.2, len(labels))) % classes
    predicted = np.where(random.random(len(labels)) < 0.75, labels, near)
    matrix = np.zeros((classes, classes))
    np.add.at(matrix, (labels, predicted), 1)
    recall = (np.diag(matrix) / per_class).tolist()
    figures = {
        "loss": 1.02,
        "accuracy": float((labels == predicted).mean()),
        "precision/per-class": recall,
        "recall/per-class": recall,
        "f1/per-class": recall,
        "roc-auc/per-class": recall,
        "confusion-matrix": matrix.tolist(),
    }
    return ReportContent(
        title=f"image-cls · resnet50 · {classes} classes",
        results=results({"test": figures}, {"test": len(labels)}, classes),
        info=DatasetInfo(name="imagenet", classes=names),
        examples=digits_content().examples,
        history=[
            record | {"step": record["step"] + 600 * again}
            for again in range(20)
            for record in digits_content().history
        ],
        config=CONFIG,
    )


def _word(random: np.random.Generator) -> str:
    return "".join(random.choice(list("aeioubdfklmnprst"), 9))


def _train(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    train: np.ndarray,
    val: np.ndarray,
    info: DatasetInfo,
) -> list[dict[str, Any]]:
    """Train in small steps; return what `metrics.jsonl` would hold."""
    history: list[dict[str, Any]] = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    best = 0.0
    for step in range(1, 601):
        lr = 0.5 * min(1, step / 30) * (1 + math.cos(math.pi * step / 600)) / 2
        optimizer.param_groups[0]["lr"] = lr
        batch = train[torch.randint(len(train), (32,)).numpy()]
        loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        place = {"step": step, "epoch": step // 40}
        if step % 5 == 0:
            rate = {"samples": 32 * step, "seconds": step * 0.2, "samples_per_second": 160.0}
            history.append(place | {"loss": loss.item(), "lr": lr} | rate)
        if step % 40 == 0:
            values = _judge(model, x[val], y[val], info)
            figures = {k: v for k, v in values.items() if isinstance(v, float)}
            improved = values["accuracy"] > best
            best = max(best, values["accuracy"])
            history.append(place | {"split": "val", "best": improved} | figures)
    return history


@torch.no_grad()
def _judge(
    model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, info: DatasetInfo
) -> dict[str, Any]:
    logits = model(x)
    values: dict[str, Any] = {"loss": torch.nn.functional.cross_entropy(logits, y).item()}
    for name in ("accuracy", "precision", "recall", "f1", "confusion_matrix", "roc_auc"):
        metric = getattr(metrics, f"build_{name}")(NoOptions(), MetricContext(info=info))
        metric.update(logits.softmax(-1), y)
        for part, value in metric.compute().items():
            values[name.replace("_", "-") + (f"/{part}" if part else "")] = value
    return values


def _examples(
    probabilities: torch.Tensor, images: np.ndarray, labels: Sequence[int]
) -> dict[str, list[ReportExample]]:
    found: dict[str, list[ReportExample]] = {"Most wrong": [], "Most confident": []}
    for i, (shares, label) in enumerate(zip(probabilities, labels, strict=True)):
        top = [
            {"label": str(int(j)), "probability": float(p)}
            for p, j in zip(*shares.topk(3), strict=True)
        ]
        right = top[0]["label"] == str(label)
        example = ReportExample(
            id=f"digits[{i}]",
            score=float(shares.max()) if right else 1 - float(shares[label]),
            target=str(label),
            prediction={**top[0], "top": top},
            previews={"image": picture(images[i])},
        )
        found["Most confident" if right else "Most wrong"].append(example)
    return {name: sorted(e, key=lambda x: -x.score)[:24] for name, e in found.items()}


def picture(pixels: np.ndarray) -> Preview:
    """Pixels from 0 to 1 as a PNG preview."""
    buffer = io.BytesIO()
    image = Image.fromarray((pixels * 255).astype(np.uint8))
    image.resize((96, 96), Image.Resampling.NEAREST).save(buffer, "PNG")
    return Preview("image/png", buffer.getvalue())
