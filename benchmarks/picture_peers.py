"""The contenders of `train_throughput.py`. Each runs in a process of its own:

    python peers.py NAME FOLDER BATCH_SIZE WARM_UP STEPS

and prints a JSON object with the images per second over its last STEPS steps, loading included,
and its peak memory.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rounds import print_result

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 2


def bare_loop(folder: Path, batch_size: int, warm_up: int, steps: int) -> float:
    """The loop of a typical tutorial: fp32, no workers, ImageFolder, Resize, Adam."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision.models import resnet50

    model = resnet50(num_classes=CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = torch.nn.CrossEntropyLoss()
    loader = DataLoader(_tutorial_data(folder), batch_size, shuffle=True, drop_last=True)
    model.train()

    def step(images: Any, labels: Any) -> None:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()

    return _time(loader, step, batch_size, warm_up, steps)


def hand_tuned(folder: Path, batch_size: int, warm_up: int, steps: int) -> float:
    """A loop tuned by hand: mmft's settings, and the best of fp32 and bf16, channels first and last
    on this very CPU, by timed steps."""
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
    bf16, layout = _best_of(batch_size)
    model = resnet50(num_classes=CLASSES).to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05, fused=True)
    loader = DataLoader(
        ImageFolder(str(folder), transform),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        prefetch_factor=4,
        persistent_workers=True,
    )
    mean = 255 * torch.tensor(MEAN).view(3, 1, 1)
    std = 255 * torch.tensor(STD).view(3, 1, 1)
    model.train()

    def step(images: Any, labels: Any) -> None:
        pixels = images.contiguous(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(model((pixels - mean) / std), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return _time(loader, step, batch_size, warm_up, steps)


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


def hf_trainer(folder: Path, batch_size: int, warm_up: int, steps: int) -> float:
    """The Hugging Face Trainer with its defaults, on transformers' ResNet-50."""
    import torch
    from transformers import (
        ResNetConfig,
        ResNetForImageClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    marks: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append(time.perf_counter())

    def collate(samples: list[tuple[Any, int]]) -> dict[str, Any]:
        pixels = torch.stack([image for image, _ in samples])
        return {"pixel_values": pixels, "labels": torch.tensor([label for _, label in samples])}

    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            per_device_train_batch_size=batch_size,
            max_steps=warm_up + steps,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_drop_last=True,
        )
        Trainer(
            model=ResNetForImageClassification(ResNetConfig(num_labels=CLASSES)),
            args=arguments,
            train_dataset=_tutorial_data(folder),
            data_collator=collate,
            callbacks=[Clock()],
        ).train()
    return batch_size * steps / (marks[-1] - marks[-1 - steps])


def mmft(folder: Path, batch_size: int, warm_up: int, steps: int) -> float:
    """mmft itself, by its command line with its defaults, on training data alone."""
    from mmft_core.cli import main
    from mmft_core.engine.metrics_log import read_metrics

    with tempfile.TemporaryDirectory() as output:
        run = Path(output) / "run"
        arguments = ["run", "--task", "image-cls", "--backbone", "resnet50", "--weights", "none"]
        arguments += ["--dataset", str(folder), "--batch-size", str(batch_size), "-o", str(run)]
        settings = {
            "engine.steps": warm_up + steps,
            "engine.eval_every": 10**6,
            "engine.log_every": 1,
            "dataset.val": 0.0,
            "dataset.test": 0.0,
        }
        main([*arguments, *(f"--set={key}={value}" for key, value in settings.items())])
        lines = {r["step"]: r for r in read_metrics(run / "metrics.jsonl") if "split" not in r}
    # A line tells of the time and the samples before its step.
    first, last = lines[warm_up + 1], lines[max(lines)]
    return (last["samples"] - first["samples"]) / (last["seconds"] - first["seconds"])


def _tutorial_data(folder: Path) -> Any:
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return ImageFolder(str(folder), transforms.Compose(steps))


def _time(
    loader: Any, step: Callable[..., None], batch_size: int, warm_up: int, steps: int
) -> float:
    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    stream = endless()
    for _ in range(warm_up):
        step(*next(stream))
    started = time.perf_counter()
    for _ in range(steps):
        step(*next(stream))
    return batch_size * steps / (time.perf_counter() - started)


CONTENDERS: dict[str, Callable[[Path, int, int, int], float]] = {
    "bare loop": bare_loop,
    "HF Trainer": hf_trainer,
    "hand-tuned": hand_tuned,
    "mmft": mmft,
}

if __name__ == "__main__":
    name, folder, *numbers = sys.argv[1:]
    print_result(CONTENDERS[name](Path(folder), *map(int, numbers)))
