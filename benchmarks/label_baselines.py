"""What needs no network on `docstring-sections`: TF-IDF with a logistic regression for each label.

python benchmarks/label_baselines.py
"""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier

from mmft_core import DatasetSpec, discover
from mmft_core.contracts import DatasetContext, Split


def main() -> None:
    component = discover().get(DatasetSpec, "docstring-sections")
    data = component.build(component.options_type()(), DatasetContext(target="labels"))

    def read(split: Split) -> tuple[list[str], np.ndarray]:
        samples = [split[index] for index in range(len(split))]
        labels = [[name in s.target for name in data.info.classes] for s in samples]
        return [s.inputs["text"] for s in samples], np.array(labels)

    (texts, labels), (others, truth) = read(data.splits["train"]), read(data.splits["test"])
    print(f"the same for every sample: {truth.mean():.4f} mAP")
    for told, pattern, ngrams in (
        ("words", r"\b\w\w+\b", (1, 1)),
        ("pairs of words and marks", r"\w+|[^\w\s]+", (1, 2)),
    ):
        tfidf = TfidfVectorizer(
            min_df=2, sublinear_tf=True, token_pattern=pattern, ngram_range=ngrams
        )
        model = OneVsRestClassifier(LogisticRegression(C=10, max_iter=500))
        model.fit(tfidf.fit_transform(texts), labels)
        found = model.predict_proba(tfidf.transform(others))
        print(f"{told}: {average_precision_score(truth, found, average='macro'):.4f} mAP")


if __name__ == "__main__":
    main()
