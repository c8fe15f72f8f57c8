"""LiteRT exports of strangers: nothing in them is executed, and none reads files elsewhere."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmft_core import registry
from tests.conftest import Finished
from tests.faults.garbage import Bomb
from tests.safety.canary import NAME
from tests.safety.graphs_of_litert import graph
from tests.safety.test_files import refused

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="mmft[litert] is not installed"
)

Mmft = Callable[..., Finished]
LENGTH = 16
SCORES = np.array([[1.0, 2.0]])

RUN = """
import sys
from pathlib import Path
from mmft_export import folder
from mmft_export.litert_format import LiteRT
import torch
told = folder.describe(Path(sys.argv[1])).graphs[0]
tokens, mask = torch.zeros(1, 16, dtype=torch.int64), torch.ones(1, 16, dtype=torch.bool)
sound, refused = 0, 0
content = Path(sys.argv[2]).read_bytes()
for place in range(len(content)):
    changed = bytearray(content)
    changed[place] ^= 0xFF
    Path(sys.argv[2]).write_bytes(changed)
    try:
        LiteRT().run(Path(sys.argv[2]), told)({"text.tokens": tokens, "text.mask": mask})
        sound += 1
    except Exception:
        refused += 1
print(sound, refused)
"""


def made(**changes: Any) -> bytes:
    shape = (1, LENGTH)
    inputs = {"text_tokens": ("int64", shape), "text_mask": ("bool", shape)}
    return graph(inputs, {"predictions": SCORES}, **changes)


@pytest.fixture(scope="module")
def exported(text_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export whose graph was not written by the converter, which need not be installed."""
    from mmft_core.cli import main

    folder = tmp_path_factory.mktemp("litert") / "export"
    main(["export", str(text_run), "--format", "torch-export", "-o", str(folder)])
    (folder / "model.pt2").unlink()
    told = json.loads((folder / "export.json").read_text())
    (own,) = told["graphs"]
    own["file"] = "model.tflite"
    for tensor in own["inputs"]:
        tensor |= {"shape": [1, LENGTH], "example": [1, LENGTH]}
    own["outputs"][0]["shape"] = [1, 2]
    (folder / "export.json").write_text(json.dumps(told | {"kind": "litert", "files": {}}))
    (folder / "model.tflite").write_bytes(made())
    return folder


@pytest.fixture
def export(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "extra_installed", lambda *_: True)
    return Path(shutil.copytree(exported, tmp_path / "export"))


def test_a_sound_one_predicts(export: Path, mmft: Mmft) -> None:
    ended = mmft("predict", export, "a fine day")
    assert ended.code == 0 and json.loads(ended.out)["label"], ended.err


def test_no_operator_of_a_stranger_is_looked_up(export: Path, mark: Path, mmft: Mmft) -> None:
    for name in (NAME, f"{NAME}:Model", "FlexPyFunc", "FlexReadFile", str(mark)):
        (export / "model.tflite").write_bytes(made(custom=name))
        refused(mmft("predict", export, "a fine day"), "model.tflite cannot be loaded")
        assert not mark.exists()


@pytest.mark.parametrize("place", ["inside", "../secret", "absolute"])
def test_its_values_lie_in_no_other_file(
    export: Path, tmp_path: Path, mmft: Mmft, place: str
) -> None:
    for file in (tmp_path / "secret", export / "inside"):
        file.write_bytes(SCORES.astype("<f4").tobytes())
    elsewhere = str(tmp_path / "secret") if place == "absolute" else place
    (export / "model.tflite").write_bytes(made(elsewhere=elsewhere))
    ended = mmft("predict", export, "a fine day")
    assert ended.code == 2 and "Traceback" not in ended.err and not ended.out, ended.err


@pytest.mark.parametrize(
    "content", ["a pickle", "nothing", "cut", "another file", "only the mark of the format"]
)
def test_what_is_no_graph_is_one_sentence(
    export: Path, text_run: Path, mark: Path, mmft: Mmft, content: str
) -> None:
    whole = made()
    (export / "model.tflite").write_bytes(
        {
            "a pickle": pickle.dumps(Bomb(mark)),
            "nothing": b"",
            "cut": whole[: len(whole) // 2],
            "another file": (text_run / "config.toml").read_bytes(),
            "only the mark of the format": b"\x1c\0\0\0TFL3" + b"\xff" * 64,
        }[content]
    )
    refused(mmft("predict", export, "a fine day"), "model.tflite cannot be loaded")
    assert not mark.exists()


def test_flipped_bytes_end_in_no_crash(export: Path, tmp_path: Path) -> None:
    """In a process of its own, which a crash would end."""
    shutil.copy(export / "model.tflite", tmp_path / "flipped.tflite")
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(export), str(tmp_path / "flipped.tflite")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    sound, told = map(int, ran.stdout.split()[-2:])
    assert sound + told == len(made()) and told > sound


def test_flipped_bytes_are_found_by_the_digest(export: Path, mmft: Mmft) -> None:
    import hashlib

    file, told = export / "model.tflite", json.loads((export / "export.json").read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (export / "export.json").write_text(json.dumps(told | {"files": {file.name: digest}}))
    assert mmft("predict", export, "a fine day").code == 0
    content = bytearray(file.read_bytes())
    content[content.index(SCORES.astype("<f4").tobytes())] ^= 1
    file.write_bytes(content)
    refused(mmft("predict", export, "a fine day"), "The export is damaged", "not what was written")


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another kind": lambda told: told.update(kind=f"{NAME}:Model"),
    "a kind that is not its file's": lambda told: told.update(kind="torch-export"),
    "a type of no tensor": lambda told: told["graphs"][0]["inputs"][0].update(dtype=f"{NAME}.x"),
    "a name that is none of its inputs": lambda told: told["graphs"][0]["inputs"][0].update(
        name=f"{NAME}.x"
    ),
    "a lacking output": lambda told: told["graphs"][0]["outputs"][0].update(name="logits"),
    "a file elsewhere": lambda told: told["graphs"][0].update(file="../model.tflite"),
    "a missing file": lambda told: told["graphs"][0].update(file="other.tflite"),
    "no graph": lambda told: told.update(graphs=[]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_its_description_names_no_code(export: Path, mark: Path, mmft: Mmft, edit: str) -> None:
    told = json.loads((export / "export.json").read_text())
    EDITS[edit](told)
    (export / "export.json").write_text(json.dumps(told))
    ended = mmft("predict", export, "a fine day")
    assert not mark.exists()
    assert ended.code == 2 and "Traceback" not in ended.err and not ended.out, ended.err
