"""Fine-tuning MiniLM to classify texts: an epoch over many, and over few as SetFit does.

The rate of the former is tokens of text, without padding, a second, loading included.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minilm import minilm
from rounds import Contender, Job, Measured, Setup

MAX_LENGTH = 256
FEW_CLASSES, FEW_LENGTH, FEW_TESTS = ("huggingface_hub", "networkx", "sympy"), 64, 120


def trainer(setup: Setup) -> Measured:
    """The Hugging Face Trainer with its defaults and dynamic padding."""
    return _trainer(setup)


def trainer_tuned(setup: Setup) -> Measured:
    """The same in bf16 and with batches of like lengths, which it can do when asked."""
    return _trainer(setup, bf16=True, train_sampling_strategy="group_by_length")


def _trainer(setup: Setup, **more: Any) -> Measured:
    import datasets
    from trainer_clock import Clock, arguments
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    clock = Clock()
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    rows = datasets.Dataset.from_json(str(setup.folder / "texts.jsonl"))
    encoded = rows.class_encode_column("label").map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH),
        batched=True,
        remove_columns=["text"],
    )
    labels = encoded.features["label"].num_classes
    with tempfile.TemporaryDirectory() as output:
        Trainer(
            model=AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=labels),
            args=TrainingArguments(**arguments(output, setup.batch_size, **more)),
            train_dataset=encoded,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[clock],
        ).train()
    rate = sum(map(len, encoded["input_ids"])) / clock.seconds
    return Measured(rate, len(encoded), clock.loss, sum(clock.waited) / clock.seconds)


def autogluon(setup: Setup) -> Measured:
    """AutoGluon's MultiModalPredictor with its defaults, but for the network and one epoch."""
    import pandas
    import torch
    from autogluon.multimodal import MultiModalPredictor
    from torch.optim.optimizer import register_optimizer_step_post_hook

    marks: list[float] = []
    losses: list[float] = []
    texts: list[int] = []
    register_optimizer_step_post_hook(lambda *_: marks.append(time.perf_counter()))
    forward = torch.nn.CrossEntropyLoss.forward

    def noted(self: Any, *given: Any) -> Any:
        loss = forward(self, *given)
        if torch.is_grad_enabled():
            if not marks:  # So the first forward pass is not counted.
                marks.append(time.perf_counter())
            losses.append(float(loss))
            texts.append(len(given[0]))
        return loss

    torch.nn.CrossEntropyLoss.forward = noted
    rows = pandas.read_json(setup.folder / "texts.jsonl", lines=True)
    with tempfile.TemporaryDirectory() as output:
        MultiModalPredictor(label="label", path=f"{output}/model", verbosity=0).fit(
            rows,
            tuning_data=rows[:8],  # Else it keeps a share of the texts from training.
            hyperparameters={
                "model.names": ["hf_text"],
                "model.hf_text.checkpoint_name": str(minilm()),
                "model.hf_text.max_text_len": MAX_LENGTH,
                "optim.max_epochs": 1,
                "env.batch_size": setup.batch_size,
                "env.per_gpu_batch_size": setup.batch_size,
            },
        )
    tokens = (setup.folder / "tokens").read_text()
    seconds = marks[-1] - marks[0]
    return Measured(int(tokens) / seconds, sum(texts), statistics.fmean(losses))


def mmft(setup: Setup) -> Measured:
    """`mmft run` with its defaults, for an epoch."""
    from own_training import train

    arguments = ["--task=text-cls", "--backbone=minilm", f"--weights={minilm()}", "--epochs=1"]
    arguments += [f"--dataset={setup.folder / 'texts.jsonl'}", f"--batch-size={setup.batch_size}"]
    trained = train(arguments, {"backbone.max_length": MAX_LENGTH})
    rate = int((setup.folder / "tokens").read_text()) / trained.seconds
    return Measured(rate, trained.samples, trained.loss, trained.waited / trained.seconds)


def setfit(setup: Setup) -> Measured:
    """SetFit with its defaults: an epoch over all pairs of the texts, then logistic regression."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    rows = Dataset.from_json(str(setup.folder / "train.jsonl"))
    tests = Dataset.from_json(str(setup.folder / "test.jsonl"))
    model = SetFitModel.from_pretrained(str(minilm()))
    model.model_body.max_seq_length = FEW_LENGTH
    with tempfile.TemporaryDirectory() as output:
        arguments = TrainingArguments(
            output,
            batch_size=setup.batch_size // 2,  # Of pairs.
            report_to="none",
            save_strategy="no",
            show_progress_bar=False,
        )
        started = time.perf_counter()
        Trainer(model, arguments, train_dataset=rows).train()
        seconds = time.perf_counter() - started
    found = model.predict(tests["text"])
    right = sum(one == label for one, label in zip(found, tests["label"], strict=True))
    return Measured(_reads(len(rows)) / seconds, _reads(len(rows)), right / len(tests))


def mmft_few(setup: Setup) -> Measured:
    """`mmft run` until it has read as many texts as SetFit does."""
    from own_training import train

    arguments = ["--task=text-cls", "--backbone=minilm", f"--weights={minilm()}"]
    arguments += [f"--dataset={setup.folder / 'both.jsonl'}", f"--batch-size={setup.batch_size}"]
    epochs = _reads(setup.samples) // setup.samples
    trained = train(arguments, {"backbone.max_length": FEW_LENGTH, "engine.epochs": epochs})
    accuracy = trained.results["metrics"]["test"]["accuracy"]
    return Measured(trained.samples / trained.seconds, trained.samples, accuracy)


def _reads(texts: int) -> int:
    """How many texts SetFit reads: two of each pair, as many pairs of one class as of two."""
    each = texts // len(FEW_CLASSES)
    return 2 * 2 * each * each * len(FEW_CLASSES) * (len(FEW_CLASSES) - 1) // 2


def _prepare(setup: Setup) -> None:
    from text_data import make_table, read_rows
    from transformers import AutoTokenizer

    table = make_table(setup.folder / "texts.jsonl", setup.samples)
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    texts = [row["text"] for row in read_rows(table)]
    tokens = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    (setup.folder / "tokens").write_text(str(sum(map(len, tokens))))


def _prepare_few(setup: Setup) -> None:
    from text_data import make_table, read_rows

    both = []
    for split, count in (("train", setup.samples), ("test", FEW_TESTS)):
        rows: list[dict[str, str]] = []
        for name in FEW_CLASSES:
            path = setup.folder / f"{name}.jsonl"
            make_table(path, count // len(FEW_CLASSES), split=split, only=[name])
            rows += read_rows(path)
        _write(setup.folder / f"{split}.jsonl", rows)
        both += [{**row, "split": split} for row in rows]
    _write(setup.folder / "both.jsonl", both)


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


TEXTS = Job(
    title="MiniLM, texts to classify, training",
    unit="tokens/s",
    outcome="mean loss",
    tolerance=0.3,
    samples=320,
    batch_size=32,
    prepare=_prepare,
    contenders={
        "Trainer": Contender(trainer, ("transformers", "torch")),
        "Trainer, tuned": Contender(trainer_tuned, ("transformers", "torch")),
        "AutoGluon": Contender(
            autogluon,
            ("autogluon.multimodal", "transformers", "torch"),
            needs="autogluon",
            python="autogluon",
        ),
        "mmft": Contender(mmft, ("mmft",)),
    },
)
FEW = Job(
    title="MiniLM, few texts to classify, training",
    unit="texts read/s",
    outcome="accuracy",
    tolerance=0.2,
    samples=18,
    batch_size=32,
    prepare=_prepare_few,
    contenders={
        "SetFit": Contender(setfit, ("setfit", "sentence-transformers")),
        "mmft": Contender(mmft_few, ("mmft",)),
    },
)
