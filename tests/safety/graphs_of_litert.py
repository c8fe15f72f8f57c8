"""LiteRT's graphs, made without its converter by the classes of the file's own schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_TYPES = {"float32": 0, "int32": 2, "int64": 4, "bool": 6}


def graph(
    inputs: Mapping[str, tuple[str, Sequence[int]]],
    outputs: Mapping[str, np.ndarray[Any, Any]],
    custom: str | None = None,
    elsewhere: str | None = None,
) -> bytes:
    """A graph whose outputs are constants.

    Args:
        inputs: by name the type and the shape, none of which are used.
        outputs: by name what it is, float32.
        custom: the name of an operator that is none of LiteRT's, which makes the first output.
        elsewhere: a file that the first output's value is to be read from.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, whole = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, b"a graph"
    model.buffers, model.metadata = [schema.BufferT()], []
    whole.tensors, whole.name = [], b"main"
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0

    def tensor(name: str, kind: str, shape: Sequence[int], content: bytes = b"") -> Any:
        own = schema.TensorT()
        own.name, own.type, own.shape = name.encode(), _TYPES[kind], list(shape)
        own.buffer = 0
        if content:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            own.buffer = len(model.buffers)
            model.buffers.append(buffer)
        whole.tensors.append(own)
        named = schema.TensorMapT()
        named.name, named.tensorIndex = name.encode(), len(whole.tensors) - 1
        return named

    signature.inputs = [tensor(name, *told) for name, told in inputs.items()]
    constants = [
        tensor(f"{name}_value", "float32", value.shape, value.astype("<f4").tobytes())
        for name, value in outputs.items()
    ]
    if elsewhere is not None:
        group, part = schema.ExternalBufferGroupT(), schema.ExternalBufferT()
        group.name, part.id = elsewhere.encode(), 1
        part.length = 4 * int(np.prod(next(iter(outputs.values())).shape))
        model.externalBufferGroups, model.externalBuffers = [group], [part]
        held = whole.tensors[constants[0].tensorIndex]
        held.externalBuffer, held.buffer = 1, 0
    signature.outputs = [tensor(name, "float32", value.shape) for name, value in outputs.items()]
    whole.inputs = [own.tensorIndex for own in signature.inputs]
    whole.outputs = [own.tensorIndex for own in signature.outputs]
    codes, whole.operators = [], []
    for number, (constant, output) in enumerate(zip(constants, signature.outputs, strict=True)):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        if custom and not number:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
            code.customCode = custom.encode()
        else:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ABS
        code.version = 1
        codes.append(code)
        operator.opcodeIndex = number
        operator.inputs, operator.outputs = [constant.tensorIndex], [output.tensorIndex]
        whole.operators.append(operator)
    model.operatorCodes, model.subgraphs, model.signatureDefs = codes, [whole], [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
