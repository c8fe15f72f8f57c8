"""What strangers hand over, opened by the commands that users type: nothing of it is executed.

Each attack edits a copy of something sound. It ends in one sentence, or without harm, and never
leaves the mark that the stranger's code would leave.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tests.conftest import Finished
from tests.faults.garbage import bombs
from tests.safety.canary import NAME, write_canary

Mmft = Callable[..., Finished]
Edit = Callable[[Path, Path], None]

ASSETS = Path("model") / "assets" / "text"


@dataclass(frozen=True)
class Attack:
    """An edit of a folder, and how opening it ends.

    Attributes:
        refused: words of the sentence; none where it ends without harm.
    """

    edit: Edit
    refused: tuple[str, ...] = ()


def json_edit(file: str | Path, change: Callable[[dict[str, Any]], object]) -> Edit:
    """Edit a file of JSON, or begin one."""

    def edit(folder: Path, mark: Path) -> None:
        path = folder / file
        tree = json.loads(path.read_text()) if path.exists() else {}
        change(tree)
        path.write_text(json.dumps(tree).replace("MARK", str(mark)))

    return edit


def put(file: str | Path, **settings: Any) -> Edit:
    return json_edit(file, lambda tree: tree.update(settings))


def pickled(file: str | Path) -> Edit:
    return lambda folder, mark: (folder / file).write_bytes(bombs(mark)[-1]) and None


def renamed_modality(name: str) -> Edit:
    def change(tree: dict[str, Any]) -> None:
        tree["backbones"] = {name: tree["backbones"].pop("text")}

    def edit(folder: Path, mark: Path) -> None:
        json_edit("model/model.json", change)(folder, mark)
        if "(" not in name:
            shutil.copytree(folder / ASSETS, folder / "model" / "assets" / name)

    return edit


def with_code(file: Path, **settings: Any) -> Edit:
    """Settings that name classes of a module that lies beside them."""

    def edit(folder: Path, mark: Path) -> None:
        write_canary((folder / file).parent, mark)
        put(file, **settings)(folder, mark)

    return edit


def unlisted(edit: Edit) -> Edit:
    """Without the list of digests, so that only the reader can refuse it."""

    def wrapped(folder: Path, mark: Path) -> None:
        edit(folder, mark)
        for listed in folder.rglob("digests.json"):
            listed.unlink()

    return wrapped


CODE = f"{NAME}:Config"
CONFIG, TOKENIZER = ASSETS / "config.json", ASSETS / "tokenizer_config.json"
CLASSES = {
    "AutoConfig": f"{NAME}.Config",
    "AutoModel": f"{NAME}.Model",
    "AutoTokenizer": [f"{NAME}.Tokenizer", f"{NAME}.Tokenizer"],
}

MODELS = {
    "weights are a pickle": Attack(pickled("model/model.safetensors"), ("cannot be loaded",)),
    "model.json is a pickle": Attack(pickled("model/model.json"), ("cannot be loaded",)),
    "task by path": Attack(
        json_edit("model/model.json", lambda t: t["task"].update(name=CODE)), ("task", NAME)
    ),
    "backbone by path": Attack(
        json_edit("model/model.json", lambda t: t["backbones"]["text"].update(name=CODE)),
        ("backbone", NAME),
    ),
    "option by path": Attack(
        json_edit("model/model.json", lambda t: t["task"]["options"].update(build=CODE)),
        ("build",),
    ),
    "modality is a path": Attack(renamed_modality("../../out"), ("not the modality",)),
    "modality is code": Attack(
        renamed_modality(f'text"); __import__("{NAME}") #'), ("not the modality",)
    ),
    "digests elsewhere": Attack(
        put("model/digests.json", **{"../../x": "0" * 64}), ("not in the folder",)
    ),
    "classes of the network": Attack(with_code(CONFIG, auto_map=CLASSES)),
    "a network of unknown type": Attack(
        with_code(CONFIG, auto_map=CLASSES, model_type="strange"), ("cannot be read",)
    ),
    "classes of the tokenizer": Attack(with_code(TOKENIZER, auto_map=CLASSES)),
    "a tokenizer of unknown type": Attack(
        with_code(TOKENIZER, auto_map=CLASSES, tokenizer_class="Strange"),
        ("'Strange' is not a tokenizer class",),
    ),
    "a network as tokenizer": Attack(
        put(TOKENIZER, tokenizer_class="AutoModel"), ("'AutoModel' is not a tokenizer class",)
    ),
    "a library's plugins": Attack(
        put(TOKENIZER, sudachi_kwargs={"sudachi_config_path": "x.json"}), ("sudachi_kwargs",)
    ),
    "attention of the Hub": Attack(
        put(CONFIG, attn_implementation="someone/kernel:run"), ("names code of the Hub",)
    ),
    "attention of the Hub by part": Attack(
        put(CONFIG, attn_implementation={"text_config": "paged|someone/kernel"}),
        ("names code of the Hub",),
    ),
    "attention of a default kernel": Attack(
        put(CONFIG, _attn_implementation="flash_attention_3"), ("names code of the Hub",)
    ),
    "another network": Attack(
        put(CONFIG, backbone="hf-hub:someone/else", use_timm_backbone=True),
        ("names another network",),
    ),
    "settings without end": Attack(
        lambda folder, mark: (folder / CONFIG).write_text("[" * 100_000) and None,
        ("cannot be read",),
    ),
    "modules beside the model": Attack(
        lambda folder, mark: write_canary(folder, mark, "torch", "sitecustomize", "mmft_text")
    ),
}


@pytest.fixture
def copy(text_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(text_run, tmp_path / "copy")


def ends_without_harm(ended: Finished, attack: Attack, mark: Path) -> None:
    assert not mark.exists() and NAME not in sys.modules
    assert ended.code == (2 if attack.refused else 0), ended.err + ended.out
    told = " ".join(ended.err.split())
    assert "Traceback" not in told and all(word in told for word in attack.refused), told


@pytest.mark.parametrize("name", MODELS)
def test_a_run_is_loaded_without_executing_anything(
    copy: Path, tmp_path: Path, mark: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    unless = name == "digests elsewhere"
    (MODELS[name].edit if unless else unlisted(MODELS[name].edit))(copy, mark)
    monkeypatch.chdir(copy)
    ends_without_harm(mmft("predict", copy, "a fine day"), MODELS[name], mark)
    if MODELS[name].refused:
        before = sorted(tmp_path.iterdir())
        for command in (
            ("eval", copy),
            ("index", copy, copy.parent, "-o", tmp_path / "out"),
            ("export", copy, "--format", "safetensors", "-o", tmp_path / "out"),
            ("package", copy, "--name", "stranger", "-o", tmp_path / "out"),
        ):
            ends_without_harm(mmft(*command), Attack(MODELS[name].edit, ("error",)), mark)
        assert [p for p in sorted(tmp_path.iterdir()) if p.name != "out"] == before


def test_labels_are_no_settings(copy: Path, mark: Path, mmft: Mmft) -> None:
    labels = {"backbone": 1, "bad_implementation": 2, "tokenizer_class": 3}
    unlisted(put(CONFIG, label2id=labels))(copy, mark)
    assert mmft("predict", copy, "a fine day").code == 0


# --- adapters -----------------------------------------------------------------------------------

SETTINGS_OF_PEFT: dict[str, Any] = {
    "megatron_core": NAME,
    "megatron_config": {"a": 1},
    "loftq_config": {"loftq_bits": 4},
    "eva_config": {"rho": 2.0},
    "corda_config": {"cache_file": "x"},
    "layer_replication": [[0, 100_000]],
    "rank_pattern": {".*": 100_000},
    "alpha_pattern": {".*": 1e9},
    "trainable_token_indices": [1],
    "target_parameters": ["x"],
    "revision": "main",
    "runtime_config": {"ephemeral_gpu_offload": True},
    "use_dora": True,
    "use_rslora": True,
    "init_lora_weights": "pissa",
    "bias": "all",
    "never_heard_of": {"path": NAME},
}


@pytest.mark.parametrize("key", SETTINGS_OF_PEFT)
def test_settings_of_adapters_are_those_that_mmft_writes(
    adapter_run: Path, tmp_path: Path, mark: Path, mmft: Mmft, key: str
) -> None:
    copy = shutil.copytree(adapter_run, tmp_path / "copy")
    edit = put("model/adapter/text/adapter_config.json", **{key: SETTINGS_OF_PEFT[key]})
    unlisted(edit)(copy, mark)
    words = ("adapter_config.json is refused", f"'{key}'")
    ends_without_harm(mmft("predict", copy, "a fine day"), Attack(edit, words), mark)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"r": 10**9}, "'r' is 1000000000, and the adapters have rank"),
        ({"r": "8"}, "Expected `int`"),
        ({"peft_type": "PROMPT_TUNING"}, "PROMPT_TUNING"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"lora_dropout": 7}, "lora_dropout"),
    ],
)
def test_settings_of_adapters_have_values_in_range(
    adapter_run: Path, tmp_path: Path, mark: Path, mmft: Mmft, settings: Any, words: str
) -> None:
    copy = shutil.copytree(adapter_run, tmp_path / "copy")
    edit = put("model/adapter/text/adapter_config.json", **settings)
    unlisted(edit)(copy, mark)
    attack = Attack(edit, ("adapter_config.json cannot be read", words))
    ends_without_harm(mmft("predict", copy, "a fine day"), attack, mark)


def test_adapters_as_they_are_written_are_read(
    adapter_run: Path, tmp_path: Path, mark: Path, mmft: Mmft
) -> None:
    """Also those of a newer or older PEFT, whose further settings have no effect."""
    wanted = mmft("predict", adapter_run, "a fine day")
    copy = shutil.copytree(adapter_run, tmp_path / "copy")

    def change(tree: dict[str, Any]) -> None:
        tree.update(new_setting=None, other=False, peft_version="99.0", auto_mapping={"a": NAME})
        del tree["megatron_core"], tree["lora_dropout"]

    unlisted(json_edit("model/adapter/text/adapter_config.json", change))(copy, mark)
    ended = mmft("predict", copy, "a fine day")
    assert (ended.code, ended.out) == (0, wanted.out), ended.err
    assert not mark.exists()


# --- weights of one's own -----------------------------------------------------------------------


def folder_of_transformers(run: Path, folder: Path) -> Path:
    """The network of a run as transformers saves it."""
    from mmft_core import discover
    from mmft_core.run import artifacts

    shutil.copytree(run / ASSETS, folder)
    backbone: Any = artifacts.load(run, discover()).task.backbone("text")
    backbone.network.save_pretrained(folder)
    return folder


def rename_weights(name: str) -> Edit:
    def edit(folder: Path, mark: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(bombs(mark)[-1])

    return edit


def adapters_beside(folder: Path, mark: Path) -> None:
    settings = {"peft_type": "LORA", "r": 1, "target_modules": ["q_lin"], "megatron_core": NAME}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file({}, folder / "adapter_model.safetensors")


def named_weights(folder: Path, mark: Path) -> None:
    rename_weights("x.bin")(folder, mark)
    put("config.json", transformers_weights="x.bin")(folder, mark)


WEIGHTS = {
    "pytorch_model.bin is a pickle": Attack(
        rename_weights("pytorch_model.bin"), ("They must be safetensors",)
    ),
    "model.safetensors is a pickle": Attack(
        rename_weights("model.safetensors"), ("cannot be loaded",)
    ),
    "adapters beside them": Attack(adapters_beside, ("holds adapters",)),
    "named weights": Attack(
        named_weights,
        ("cannot be",),
    ),
    "classes beside them": Attack(with_code(Path("config.json"), auto_map=CLASSES)),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_loaded_without_executing_anything(
    text_run: Path, home: Path, tmp_path: Path, mark: Path, mmft: Mmft, name: str
) -> None:
    folder = folder_of_transformers(text_run, tmp_path / "weights")
    WEIGHTS[name].edit(folder, mark)
    run = ("run", "--task", "text-cls", "--backbone", "text-encoder", "--weights", folder)
    data = ("--dataset", home / "texts.csv", "-o", tmp_path / "run", "--set", "engine.steps=1")
    ends_without_harm(mmft(*run, *data, "--set", "engine.workers=0"), WEIGHTS[name], mark)


# --- settings ---------------------------------------------------------------------------------


CONFIGS = {
    "task": (f'task = "{CODE}"', ("task",)),
    "tracker": (f'[tracking]\nto = ["{CODE}"]', ("tracking",)),
    "metric": (f'metrics = ["{CODE}"]', ("metric",)),
    "optimizer": (f'[engine]\noptimizer = "{CODE}"', ("optimizer",)),
    "plugin": (f'plugins = ["{NAME}"]', ("plugins",)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_name_no_code(tmp_path: Path, mark: Path, mmft: Mmft, name: str) -> None:
    text, words = CONFIGS[name]
    parts = {"task": "text-cls", "backbone": "distilbert"}
    own = [f'{key} = "{value}"' for key, value in parts.items() if key not in text]
    (tmp_path / "config.toml").write_text("\n".join([*own, text]))
    ended = mmft("run", "-c", tmp_path / "config.toml", "-o", tmp_path / "run")
    ends_without_harm(ended, Attack(put("x"), words), mark)


# --- the current folder -------------------------------------------------------------------------


def test_child_processes_import_nothing_from_the_current_folder(
    tmp_path: Path, mark: Path, mmft: Mmft, monkeypatch: pytest.MonkeyPatch
) -> None:
    """multiprocessing starts its helpers by `python -c`, sweeps their workers by `python -m`."""
    from mmft_core.cli import command_line

    write_canary(tmp_path / "here", mark, "multiprocessing", "mmft_core")
    monkeypatch.chdir(tmp_path / "here")
    command = replace(command_line.CORE["plugins"], build="tests.safety.children:children")
    monkeypatch.setitem(command_line.CORE, "plugins", command)
    assert mmft("plugins").code == 0
    assert not mark.exists()
