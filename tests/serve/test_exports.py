"""An export is served, used and judged as its run, and says what its run says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from mmft_core.utils.files import sha256
from tests.conftest import Finished
from tests.serve.test_command import forked
from tests.serve.tools import digit, lines, serving, train, write_rows

Mmft = Callable[..., Finished]

SENTENCES = ("Return the mean of an array.", "Open a file and read all of it, line by line.")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_latencies", "onnx_operators")]


@pytest.fixture(scope="module")
def shorter(tmp_path_factory: pytest.TempPathFactory, two_layers: None) -> Path:
    """A network that writes."""
    folder = tmp_path_factory.mktemp("serve")
    data = write_rows(folder / "texts.csv", ("text", "summary"), SENTENCES)
    settings = (
        *("backbone.size=tiny", "backbone.vocabulary=300", "task.max_new_tokens=6"),
        *("engine.steps=30", "engine.eval_every=30", "engine.lr=2e-3"),  # No text is a near tie.
    )
    more = (*(f"--set={s}" for s in settings), "--set=task.max_target_length=16")
    return train(folder / "run", "summarization", "--backbone=gpt2", *more, "--dataset", data)


def exported(run: Path, mmft: Mmft, *more: str) -> Path:
    found = mmft("export", run, "--samples", "4", "--batch-size", "1", "--json", *more)
    assert found.code == 0, found.err
    told = json.loads(found.out)
    assert told["samples"] and told["export"]["latency"].keys() == {"1"}
    return Path(told["folder"])


def agree(found: object, wanted: object) -> bool:
    """Whether two records say the same, but for what another runtime rounds otherwise."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(agree(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(agree, found, wanted))
    if isinstance(wanted, float) and isinstance(found, float):
        return abs(found - wanted) <= 1e-3
    return found == wanted


def test_pictures(digits: Path, tmp_path: Path, mmft: Mmft) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(digit(number))
    wanted = lines(mmft("predict", digits, *files, "--top-k", "5").out)
    place = exported(digits, mmft)
    assert place == digits / "export" / "onnx"
    for given in (place, place / "model.onnx"):
        assert agree(lines(mmft("predict", given, *files, "--top-k", "5").out), wanted)
    with forked(digits, "--backend", "onnx") as (_, address):
        answer = httpx.post(
            f"{address}/predict", files={"image": files[0].read_bytes()}, timeout=60
        )
        named = httpx.get(f"{address}/model", timeout=60).json()["name"]
    assert agree(answer.json()["prediction"], wanted[0])
    assert named == f"{digits.name} (onnx)"


def test_texts(topics: Path, mmft: Mmft) -> None:
    """Together in a batch, and judged on the run's data and on other."""
    wanted = lines(mmft("predict", topics, *SENTENCES, "--top-k", "5").out)
    place = exported(topics, mmft, "--format", "torch-export")
    with serving(place) as served:
        for text, record in zip(SENTENCES, wanted, strict=True):
            answer = served.client.post("/predict", json={"text": text})
            assert agree(answer.json()["prediction"], record)
        assert served.client.get("/model").json()["inputs"][0]["modality"] == "text"
    for more in ((), ("--dataset", topics.parent / "topics.csv")):
        own, of_run = (json.loads(mmft("eval", p, *more, "--json").out) for p in (place, topics))
        assert own["samples"] == of_run["samples"] and own["accuracy"] == of_run["accuracy"]
        assert own["loss"] is None or abs(own["loss"] - of_run["loss"]) < 1e-3
    table = topics.parent / "topics.csv"
    rows = [lines(mmft("predict", p, "--dataset", table).out) for p in (place, topics)]
    assert len(rows[0]) == 24 and agree(*rows)


def test_a_network_that_writes(shorter: Path, mmft: Mmft) -> None:
    """Also in 8 bits, of which no sameness is asked."""
    wanted = lines(mmft("predict", shorter, *SENTENCES).out)
    place = exported(shorter, mmft)
    assert lines(mmft("predict", place, *SENTENCES).out) == wanted
    with serving(place) as served:
        for text, record in zip(SENTENCES, wanted, strict=True):
            answer = served.client.post("/predict", json={"text": text})
            assert answer.json()["prediction"] == record
    small = exported(shorter, mmft, "--quantize", "int8", "--max-drop", "1")
    assert small == shorter / "export" / "onnx-int8"
    assert len(lines(mmft("predict", small, *SENTENCES).out)) == 2
    sizes = [sum(f.stat().st_size for f in p.glob("*.onnx*")) for p in (small, place)]
    assert sizes[0] < 0.5 * sizes[1]


def test_an_index_of_an_export(tmp_path: Path, mmft: Mmft, tiny_backbone: None) -> None:
    from tests.serve.conftest import IMAGE

    run = train(tmp_path / "run", "image-retrieval", "--backbone=tiny", *IMAGE)
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        file.write_bytes(digit(number))
    place = exported(run, mmft, "--format", "torch-export")
    assert mmft("index", place, *files).code == 0
    found = json.loads(mmft("search", place, files[1], "--top-k", "1").out)
    assert found["found"][0]["id"].endswith("1.png")
    description = place / "export.json"
    told = json.loads(description.read_text())
    told["files"]["config.toml"] = sha256(place / "config.toml")  # An export of other files.
    description.write_text(json.dumps(told))
    refused = mmft("search", place, files[1])
    assert refused.code == 2 and "another model" in refused.err
