"""From an HTTP request to what it holds of each modality: a form or a JSON object."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from mmft_core.contracts import Processor
from mmft_core.serve.inputs import Given, Upload, Value
from mmft_core.serve.refused import RefusedError

_LONGEST_FIELD = 4 * 1024 * 1024
"""Bytes of a form's text; files have no limit of their own."""
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


async def read_given(request: Request, processors: Mapping[str, Processor]) -> Given:
    """Read a request's body. Its files are there until the request is closed.

    Raises:
        RefusedError: it is neither a form nor a JSON object, or damaged.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in FORMS:
        most = len(processors) + 1
        form = await request.form(max_files=most, max_fields=most, max_part_size=_LONGEST_FIELD)
        return _of_form(form, processors)
    if kind == "application/json":
        return _of_json(await request.body(), processors)
    raise RefusedError(415, f"Send {FORMS[0]}, with a part for each input, or application/json.")


def _of_form(form: FormData, processors: Mapping[str, Processor]) -> Given:
    names = [name for name, _ in form.multi_items()]
    _check_names(names, processors)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RefusedError(422, f"The request holds '{twice}' twice; ask once for each.")
    return {name: _part(value) for name, value in form.items()}


def _part(value: str | UploadFile) -> Value:
    return value if isinstance(value, str) else Upload(value.filename or "", value.file)


def _of_json(body: bytes, processors: Mapping[str, Processor]) -> Given:
    try:
        content = json.loads(body)
    except RecursionError:
        raise RefusedError(400, "The JSON of the request is nested too deeply.") from None
    except ValueError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise RefusedError(400, f"The request is not valid JSON: {reason}.") from None
    if not isinstance(content, dict):
        raise RefusedError(422, 'The request is no JSON object, as {"text": "..."}.')
    _check_names(list(content), processors)
    return {m: _value(m, processors[m], v) for m, v in content.items() if v is not None}


def _value(modality: str, processor: Processor, value: Any) -> Value:
    """Text and rows as they are; files in base64, as {"base64": ...} or, without texts, alone."""
    if isinstance(value, Mapping) and (processor.fields() or list(value) != ["base64"]):
        return value
    if isinstance(value, Mapping):
        value, encoded = value["base64"], True
    else:
        encoded = isinstance(value, str) and processor.parse(value) is None
    if not isinstance(value, str):
        raise RefusedError(422, f"The {modality} is neither a text nor an object.")
    if not encoded or not processor.suffixes:
        return value
    try:
        return Upload("", io.BytesIO(base64.b64decode(value, validate=True)))
    except (binascii.Error, ValueError) as error:
        raise RefusedError(422, f"The {modality} is not valid base64: {error}.") from None


def _check_names(names: list[str], processors: Mapping[str, Processor]) -> None:
    for name in names:
        if name not in processors:
            known = ", ".join(processors)
            raise RefusedError(422, f"The model reads no '{name[:100]}'; it reads {known}.")
