"""The contenders of `chat_throughput.py`. Each runs in a process of its own:

    python chat_peers.py NAME FOLDER BATCH_SIZE ROW_LENGTH

trains the network in FOLDER on its chats for one epoch, the assistant's answers being learned, and
prints tokens a second: those of the chats, without padding, from the first step to the last.
Making batches is included, but for what TRL does beforehand: it tokenizes and packs texts when a
trainer is made.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETWORK, CHATS, FACTS = "network", "chats.jsonl", "facts.json"
"""In the folder: the network, the chats, and what is known of them."""


class Meter:
    """Time and memory of a training, between `begin` and `end`, of which the last one counts."""

    def begin(self) -> None:
        self._clear_peak()
        self.held = _status("VmRSS")
        self.started, self.cpu = time.perf_counter(), time.process_time()

    def end(self) -> None:
        self.seconds = time.perf_counter() - self.started
        self.cpu_seconds = time.process_time() - self.cpu
        self.peak = _status("VmHWM")

    @staticmethod
    def _clear_peak() -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            print("The peak before training cannot be cleared here.", file=sys.stderr)

    def print(self, tokens: int) -> None:
        result = {
            "rate": tokens / self.seconds,
            "cpu_us": 1e6 * self.cpu_seconds / tokens,
            "peak_mb": self.peak / 1e6,
            "grown_mb": (self.peak - self.held) / 1e6,
        }
        print(json.dumps(result))


def _status(name: str) -> int:
    """A number of bytes that Linux tells of this process."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def trl(folder: Path, batch_size: int, row: int, meter: Meter) -> None:
    """TRL's SFTTrainer as it comes: bf16, gradient checkpointing, padded batches."""
    _trl(folder, meter, per_device_train_batch_size=batch_size)


def trl_tuned(folder: Path, batch_size: int, row: int, meter: Meter) -> None:
    """With its activations kept, and, where it can, packed rows of as many tokens in all."""
    facts = _facts(folder)
    options: dict[str, Any] = {"gradient_checkpointing": False, "bf16": _bf16_pays()}
    if facts["pictures"]:  # Which it does not pack.
        options["per_device_train_batch_size"] = batch_size
    else:
        rows = max(1, round(batch_size * facts["tokens"] / facts["chats"] / row))
        options |= {"packing": True, "max_length": row, "per_device_train_batch_size": rows}
    _trl(folder, meter, **options)


def _bf16_pays() -> bool:
    """Whether mmft would train in bf16 here, by the products of matrices that it times."""
    import torch

    from mmft_core.precision import choose_precision

    return choose_precision("auto", torch.device("cpu")) == "bf16"


def _trl(folder: Path, meter: Meter, **options: Any) -> None:
    import datasets
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoProcessor,
        AutoTokenizer,
        TrainerCallback,
    )
    from trl import SFTConfig, SFTTrainer

    class Follower(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            meter.begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            meter.end()

    chats = [json.loads(line) for line in (folder / CHATS).read_text().splitlines()]
    network = folder / NETWORK
    if _facts(folder)["pictures"]:
        model = AutoModelForImageTextToText.from_pretrained(network, dtype=torch.float32)
        reader = AutoProcessor.from_pretrained(network)
        rows = datasets.Dataset.from_list([_with_picture(chat) for chat in chats])
        rows = rows.cast_column("images", [datasets.Image()])
    else:
        model = AutoModelForCausalLM.from_pretrained(network, dtype=torch.float32)
        reader = AutoTokenizer.from_pretrained(network)
        rows = datasets.Dataset.from_list(chats)
        options["assistant_only_loss"] = True
    with tempfile.TemporaryDirectory() as output:
        arguments = SFTConfig(
            output,
            num_train_epochs=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            **options,
        )
        SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            processing_class=reader,
            callbacks=[Follower()],
        ).train()


def _with_picture(chat: dict[str, Any]) -> dict[str, Any]:
    asked = [{"type": "image"}, {"type": "text", "text": chat["question"]}]
    said = [{"type": "text", "text": chat["answer"]}]
    return {
        "images": [chat["image"]],
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": said}],
    }


def mmft(folder: Path, batch_size: int, row: int, meter: Meter) -> None:
    """mmft with its defaults, on training data alone."""
    import mmft
    from mmft_core.contracts import Callback
    from mmft_core.engine import tune_allocator

    tune_allocator()  # As the command line does.

    class Follower(Callback):
        def on_train_start(self, event: Any) -> None:
            meter.begin()

        def on_step(self, event: Any) -> None:
            meter.end()

    kind = "vision-chat" if _facts(folder)["pictures"] else "chat-lm"
    with tempfile.TemporaryDirectory() as output:
        mmft.run(
            task="chat",
            backbone=kind,
            weights=str(folder / NETWORK),
            dataset=str(folder / CHATS),
            epochs=1,
            batch_size=batch_size,
            output=f"{output}/run",
            callbacks=[Follower()],
            progress=False,
            **{"dataset.val": 0.0, "dataset.test": 0.0, "backbone.max_length": row},
        )


def _facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / FACTS).read_text())
    return found


CONTENDERS: dict[str, Callable[[Path, int, int, Meter], None]] = {
    "TRL": trl,
    "TRL, tuned": trl_tuned,
    "mmft": mmft,
}

if __name__ == "__main__":
    name, folder, *numbers = sys.argv[1:]
    batch_size, row = map(int, numbers)
    meter = Meter()
    CONTENDERS[name](Path(folder), batch_size, row, meter)
    meter.print(_facts(Path(folder))["tokens"])
