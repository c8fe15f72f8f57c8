"""From the body of an HTTP request to what it holds of each modality: a form or a JSON object.

All of this is for a thread of its own: whatever takes long here must not stop the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from mmft_core.contracts import Processor
from mmft_serve.inputs import Given, Upload, Value
from mmft_serve.json_limits import check_json
from mmft_serve.refused import RefusedError
from mmft_serve.settings import ServeSettings

_LONGEST_FIELD = 4 * 1024 * 1024
"""Bytes of a form's text; files have no limit of their own."""
_BASE64_STEP = 1024 * 1024
"""Characters that are decoded without a break; a multiple of 4."""
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def media_type(headers: Headers) -> str:
    """The type of a request's body.

    Raises:
        RefusedError: it is neither a form nor JSON.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*FORMS, "application/json"):
        sentence = f"Send {FORMS[0]}, with a part for each input, or application/json."
        raise RefusedError(415, sentence)
    return kind


@dataclass(frozen=True)
class BodyParser:
    """Parses bodies of requests, within limits."""

    processors: Mapping[str, Processor]
    settings: ServeSettings

    def parse(self, headers: Headers, body: bytearray) -> Given:
        """Parse a body.

        Raises:
            RefusedError: it is neither a form nor a JSON object, damaged, or too much.
        """
        if media_type(headers) in FORMS:
            return _of_form(_read_form(headers, body, len(self.processors) + 1), self.processors)
        text = _decode(body)
        self.check_json(body)
        return _of_json(text, self.processors)

    def form(self, headers: Headers, body: bytearray) -> dict[str, Value]:
        """The parts of a form, whatever their names.

        Raises:
            RefusedError: it is not a form, or holds too much.
        """
        if media_type(headers) not in FORMS:
            raise RefusedError(415, f"Send {FORMS[0]}.")
        return {name: _part(value) for name, value in _read_form(headers, body, 16).items()}

    def object(self, body: bytearray) -> dict[str, Any]:
        """The JSON object that a body holds, whatever its keys.

        Raises:
            RefusedError: it holds none, or too much.
        """
        text = _decode(body)
        self.check_json(body)
        return parsed_object(text)

    def check_json(self, body: bytearray) -> None:
        """Check JSON, or the part of it that has arrived, without parsing it.

        Raises:
            RefusedError: it is nested too deeply, or holds too much.
        """
        check_json(body, self.settings.max_json_depth, self.settings.max_json_items)


def _read_form(headers: Headers, body: bytearray, most: int) -> FormData:
    async def stream() -> AsyncGenerator[bytes, None]:
        step = 64 * 1024
        for start in range(0, len(body), step):
            yield bytes(body[start : start + step])

    parser: FormParser | MultiPartParser
    if media_type(headers) == FORMS[0]:
        parser = MultiPartParser(
            headers, stream(), max_files=most, max_fields=most, max_part_size=_LONGEST_FIELD
        )
        # The body is in memory already, so no file of its own is needed for a part.
        parser.spool_max_size = len(body) + 1
    else:
        parser = FormParser(headers, stream(), max_fields=most, max_part_size=_LONGEST_FIELD)
    try:
        return asyncio.run(parser.parse())
    except MultiPartException as error:
        raise RefusedError(400, f"{error.message.rstrip('.')}.") from None


def _of_form(form: FormData, processors: Mapping[str, Processor]) -> Given:
    names = [name for name, _ in form.multi_items()]
    _check_names(names, processors)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RefusedError(422, f"The request holds '{twice}' twice; send each input once.")
    return {name: _part(value) for name, value in form.items()}


def _part(value: str | UploadFile) -> Value:
    return value if isinstance(value, str) else Upload(value.filename or "", value.file)


def _decode(body: bytearray) -> str:
    """The text of a JSON body: UTF-8, as RFC 8259 demands.

    `json.loads` would read bytes of UTF-16 and UTF-32 as well, which `check_json` cannot count.
    """
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"The request is not valid JSON: it is not UTF-8 at byte {error.start:,}."
        raise RefusedError(400, message) from None


def _of_json(text: str, processors: Mapping[str, Processor]) -> Given:
    content = parsed_object(text)
    _check_names(list(content), processors)
    return {m: _value(m, processors[m], v) for m, v in content.items() if v is not None}


def parsed_object(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        RefusedError: it is something else.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise RefusedError(422, "The JSON of the request is nested too deeply.") from None
    except ValueError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise RefusedError(400, f"The request is not valid JSON: {reason}.") from None
    if not isinstance(content, dict):
        raise RefusedError(422, 'The request must be a JSON object, such as {"text": "..."}.')
    return content


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
        return Upload("", io.BytesIO(_decode_base64(value)))
    except (binascii.Error, ValueError) as error:
        raise RefusedError(422, f"The {modality} is not valid base64: {error}.") from None


def _decode_base64(text: str) -> bytes:
    """Decode in steps, between which other threads run.

    Raises:
        ValueError: it is no base64.
    """
    if "=" in text[:-2]:
        raise ValueError("there is padding before its end")
    steps = range(0, len(text), _BASE64_STEP)
    return b"".join(base64.b64decode(text[s : s + _BASE64_STEP], validate=True) for s in steps)


def _check_names(names: list[str], processors: Mapping[str, Processor]) -> None:
    for name in names:
        if name not in processors:
            known = ", ".join(processors)
            raise RefusedError(422, f"The model reads no '{name[:100]}'; it reads {known}.")
