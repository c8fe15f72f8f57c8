"""Embeddings of texts by MiniLM: trained on pairs, and computed, beside sentence-transformers."""

from __future__ import annotations

import tempfile
import time
from typing import Any

from minilm import minilm
from rounds import Contender, Job, Measured, Setup

PAIRS_LENGTH, MAX_LENGTH = 128, 256


def st_trainer(setup: Setup) -> Measured:
    """sentence-transformers' trainer with its defaults."""
    return _st_trainer(setup)


def st_trainer_tuned(setup: Setup) -> Measured:
    """The same in bf16."""
    return _st_trainer(setup, bf16=True)


def _st_trainer(setup: Setup, **more: Any) -> Measured:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import (
        MultipleNegativesSymmetricRankingLoss,
    )
    from trainer_clock import Clock, arguments

    clock, model = Clock(), SentenceTransformer(str(minilm()))
    model.max_seq_length = PAIRS_LENGTH
    rows = Dataset.from_json(str(setup.folder / "pairs.jsonl"))
    with tempfile.TemporaryDirectory() as output:
        SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                **arguments(output, setup.batch_size, **more)
            ),
            train_dataset=rows.select_columns(["target", "text"]),
            loss=MultipleNegativesSymmetricRankingLoss(model),
            callbacks=[clock],
        ).train()
    rate = len(rows) / clock.seconds
    return Measured(rate, len(rows), clock.loss, sum(clock.waited) / clock.seconds)


def mmft_pairs(setup: Setup) -> Measured:
    """`mmft run` with its defaults, for an epoch."""
    from own_training import train

    arguments = ["--task=text-retrieval", "--backbone=minilm", f"--weights={minilm()}"]
    arguments += [f"--dataset={setup.folder / 'pairs.jsonl'}", f"--batch-size={setup.batch_size}"]
    trained = train([*arguments, "--epochs=1"], {"backbone.max_length": PAIRS_LENGTH})
    rate, waiting = trained.samples / trained.seconds, trained.waited / trained.seconds
    return Measured(rate, trained.samples, trained.loss, waiting)


def st_encode(setup: Setup) -> Measured:
    """`SentenceTransformer.encode` with its defaults."""
    from sentence_transformers import SentenceTransformer

    texts, model = _texts(setup), SentenceTransformer(str(minilm()))
    model.max_seq_length = MAX_LENGTH
    model.encode(texts[:4])
    started = time.perf_counter()
    vectors = model.encode(texts, batch_size=setup.batch_size)
    return _encoded(setup, vectors, time.perf_counter() - started)


def mmft_encode(setup: Setup) -> Measured:
    """`predict` of the Python API with its defaults, of the network as it is."""
    import mmft

    place = setup.folder / "run"
    if not place.exists():
        mmft.run(
            task="text-retrieval",
            backbone="minilm",
            weights=str(minilm()),
            dataset=setup.folder / "pairs.jsonl",
            epochs=0,
            output=place,
            progress=False,
            **{"backbone.max_length": MAX_LENGTH},
        )
    texts, run = _texts(setup), mmft.load(place)
    run.predict(texts[:4], batch_size=setup.batch_size)
    started = time.perf_counter()
    records = run.predict(texts, batch_size=setup.batch_size)
    seconds = time.perf_counter() - started
    return _encoded(setup, [record["embedding"] for record in records], seconds)


def _texts(setup: Setup) -> list[str]:
    from text_data import read_rows

    return [row["text"] for row in read_rows(setup.folder / "pairs.jsonl")]


def _encoded(setup: Setup, vectors: Any, seconds: float) -> Measured:
    """The outcome is the least cosine with the vectors of whoever came first."""
    import numpy as np

    own = np.asarray(vectors, dtype=np.float32)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    first = setup.folder / "vectors.npy"
    if not first.exists():
        np.save(first, own)
    least = float((np.load(first) * own).sum(1).min())
    return Measured(len(own) / seconds, len(own), least)


def _prepare(setup: Setup) -> None:
    from text_data import make_table

    make_table(setup.folder / "pairs.jsonl", setup.samples, target="text", column="target")


PAIRS = Job(
    title="MiniLM, pairs of texts, training",
    unit="pairs/s",
    outcome="mean loss",
    tolerance=0.1,
    samples=256,
    batch_size=32,
    prepare=_prepare,
    contenders={
        "sentence-transformers": Contender(st_trainer, ("sentence-transformers",)),
        "sentence-transformers, bf16": Contender(st_trainer_tuned, ("sentence-transformers",)),
        "mmft": Contender(mmft_pairs, ("mmft",)),
    },
)
ENCODING = Job(
    title="MiniLM, texts to vectors",
    unit="texts/s",
    outcome="least cosine",
    tolerance=1e-4,
    samples=512,
    batch_size=32,
    prepare=_prepare,
    contenders={
        "sentence-transformers": Contender(st_encode, ("sentence-transformers",)),
        "mmft": Contender(mmft_encode, ("mmft",)),
    },
)
