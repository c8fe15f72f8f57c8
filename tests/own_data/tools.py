"""Small data of every modality, and runs on them that last a moment or stop half-way."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmft_core import discover
from mmft_core.config.resolving import make_plan
from mmft_core.config.trees import parse_set
from mmft_core.contracts.callbacks import Callback, TrainStep
from mmft_core.errors import StopTrainingError
from mmft_core.run import runner
from tests.conftest import Finished

Mmft = Callable[..., Finished]

LABELS = ("calm", "stormy", "foggy")
WORDS = {"calm": "still water", "stormy": "high waves", "foggy": "no horizon"}

SHORT = {"engine.steps": 3, "engine.workers": 0, "engine.batch_size": 8, "engine.lr": 1e-3}
IMAGE = {"backbone": "tiny", "backbone.weights": "none", "backbone.image_size": 32}
TEXT = {
    "backbone": "minilm",
    "backbone.weights": "none",
    "backbone.size": "tiny",
    "backbone.vocabulary": 300,
    "backbone.max_length": 24,
}
AUDIO = {
    "backbone": "whisper-tiny",
    "backbone.weights": "none",
    "backbone.size": "tiny",
    "backbone.padding": "batch",
}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text_rows(count: int = 45) -> list[dict[str, Any]]:
    return [
        {
            "text": f"Log entry {k}: {WORDS[LABELS[k % 3]]} off the coast, sailor {k % 9}.",
            "label": LABELS[k % 3],
            "boat": f"boat {k % 15}",
        }
        for k in range(count)
    ]


def picture(number: int) -> Image.Image:
    noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def hum(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(4000) / 8000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 13 * number) * time), 8000)


def texts(folder: Path) -> Path:
    return write_csv(folder / "logs.csv", text_rows())


def text_files(folder: Path) -> Path:
    for k, row in enumerate(text_rows()):
        path = folder / "letters" / row["label"] / f"{k:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Longer than a passage, so that what is cut into passages shows.
        path.write_text(f"{row['text']}\n" * (60 if k == 4 else 1))
    return folder / "letters"


def pictures(folder: Path) -> Path:
    """BMP files, which are all of the same size."""
    for k in range(45):
        path = folder / "sea" / LABELS[k % 3] / f"{k:02}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(k).save(path)
    return folder / "sea"


def picture_table(folder: Path) -> Path:
    (folder / "shots").mkdir(parents=True)
    rows = []
    for k in range(45):
        picture(k).save(folder / "shots" / f"{k:02}.png")
        rows.append({"image": f"shots/{k:02}.png", "label": LABELS[k % 3]})
    return write_csv(folder / "shots.csv", rows)


def recordings(folder: Path) -> Path:
    rows = []
    for k in range(45):
        hum(folder / "wav" / f"{k:02}.wav", k)
        rows.append({"audio": f"wav/{k:02}.wav", "label": LABELS[k % 3]})
    return write_csv(folder / "sounds.csv", rows)


def sound_folder(folder: Path) -> Path:
    for k in range(45):
        hum(folder / "hums" / LABELS[k % 3] / f"{k:02}.wav", k)
    return folder / "hums"


def mixed(folder: Path) -> Path:
    (folder / "pics").mkdir(parents=True)
    rows = []
    for k, row in enumerate(text_rows()):
        picture(k).save(folder / "pics" / f"{k:02}.png")
        rows.append({"photo": f"pics/{k:02}.png", "wind": 0.5 * k, **row})
    return write_csv(folder / "mixed.csv", rows)


@dataclass(frozen=True)
class Kind:
    """Data of some kind, and the settings of a run that learns from them."""

    make: Callable[[Path], Path]
    settings: Mapping[str, Any]


KINDS = {
    "texts": Kind(texts, {"task": "text-cls", **TEXT}),
    "text files": Kind(text_files, {"task": "text-cls", **TEXT}),
    "pictures": Kind(pictures, {"task": "image-cls", **IMAGE}),
    "picture table": Kind(picture_table, {"task": "image-cls", **IMAGE}),
    "recordings": Kind(recordings, {"task": "audio-cls", **AUDIO}),
    "sound folder": Kind(sound_folder, {"task": "audio-cls", **AUDIO}),
    "mixed": Kind(
        mixed,
        {
            "task": "fusion-cls",
            "backbone.image.name": "tiny",
            "backbone.tabular.name": "tabular-mlp",
            "backbone.weights": "none",
            "backbone.image_size": 32,
        },
    ),
}


def run_arguments(kind: str, data: Path | str, output: Path | str, *more: str) -> list[str]:
    """The arguments of a short run."""
    settings = {**SHORT, **KINDS[kind].settings}
    sets = [f"--set={key}={value}" for key, value in settings.items()]
    return ["run", *sets, "--dataset", str(data), "-o", str(output), *more]


def stopped_run(kind: str, data: Path | str, output: Path | str, **changes: object) -> Path:
    """A run that was stopped after its first checkpoint; `engine__lr=1` changes a setting."""
    settings = {**SHORT, "engine.checkpoint_every": 1, "engine.log_every": 1}
    settings |= {**KINDS[kind].settings, "dataset": str(data)}
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    tree = parse_set(f"{key}={value}" for key, value in settings.items())
    plan = make_plan(tree, discover())
    with pytest.raises(StopTrainingError):
        runner.train(plan, Path(output), [_Stop()])
    assert not (Path(output) / "results.json").exists()
    assert list((Path(output) / "checkpoints").glob("step-*"))
    return Path(output)


class _Stop(Callback):
    def on_step(self, event: TrainStep) -> None:
        if event.step >= 2:
            raise StopTrainingError


def weights(run: Path) -> bytes:
    return (run / "model" / "model.safetensors").read_bytes()


def predicted(mmft: Mmft, run: Path, data: Path | str, split: str, *more: str) -> list[str]:
    """The ids of the samples that `mmft predict` predicts."""
    ended = mmft("predict", run, "--dataset", data, "--split", split, "--format", "jsonl", *more)
    assert ended.code == 0, ended.err
    return [json.loads(line)["input"] for line in ended.out.splitlines()]


def judged(mmft: Mmft, run: Path, *more: str | Path) -> dict[str, Any]:
    ended = mmft("eval", run, "--json", *more)
    assert ended.code == 0, ended.err
    figures: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    return figures


def refused(ended: Finished, *parts: str) -> None:
    """Check that a call ended in one error, which says all of this."""
    told = " ".join(ended.err.split())
    assert ended.code == 2 and "Traceback" not in told, told
    for part in parts:
        assert part in told, f"{part!r} is not in: {told}"


def kept_ids(run: Path, split: str) -> list[str]:
    """The ids that a run has written down for a split."""
    import pyarrow.parquet as pq

    rows = pq.read_table(run / "samples.parquet").to_pylist()
    return [row["id"] for row in rows if row["split"] == split]
