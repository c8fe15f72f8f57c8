"""What texts yield without a network: the built-in ones, on the test split of seed 0, or a table.

    python benchmarks/text_baselines.py
    python benchmarks/text_baselines.py divided.csv

Classification: TF-IDF and logistic regression, plain and with pairs of words. Summarization: the
text's first sentence ("lead-1"), and its heading.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mmft_core import DatasetSpec
from mmft_core.contracts import Dataset, DatasetContext, Split
from mmft_core.discovery import discover
from mmft_text.metrics import rouge_scorer


def load(target: str, table: Path | None = None) -> Dataset:
    component = discover().get(DatasetSpec, "text-table" if table else "docstrings")
    context = DatasetContext(target=target)
    kind = component.options_type()
    dataset: Dataset = component.build(kind(path=table) if table else kind(), context)
    print(target, {name: len(split) for name, split in dataset.splits.items()})
    return dataset


def pairs(split: Split) -> list[tuple[str, str]]:
    return [(split[i].inputs["text"], split.target(i)) for i in range(len(split))]


def classify(splits: Mapping[str, Split], **settings: object) -> None:
    texts, labels = zip(*pairs(splits["train"]), strict=True)
    model = make_pipeline(TfidfVectorizer(**settings), LogisticRegression(max_iter=1000, C=10))
    model.fit(texts, labels)
    for name in ("val", "test"):
        print(f"  {name} accuracy {model.score(*zip(*pairs(splits[name]), strict=True)):.4f}")


def heading(text: str) -> str:
    return text.partition("\n\n")[0]


def lead(text: str) -> str:
    body = text.partition("\n\n")[2].strip()
    return re.split(r"(?<=[.!?])\s", body, maxsplit=1)[0]


def summarize(split: Split, how: Callable[[str], str]) -> float:
    scorer = rouge_scorer(["rougeL"])
    found = [scorer.score(target, how(text))["rougeL"].fmeasure for text, target in pairs(split)]
    return sum(found) / len(found)


def main(table: Path | None) -> None:
    splits = load("class", table).splits
    print("TF-IDF and logistic regression")
    classify(splits)
    print("with pairs of words")
    classify(splits, ngram_range=(1, 2), sublinear_tf=True)
    if table:
        return
    test = load("text").splits["test"]
    for how in (lead, heading):
        print(f"  {how.__name__} ROUGE-L {summarize(test, how):.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
