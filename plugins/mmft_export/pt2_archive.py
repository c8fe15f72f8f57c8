"""Reading torch.export's archives (.pt2) from strangers: data and known operators, nothing else.

`torch.export.load` may unpickle (example inputs, constants, weights marked as pickled), load shared
libraries, evaluate strings as Python (sizes, guards), and call whatever a graph names, such as
`torch.os.system`. So torch is given a copy that holds only what was checked here: raw tensors, and
a graph of operators that compute. What computing does not need (example inputs, guards, traces) is
emptied.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

_MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
    r"|models/model\.json"
    r"|data/weights/(model_weights_config\.json|weight_\d+)"
    r"|data/constants/(model_constants_config\.json|tensor_\d+)"
    r"|data/sample_inputs/model\.pt"
)
"""All that an archive of one program consists of, below its root folder."""

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|torchvision|quantized_decomposed)\.\w+\.\w+"
    r"|torch\.ops\.higher_order\.(cond|map_impl|scan|while_loop|wrap_with_set_grad_enabled"
    r"|wrap_with_autocast)"
    r"|torch\._?sym_\w+"
    r"|math\.(ceil|floor|sqrt|trunc|pow|log2?|exp)"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge"
    r"|and_|or_|xor|not_|lshift|rshift)"
)
_OF_FILES = re.compile(r"torch\.ops\.aten\.(from_file|save|load)\w*\.")
"""Of torch's own operators, those that read or write files."""

_NAME = re.compile(r"[\w.+\-]*")  # A weight may belong to the backbone "image+text".
_SYMBOL = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"[-+]?[\w.]+")
_FUNCTIONS = {
    *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min"),
    *(
        "Eq",
        "Ne",
        "Lt",
        "Le",
        "Gt",
        "Ge",
        "Equality",
        "Unequality",
        "And",
        "Or",
        "Not",
        "Piecewise",
    ),
    *("StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "floor", "ceiling"),
    "Piecewise",
    *("FloorDiv", "CeilDiv", "CleanDiv", "ModularIndexing", "PythonMod", "Where", "PowByNatural"),
    *("FloatPow", "IntTrueDiv", "FloatTrueDiv", "ToFloat", "TruncToInt", "TruncToFloat"),
    *("CeilToInt", "FloorToInt", "RoundToInt", "RoundDecimal", "LShift", "RShift", "Identity"),
    *("BitwiseFn_bitwise_and", "BitwiseFn_bitwise_or", "true", "false"),
}
"""Of sympy and torch.utils._sympy, what the sizes of a graph are made of."""

_CONTAINERS = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None}


class UnsafeArchiveError(ValueError):
    """An archive holds something that might be executed, or that this reader does not know."""


def checked_copy(file: Path) -> io.BytesIO:
    """A copy of an archive of one program, of data and known operators alone.

    Raises:
        UnsafeArchiveError: there is more in it; says what.
        OSError, ValueError, zipfile.BadZipFile: it is no such archive.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copy, "w") as kept:
        seen = set()
        for member in archive.infolist():
            _, _, name = member.filename.partition("/")
            if not _MEMBERS.fullmatch(name) or name in seen:
                raise UnsafeArchiveError(f"it holds '{member.filename[:80]}'")
            if member.compress_type != zipfile.ZIP_STORED:
                raise UnsafeArchiveError(f"'{name}' is compressed")
            seen.add(name)
            content = _CHECKS.get(name, _as_it_is)(archive.read(member))
            kept.writestr(zipfile.ZipInfo(f"model/{name}"), content)
    copy.seek(0)
    return copy


def without_traces(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """A program that does not tell where the code that it was traced from lies."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
                    node.meta.pop(key, None)
    return program


def _as_it_is(content: bytes) -> bytes:
    return content


def _nothing(content: bytes) -> bytes:
    return b""


def _check_payload(content: bytes) -> bytes:
    """Check that tensors are raw bytes, none of them a pickle or another object."""
    for name, entry in json.loads(content)["config"].items():
        if entry["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise UnsafeArchiveError(f"tensor '{name[:80]}' is an object of Python's")
        if entry.get("tensor_meta") is None:
            raise UnsafeArchiveError(f"tensor '{name[:80]}' has no description")
    return content


def _check_program(content: bytes) -> bytes:
    """Check a program, and leave out what is not needed for computing it."""
    program = json.loads(content)
    program["guards_code"] = []
    module = program["graph_module"]
    module["metadata"], module["treespec_namedtuple_fields"] = {}, {}
    for node in _nodes(module):
        node["metadata"] = {}
        _check_operator(node["target"])
    _check_strings(program, "")
    return json.dumps(program).encode()


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """The nodes of a graph and of the graphs in it."""
    if isinstance(value, dict):
        yield from value.get("nodes") or ()
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _check_strings(value: Any, key: str) -> None:
    """Check every string: torch makes code of some, and looks others up."""
    if isinstance(value, dict):
        for name, part in value.items():
            if not _NAME.fullmatch(name):
                raise UnsafeArchiveError(f"it has the name '{name[:80]}'")
            _check_strings(part, name)
    elif isinstance(value, list):
        for part in value:
            _check_strings(part, key)
    elif isinstance(value, str):
        _STRINGS.get(key, _check_name)(value)


def _check_name(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise UnsafeArchiveError(f"it has the name '{text[:80]}'")


def _check_operator(text: str) -> None:
    if _OF_FILES.match(text) or not _OPERATOR.fullmatch(text):
        raise UnsafeArchiveError(f"its graph calls '{text[:80]}'")


def _check_containers(text: str) -> None:
    """Check how inputs or outputs are nested."""
    _, spec = json.loads(text)
    pending = [spec]
    while pending:
        part = pending.pop()
        context = json.loads(part["context"] or "null")
        named = isinstance(context, list) and all(isinstance(c, str | int) for c in context)
        if part["type"] not in _CONTAINERS or not (context is None or named):
            raise UnsafeArchiveError(f"its inputs or outputs hold a '{str(part['type'])[:80]}'")
        pending += part["children_spec"]


def _check_size(text: str) -> None:
    """Check an expression of sizes, which sympy evaluates as Python."""
    if len(text) > 10_000:
        raise UnsafeArchiveError("a size is an expression of more than 10,000 characters")
    try:
        sound = _is_of_sizes(ast.parse(text, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        sound = False
    if not sound:
        raise UnsafeArchiveError(f"a size is '{text[:80]}'")


def _is_of_sizes(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return True
        case ast.Name(id=name):
            return name in _FUNCTIONS or re.fullmatch(r"[a-z]+_?\d+|True|False", name) is not None
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(text)), *others]):
            pattern = {"Symbol": _SYMBOL, "Float": _NUMBER, "Integer": _NUMBER}.get(name)
            sound = pattern is not None and pattern.fullmatch(text) is not None
            return sound and not others and all(_is_of_sizes(k.value) for k in node.keywords)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            values = [*arguments, *(k.value for k in node.keywords)]
            return name in _FUNCTIONS and all(map(_is_of_sizes, values))
        case ast.BinOp(left=left, right=right):
            return _is_of_sizes(left) and _is_of_sizes(right)
        case ast.UnaryOp(operand=operand):
            return _is_of_sizes(operand)
        case ast.Compare(left=left, comparators=others):
            return all(map(_is_of_sizes, [left, *others]))
        case ast.BoolOp(values=values) | ast.Tuple(elts=values):
            return all(map(_is_of_sizes, values))
    return False


_CHECKS: Mapping[str, Callable[[bytes], bytes]] = {
    "models/model.json": _check_program,
    "data/weights/model_weights_config.json": _check_payload,
    "data/constants/model_constants_config.json": _check_payload,
    "data/sample_inputs/model.pt": _nothing,
}
_STRINGS: Mapping[str, Callable[[str], None]] = {
    "as_operator": _check_operator,
    "as_string": lambda text: None,  # An argument: passed on, not looked up.
    "as_strings": lambda text: None,
    "expr_str": _check_size,
    "in_spec": _check_containers,
    "out_spec": _check_containers,
    "torch_version": lambda text: None,
}
