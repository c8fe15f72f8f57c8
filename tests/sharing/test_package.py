"""A run becomes a pip package, which somebody else installs and goes on from, by name."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmft_core import discover
from mmft_core.run import artifacts
from tests.conftest import Finished
from tests.sharing.conftest import TEXTS, train, write_table

Mmft = Callable[..., Finished]
FAST = ("--set", "engine.workers=0", "--epochs", "1", "--tune", "head")
"""The backbone stays as it is, so that what it started from can be seen."""


def backbone(run: Path, modality: str) -> dict[str, torch.Tensor]:
    state = load_file(run / "model" / "model.safetensors")
    return {k: v for k, v in state.items() if k.startswith(f"backbones.{modality}.")}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and bool(a) and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Put what is in a project's wheel on this process's path, as installing does."""

    def unpack(project: Path) -> None:
        (wheel,) = (project / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(project / "installed")
        monkeypatch.syspath_prepend(project / "installed")

    before = set(sys.modules)
    yield unpack
    for name in set(sys.modules) - before:
        if name.startswith("mmft_my"):
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.mark.slow
def test_a_colleague_installs_it_and_goes_on_by_name(
    mmft: Mmft, image_run: Path, photos: Path, tmp_path: Path
) -> None:
    # git may ignore weights, and yet a wheel has to hold them.
    (tmp_path / ".gitignore").write_text("*.safetensors\n")
    project = tmp_path / "my-net"
    made = mmft("package", image_run, "--name", "my-net", "-o", project, "--licence", "mit")
    assert made.code == 0, made.err
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "-w", tmp_path, project], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == "mmft_my_net-0.1.0-py3-none-any.whl"

    # Another environment, in which mmft and what it needs are installed as they are in this one.
    venv.create(tmp_path / "theirs", with_pip=False)
    python = tmp_path / "theirs" / "bin" / "python"
    scheme = {"base": str(tmp_path / "theirs")}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    (site / "shared.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")))
    subprocess.run(
        [*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True
    )
    assert (site / "mmft_my_net").is_dir()

    def theirs(*arguments: str | Path) -> str:
        path = os.pathsep.join(p for p in sys.path if p)
        ran = subprocess.run(
            [python, "-m", "mmft_core", *arguments],
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert "my-net" in theirs("plugins")
    arguments = ("--task", "image-cls", "--backbone", "my-net", "--dataset", photos)
    theirs("run", *arguments, *FAST, "-o", tmp_path / "further")
    assert same(backbone(tmp_path / "further", "image"), backbone(image_run, "image"))
    results = json.loads((tmp_path / "further" / "results.json").read_text())
    weights = results["backbones"]["image"]["weights"]
    assert weights["source"] == "published"
    assert weights["detail"].startswith("mmft-my-net 0.1.0: mobilenet-v3-large, fine-tuned for")
    config = tomllib.loads((tmp_path / "further" / "config.toml").read_text())
    assert config["backbone"]["image"]["image_size"] == 48, "as in the run that was packaged"


def test_texts_come_with_their_tokenizer(
    mmft: Mmft, text_run: Path, texts: Path, tmp_path: Path, install: Callable[[Path], None]
) -> None:
    project = tmp_path / "my-texts"
    made = mmft("package", text_run, "--name", "my-texts", "-o", project, "--wheel")
    assert made.code == 0, made.err
    assert not [f for f in project.rglob("*") if f.suffix in (".pt", ".pkl", ".bin")]
    install(project)
    assert "my-texts" in mmft("plugins").out
    shown = mmft("plugins", "show", "my-texts").out
    assert "320" in shown, "the options have the run's values as defaults"

    further = tmp_path / "further"
    arguments = ("--task", "text-cls", "--backbone", "my-texts", *FAST)
    ran = mmft("run", *arguments, "--dataset", texts, "-o", further)
    assert ran.code == 0, ran.err
    assert same(backbone(further, "text"), backbone(text_run, "text"))
    old, new = (
        (run / "model" / "assets" / "text" / "tokenizer.json").read_text()
        for run in (text_run, further)
    )
    assert old == new
    predicted = [mmft("predict", run, TEXTS[0][0]) for run in (text_run, further)]
    assert [p.code for p in predicted] == [0, 0]

    # Random weights and those of others can be had as with any backbone.
    fresh = tmp_path / "fresh"
    mmft("run", *arguments, "--weights", "none", "--dataset", texts, "-o", fresh)
    assert not same(backbone(fresh, "text"), backbone(text_run, "text"))

    # What was made of a package is packaged like everything else, and does not need the first.
    again = tmp_path / "again"
    made = mmft("package", further, "--name", "my-others", "-o", again)
    assert made.code == 0, made.err
    facts = json.loads((again / "mmft_my_others" / "model" / "backbones.json").read_text())
    assert facts["backbones"]["text"]["base"] == "text/minilm"
    # And the same package can be made anew.
    made = mmft("package", further, "--name", "my-texts", "--version", "0.2", "-o", tmp_path / "b")
    assert made.code == 0, made.err


def test_adapters_are_merged_into_the_base(
    mmft: Mmft, text_run: Path, texts: Path, tmp_path: Path
) -> None:
    adapted = train(
        tmp_path / "adapted",
        *("--task", "text-cls", "--backbone", "minilm", "--weights", text_run, "--dataset", texts),
        *("--tune", "lora", "--set", "engine.lora.save=adapter", "--set", "engine.lr=0.01"),
    )
    assert (adapted / "model" / "adapter" / "text").is_dir()
    project = tmp_path / "my-adapted"
    made = mmft("package", adapted, "--name", "my-adapted", "-o", project)
    assert made.code == 0, made.err
    state = load_file(project / "mmft_my_adapted" / "model" / "model.safetensors")
    assert not [key for key in state if "lora" in key]
    whole = artifacts.load(adapted, discover()).task.state_dict()
    assert all(torch.equal(whole[key], value) for key, value in state.items())
    before = backbone(text_run, "text")
    assert state.keys() == before.keys()
    assert any(not torch.equal(before[key], value) for key, value in state.items())


def test_several_backbones_have_a_name_each(
    mmft: Mmft, photos: Path, tmp_path: Path, install: Callable[[Path], None]
) -> None:
    files = sorted(photos.rglob("*.jpg"))
    rows = [(str(f), str(float(i)), f.parent.name) for i, f in enumerate(files)]
    table = write_table(tmp_path / "mixed.csv", rows, ("image", "number", "label"))
    run = train(
        tmp_path / "run",
        *("--task", "fusion-cls", "--dataset", table, "--weights", "none"),
        *("--backbone", "image=mobilenet-v3-large", "--backbone", "tabular=tabular-mlp"),
        *("--set", "backbone.image_size=32"),
    )
    both = tmp_path / "my-mix"
    made = mmft("package", run, "--name", "my-mix", "-o", both)
    assert made.code == 0, made.err
    assert "image=my-mix-image" in made.out and "tabular=my-mix-tabular" in made.out

    one = tmp_path / "my-rows"
    made = mmft("package", run, "--name", "my-rows", "--modality", "tabular", "-o", one, "--wheel")
    assert made.code == 0, made.err
    install(one)
    further = tmp_path / "further"
    arguments = ("--task", "fusion-cls", "--dataset", table, "--backbone", "tabular=my-rows")
    ran = mmft("run", *arguments, *FAST, "-o", further)
    assert ran.code == 0, ran.err
    assert same(backbone(further, "tabular"), backbone(run, "tabular"))


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--name", "My Net"), "'My Net' is not a valid name for a backbone"),
        (("--name", "../net"), "is not a valid name for a backbone"),
        (("--name", "resnet18"), "There is a backbone named 'resnet18' already, of mmft"),
        (("--name", "vision"), "There is a plugin named 'vision' already"),
        (("--name", "core"), "would make a package mmft_core"),
        (("--name", "n", "--modality", "audio"), "--modality audio: the run has no such backbone"),
        (("--name", "n", "--version", "one"), "--version 'one' is not a version that pip accepts"),
        (("--name", "n", "--licence", "my own"), "--licence 'my own' is not an SPDX expression"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    mmft: Mmft, image_run: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    made = mmft("package", image_run, *arguments, "-o", tmp_path / "out")
    assert made.code == 2 and sentence in made.err and "Traceback" not in made.err
    assert not list(tmp_path.iterdir())


def test_what_is_no_finished_run_or_no_new_folder(
    mmft: Mmft, image_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    made = mmft("package", tmp_path / "empty", "--name", "n", "-o", tmp_path / "out")
    assert made.code == 2 and "empty holds neither a run nor a model" in made.err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    made = mmft("package", image_run, "--name", "n", "-o", tmp_path / "out")
    assert made.code == 2 and "exists already" in made.err
    assert [f.name for f in (tmp_path / "out").iterdir()] == ["mine.txt"]
