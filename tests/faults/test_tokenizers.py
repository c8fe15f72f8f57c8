"""Tokenizers of any content: one that tokenizes, or one sentence; nothing of them is executed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_model

from mmft_core.errors import MmftError, first_line
from tests.faults.garbage import CHANGES, bombs, changed
from tests.text.tools import collated, make_backbone

FUZZ = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as transformers saves it."""
    backbone, folder = make_backbone("minilm"), tmp_path_factory.mktemp("tokenizers") / "bert"
    folder.mkdir()
    backbone.save_assets(folder)
    save_model(backbone.network, str(folder / "model.safetensors"), metadata={"format": "pt"})
    assert {file.name for file in folder.iterdir()} == {*FILES, "model.safetensors"}
    return folder


def tokenized(folder: Path) -> str:
    """Load the network and encode texts, as a run does; return what the error says, if any."""
    try:
        backbone = make_backbone("minilm", weights=str(folder))
        backbone.encode(collated(backbone))
    except MmftError as error:
        assert len(first_line(error)) < 1000
        return error.message
    return ""


def test_it_is_sound_as_it_is(folder: Path) -> None:
    assert tokenized(folder) == ""


@FUZZ
@given(data=st.data())
def test_garbage(folder: Path, data: st.DataObject) -> None:
    with changed(folder / data.draw(st.sampled_from(FILES)), data.draw(CHANGES)):
        tokenized(folder)
