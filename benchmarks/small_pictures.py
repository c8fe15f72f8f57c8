"""Small pictures and small networks: `mmft run` as it comes beside a plain training loop.

    python benchmarks/small_pictures.py
    python benchmarks/small_pictures.py --networks resnet18 resnet50 --sides 32 64 --seeds 3

Scanned digits, coloured, turned and scaled, on dark cut-outs of photographs (both of scikit-learn):
ten classes, drawn for the benchmark. Every contender trains from random weights for an epoch, in a
process of its own and in turn, and is evaluated on the same pictures:

    plain   fp32, Adam at 1e-3, no augmentation, no worker process: the shortest loop there is
    adamw   the same with what a careful author adds: AdamW, one cycle of the learning rate, and
            random crops and flips, loaded by a worker process
    mmft    `mmft run --task image-cls --weights none`, all settings as they come

Samples per second are those of training alone, the median over seeds; accuracy is on the test
pictures, the mean over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

CONTENDERS = ("plain", "adamw", "mmft")
_NAMES = {"mobilenet_v3_large": "mobilenet-v3-large", "vit_b_16": "vit-b-16"}
"""Of networks that mmft calls by another name than torchvision."""


def draw(folder: Path, number: int, side: int, seed: int) -> None:
    """Write pictures of digits on photographs, a folder for each class."""
    random = np.random.default_rng(seed)
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    digits, labels = load_digits(return_X_y=True)
    for k in range(number):
        chosen = int(random.integers(len(digits)))
        photograph = photographs[int(random.integers(2))]
        cut = int(min(photograph.height, random.uniform(1, 4) * side))
        left = int(random.integers(photograph.width - cut + 1))
        top = int(random.integers(photograph.height - cut + 1))
        picture = photograph.crop((left, top, left + cut, top + cut)).resize((side, side))
        picture = picture.point(lambda value: value // 2)
        size = int(side * random.uniform(0.6, 0.9))
        digit = Image.fromarray((digits[chosen].reshape(8, 8) * 15.9).astype(np.uint8))
        digit = digit.resize((size, size)).rotate(random.uniform(-15, 15))
        place = tuple(int(p) for p in random.integers(side - size, size=2))
        colour = tuple(int(c) for c in random.integers(128, 256, 3))
        picture.paste(Image.new("RGB", digit.size, colour), place, digit)
        target = folder / str(labels[chosen])
        target.mkdir(parents=True, exist_ok=True)
        picture.save(target / f"{k:06}.png")


def loop(network: str, folder: Path, side: int, batch: int, seed: int, careful: bool) -> Any:
    """The plain loop, or the careful one."""
    import torch
    import torchvision
    from torch.utils.data import DataLoader
    from torchvision.transforms import v2

    torch.manual_seed(seed)
    kept = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    kept.append(v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    random = [v2.RandomResizedCrop(side, scale=(0.5, 1.0)), v2.RandomHorizontalFlip()]
    steps = [*random, *kept] if careful else kept
    train = torchvision.datasets.ImageFolder(folder / "train", v2.Compose(steps))
    test = torchvision.datasets.ImageFolder(folder / "test", v2.Compose(kept))
    loader = DataLoader(train, batch, shuffle=True, num_workers=int(careful))
    arguments = {"image_size": side} if network.startswith("vit") else {}
    model = getattr(torchvision.models, network)(num_classes=len(train.classes), **arguments)
    if careful:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, len(loader))
    else:
        optimizer, schedule = torch.optim.Adam(model.parameters(), lr=1e-3), None
    model.train()
    began = time.perf_counter()
    for pixels, labels in loader:
        loss = torch.nn.functional.cross_entropy(model(pixels), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if schedule is not None:
            schedule.step()
    seconds = time.perf_counter() - began
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(pixels).argmax(1) == labels).sum())
            for pixels, labels in DataLoader(test, 256)
        )
    return {"rate": len(train) / seconds, "accuracy": right / len(test)}


def run(network: str, folder: Path, side: int, batch: int, seed: int) -> Any:
    """`mmft run` as it comes."""
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "run"
        command = [sys.executable, "-m", "mmft_core", "run", "--task=image-cls", "--weights=none"]
        command += [f"--backbone={_NAMES.get(network, network)}", f"--dataset={folder}"]
        command += ["--epochs=1", f"--batch-size={batch}", f"--seed={seed}", f"--output={output}"]
        command += [f"--set=backbone.image_size={side}"]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(ended.stderr)
        for line in (ended.stdout + ended.stderr).splitlines():
            if "Timed steps" in line or "processes are using the CPUs" in line:
                print(line.strip(), file=sys.stderr)
        results = json.loads((output / "results.json").read_text())
    rate = results["timings"]["samples_per_second"]
    return {"rate": rate, "accuracy": results["metrics"]["test"]["accuracy"]}


def measure(arguments: list[str]) -> dict[str, float]:
    """What a contender's process says at its end."""
    ended = subprocess.run(
        [sys.executable, __file__, "--contender", *arguments], stdout=subprocess.PIPE, text=True
    )
    if ended.returncode:
        sys.exit(f"{' '.join(arguments)} failed.")
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def main() -> None:
    if sys.argv[1:2] == ["--contender"]:
        name, network, folder, side, batch, seed = sys.argv[2:]
        given = (network, Path(folder), int(side), int(batch), int(seed))
        print(json.dumps(run(*given) if name == "mmft" else loop(*given, careful=name == "adamw")))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["resnet18"])
    parser.add_argument("--sides", nargs="+", type=int, default=[32])
    parser.add_argument("--images", type=int, default=20_000, help="Pictures to train on.")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    given = parser.parse_args()
    print("| network | pixels | contender | samples/s | over plain | accuracy |")
    print("|---" * 6 + "|")
    for side in given.sides:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for number, (split, share) in enumerate((("train", 1.0), ("val", 0.1), ("test", 0.25))):
                draw(folder / split, int(given.images * share), side, number)
            for network in given.networks:
                found: dict[str, list[dict[str, float]]] = {name: [] for name in given.only}
                for seed in range(given.seeds):
                    for name, own in found.items():
                        place = [str(folder), str(side), str(given.batch_size), str(seed)]
                        own.append(measure([name, network, *place]))
                        run_of = f"{network}, {side} px, seed {seed}"
                        print(f"{run_of}: {name} {own[-1]}", file=sys.stderr)
                for name, own in found.items():
                    rate = statistics.median(r["rate"] for r in own)
                    over = "-"
                    if "plain" in found:
                        pairs = zip(own, found["plain"], strict=True)
                        over = f"{statistics.median(a['rate'] / b['rate'] for a, b in pairs):.2f}"
                    accuracy = statistics.mean(r["accuracy"] for r in own)
                    print(
                        f"| {network} | {side} | {name} | {rate:.1f} | {over} | {accuracy:.4f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
