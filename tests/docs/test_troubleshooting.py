"""The sentences that Troubleshooting quotes are those that the program says."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import Finished, run_arguments
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
RUN = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
READ = re.findall(r"^```console\n(?!\$ )(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands of the page name."""
    from sklearn.datasets import load_sample_images

    from mmft_core.cli import main
    from tests.conftest import Image, make_photo_folder

    folder = tmp_path_factory.mktemp("place")
    china, flower = (Image.fromarray(image) for image in load_sample_images().images)
    photos = make_photo_folder(folder / "photos", {"china": china, "flower": flower}, 12)
    make_photo_folder(folder / "one", {"china": china}, 3)
    (folder / "notes.txt").write_text("words")
    (folder / "unclear.csv").write_text("a,b\n1,2\n3,4\n")
    done = run_arguments(folder / "runs" / "done", "--set", "engine.steps=1")
    main([str(argument) for argument in done])
    (photos / "china" / "cut.jpg").write_bytes((photos / "china" / "000.jpg").read_bytes()[:900])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("command", "said"), RUN, ids=[command for command, _ in RUN])
def test_what_is_run_says_it(
    command: str,
    said: str,
    place: Path,
    mmft: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)
    ended = mmft(*shlex.split(command)[1:])
    assert ended.code == 2
    for line in said.splitlines():
        assert line in ended.err


@pytest.mark.parametrize("sentence", READ)
def test_what_is_quoted_is_in_the_code(sentence: str) -> None:
    sentence = " ".join(sentence.split())
    assert any(pattern.search(sentence) for pattern in said_by_the_code())


@cache
def said_by_the_code() -> list[re.Pattern[str]]:
    """A pattern for each string of the code that is a sentence or a part of one."""
    files = [*(ROOT / "mmft_core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    texts = (text for file in files for text in _strings(ast.parse(file.read_text())))
    # What is put in may be anything; what stands around it has to be some words.
    return [re.compile(f"^{t}") for t in texts if len(re.findall(r"[a-z]{2,}", t)) >= 4]


def _strings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                re.escape(part.value) if isinstance(part, ast.Constant) else ".+?"
                for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.escape(node.value)
