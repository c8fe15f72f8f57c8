"""A run becomes a folder for a hub: it is used like a run, its card tells the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file

from mmft_core import TaskSpec, discover
from mmft_publish.publish import shortened
from mmft_report.carbon import WORLD_INTENSITY, estimate
from mmft_report.licences import metadata, spdx
from tests.conftest import Finished
from tests.servers import serving
from tests.sharing.conftest import TEXTS, train
from tests.sharing.fake_hub import TOKEN, FakeHub

Mmft = Callable[..., Finished]


@pytest.fixture(scope="module")
def folder(place: Path, text_run: Path) -> Path:
    """A published text model."""
    from mmft_core.cli import main

    output = place / "published"
    arguments = ("--licence", "apache-2.0", "--repo", "me/topics", "--power", "100")
    main(["publish", str(text_run), "-o", str(output), *arguments])
    return output


def test_the_folder_is_used_like_a_run(
    mmft: Mmft, folder: Path, text_run: Path, texts: Path, tmp_path: Path
) -> None:
    there = {f.relative_to(folder).parts[0] for f in folder.rglob("*")}
    texts_of_it = {"README.md", "config.toml", "digests.json", "model.json"}
    assert there == texts_of_it | {"model.safetensors", "assets"}
    predicted = [mmft("predict", f, *(t for t, _ in TEXTS[:3])) for f in (folder, text_run)]
    assert predicted[0].code == 0 and predicted[0].out == predicted[1].out
    judged = mmft("eval", folder, "--dataset", texts, "--json")
    assert judged.code == 0 and json.loads(judged.out)["samples"] == len(TEXTS)
    further = train(
        tmp_path / "further",
        *("--task", "text-cls", "--backbone", "minilm", "--weights", folder),
        *("--dataset", texts, "--tune", "head"),
    )
    old, new = (
        load_file(f)
        for f in (folder / "model.safetensors", further / "model" / "model.safetensors")
    )
    own = [key for key in old if key.startswith("backbones.")]
    assert own and all(torch.equal(old[key], new[key]) for key in own)


def test_hubs_have_names_for_some_of_what_is_read() -> None:
    registry = discover()
    named = {
        ("captioning", "image"): "image-to-text",
        ("captioning", "audio"): "",
        ("fusion-cls", "tabular"): "tabular-classification",
        ("fusion-reg", "tabular"): "tabular-regression",
        ("fusion-cls", "text", "image"): "",
        ("text-cls", "text"): "text-classification",
    }
    for (task, *reads), name in named.items():
        assert registry.get(TaskSpec, task).spec.pipeline_of(reads) == name


def test_the_card_is_one_that_hubs_can_read(folder: Path, text_run: Path) -> None:
    card = ModelCard.load(folder / "README.md")
    data: Any = card.data
    results = json.loads((text_run / "results.json").read_text())
    assert (data.license, data.library_name) == ("apache-2.0", "mmft")
    assert data.pipeline_tag == "text-classification"
    assert data.base_model is None, "it started from random weights"
    values = {r.metric_type: r.metric_value for r in data.eval_results}
    assert values["accuracy"] == pytest.approx(results["metrics"]["test"]["accuracy"], abs=1e-6)
    assert {r.task_type for r in data.eval_results} == {"text-classification"}
    emissions = data.co2_eq_emissions
    seconds = results["timings"]["total_seconds"]
    expected = 100 * seconds / 3.6e6 * WORLD_INTENSITY
    assert emissions["emissions"] == pytest.approx(expected, rel=0.01)
    assert "not measured: 100 W; 473 g CO2e/kWh, the world's average" in emissions["source"]
    text = card.text
    for heading in ("Metrics", "Use", "Data", "Training", "Environment", "Carbon", "Licence"):
        assert f"\n## {heading}\n" in text
    assert "hf download me/topics --local-dir topics" in text
    assert "**This is an estimate:**" in text
    assert "report.html" not in text


def test_no_place_of_this_machine_is_published(folder: Path, place: Path) -> None:
    for name in ("README.md", "config.toml", "model.json"):
        assert str(place) not in (folder / name).read_text(), name
    assert "callback" not in (folder / "config.toml").read_text(), "it may name a server"
    assert shortened({"a": ["/home/me/x.csv", "b/c", 3, "/"], "b": "a text\n/x"}) == {
        "a": ["x.csv", "b/c", 3, "/"],
        "b": "a text\n/x",
    }


def test_carbon_is_power_times_time_times_intensity() -> None:
    hour = estimate(3600, "cuda:0", watts=300, intensity=50)
    assert (hour.kwh, hour.grams, hour.assumed) == (0.3, 15, ())
    assumed = estimate(3600, "cpu")
    assert assumed.assumed == ("power", "intensity") and assumed.watts == 65
    assert "assumed" in assumed.assumptions and "473" in assumed.assumptions
    assert estimate(1, "cuda").watts == estimate(1, "xpu:1").watts == 400


def test_licences_as_pip_and_the_hub_write_them() -> None:
    assert spdx("apache-2.0") == "Apache-2.0" and spdx("") == ""
    assert metadata("Apache-2.0") == {"license": "apache-2.0"}
    assert metadata("") == {"license": "unknown"}
    own = {"license": "other", "license_name": "acme"}
    assert metadata(spdx("LicenseRef-Acme")) == own


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with serving(FakeHub()) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # Whose protocol it lacks.
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_a_pushed_model_comes_back_by_its_id(
    mmft: Mmft, hub: FakeHub, text_run: Path, texts: Path, tmp_path: Path
) -> None:
    push = ("publish", text_run, "--repo", "me/topics", "--licence", "mit", "--push")
    done = mmft(*push, "--private", "-o", tmp_path / "a")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"pushed  {hub.url}/me/topics"
    assert hub.repos == {"me/topics": True}
    sent = {name.removeprefix("me/topics/"): data for name, data in hub.files.items()}
    local = {f.relative_to(tmp_path / "a").as_posix(): f for f in (tmp_path / "a").rglob("*")}
    assert sent == {name: f.read_bytes() for name, f in local.items() if f.is_file()}
    assert yaml.safe_load(hub.cards[0].split("---\n")[1])["license"] == "mit"

    again = mmft(*push, "-o", tmp_path / "b")
    assert again.code == 2 and "The repository me/topics already exists on the Hub" in again.err
    assert mmft(*push, "--update", "-o", tmp_path / "c").code == 0 and hub.commits == 2

    further = train(
        tmp_path / "further",
        *("--task", "text-cls", "--backbone", "minilm", "--weights", "me/topics"),
        *("--dataset", texts, "--tune", "head"),
    )
    assert "base_model:\n- me/topics\n" in (further / "README.md").read_text()
    (own,) = (f for f in local if f == "model.safetensors")
    old, new = load_file(local[own]), load_file(further / "model" / "model.safetensors")
    assert all(torch.equal(new[k], v) for k, v in old.items() if k.startswith("backbones."))


def test_what_the_hub_refuses_is_told(
    mmft: Mmft, hub: FakeHub, text_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = ("publish", text_run, "--repo", "me/topics", "--push", "-o", tmp_path / "out")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    done = mmft(*push)
    assert done.code == 2 and "The Hub refuses to take me/topics (401)" in done.err
    assert (tmp_path / "out" / "README.md").is_file(), "the folder is there, to be pushed later"


def test_without_token_or_network_nothing_is_written(
    mmft: Mmft, text_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = ("publish", text_run, "--repo", "me/topics", "--push", "-o", tmp_path / "out")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    done = mmft(*push)
    assert done.code == 2 and "There is no token" in done.err and "hf auth login" in done.err
    monkeypatch.setattr("huggingface_hub.get_token", lambda: TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = mmft(*push)
    assert done.code == 2 and "HF_HUB_OFFLINE is set" in done.err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = mmft(*push)
    assert done.code == 2 and "cannot be reached" in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--repo", "topics"), "--repo 'topics' is not a valid Hub id"),
        (("--repo", "me/to pics"), "is not a valid Hub id"),
        (("--push",), "need --repo USER/NAME"),
        (("--repo", "me/topics", "--private"), "need --push"),
        (("--licence", "free as beer"), "is not an SPDX expression"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    mmft: Mmft, text_run: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = mmft("publish", text_run, *arguments, "-o", tmp_path / "out")
    assert done.code == 2 and sentence in done.err
    assert not list(tmp_path.iterdir())


def test_weights_that_are_cut_off_are_not_published(
    mmft: Mmft, text_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(text_run, run)
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    done = mmft("publish", run, "-o", tmp_path / "out")
    assert done.code == 2 and "cannot be loaded" in done.err
    weights.unlink()
    done = mmft("publish", run, "-o", tmp_path / "out")
    assert done.code == 2 and "cannot be loaded" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("results.json", "{}", "results.json cannot be read: it lacks 'backbones'."),
        ("model/model.json", "{}", "model cannot be loaded: it lacks 'backbones'."),
        ("plugins.json", '["x"]', "plugins.json cannot be read: "),
        ("plugins.json", None, "plugins.json cannot be read: "),
    ],
)
def test_damaged_records_are_named(
    mmft: Mmft, text_run: Path, tmp_path: Path, name: str, content: str | None, sentence: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(text_run, run)
    file = run / name
    file.unlink() if content is None else file.write_text(content)
    done = mmft("publish", run, "-o", tmp_path / "out")
    assert done.code == 2 and sentence in done.err and "from a copy" in done.err, done.err
    assert not (tmp_path / "out").exists()


def test_what_is_not_finished_or_needs_what_nobody_has(
    mmft: Mmft, text_run: Path, texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.toml").write_text((text_run / "config.toml").read_text())
    done = mmft("publish", tmp_path / "begun", "-o", tmp_path / "out")
    assert done.code == 2 and "is not finished" in done.err
    done = mmft("publish", text_run, "-o", tmp_path / "begun")
    assert done.code == 2 and "exists already" in done.err
    adapted = train(
        tmp_path / "adapted",
        *("--task", "text-cls", "--backbone", "minilm", "--weights", text_run, "--dataset", texts),
        *("--tune", "lora", "--set", "engine.lora.save=adapter"),
    )
    done = mmft("publish", adapted, "-o", tmp_path / "out")
    assert done.code == 2 and "which nobody else has" in done.err
    assert not (tmp_path / "out").exists()
