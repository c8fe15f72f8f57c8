"""Documentation strings of installed packages, read from their sources without importing them."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TESTS = re.compile(r"(^|/)(tests?|_?vendor(ed)?|externals?|extern|conftest)(/|\.py$|_)")
_WORDS = re.compile(r"\w+")
_NAME_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SHINGLE, _KEPT = 6, 4
_SHARED = 0.5


@dataclass(frozen=True, slots=True)
class Docstring:
    """One documentation string.

    Attributes:
        module: its file, relative to where packages are installed.
        id: "torch/nn/modules/linear.py:53 Linear".
        heading: the name of what it documents, in words: "linear regression fit".
        summary: the first paragraph, if it is one sentence on a line or two (PEP 257); or "".
        body: what follows it, or everything if there is no such summary.
    """

    package: str
    module: str
    id: str
    heading: str
    summary: str
    body: str


def package_folder(package: str) -> Path | None:
    """Where a package is installed; None if it is not."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def docstrings(package: str, folder: Path, most: int, known: Shingles) -> Iterator[Docstring]:
    """Yield documentation strings that are prose and unlike any that was yielded before.

    Modules are taken in an order that follows from their names alone, but is none that their
    subject would follow.

    Args:
        most: so many at most; no more files are parsed than that takes.
        known: what was yielded before.
    """
    files = [file for file in folder.rglob("*.py") if not _TESTS.search(_name(file, folder))]
    files.sort(key=lambda file: hashlib.sha256(_name(file, folder).encode()).digest())
    found = 0
    for file in files:
        for doc in _of_file(package, file, folder):
            if known.is_new(doc.body):
                yield doc
                found += 1
                if found == most:
                    return


class Shingles:
    """Tells near duplicates: texts half of whose runs of words were seen before (Broder, 1997)."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def is_new(self, text: str) -> bool:
        """Whether a text is unlike all before it; if it is, it counts as seen."""
        words = _WORDS.findall(text.lower())
        runs = [" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1))]
        hashes = {_hash(run) for run in runs}
        # A quarter of the runs, always the same ones, tells nearly as much as all of them.
        kept = {h for h in hashes if h % _KEPT == 0} or hashes
        if len(kept & self._seen) > _SHARED * len(kept):
            return False
        self._seen |= kept
        return True


def _of_file(package: str, file: Path, folder: Path) -> Iterator[Docstring]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of others' invalid escapes.
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # Templates, or sources of another Python.
        return
    module = _name(file, folder)
    for name, node in _documented(tree):
        text = ast.get_docstring(node)
        if text is None:
            continue
        summary, body = split_docstring(text)
        if _is_prose(body):
            where = f"{module}:{getattr(node, 'lineno', 1)} {name}".rstrip()
            yield Docstring(package, module, where, _heading(name or file.stem), summary, body)


def _documented(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Everything that may have a documentation string, with its dotted name."""
    if isinstance(tree, ast.Module):
        yield "", tree
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{node.name}"
            yield name, node
            if isinstance(node, ast.ClassDef):
                yield from _documented(node, f"{name}.")


def split_docstring(text: str) -> tuple[str, str]:
    """Split a documentation string into its one-line summary and its body."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text).strip(), maxsplit=1)
    if len(paragraphs) == 1:
        return "", paragraphs[0]
    summary, body = " ".join(paragraphs[0].split()), paragraphs[1].strip()
    is_line = 4 <= len(summary.split()) <= 30 and paragraphs[0].count("\n") <= 1
    if not is_line or not re.search(r"[.!?]$", summary) or re.search(r"[.!?] ", summary[:-1]):
        return "", f"{paragraphs[0]}\n\n{body}"
    return summary, body


def _heading(name: str) -> str:
    """The words of a dotted name, whose parts begin with capitals or stand between underscores."""
    return " ".join(_NAME_WORDS.findall(name)).lower()


def _is_prose(body: str) -> bool:
    """Whether a text is long enough, and mostly words."""
    letters = sum(c.isalpha() or c.isspace() for c in body)
    return len(body.split()) >= 15 and letters >= 0.7 * len(body)


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder.parent).as_posix()


def _hash(run: str) -> int:
    return int.from_bytes(hashlib.blake2b(run.encode(), digest_size=8).digest())
