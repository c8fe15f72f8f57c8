"""A tiny run of every task, to be exported; of some tasks one with another kind of network too.

Most that look at pictures need the fixture `tiny_backbone`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from tests.audio.networks import SECONDS, Recordings
from tests.fusion.tools import write_table
from tests.serve.tools import train, write_rows

IMAGE = ("--set=backbone.image_size=32",)
TEXT = ("--set=backbone.size=tiny", "--set=backbone.vocabulary=300", "--set=backbone.max_length=24")
WORDS = ("about cats", "of a great many boats and ships", "hats")


def _rows(folder: Path, target: str) -> Path:
    return write_rows(folder / "texts.csv", ("text", target), WORDS)


def _spoken(folder: Path, column: str) -> Path:
    """A table of recordings of unlike lengths, each with a text."""
    split = Recordings(folder, seconds=[s for s in SECONDS for _ in range(3)], texts=WORDS * 4)
    return split.table(column)


def _captions(folder: Path) -> Path:
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "text"))
        for k in range(16):
            name = f"{k}.png"
            Image.new("RGB", (32, 32), ("red", "green", "blue")[k % 3]).save(folder / name)
            writer.writerow((name, f"{k} {WORDS[k % 3]}"))
    return folder / "captions.csv"


def _summaries(folder: Path, backbone: str) -> Path:
    return train(
        folder / "run",
        "summarization",
        f"--backbone={backbone}",
        "--set=backbone.size=tiny",
        "--set=backbone.vocabulary=300",
        "--set=task.max_new_tokens=6",
        "--set=task.max_target_length=16",
        "--dataset",
        _rows(folder, "summary"),
    )


def _mixed(folder: Path, target: str, *more: str) -> Path:
    def number(row: int, cells: dict[str, object]) -> None:
        if target == "number":
            cells["label"] = f"{100.0 + row}"

    # Some cells are empty, so that modalities are missing.
    table = write_table(folder / "table", 40, lacking=0.2, change=number)
    task = "fusion-reg" if target == "number" else "fusion-cls"
    return train(folder / "run", task, *more, "--dataset", table)


RUNS: Mapping[str, Callable[[Path], Path]] = {
    "image-cls": lambda f: train(f / "run", "image-cls", "--backbone=resnet18", *IMAGE),
    "image-retrieval": lambda f: train(
        f / "run", "image-retrieval", "--backbone=tiny", *IMAGE, "--set=task.dim=16"
    ),
    "text-cls": lambda f: train(
        f / "run", "text-cls", "--backbone=minilm", *TEXT, "--dataset", _rows(f, "label")
    ),
    "text-retrieval": lambda f: train(
        f / "run", "text-retrieval", "--backbone=minilm", *TEXT, "--dataset", _rows(f, "query")
    ),
    "summarization": lambda f: _summaries(f, "gpt2"),
    "summarization/t5": lambda f: _summaries(f, "t5-small"),
    "asr": lambda f: train(
        f / "run",
        "asr",
        "--backbone=wav2vec2-base",
        "--set=backbone.size=tiny",
        "--dataset",
        _spoken(f, "text"),
    ),
    "asr/whisper": lambda f: train(
        f / "run",
        "asr",
        "--backbone=whisper-tiny",
        "--set=backbone.size=tiny",
        "--set=backbone.padding=batch",
        "--set=task.max_new_tokens=6",
        "--dataset",
        _spoken(f, "text"),
    ),
    "language-modeling": lambda f: train(
        f / "run", "language-modeling", "--backbone=gpt2", *TEXT, "--dataset", _rows(f, "label")
    ),
    "audio-cls": lambda f: train(
        f / "run",
        "audio-cls",
        "--backbone=whisper-tiny",
        "--set=backbone.size=tiny",
        "--set=backbone.padding=batch",
        "--dataset",
        _spoken(f, "label"),
    ),
    "fusion-cls": lambda f: _mixed(
        f, "class", "--backbone=text=minilm", "--backbone=tabular=tabular-transformer", *TEXT
    ),
    "fusion-reg": lambda f: _mixed(
        f, "number", "--backbone=image=tiny", "--backbone=tabular=tabular-mlp", *IMAGE
    ),
    "contrastive": lambda f: train(
        f / "run",
        "contrastive",
        "--backbone=image=tiny",
        "--backbone=text=minilm",
        *IMAGE,
        *TEXT,
        "--dataset",
        _captions(f),
    ),
    "captioning": lambda f: train(
        f / "run",
        "captioning",
        "--backbone=image=tiny",
        "--backbone=text=gpt2",
        *IMAGE,
        *TEXT,
        "--set=task.max_new_tokens=6",
        "--set=task.max_target_length=12",
        "--dataset",
        _captions(f),
    ),
}
