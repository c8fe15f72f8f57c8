"""A torch-export folder from a stranger: nothing of it is executed, whatever it holds."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Finished
from tests.faults.garbage import Bomb, bombs

Mmft = Callable[..., Finished]
Members = dict[str, bytes]

PROGRAM = "model/models/model.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
CONSTANTS = "model/data/constants/model_constants_config.json"
INPUTS = "model/data/sample_inputs/model.pt"


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, one_layer: None, quick_latencies: None
) -> Path:
    """An export whose graph has symbolic sizes, guards and example inputs."""
    from mmft_core.cli import cli

    folder = tmp_path_factory.mktemp("exported")
    run = ("run", "--task", "text-cls", "--backbone", "distilbert", "--weights", "none")
    sets = ("backbone.size=tiny", "backbone.vocabulary=300", "engine.steps=1", "engine.workers=0")
    rows = [f"{word} number {i},{word}" for i in range(30) for word in ("good", "bad")]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]))
    for call in (
        [*run, *(part for s in sets for part in ("--set", s)), "--dataset", folder / "texts.csv"],
        ["export", folder / "run", "--format", "torch-export"],
    ):
        output = folder / ("run" if call[0] == "run" else "export")
        cli.main([*map(str, call), "-o", str(output)], standalone_mode=False)
    return folder / "export"


def edit_program(change: Callable[[dict[str, Any]], None]) -> Callable[[Members, Path], None]:
    def edit(members: Members, mark: Path) -> None:
        program = json.loads(members[PROGRAM])
        change(program)
        members[PROGRAM] = json.dumps(program).replace("MARK", str(mark)).encode()

    return edit


def nodes(program: dict[str, Any]) -> list[dict[str, Any]]:
    return program["graph_module"]["graph"]["nodes"]  # type: ignore[no-any-return]


def call_system(program: dict[str, Any]) -> None:
    argument = {"name": "", "arg": {"as_string": "touch MARK"}, "kind": 1}
    nodes(program)[0].update(target="torch.os.system", inputs=[argument])


def write_file(program: dict[str, Any]) -> None:
    nodes(program)[0]["target"] = "torch.ops.aten.from_file.default"


def pass_operator(program: dict[str, Any]) -> None:
    nodes(program)[0]["inputs"][0]["arg"] = {"as_operator": "torch.os.system"}


def name_code(program: dict[str, Any]) -> None:
    text = json.dumps(program)
    name = program["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"]
    evil = "x=__import__('os').system('touch MARK')"
    program.clear()
    program.update(json.loads(text.replace(json.dumps(name), json.dumps(evil))))


def size_code(program: dict[str, Any]) -> None:
    values = program["graph_module"]["graph"]["tensor_values"].values()
    sizes = [size for value in values for size in value["sizes"] if "as_expr" in size]
    sizes[0]["as_expr"]["expr_str"] = "__import__('os').system('touch MARK')"


def nested_size_code(program: dict[str, Any]) -> None:
    size_code(program)
    text = json.dumps(program)
    evil = "__import__('os').system('touch MARK')"
    program.clear()
    program.update(json.loads(text.replace(evil, f'Max(\\"{evil}\\", Integer(1))')))


def import_module(program: dict[str, Any]) -> None:
    enum = {"__enum__": True, "fqn": "antigravity:x", "name": "y"}
    part = {"type": "builtins.dict", "context": json.dumps([enum]), "children_spec": []}
    for entry in program["graph_module"]["module_call_graph"]:
        if entry["signature"]:
            entry["signature"]["in_spec"] = json.dumps([1, part])


def add(name: str, content: bytes) -> Callable[[Members, Path], None]:
    return lambda members, mark: members.update({name: content})


def pickled_tensor(config: str, folder: str) -> Callable[[Members, Path], None]:
    def edit(members: Members, mark: Path) -> None:
        entries = json.loads(members[config])
        name = next(iter(entries["config"]), "new")
        prefix = "weight" if folder == "weights" else "tensor"
        path = f"{prefix}_0"
        entries["config"][name] = {
            "path_name": path,
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }
        members[config] = json.dumps(entries).encode()
        members[f"model/data/{folder}/{path}"] = bombs(mark)[-1]

    return edit


def opaque_object(members: Members, mark: Path) -> None:
    entries = json.loads(members[CONSTANTS])
    entry = {"is_param": False, "use_pickle": True, "tensor_meta": None}
    entries["config"]["new"] = entry | {"path_name": "opaque_obj_0"}
    members[CONSTANTS] = json.dumps(entries).encode()
    members["model/data/constants/opaque_obj_0"] = pickle.dumps(Bomb(mark))


def legacy_weights(members: Members, mark: Path) -> None:
    members["model/data/weights/model.pt"] = bombs(mark)[-1]


def old_archive(members: Members, mark: Path) -> None:
    members.clear()
    members["version"] = b"8.1"
    members["serialized_exported_program.json"] = b"{}"
    for name in ("state_dict", "constants", "example_inputs"):
        members[f"serialized_{name}.pt"] = bombs(mark)[-1]


REFUSED = {
    "calls os.system": edit_program(call_system),
    "reads files": edit_program(write_file),
    "passes os.system": edit_program(pass_operator),
    "code as a name": edit_program(name_code),
    "code as a size": edit_program(size_code),
    "code in a size": edit_program(nested_size_code),
    "imports a module": edit_program(import_module),
    "pickled weight": pickled_tensor(WEIGHTS, "weights"),
    "pickled constant": pickled_tensor(CONSTANTS, "constants"),
    "opaque object": opaque_object,
    "weights of old": legacy_weights,
    "archive of old": old_archive,
    "shared library": add("model/data/aotinductor/model/model.so", b"\x7fELF"),
    "more files": add("model/extra/x.txt", b"x"),
}


def rewrite(file: Path, edit: Callable[[Members, Path], None], mark: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members, mark)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


@pytest.fixture
def attacked(exported: Path, tmp_path: Path) -> Path:
    """A copy whose own list of digests is empty, so that only the reader can refuse it."""
    folder = shutil.copytree(exported, tmp_path / "export")
    told = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps(told | {"files": {}}))
    return folder


@pytest.mark.parametrize("attack", REFUSED)
def test_an_export_that_would_execute_something_is_refused(
    attacked: Path, tmp_path: Path, mmft: Mmft, attack: str
) -> None:
    mark = tmp_path / "executed"
    rewrite(attacked / "model.pt2", REFUSED[attack], mark)
    ended = mmft("predict", attacked, "some words")
    assert ended.code == 2 and "is refused" in ended.err, ended.err
    assert not mark.exists()


@pytest.mark.parametrize("number", range(5))
def test_example_inputs_and_guards_are_not_read(
    attacked: Path, tmp_path: Path, mmft: Mmft, number: int
) -> None:
    mark = tmp_path / "executed"
    wanted = mmft("predict", attacked, "some words")

    def guard(program: dict[str, Any]) -> None:
        program["guards_code"] = ["__import__('os').system('touch MARK') == 0"]

    def edit(members: Members, mark: Path) -> None:
        edit_program(guard)(members, mark)
        members[INPUTS] = bombs(mark)[number]

    rewrite(attacked / "model.pt2", edit, mark)
    ended = mmft("predict", attacked, "some words")
    assert (ended.code, ended.out) == (0, wanted.out)
    assert not mark.exists()


@pytest.mark.parametrize("attack", ["example inputs", "code as a size"])
def test_torch_itself_executes_such_files(exported: Path, tmp_path: Path, attack: str) -> None:
    """So the attacks above are real."""
    mark, file = tmp_path / "executed", Path(shutil.copy(exported / "model.pt2", tmp_path))
    edits = REFUSED | {"example inputs": lambda members, mark: members.update({INPUTS: bomb})}
    bomb = bombs(mark)[-1]
    rewrite(file, edits[attack], mark)
    with contextlib.suppress(Exception):
        torch.export.load(file)
    assert mark.exists()


def test_an_export_does_not_tell_where_the_code_lay(exported: Path) -> None:
    with zipfile.ZipFile(exported / "model.pt2") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    home = os.fsencode(Path(torch.__file__).parents[1])
    assert home not in content and b"site-packages" not in content
