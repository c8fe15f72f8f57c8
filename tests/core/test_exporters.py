"""A format of exports that an outside package adds: written, listed, and used like a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Finished
from tests.core.conftest import Site

Mmft = Callable[..., Finished]

HOOK = """
    from mmft_core import ExporterSpec, hookimpl

    @hookimpl
    def register_exporter():
        return [
            ExporterSpec(
                name="npz", summary="Weights as NumPy arrays", build="acme_work:Npz", extras=()
            )
        ]
"""
WORK = """
    import numpy as np
    import torch
    from mmft_core.run import artifacts
    from mmft_export.formats import Exporter, Written


    class Npz(Exporter):
        def write(self, job, folder):
            state = job.model.task.state_dict()
            file = folder / "weights.npz"
            np.savez(file, **{k: v.numpy() for k, v in state.items()})
            return Written([file], {"numpy": np.__version__}, notes=("It is big.",))

        def load(self, folder, registry, settings=None):
            model = artifacts.load_empty(folder, registry, settings)
            arrays = np.load(folder / "weights.npz", allow_pickle=False)
            model.task.load_state_dict({k: torch.from_numpy(arrays[k]) for k in arrays.files})
            return model
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: None) -> Path:
    from mmft_core.cli import main

    output = tmp_path_factory.mktemp("npz") / "run"
    names = ("run", "--task=image-cls", "--backbone=tiny", "--weights=none")
    sets = ("--set=engine.steps=1", "--set=engine.workers=0", "--set=backbone.image_size=32")
    main([*names, *sets, "-o", str(output)])
    return output


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    from PIL import Image

    Image.new("L", (16, 16), 90).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


@pytest.mark.usefixtures("quick_latencies", "tiny_backbone")
def test_it_is_written_compared_and_used_by_name(
    site: Site, mmft: Mmft, run: Path, digit: Path, tmp_path: Path
) -> None:
    site.install("mmft-acme", {"acme": "acme"}, acme=HOOK, acme_work=WORK)
    out = tmp_path / "export"
    ended = mmft("export", run, "--format", "npz", "--samples", 4, "-o", out)
    assert ended.code == 0, ended.err
    assert "It is big." in ended.err
    assert json.loads((out / "export.json").read_text())["kind"] == "npz"
    (wanted, found) = (json.loads(mmft("predict", place, digit).out) for place in (run, out))
    assert wanted["label"] == found["label"]
    assert wanted["probability"] == pytest.approx(found["probability"], abs=1e-5)
    assert mmft("eval", out).code == 0
    listed = mmft("plugins", "--kind", "exporter").out
    assert {line.split()[1] for line in listed.splitlines()[1:]} >= {"npz", "onnx", "safetensors"}
    refused = mmft("export", run, "--format", "npz", "--quantize", "int8", "-o", tmp_path / "q")
    assert refused.code == 2 and "--quantize int8 is for --format onnx, not npz" in refused.err


@pytest.mark.usefixtures("quick_latencies", "tiny_backbone")
@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("raise RuntimeError('oh')", "cannot be loaded: RuntimeError: oh"),
        ("Npz = dict", "built a dict, not an Exporter"),
        (WORK.replace("return Written", "Written"), "returned a NoneType from `write`"),
    ],
)
def test_a_broken_one_is_told_and_leaves_nothing(
    site: Site, mmft: Mmft, run: Path, tmp_path: Path, work: str, words: str
) -> None:
    site.install("mmft-acme", {"acme": "acme"}, acme=HOOK, acme_work=work)
    out = tmp_path / "export"
    ended = mmft("export", run, "--format", "npz", "--samples", 4, "-o", out)
    assert ended.code == 2 and words in " ".join(ended.err.split()), ended.err
    assert not out.exists()
    assert mmft("predict", run, "--dataset", "digits", "--split", "test").code == 0


def test_an_export_whose_format_nobody_reads_names_it(
    mmft: Mmft, run: Path, digit: Path, tmp_path: Path
) -> None:
    (tmp_path / "export.json").write_text(json.dumps({"format": 1, "kind": "npz", "mmft": "0"}))
    ended = mmft("predict", tmp_path, digit)
    assert ended.code == 2 and "There is no exporter named 'npz'" in ended.err
