"""A short run of every task that is to come out alike, however many processes do it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

from tests.audio.networks import Recordings
from tests.conftest import crops, make_photo_folder
from tests.fusion.tools import write_table
from tests.serve.tools import write_rows

COMMON = (
    "--weights=none",
    "--batch-size=10",
    "--set=engine.workers=0",
    "--set=engine.steps=3",
    "--set=engine.gradient_accumulation_steps=2",
    "--set=engine.log_every=1",
    "--set=engine.precision=fp32",
    "--set=engine.device=cpu",
    "--set=engine.optimizer=sgd",
)
# Rounding grows fast in networks with batch norm: also one process is not its own equal after a
# few large steps, where its convolutions are computed in another way.
IMAGE = ("--set=backbone.image_size=64", "--lr=1e-4")
SMALL_IMAGE = ("--set=backbone.image_size=32", "--lr=1e-4")
TEXT = (
    "--lr=0.01",
    "--set=backbone.size=tiny",
    "--set=backbone.vocabulary=300",
    "--set=backbone.max_length=24",
)
WORDS = ("about cats", "of a great many boats and ships", "hats")


def _photos(folder: Path) -> Path:
    """A folder of cut-outs of photographs. Flat pictures would let batch norm magnify rounding."""
    images = load_sample_images().images
    photographs = {str(k): Image.fromarray(image) for k, image in enumerate(images)}
    return make_photo_folder(folder, photographs, per_class=27)


def _rows(folder: Path, target: str) -> Path:
    folder.mkdir(parents=True)
    return write_rows(folder / "texts.csv", ("text", target), WORDS)


def _spoken(folder: Path, column: str) -> Path:
    """A table of recordings of unlike lengths, each with a text."""
    folder.mkdir(parents=True)
    lengths = [0.5 + 0.05 * (k % 7) for k in range(21)]
    split = Recordings(folder, seconds=lengths, texts=("cats", "many boats and ships", "hats") * 7)
    return split.table(column)


def _captions(folder: Path) -> Path:
    folder.mkdir(parents=True)
    photograph = Image.fromarray(load_sample_images().images[0])
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image", "text"))
        for k, crop in enumerate(crops(photograph, 30, seed=0)):
            crop.save(folder / f"{k}.png")
            writer.writerow((f"{k}.png", f"{WORDS[k % 3]} {k}"))
    return folder / "captions.csv"


def _mixed(folder: Path, number: bool) -> Path:
    def change(row: int, cells: dict[str, object]) -> None:
        if number:
            cells["label"] = f"{100.0 + row}"

    # Some cells are empty, so that modalities are missing.
    return write_table(folder, 40, lacking=0.2, change=change)


FUSED = (
    "--backbone=text=minilm",
    "--backbone=tabular=tabular-transformer",
    *TEXT,
    "--set=task.modality_dropout=0",
)
AUDIO = ("--lr=0.01", "--set=backbone.size=tiny", "--set=backbone.spec_augment=false")

TASKS: Mapping[str, tuple[str, tuple[str, ...], Callable[[Path], Path]]] = {
    "classes": (
        "image-cls",
        ("--backbone=tiny", *SMALL_IMAGE, "--set=backbone.augment=light"),
        _photos,
    ),
    # Losses that compare samples magnify that rounding, so their network has no batch norm.
    "supcon": (
        "image-retrieval",
        ("--backbone=tiny-plain", *SMALL_IMAGE, "--set=task.dim=16"),
        _photos,
    ),
    "proxies": (
        "image-retrieval",
        ("--backbone=tiny-plain", *SMALL_IMAGE, "--set=task.loss=proxy"),
        _photos,
    ),
    "texts": ("text-cls", ("--backbone=minilm", *TEXT), lambda f: _rows(f, "label")),
    "queries": ("text-retrieval", ("--backbone=minilm", *TEXT), lambda f: _rows(f, "query")),
    "summaries": (
        "summarization",
        (
            "--backbone=gpt2",
            "--lr=0.01",
            "--set=backbone.size=tiny",
            "--set=backbone.vocabulary=300",
            "--set=task.max_new_tokens=6",
            "--set=task.max_target_length=16",
        ),
        lambda f: _rows(f, "summary"),
    ),
    "tokens": ("language-modeling", ("--backbone=gpt2", *TEXT), lambda f: _rows(f, "label")),
    "speech": ("asr", ("--backbone=wav2vec2-base", *AUDIO), lambda f: _spoken(f, "text")),
    "sounds": (
        "audio-cls",
        ("--backbone=whisper-tiny", *AUDIO, "--set=backbone.padding=batch"),
        lambda f: _spoken(f, "label"),
    ),
    "fused": ("fusion-cls", (*FUSED, "--set=task.alone=0.3"), lambda f: _mixed(f, number=False)),
    "numbers": ("fusion-reg", FUSED, lambda f: _mixed(f, number=True)),
    "pairs": (
        "contrastive",
        ("--backbone=image=tiny-plain", "--backbone=text=minilm", *TEXT, *SMALL_IMAGE),
        _captions,
    ),
    "captions": (
        "captioning",
        (
            "--backbone=image=resnet18",
            "--backbone=text=gpt2",
            *TEXT,
            *IMAGE,
            "--set=task.max_new_tokens=6",
            "--set=task.max_target_length=12",
        ),
        _captions,
    ),
}


def calls(folder: Path, names: Iterable[str] = TASKS) -> dict[str, list[str]]:
    """The arguments of `mmft` for some of them, with their data written below a folder."""
    made = {}
    for name in names:
        task, more, data = TASKS[name]
        dataset = ("--dataset", str(data(folder / name)))
        made[name] = ["run", "--task", task, *COMMON, *more, *dataset]
    return made
