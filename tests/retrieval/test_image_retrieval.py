"""Image retrieval: training, classes that were never learned, what the report shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import Batch, DatasetInfo, MetricContext, TaskContext
from mmft_core.engine.evaluation import Evaluation, evaluate
from mmft_core.loading.loaders import evaluation_loader
from mmft_core.loading.prepared import PreparedSplit
from mmft_core.precision import Inference
from mmft_core.registry import NoOptions
from mmft_retrieval.metrics import build_retrieval_recall
from mmft_retrieval.neighbours import RIGHT, WRONG, Neighbours
from mmft_retrieval.task import UNKNOWN, ClassRetrieval, GroupCodec
from mmft_vision.options import ImageRetrievalOptions
from mmft_vision.retrieval import build
from tests.conftest import Finished, make_photo_folder, run_arguments
from tests.engine.toy import CLASSES, Layered, Points

LOSSES = ("supcon", "triplet", "arcface", "proxy")


def make_task(**options: object) -> ClassRetrieval:
    """The task on the toy backbone, whose "pictures" are points in the plane."""
    torch.manual_seed(0)
    info = DatasetInfo(name="points", classes=CLASSES)
    context = TaskContext(backbones={"image": Layered()}, info=info)
    return build(ImageRetrievalOptions(**options), context)


def batch_of(task: ClassRetrieval, points: Tensor, names: list[str]) -> Batch:
    targets = task.codec.collate([task.codec.encode(name) for name in names])
    return Batch({"image": {"values": points}}, targets, [str(i) for i in range(len(names))])


def judge(task: ClassRetrieval, batches: list[Batch]) -> Evaluation:
    class Fixed:
        def __iter__(self):
            from mmft_core.loading.prepared import Loaded

            return iter([Loaded(batch, list(batch.ids)) for batch in batches])

    recall = {"recall": build_retrieval_recall(NoOptions(), MetricContext())}
    inference = Inference.of("fp32", torch.device("cpu"))
    return evaluate(task, Fixed(), recall, inference)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_brings_classes_together(loss: str) -> None:
    task = make_task(loss=loss, dim=8)
    points = Points(256, 0)
    names = [points.target(i) for i in range(256)]
    batch = batch_of(task, torch.from_numpy(points.points), names)
    before = judge(task, [batch]).values["recall/at-1"]
    optimizer = torch.optim.Adam(task.parameters(), lr=0.01)
    task.train()
    for _ in range(60):
        optimizer.zero_grad()
        outputs = task(batch)
        assert outputs.predictions is None
        outputs.loss.backward()
        optimizer.step()
    after = judge(task, [batch]).values["recall/at-1"]
    assert after > max(0.95, before)


def test_batches_are_grouped_only_where_the_loss_compares_samples() -> None:
    sizes = {loss: make_task(loss=loss, group_size=3).group_size for loss in LOSSES}
    assert sizes == {"supcon": 3, "triplet": 3, "arcface": 1, "proxy": 1}


def test_the_embedding_is_as_long_as_asked_and_has_length_one() -> None:
    for dim, length in ((5, 5), (None, 8)):
        task = make_task(dim=dim).eval()
        with torch.no_grad():
            found = task(batch_of(task, torch.randn(4, 2), [*CLASSES, *CLASSES])).predictions
        assert found.shape == (4, length)
        assert torch.allclose(found.norm(dim=-1), torch.ones(4))
        record = task.decode(found)[0]["embedding"]
        assert record == pytest.approx(found[0].tolist(), abs=1e-6)
        assert json.loads(json.dumps(record)) == record


def test_classes_that_were_never_learned_are_groups_of_their_own() -> None:
    codec = GroupCodec(["a", "b"])
    assert [codec.encode(name) for name in "ab"] == [0, 1]
    new = [codec.encode(name) for name in ("kea", "kea", "kiwi")]
    assert new[0] == new[1] != new[2] and min(new) >= UNKNOWN
    assert codec.collate(new)["group"].tolist() == new, "they fit into int64"
    assert GroupCodec([]).encode("kea") == new[0], "the same in every process"


@pytest.mark.parametrize("loss", LOSSES)
def test_a_model_is_judged_on_other_classes(loss: str) -> None:
    task = make_task(loss=loss)
    random = torch.Generator().manual_seed(0)
    corners = torch.tensor([[5.0, 5.0], [-5.0, 5.0], [5.0, -5.0]])
    points = corners.repeat(6, 1) + 0.1 * torch.randn(18, 2, generator=random)
    other = [batch_of(task, points, ["kea", "kiwi", "tui"] * 6)]
    judged = judge(task, other)
    assert judged.values["recall/at-1"] > 0.9
    proxies = loss in ("arcface", "proxy")
    assert (judged.loss is None) is proxies, "a proxy is of a learned class"
    known = [batch_of(task, points, list(CLASSES) * 9)]
    mixed = judge(task, other + known)
    if proxies:
        assert mixed.loss == pytest.approx(judge(task, known).loss), "over those that have one"
    assert mixed.loss is not None and math.isfinite(mixed.loss)


def vectors(*angles: float) -> Tensor:
    radians = torch.deg2rad(torch.tensor(angles))
    return torch.stack([radians.cos(), radians.sin()], 1)


def shown(size: int, found: Tensor, groups: list[int], parts: int = 1) -> dict[str, list]:
    galleries = []
    for rows in torch.arange(len(groups)).chunk(parts):
        gallery = Neighbours(size)
        batch = Batch({}, None, [f"s{i}" for i in rows.tolist()])
        gallery.update(batch, found[rows], {"group": torch.tensor(groups)[rows]})
        galleries.append(gallery)
    for other in galleries[1:]:
        galleries[0].merge(other.state())
    return galleries[0].examples()


def test_the_gallery_shows_the_most_similar_wrong_and_right() -> None:
    found, groups = vectors(0, 1, 90, 95, 180, 300), [0, 1, 2, 2, 0, 9]
    for parts in (1, 2):
        examples = shown(2, found, groups, parts)
        # s0 and s1 are nearest to each other, and of different classes; s5 has nothing to find,
        # nor has s1, alone in its class.
        assert [e.id for e in examples[WRONG]] == ["s0", "s4"]
        assert [e.id for e in examples[RIGHT]] == ["s2", "s3"]
        first = examples[WRONG][0]
        assert [r.id for r in first.related] == ["s1", "s5", "s2", "s3", "s4"]
        assert [r.right for r in first.related] == [False, False, False, False, True]
        assert first.score == pytest.approx(math.cos(math.radians(1)))


def test_an_empty_gallery_is_empty() -> None:
    assert Neighbours(4).examples() == {}
    alone = shown(4, vectors(0), [0])
    assert not alone[WRONG] and not alone[RIGHT]


def test_a_split_is_read_through_the_loader() -> None:
    task = make_task()
    processors = {"point": task.backbone("image").processor}
    data = PreparedSplit(Points(40, 1), processors, task.codec, train=False)
    for loaded in evaluation_loader(data, 16, workers=0):
        assert set(loaded.batch.targets["group"].tolist()) <= {0, 1}


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_pictures")
def test_a_run_learns_digits_and_shows_neighbours(tmp_path: Path, mmft) -> None:
    run = tmp_path / "run"
    arguments = ("run", "--task", "image-retrieval", "--backbone", "resnet18", "--weights", "none")
    settings = ("--epochs=3", "--lr=2e-3", "--set=engine.precision=fp32", "--set=engine.workers=0")
    assert mmft(*arguments, *settings, "--output", run).code == 0
    figures = json.loads((run / "results.json").read_text())["metrics"]["test"]
    assert figures["retrieval-recall/at-1"] > 0.85
    page = (run / "report.html").read_text()
    assert WRONG in page and RIGHT in page
    assert page.count('<ol class="related"') >= 12 and "✓ right" in page and "✗ wrong" in page
    again = mmft("eval", run, "--json")
    judged = json.loads(again.out)
    assert judged["retrieval-recall/at-1"] == pytest.approx(
        figures["retrieval-recall/at-1"], abs=0.02
    )


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize("form", ["folder", "table"])
@pytest.mark.parametrize("loss", ["supcon", "arcface"])
def test_classes_of_the_test_split_need_not_be_learned(
    form: str, loss: str, photographs: dict[str, Image.Image], tmp_path: Path, mmft
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    halves = {
        f"{name}-{half}": image.crop((320 * half, 0, 320 * half + 320, 427))
        for name, image in photographs.items()
        for half in (0, 1)
    }
    seen = {name: image for name, image in halves.items() if name.endswith("0")}
    unseen = {name: image for name, image in halves.items() if name.endswith("1")}
    make_photo_folder(data / "train", seen, 12)
    make_photo_folder(data / "test", unseen, 6)
    if form == "table":
        files = sorted(data.rglob("*.jpg"))
        rows = [f"{f.relative_to(data)},{f.parent.name},{f.parent.parent.name}" for f in files]
        (data / "all.csv").write_text("\n".join(["image,label,split", *rows]))
    source = data if form == "folder" else data / "all.csv"
    common = ("--backbone", "tiny", "--weights", "none", "--dataset", source)
    settings = ("backbone.image_size=32", "engine.steps=2", "engine.workers=0")
    more = [a for s in settings for a in ("--set", s)]
    retrieval = ("run", "--task", "image-retrieval", "--set", f"task.loss={loss}")
    assert mmft(*retrieval, *common, *more, "-o", run).code == 0
    figures = json.loads((run / "results.json").read_text())["metrics"]["test"]
    assert 0 < figures["retrieval-recall/at-1"] <= 1
    refused = mmft("run", "--task", "image-cls", *common, *more, "-o", tmp_path / "other")
    assert refused.code == 2 and "-1'" in refused.err and "train" in refused.err


def test_normalised_in_float32_under_autocast() -> None:
    task = make_task().eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = task(batch_of(task, torch.randn(4, 2), [*CLASSES, *CLASSES])).predictions
    assert found.dtype == torch.float32
    assert torch.allclose(F.normalize(found, dim=-1), found, atol=1e-6)


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize(
    ("loss", "compares"), [("supcon", True), ("triplet", True), ("proxy", False)]
)
def test_only_a_loss_that_compares_samples_needs_two(
    mmft: Callable[..., Finished], tmp_path: Path, loss: str, compares: bool
) -> None:
    more = ("--task", "image-retrieval", "--batch-size", "1", "--set", f"task.loss={loss}")
    ended = mmft(
        *run_arguments(tmp_path / "run", *more, "--set", "engine.steps=1", backbone="tiny")
    )
    assert ended.code == (2 if compares else 0), ended.err
    if compares:
        assert "compares the samples of a batch; a batch of 1 is too small" in ended.err
        assert "--batch-size 2 or more" in ended.err and not (tmp_path / "run").exists()
