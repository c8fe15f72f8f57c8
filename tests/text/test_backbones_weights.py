"""Weights of text backbones: from the Hub, from folders and runs; what is refused, and how."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from mmft_core.errors import ConfigError, WeightsError
from tests.servers import Handler, LocalServer, serving
from tests.text.tools import collated, make_backbone

COMMIT = "a" * 40
BUILD = """
import json, sys
from mmft_core.errors import MmftError
from tests.text.tools import collated, make_backbone
for choice in map(str.strip, sys.stdin):
    try:
        backbone = make_backbone("minilm", weights=choice)
        pooled = backbone.encode(collated(backbone)).pooled
        built = [backbone.loaded.source, backbone.loaded.detail, pooled.abs().sum().item()]
    except MmftError as error:
        built = [str(error)]
    print(json.dumps(built), flush=True)
"""


class Hub(LocalServer):
    """Serves one network as the Hub does, and remembers what was asked for."""

    def __init__(self, hub_id: str, folder: Path) -> None:
        super().__init__(_Handler)
        self.hub_id, self.folder = hub_id, folder
        self.asked: list[str] = []
        self.closed = False

    def verify_request(self, request: object, client_address: object) -> bool:
        """Without it, connections are closed unanswered."""
        return not self.closed


class _Handler(Handler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub_id, folder = self.server.hub_id, self.server.folder
        path = self.path.partition("?")[0]
        file = folder / path.rpartition("/")[2]
        names = [*sorted(p.name for p in folder.iterdir()), "onnx/model.safetensors"]
        if path.startswith(f"/api/models/{hub_id}/tree/"):
            entry = {"type": "file", "size": 1, "oid": COMMIT}
            self.answer(200, [entry | {"path": name} for name in names])
        elif path.startswith(f"/api/models/{hub_id}"):
            siblings = [{"rfilename": name} for name in names]
            self.answer(200, {"id": hub_id, "sha": COMMIT, "siblings": siblings})
        elif path.startswith(f"/{hub_id}/resolve/") and file.is_file():
            self.server.asked.append(file.name)
            kind = {"Content-Type": "application/octet-stream"}
            named = {"X-Repo-Commit": COMMIT, "ETag": f'"{file.name}"'}
            self.answer(200, file.read_bytes(), kind | named)
        else:
            self.send_error(404)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder as transformers saves it, of a tiny BERT."""
    return save(make_backbone("minilm"), tmp_path / "checkpoint")


def save(backbone, folder: Path) -> Path:
    folder.mkdir()
    backbone.save_assets(folder)
    save_model(backbone.network, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


class Program:
    """Builds a backbone for each choice of weights that it reads from standard input.

    It uses a Hub at another address. Because the Hub's client reads the address when it is
    imported, this runs in a process of its own; all tests share it, because starting it is slow.
    """

    def __init__(self, hub: Hub, home: Path) -> None:
        self.hub, self.home = hub, home
        self.log = home.parent / "log"
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BUILD],
                env=os.environ | environment,
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def build(self, choice: str) -> list:
        """Source, detail and features of what was built, or the error; nothing else is said."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(choice, file=self.process.stdin, flush=True)
        built = self.process.stdout.readline()
        assert built and not self.log.read_text(), self.log.read_text()
        return json.loads(built)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("hub")
    published = save(make_backbone("minilm"), folder / "published")
    (published / "pytorch_model.bin").write_bytes(b"never to be fetched")
    (published / "modeling_evil.py").write_text("raise SystemExit")
    with serving(Hub("sentence-transformers/all-MiniLM-L6-v2", published)) as hub:
        program = Program(hub, folder / "home")
        with program.process:
            yield program
            program.process.stdin.close()


@pytest.fixture
def empty_home(program: Program) -> Program:
    """The program, with nothing fetched."""
    shutil.rmtree(program.home, ignore_errors=True)
    program.hub.asked.clear()
    program.hub.closed = False
    return program


def test_published_weights_are_fetched_once_and_nothing_but_them(empty_home: Program) -> None:
    hub = empty_home.hub
    source, detail, pooled = empty_home.build("pretrained")
    assert (source, detail) == ("published", "sentence-transformers/all-MiniLM-L6-v2")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hub.asked)
    assert not {"pytorch_model.bin", "modeling_evil.py"} & set(hub.asked)
    # Now without network, and by the id alone.
    hub.closed = True
    again = empty_home.build("sentence-transformers/all-MiniLM-L6-v2")
    assert again == ["sentence-transformers/all-MiniLM-L6-v2", "", pooled]


def test_a_download_that_was_cut_off_is_not_taken_for_the_whole(empty_home: Program) -> None:
    empty_home.build("pretrained")
    (file,) = empty_home.home.rglob("snapshots/*/model.safetensors")
    file.unlink()
    empty_home.hub.asked.clear()
    source, _, _ = empty_home.build("auto")
    assert source == "published" and "model.safetensors" in empty_home.hub.asked


def test_an_unknown_id(empty_home: Program) -> None:
    (told,) = empty_home.build("no-such/network")
    assert "no-such/network/resolve/main/config.json cannot be reached" in told


# --- folders and runs ---------------------------------------------------------------------------


@torch.no_grad()
def test_an_earlier_run_gives_its_backbone(tmp_path: Path) -> None:
    for name in ("bert-base", "gpt2", "t5-small"):
        backbone = make_backbone(name)
        task = nn.ModuleDict({"backbones": nn.ModuleDict({"text": backbone})})
        task["head"] = nn.Linear(2, 2)
        assets = tmp_path / name / "model" / "assets" / "text"
        assets.mkdir(parents=True)
        backbone.save_assets(assets)
        save_model(task, str(tmp_path / name / "model" / "model.safetensors"))
        for path in (tmp_path / name, tmp_path / name / "model"):
            again = make_backbone(name, weights=str(path), seed=5)
            inputs = collated(backbone)
            assert torch.equal(again.encode(inputs).pooled, backbone.encode(inputs).pooled)
            assert again.loaded.source == str(path)
            assert torch.equal(collated(again)["tokens"], inputs["tokens"])


def test_only_safetensors_are_loaded(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    shutil.move(weights, checkpoint / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"cannot be loaded.*must be safetensors"):
        make_backbone("minilm", weights=str(checkpoint))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_damaged_files_are_told_by_name(checkpoint: Path, file: str) -> None:
    (checkpoint / file).write_bytes((checkpoint / file).read_bytes()[:200])
    with pytest.raises(WeightsError, match=f"{checkpoint}.* cannot be (read|loaded)") as caught:
        make_backbone("minilm", weights=str(checkpoint))
    assert "\n" not in caught.value.message


def test_weights_of_another_shape(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 6}))
    with pytest.raises(WeightsError, match=r"do not fit .*'encoder\.layer\.4.* is missing"):
        make_backbone("minilm", weights=str(checkpoint))


def test_a_tokenizer_of_other_weights(checkpoint: Path) -> None:
    other = make_backbone("minilm", vocabulary=450)
    other.tokenizer.save_pretrained(checkpoint)
    with pytest.raises(WeightsError, match="has 410 tokens, and the network knows 400"):
        make_backbone("minilm", weights=str(checkpoint))


def test_no_code_of_a_checkpoint_is_run(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "evil.py").write_text("raise SystemExit('this was run')")
    with pytest.raises(WeightsError, match=r"config\.json cannot be read"):
        make_backbone("text-encoder", weights=str(checkpoint))


@pytest.mark.parametrize(
    "given, asked, reason",
    [
        ("bert-base", "causal-lm", r"an encoder .* a causal language model\. Choose text-encoder"),
        ("gpt2", "text-encoder", r"a causal language model .* an encoder\. Choose causal-lm"),
        ("bart-base", "causal-lm", r"an encoder-decoder .*Choose seq2seq-lm"),
        ("t5-small", "text-encoder", r"an encoder-decoder .*Choose seq2seq-lm"),
        ("gpt2", "seq2seq-lm", r"a causal language model .*Choose causal-lm"),
        ("t5-small", "bart-base", r"type t5, but the backbone is of type bart\. Choose seq2seq-lm"),
    ],
)
def test_another_kind_of_network(given: str, asked: str, reason: str, tmp_path: Path) -> None:
    save(make_backbone(given), tmp_path / "given")
    with pytest.raises(WeightsError, match=reason):
        make_backbone(asked, weights=str(tmp_path / "given"))


# --- few bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "choice"), [("minilm", "none"), ("causal-lm", "auto")])
def test_few_bits_of_nothing(name: str, choice: str) -> None:
    with pytest.raises(ConfigError, match="load_bits = 8 needs pretrained weights"):
        make_backbone(name, weights=choice, load_bits=8)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("choice", ["auto", "pretrained", "org/name"])
def test_without_a_gpu_this_is_told_before_anything_is_fetched(choice: str) -> None:
    with pytest.raises(ConfigError, match="load_bits = 4 needs a CUDA GPU"):
        make_backbone("minilm", weights=choice, load_bits=4)
