"""Two modalities in one space: the loss over processes, recall both ways, search across."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, multiprocessing
from torch.nn import functional as F  # noqa: N812

from mmft_core import discover
from mmft_core.cli import main
from mmft_core.contracts import Sample, Split
from mmft_core.errors import SampleError
from mmft_core.inference import make_predictor, opening
from mmft_retrieval.losses import symmetric_info_nce
from mmft_retrieval.metrics import PairRecall
from tests.conftest import Finished, make_photo_folder
from tests.faults.processes import forking

Mmft = Callable[..., Finished]

SIZES = (5, 3)
"""Samples of each of two processes."""


def pairs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    groups = torch.tensor([0, 1, 2, 3, 1, 5, 6, 2])  # Two pairs have partners in both processes.
    return torch.randn(8, 6), torch.randn(8, 6), groups


def loss(queries: Tensor, items: Tensor, groups: Tensor) -> Tensor:
    return symmetric_info_nce(F.normalize(queries), F.normalize(items), groups, 0.1)


def in_process(rank: int, folder: str) -> None:
    """Write the gradient of this process's part, of the mean over all samples."""
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank)}  # As torchrun sets them.
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    queries, items, groups = pairs()
    own = slice(0, SIZES[0]) if rank == 0 else slice(SIZES[0], 8)
    mine = queries[own].requires_grad_(), items[own].requires_grad_()
    (loss(*mine, groups[own]) * SIZES[rank] / 8).backward()
    torch.save([t.grad for t in mine], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    forking()  # From what has imported torch.
    multiprocessing.start_processes(
        in_process, (str(tmp_path),), nprocs=2, start_method="forkserver"
    )
    queries, items, groups = pairs()
    loss(queries.requires_grad_(), items.requires_grad_(), groups).backward()
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for whole, first, second in zip((queries.grad, items.grad), *parts, strict=True):
        torch.testing.assert_close(torch.cat([first, second]), whole)


def test_recall_is_counted_both_ways() -> None:
    torch.manual_seed(0)
    image = F.normalize(torch.randn(6, 3))
    text, groups = F.normalize(image + 0.7 * torch.randn(6, 3)), torch.arange(6)
    metric, halves = PairRecall(), (PairRecall(), PairRecall())
    metric.update({"image": image, "text": text}, {"group": groups})
    values, similar = metric.compute(), image @ text.T
    wanted = [float((similar.argmax(axis) == groups).float().mean()) for axis in (1, 0)]
    assert wanted[0] != wanted[1]
    assert values["image-to-text-at-1"] == pytest.approx(wanted[0])
    assert values["text-to-image-at-1"] == pytest.approx(wanted[1])
    assert values["at-1"] == pytest.approx(sum(wanted) / 2)
    for half, rows in zip(halves, (slice(0, 2), slice(2, 6)), strict=True):
        half.update({"image": image[rows], "text": text[rows]}, {"group": groups[rows]})
    halves[0].merge(halves[1].state())
    assert halves[0].compute() == values


@pytest.fixture(scope="module")
def scenes(narrow_pictures: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a few of the built-in scenes."""
    run = tmp_path_factory.mktemp("scenes") / "run"
    settings = [
        "engine.steps=6",
        "engine.workers=0",
        "backbone.image_size=32",
        "dataset.samples=96",
    ]
    arguments = ["run", "--task=contrastive", "--backbone=image=resnet18", "--backbone=text=minilm"]
    settings += ["engine.batch_size=32", "backbone.vocabulary=300", "backbone.size=tiny"]
    main([*arguments, "--weights=none", "-o", str(run), *(f"--set={s}" for s in settings)])
    return run


def test_a_run_tells_recall_both_ways_and_shows_neighbours(scenes: Path, mmft: Mmft) -> None:
    test = json.loads((scenes / "results.json").read_text())["metrics"]["test"]
    both = test["pair-recall/image-to-text-at-5"], test["pair-recall/text-to-image-at-5"]
    assert test["pair-recall/at-5"] == pytest.approx(sum(both) / 2)
    assert "nearest neighbour" in (scenes / "report.html").read_text()
    again = json.loads(mmft("eval", scenes, "--json").out)
    assert again["pair-recall/at-5"] == pytest.approx(test["pair-recall/at-5"])


def test_pictures_are_found_by_texts_and_by_pictures(
    scenes: Path, photographs: dict[str, Image.Image], tmp_path: Path, mmft: Mmft
) -> None:
    album, place = make_photo_folder(tmp_path / "album", photographs, 4), tmp_path / "index"
    built = mmft("index", scenes, album, "-o", place)
    assert built.code == 0 and "8 new" in built.out, built.err
    picture, page = sorted(album.rglob("*.jpg"))[3], tmp_path / "sheet.html"
    asked = ("a red three", picture, "--text", "notes.txt", "--index", place, "--html", page)
    answers = [json.loads(line) for line in mmft("search", scenes, *asked).out.splitlines()]
    assert [a["query"] for a in answers] == ["a red three", str(picture), "notes.txt"]
    assert all(len(a["found"]) == 5 for a in answers)
    assert answers[1]["found"][0] == {"id": str(picture), "score": pytest.approx(1.0, abs=1e-3)}
    assert "a red three" in page.read_text()


def test_texts_of_a_data_set_are_indexed_by_their_modality(
    scenes: Path, tmp_path: Path, mmft: Mmft
) -> None:
    place = tmp_path / "index"
    arguments = ("--dataset", "digit-scenes", "--split", "val", "-o", place)
    assert "300 new" in mmft("index", scenes, *arguments, "--modality", "text").out
    found = json.loads(mmft("search", scenes, "--text", "a red three", "--index", place).out)
    assert found["found"][0]["id"].startswith("digit-scenes, val[")
    wrong = mmft("index", scenes, *arguments, "--modality", "audio")
    assert wrong.code == 2 and "embeds image and text, not audio" in wrong.err


def test_inputs_of_one_modality_are_predicted(scenes: Path) -> None:
    predictor = make_predictor(opening.load(scenes, discover()), {"engine": {"workers": 0}}, 4)
    (red,) = predictor.of("text").predict(["a red three"])
    assert red.record is not None and red.record["embedding"].keys() == {"text"}


class _Halved(Split):
    """Texts, of which the second sample has none."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        return Sample({"text": None if index == 1 else f"number {index}"}, None, str(index))


def test_a_sample_without_the_input_that_is_embedded_is_told(scenes: Path) -> None:
    predictor = make_predictor(opening.load(scenes, discover()), {"engine": {"workers": 0}}, 4)
    ((told, embeddings),) = predictor.of("text").outputs(_Halved())
    assert isinstance(told[1], SampleError) and "no input of text" in told[1].reason
    assert [told[0], told[2]] == ["0", "2"] and len(embeddings) == 2


def test_a_file_that_nobody_reads_and_a_text_that_nobody_reads(
    scenes: Path, tmp_path: Path, mmft: Mmft
) -> None:
    (tmp_path / "a.xyz").write_text("something")
    found = mmft("index", scenes, tmp_path / "a.xyz", "-o", tmp_path / "index")
    assert found.code == 2 and "a.xyz: there is no such file" in found.err


MISTAKES = {
    "one modality": (("--backbone=image=resnet18",), "takes backbones of 2 modalities, not of 1"),
    "one network for all": (
        ("--backbone=qwen2.5-vl",),
        "Tasks for 'qwen2.5-vl': chat, preference.",
    ),
    "three": (
        ("--backbone=image=resnet18", "--backbone=text=minilm", "--backbone=audio=whisper-tiny"),
        "takes backbones of 2 modalities, not of 3",
    ),
    "a data set of classes": (
        ("--backbone=image=resnet18", "--backbone=text=minilm", "--dataset=noisy-digits"),
        "learns from targets of type pair",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_in_one_sentence(mistake: str, tmp_path: Path, mmft: Mmft) -> None:
    arguments, sentence = MISTAKES[mistake]
    found = mmft("run", "--task=contrastive", *arguments, "-o", tmp_path / "run")
    assert found.code == 2 and sentence in found.err
