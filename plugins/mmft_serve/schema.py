"""What is asked and answered, typed: for programs, and for the page.

A field that does not apply to a model stays unset, and unset fields are left out of the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

import mmft_core
from mmft_core.contracts import Processor
from mmft_core.inference import Predictor
from mmft_serve.chatting import Chatting
from mmft_serve.settings import ServeSettings

if TYPE_CHECKING:
    from mmft_search.searching import Searcher

_TEXT = "a text"


class Input(BaseModel):
    """What the model reads of one modality."""

    modality: str
    backbone: str
    files: list[str] = Field(description="Suffixes of the files that it reads; empty for none.")
    text: bool = Field(description="Whether it accepts typed text.")
    fields: dict[str, list[str] | None] = Field(
        description="For a row: the categories of each column, or null for numbers."
    )


class Limits(BaseModel):
    """What is more than that is refused."""

    bytes: int
    seconds_to_answer: float
    queue: int
    extents: dict[str, float] = Field(description="Limits of an input, by unit.")


class Library(BaseModel):
    """The index whose items are found."""

    modality: str
    items: int


class Card(BaseModel):
    """What is served."""

    name: str
    task: str
    predicts: str
    classes: list[str]
    inputs: list[Input]
    partial: bool = Field(description="Whether one of several inputs is enough.")
    chat: list[str] | SkipJsonSchema[None] = Field(
        default=None,
        description="What it sees or hears beside text, such as image, if it answers chats.",
    )
    library: Library | SkipJsonSchema[None] = Field(
        default=None, description="The run's index, if it has one."
    )
    limits: Limits
    top_k: int
    mmft: str


class Neighbour(BaseModel):
    """An item of the index."""

    id: str
    score: float = Field(description="Cosine similarity.")
    preview: str = Field(description="Path of a picture, a recording or a text that shows it.")


class Answer(BaseModel):
    """What the model says."""

    prediction: dict[str, Any] = Field(description="The record that `mmft predict` writes.")
    neighbours: list[Neighbour] | SkipJsonSchema[None] = Field(
        default=None, description="The most similar items, if the run has an index."
    )
    shown: dict[str, str] | SkipJsonSchema[None] = Field(
        default=None,
        description="The prediction drawn onto the input, as a data URL by modality, if the "
        "request asks for it and the task can draw.",
    )


class Failure(BaseModel):
    """Why a request is refused."""

    error: str = Field(description="One sentence.")


class State(BaseModel):
    """How the server is."""

    status: str


def card(
    name: str, predictor: Predictor, settings: ServeSettings, searcher: Searcher | None
) -> Card:
    """Describe what is served."""
    model, spec = predictor.model, predictor.model.component.spec
    components = [part.component for part in model.parts.values()]
    backbones = {m: c.qualified for c in components for m in c.spec.modality_names}
    own: dict[str, Any] = {}
    if isinstance(model.task, Chatting):
        own["chat"] = list(model.task.chat_media)
    if searcher is not None:
        own["library"] = _library(searcher)
    return Card(
        **own,
        name=name,
        task=model.component.name,
        predicts=spec.predicts,
        classes=list(model.info.classes),
        inputs=[
            _input(modality, processor, backbones.get(modality, ""))
            for modality, processor in model.processors.items()
        ],
        partial=predictor.takes_some,
        limits=Limits(
            bytes=settings.max_bytes,
            seconds_to_answer=settings.timeout,
            queue=settings.queue,
            extents=dict(settings.extents),
        ),
        top_k=settings.top_k,
        mmft=mmft_core.__version__,
    )


def _library(searcher: Searcher) -> Library:
    return Library(modality=searcher.index.identity.modality, items=len(searcher.index))


def _input(modality: str, processor: Processor, backbone: str) -> Input:
    fields = {n: None if c is None else list(c) for n, c in processor.fields().items()}
    typed = not fields and processor.parse(_TEXT) is not None
    return Input(
        modality=modality,
        backbone=backbone.rpartition("/")[2],
        files=list(processor.suffixes),
        text=typed,
        fields=fields,
    )


def request_body(inputs: list[Input], partial: bool) -> Mapping[str, Any]:
    """What OpenAPI says of a request."""
    required = [] if partial else [each.modality for each in inputs]

    def content(parts: Mapping[str, Any]) -> Mapping[str, Any]:
        schema = {"type": "object", "properties": parts, "additionalProperties": False}
        return {"schema": schema | ({"required": required} if required else {"minProperties": 1})}

    return {
        "required": True,
        "content": {
            "multipart/form-data": content({i.modality: _form_part(i) for i in inputs}),
            "application/json": content({i.modality: _json_part(i) for i in inputs}),
        },
    }


def _form_part(described: Input) -> Mapping[str, Any]:
    if described.fields:
        text = "A JSON object: a cell for each column."
        return {"type": "string", "contentMediaType": "application/json", "description": text}
    if described.text:
        return {"type": "string", "description": "A text, or a file of one."}
    return {
        "type": "string",
        "format": "binary",
        "description": f"A file: {', '.join(described.files)}.",
    }


def _json_part(described: Input) -> Mapping[str, Any]:
    if described.fields:
        cells = {name: _cell(categories) for name, categories in described.fields.items()}
        return {"type": "object", "properties": cells, "additionalProperties": False}
    if described.text:
        return {"type": "string"}
    return {
        "type": "string",
        "contentEncoding": "base64",
        "description": f"The content of a file: {', '.join(described.files)}.",
    }


def _cell(categories: list[str] | None) -> Mapping[str, Any]:
    if categories is None:
        return {"type": ["number", "null"]}
    # Others count as unknown, as rare ones did in training.
    return {"type": ["string", "null"], "examples": categories[:20]}
