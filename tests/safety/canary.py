"""Code that must never run: it leaves a mark when it is imported, called or unpickled."""

from __future__ import annotations

from pathlib import Path

NAME = "stranger_code"
"""A module that can be imported, so that naming it would be enough."""


def write_canary(folder: Path, mark: Path, *names: str) -> None:
    """Write modules that touch `mark`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (
        f"open({str(mark)!r}, 'w').close()\n"
        "from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast\n"
        "class Config(PreTrainedConfig): pass\n"
        "class Model(PreTrainedModel): pass\n"
        "class Tokenizer(PreTrainedTokenizerFast): pass\n"
    )
    for name in names or (NAME,):
        (folder / f"{name}.py").write_text(text)
