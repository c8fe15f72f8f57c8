"""What the built-in texts yield without a network, on the test split of seed 0.

    python benchmarks/text_baselines.py

Classification: TF-IDF and logistic regression, plain and with pairs of words. Summarization: the
text's first sentence ("lead-1"), and its heading.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mmft_text.metrics import rouge_scorer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mmft_core.contracts import Dataset, DatasetContext, Split
from mmft_core.discovery import discover


def load(target: str) -> Dataset:
    component = discover().dataset("docstrings")
    dataset: Dataset = component.build(component.options_type()(), DatasetContext(target=target))
    print(target, {name: len(split) for name, split in dataset.splits.items()})
    return dataset


def pairs(split: Split) -> list[tuple[str, str]]:
    return [(split[i].inputs["text"], split.target(i)) for i in range(len(split))]


def classify(**settings: object) -> None:
    splits = load("class").splits
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


def main() -> None:
    print("TF-IDF and logistic regression")
    classify()
    print("with pairs of words")
    classify(ngram_range=(1, 2), sublinear_tf=True)
    test = load("text").splits["test"]
    for how in (lead, heading):
        print(f"  {how.__name__} ROUGE-L {summarize(test, how):.4f}")


if __name__ == "__main__":
    main()
