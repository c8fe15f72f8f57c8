"""The models that `batch_invariance.py` asks, and their data."""

from __future__ import annotations

import contextlib
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from minilm import minilm
from speech_data import read_table, write_recordings

from mmft_core import DatasetSpec
from mmft_core.cli import main as mmft
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import nest
from mmft_core.contracts import DatasetContext, Split
from mmft_core.discovery import discover
from mmft_core.run.artifacts import LoadedModel, load
from mmft_core.run.build import build_dataset, build_task

SPLITS = {"train": 640, "val": 16, "test": 128}


@dataclass(frozen=True)
class Subject:
    """A model and what is asked of it.

    Attributes:
        run: settings of `mmft run`.
        steps: of training; 0 for a network as it was published.
        options: of the task, when it answers.
        inputs: how many of the test split are asked.
    """

    name: str
    run: Mapping[str, Any]
    steps: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: int = 128


def subjects(work: Path, whisper: Path | None) -> Iterator[Subject]:
    bert = {"backbone.name": "minilm", "backbone.weights": str(minilm()), "backbone.max_length": 64}
    pictures = {"task.name": "image-cls", "backbone.name": "resnet18", "backbone.weights": "none"}
    yield Subject("image-cls, ResNet-18", pictures, 90, inputs=179)
    topics = {"task.name": "text-cls", **bert, "dataset.name": texts(work, "label")}
    yield Subject("text-cls, BERT (MiniLM)", {**topics, "engine.batch_size": 16}, 40)
    pairs = {"task.name": "text-retrieval", **bert, "dataset.name": texts(work, "summary")}
    yield Subject("text-retrieval, MiniLM as published", pairs)
    for name in ("t5-small", "gpt2"):
        small = {"name": name, "weights": "none", "size": "tiny", "max_length": 96}
        run = {
            "task.name": "summarization",
            "dataset.name": texts(work, "summary"),
            **{f"backbone.{key}": value for key, value in small.items()},
            "task.max_target_length": 32,
            "task.max_new_tokens": 24,
        }
        for beams in (1, 4):
            way = "greedy" if beams == 1 else f"{beams} beams"
            yield Subject(f"summarization, {name}, {way}", run, 100, {"num_beams": beams}, 64)
    scenes = {
        "task.name": "captioning",
        "dataset.name": "digit-scenes",
        "dataset.samples": 640,
        "backbone.image.name": "resnet18",
        "backbone.text.name": "gpt2",
        "backbone.image.weights": "none",
        "backbone.text.weights": "none",
        "backbone.text.size": "tiny",
        "task.max_new_tokens": 16,
        "engine.batch_size": 16,
    }
    yield Subject("captioning, ResNet-18 and GPT-2", scenes, 60, inputs=64)
    for padding, inputs in (("window", 16), ("batch", 32)) if whisper else ():
        run = {
            "task.name": "asr",
            "dataset.name": recordings(work, inputs),
            "backbone.name": "whisper-tiny.en",
            "backbone.weights": str(whisper),
            "backbone.padding": padding,
        }
        told = {"exact": False, "num_beams": 1, "max_new_tokens": 48}
        yield Subject(f"asr, Whisper tiny.en, padding={padding}", run, 0, told, inputs)


@cache
def texts(work: Path, target: str) -> str:
    """A table of documentation strings, and the packages that they are of or their summaries."""
    component = discover().get(DatasetSpec, "text/docstrings")
    kind = "class" if target == "label" else "text"
    splits = component.build(component.options_type()(), DatasetContext(target=kind)).splits
    table = work / f"{target}.jsonl"
    with table.open("w", encoding="utf-8") as file:
        for name, most in SPLITS.items():
            split = splits[name]
            for index in np.linspace(0, len(split) - 1, most).astype(int).tolist():
                sample = split[index]
                row = {"text": sample.inputs["text"], target: sample.target, "split": name}
                file.write(json.dumps(row) + "\n")
    return str(table)


@cache
def recordings(work: Path, count: int) -> str:
    """A table of spoken commands, nearly all of them to be asked about."""
    folder = work / f"recordings-{count}"
    table = folder / "table.jsonl"
    if table.exists():
        return str(table)
    folder.mkdir()
    rows = read_table(write_recordings(folder, count + 4))
    with table.open("w", encoding="utf-8") as file:
        for number, (path, text) in enumerate(rows):
            name = ("train", "train", "val", "val")[number] if number < 4 else "test"
            file.write(json.dumps({"audio": str(path), "text": text, "split": name}) + "\n")
    return str(table)


def made(subject: Subject, work: Path) -> tuple[LoadedModel, Split]:
    """A subject's model and its test split."""
    registry = discover()
    told = {"engine.workers": 0, **({"engine.steps": subject.steps} if subject.steps else {})}
    plan = make_plan(nest({**subject.run, **told}), registry)
    data = build_dataset(plan)
    if not subject.steps:
        plan = make_plan(
            nest({**subject.run, **{f"task.{k}": v for k, v in subject.options.items()}}), registry
        )
        task = build_task(plan, data, lambda text: None)
        model = LoadedModel(
            task=task, component=plan.task.component, info=data.info, parts=plan.backbones
        )
        return model, data.splits["test"]
    settings = [f"--set={key}={value}" for key, value in {**subject.run, **told}.items()]
    output = work / f"run-{zlib.crc32(str((subject.steps, subject.run)).encode()):08x}"
    if not (output / "results.json").exists():
        begun = (output / "config.toml").exists()
        with contextlib.redirect_stdout(sys.stderr):
            mmft(["run", *(["--resume"] if begun else [*settings, "-o"]), str(output)])
    return load(output, registry, {"task": dict(subject.options)}), data.splits["test"]
