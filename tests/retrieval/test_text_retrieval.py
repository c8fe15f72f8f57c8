"""Text retrieval on a toy backbone: pairs, shared queries, bad queries."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import torch

from mmft_core.contracts import (
    Batch,
    Dataset,
    DatasetInfo,
    MetricContext,
    TaskContext,
)
from mmft_core.data.soundness import inspect
from mmft_core.engine.evaluation import Evaluation, evaluate
from mmft_core.loading.loaders import evaluation_loader
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.precision import Inference
from mmft_core.registry import NoOptions
from mmft_retrieval.metrics import build_retrieval_recall
from mmft_retrieval.neighbours import RIGHT, WRONG
from mmft_text.options import TextRetrievalOptions
from mmft_text.retrieval import TextRetrieval, build
from tests.retrieval.toys import SENTENCES, Bag, Pairs, pairs


def make_task() -> TextRetrieval:
    torch.manual_seed(0)
    context = TaskContext(backbones={"text": Bag()}, info=DatasetInfo(name="pairs"))
    return build(TextRetrievalOptions(), context)


def prepared(task: TextRetrieval, split: Pairs) -> PreparedSplit:
    return PreparedSplit(split, task.processors, task.codec, train=False)


def whole(task: TextRetrieval, split: Pairs) -> Batch:
    data = prepared(task, split)
    batch = data.collate([data[(0, i)] for i in range(len(data))]).batch
    assert batch is not None
    return batch


def judge(task: TextRetrieval, split: Pairs) -> Evaluation:
    metrics = {"recall": build_retrieval_recall(NoOptions(), MetricContext())}
    loader = evaluation_loader(prepared(task, split), 3, workers=0)
    inference = Inference.of("fp32", torch.device("cpu"))
    return evaluate(task, loader, metrics, inference, examples=24)


def train(task: TextRetrieval, split: Pairs, steps: int = 60) -> None:
    optimizer, batch = torch.optim.Adam(task.parameters(), lr=0.05), whole(task, split)
    task.train()
    for _ in range(steps):
        optimizer.zero_grad()
        outputs = task(batch)
        assert outputs.loss is not None and outputs.predictions is None
        outputs.loss.backward()
        optimizer.step()


def test_queries_learn_to_find_their_texts() -> None:
    task = make_task()
    before = judge(task, pairs())
    train(task, pairs())
    after = judge(task, pairs())
    assert before.values["recall/at-1"] < 0.6
    assert after.values["recall/at-1"] == 1 and after.loss < 0.2 * before.loss
    assert len(after.examples[RIGHT]) == 8 and not after.examples[WRONG]
    nearest = after.examples[RIGHT][0].related
    assert nearest[0].id == after.examples[RIGHT][0].id, "the text of the query is an item too"
    assert [r.right for r in nearest] == [True, False, False, False, False]
    assert [r.score for r in nearest] == sorted((r.score for r in nearest), reverse=True)


def test_predictions_are_of_length_one_and_need_no_query() -> None:
    task = make_task().eval()
    batch = whole(task, pairs())
    with torch.no_grad():
        judged, alone = task(batch), task(Batch(batch.inputs, None, batch.ids))
    assert torch.equal(judged.predictions, alone.predictions) and alone.loss is None
    assert torch.allclose(judged.predictions.norm(dim=-1), torch.ones(8))
    assert torch.allclose(judged.targets["query"].norm(dim=-1), torch.ones(8))
    record = task.decode(alone.predictions)[0]
    assert len(record["embedding"]) == 16
    assert sum(x * x for x in record["embedding"]) == pytest.approx(1, abs=1e-4)
    assert len(json.dumps(record)) < 16 * 12


def test_equal_queries_share_what_is_relevant() -> None:
    codec = pickle.loads(pickle.dumps(make_task().codec))
    first, second, other = (codec.encode(q) for q in ("a query", "a query", "another"))
    assert first["group"] == second["group"] != other["group"]
    split = Pairs([(SENTENCES[0], "a query"), (SENTENCES[1], "a query"), (SENTENCES[2], "b")])
    task = make_task().eval()
    with torch.no_grad():
        outputs = task(whole(task, split))
    group = outputs.targets["group"]
    assert group.dtype == torch.int64 and group[0] == group[1] != group[2]


@pytest.mark.parametrize("query", ["", "   ", 7, ["a"]])
def test_a_query_that_is_no_text_is_refused_with_its_place(query: Any) -> None:
    task = make_task()
    split = Pairs([(SENTENCES[0], "a query"), (SENTENCES[1], query)])
    dataset = Dataset(info=DatasetInfo(name="pairs"), splits={"train": split})
    (fault,) = inspect(dataset, task.processors, task.codec).faults
    assert fault.id == "pairs[1]" and "is not a text" in fault.reason


def test_what_is_done_to_long_queries_is_told() -> None:
    task = make_task()
    split = Pairs([(SENTENCES[0], "word " * 20), (SENTENCES[1], "short")])
    dataset = Dataset(info=DatasetInfo(name="pairs"), splits={"train": split})
    findings = inspect(dataset, task.processors, task.codec)
    assert dict(findings.changes) == {("train", "query longer than 12 words"): 1}
