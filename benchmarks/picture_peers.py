"""ResNet-50 on JPEGs, from random weights: mmft beside the usual loops and training scripts.

All of them see each picture once; the first steps are not timed.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rounds import Contender, Job, Measured, Setup

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES, WARM_UP = 2, 3
FLOP = 24.6e9
"""Of a picture: ResNet-50 at 224 pixels takes 4.1 G multiplications forward, thrice that in all."""


def bare_loop(setup: Setup) -> Measured:
    """The loop of a typical tutorial: fp32, no workers, ImageFolder, Resize, Adam."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.models import resnet50

    model = resnet50(num_classes=CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = torch.nn.CrossEntropyLoss()
    data = _tutorial_data(setup.folder)
    loader = DataLoader(data, setup.batch_size, shuffle=True, drop_last=True)
    model.train()

    def step(images: Any, labels: Any) -> float:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return _time(loader, step, setup.batch_size)


def hand_tuned(setup: Setup) -> Measured:
    """A loop tuned by hand: mmft's settings, and the best of fp32 and bf16, channels first and last
    on this CPU, by timed steps."""
    from mmft_core.engine.memory import tune_allocator

    tune_allocator()
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.models import resnet50
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomResizedCrop(224, scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.2, contrast=0.2),
        ]
    )
    bf16, layout = _best_of(setup.batch_size)
    model = resnet50(num_classes=CLASSES).to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05, fused=True)
    loader = DataLoader(
        ImageFolder(str(setup.folder), transform),
        setup.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        prefetch_factor=4,
        persistent_workers=True,
    )
    mean = 255 * torch.tensor(MEAN).view(3, 1, 1)
    std = 255 * torch.tensor(STD).view(3, 1, 1)
    model.train()

    def step(images: Any, labels: Any) -> float:
        pixels = images.contiguous(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(model((pixels - mean) / std), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    return _time(loader, step, setup.batch_size)


def _best_of(batch_size: int) -> tuple[bool, Any]:
    """Whether a ResNet-50 trains faster in bf16, and with which layout in memory."""
    import torch
    from torchvision.models import resnet50

    times: dict[tuple[bool, Any], float] = {}
    labels = torch.zeros(batch_size, dtype=torch.long)
    for bf16 in (True, False):
        for layout in (torch.channels_last, torch.contiguous_format):
            model = resnet50(num_classes=CLASSES).to(memory_format=layout)
            pixels = torch.randn(batch_size, 3, 224, 224).contiguous(memory_format=layout)
            for _ in range(2):  # The first prepares kernels.
                started = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    loss = torch.nn.functional.cross_entropy(model(pixels), labels)
                loss.backward()
                times[bf16, layout] = time.perf_counter() - started
    return min(times, key=lambda key: times[key])


def hf_trainer(setup: Setup) -> Measured:
    """The Hugging Face Trainer with its defaults, on transformers' ResNet-50."""
    return _trainer(setup)


def hf_trainer_tuned(setup: Setup) -> Measured:
    """The same with a process that loads, and the best precision and layout on this CPU."""
    import torch

    bf16, layout = _best_of(setup.batch_size)
    memory_format = layout if layout != torch.contiguous_format else None
    return _trainer(setup, memory_format, bf16=bf16, dataloader_num_workers=1)


def _trainer(setup: Setup, memory_format: Any = None, **more: Any) -> Measured:
    import torch
    from trainer_clock import Clock, arguments
    from transformers import (
        ResNetConfig,
        ResNetForImageClassification,
        Trainer,
        TrainingArguments,
    )

    clock, seen = Clock(), _tutorial_data(setup.folder)

    def collate(samples: list[tuple[Any, int]]) -> dict[str, Any]:
        pixels = torch.stack([image for image, _ in samples])
        if memory_format is not None:
            pixels = pixels.contiguous(memory_format=memory_format)
        return {"pixel_values": pixels, "labels": torch.tensor([label for _, label in samples])}

    model = ResNetForImageClassification(ResNetConfig(num_labels=CLASSES))
    if memory_format is not None:
        model = model.to(memory_format=memory_format)
    with tempfile.TemporaryDirectory() as output:
        own = {"remove_unused_columns": False, "dataloader_drop_last": True, **more}
        Trainer(
            model=model,
            args=TrainingArguments(**arguments(output, setup.batch_size, **own)),
            train_dataset=seen,
            data_collator=collate,
            callbacks=[clock],
        ).train()
    steps = len(clock.marks) - 1
    timed = clock.marks[-1] - clock.marks[WARM_UP]
    rate = setup.batch_size * (steps - WARM_UP) / timed
    return Measured(rate, setup.batch_size * steps, clock.loss, sum(clock.waited[WARM_UP:]) / timed)


def timm_script(setup: Setup) -> Measured:
    """timm's training script with its defaults."""
    return _timm(setup)


def timm_script_tuned(setup: Setup) -> Measured:
    """The same with AdamW, one process that loads, and the best precision and layout."""
    import torch

    bf16, layout = _best_of(setup.batch_size)
    more = ["--opt=adamw", "--lr=5e-4", "--workers=1"]
    more += ["--amp", "--amp-dtype=bfloat16"] if bf16 else []
    more += ["--channels-last"] if layout == torch.channels_last else []
    return _timm(setup, *more)


def _timm(setup: Setup, *more: str) -> Measured:
    assert setup.timm is not None
    command = [sys.executable, "train.py", f"--data-dir={setup.folder}", "--model=resnet50"]
    command += [f"--num-classes={CLASSES}", f"--batch-size={setup.batch_size}", "--device=cpu"]
    command += ["--epochs=1", "--warmup-epochs=0", "--val-split=", "--log-interval=1", *more]
    marks, losses, waits, last = [], [], [], ""
    process = subprocess.Popen(
        command, cwd=setup.timm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        last = line.strip() or last
        if found := re.search(r"^Train: .* Loss: +(\S+) .* Data: (\S+)", line):
            marks.append(time.perf_counter())
            losses.append(float(found[1]))
            waits.append(float(found[2]))
    if process.wait():
        sys.exit(f"train.py: {last}")
    timed = marks[-1] - marks[WARM_UP - 1]
    rate = setup.batch_size * (len(marks) - WARM_UP) / timed
    waiting = sum(waits[WARM_UP:]) / timed
    version = re.findall(r"[\d.]+\w*", (setup.timm / "timm" / "version.py").read_text())[0]
    samples, loss = setup.batch_size * len(marks), statistics.fmean(losses)
    return Measured(rate, samples, loss, waiting, versions=f"timm {version}")


def mmft(setup: Setup) -> Measured:
    """`mmft run` with its defaults, for the same number of steps."""
    from own_training import train

    arguments = ["--task=image-cls", "--backbone=resnet50", "--weights=none", "--epochs=1"]
    arguments += [f"--dataset={setup.folder}", f"--batch-size={setup.batch_size}"]
    trained = train(arguments, {})
    first = trained.lines[WARM_UP]  # A line tells of the time and the samples before its step.
    timed = trained.seconds - first["seconds"]
    waiting = (trained.waited - first["waited"]) / timed
    samples = trained.samples
    return Measured((samples - first["samples"]) / timed, samples, trained.loss, waiting)


def _tutorial_data(folder: Path) -> Any:
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return ImageFolder(str(folder), transforms.Compose(steps))


def _time(loader: Any, step: Callable[..., float], batch_size: int) -> Measured:
    losses, marks, waited = [], [time.perf_counter()], []
    for batch in loader:
        waited.append(time.perf_counter() - marks[-1])
        losses.append(step(*batch))
        marks.append(time.perf_counter())
    timed = marks[-1] - marks[WARM_UP]
    return Measured(
        rate=batch_size * (len(losses) - WARM_UP) / timed,
        samples=batch_size * len(losses),
        outcome=statistics.fmean(losses),
        waiting=sum(waited[WARM_UP:]) / timed,
    )


def _prepare(setup: Setup) -> None:
    from jpegs import make_jpegs

    make_jpegs(setup.folder, setup.samples)


def _shares(rates: Mapping[str, float]) -> str:
    """How near training comes to what the CPU can do at most."""
    import torch

    limits = {"fp32": _products(torch.float32), "bf16": _products(torch.bfloat16)}
    told = ", ".join(f"{name} {limit / 1e9:,.0f}" for name, limit in limits.items())
    most = max(limits.values())
    shares = ", ".join(f"{name} {rate * FLOP / most:.2f}" for name, rate in rates.items())
    return f"GFLOP/s of matrix products: {told}; the share of the faster that is reached: {shares}."


def _products(dtype: Any, side: int = 2048) -> float:
    """Floating point operations per second of matrix products, the best of a few."""
    import torch

    a, b = torch.randn(2, side, side).to(dtype)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * float(side**3) / min(seconds)


PICTURES = Job(
    title="ResNet-50, JPEGs of 500 x 375, training",
    unit="images/s",
    outcome="mean loss",
    tolerance=1.0,
    samples=288,
    batch_size=32,
    prepare=_prepare,
    contenders={
        "plain loop": Contender(bare_loop, ("torch", "torchvision")),
        "Trainer": Contender(hf_trainer, ("transformers",)),
        "Trainer, tuned": Contender(hf_trainer_tuned, ("transformers",)),
        "timm's script": Contender(timm_script, (), needs="timm"),
        "timm's script, tuned": Contender(timm_script_tuned, (), needs="timm"),
        "hand-tuned loop": Contender(hand_tuned, ("torch", "torchvision")),
        "mmft": Contender(mmft, ("mmft",)),
    },
    remark=_shares,
)
