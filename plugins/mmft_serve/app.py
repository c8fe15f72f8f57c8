"""The HTTP interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response

from mmft_core.contracts import data_url
from mmft_core.inference import Predictor
from mmft_core.utils import printable
from mmft_serve import openai, schema
from mmft_serve.exchange import Exchanges
from mmft_serve.gates import KeyGate, SizeGate
from mmft_serve.inputs import Inputs
from mmft_serve.metrics import Metrics
from mmft_serve.model import Compute, ServedModel
from mmft_serve.page import HEADERS, render_page
from mmft_serve.refused import RefusedError
from mmft_serve.service import Service
from mmft_serve.settings import ServeSettings

if TYPE_CHECKING:
    from mmft_search.searching import Searcher
    from mmft_search.store import Hit

_OPEN = ("/", "/health", "/ready", "/openapi.json")
"""Paths that need no key: they tell nothing of anybody's data."""
_PATHS = (*_OPEN, "/predict", "/model", "/metrics", *openai.PATHS)
_REFUSALS = {
    status: {"model": schema.Failure}
    for status in (400, 401, 408, 413, 415, 422, 429, 500, 503, 504)
}


_KEY = Security(HTTPBearer(auto_error=False))
"""Tells clients of the key, by OpenAPI; the gate asks for it before anything is read."""


def create_app(
    name: str,
    predictor: Predictor,
    settings: ServeSettings,
    searcher: Searcher | None = None,
    compute: Compute | None = None,
    models: openai.Models | None = None,
) -> FastAPI:
    """Make the application that serves a model.

    Args:
        name: of the run.
        searcher: of its index, if it has one.
        compute: in place of the predictor's network.
        models: the names under which OpenAI's clients may ask; the run's alone by default.
    """
    metrics = Metrics(_PATHS)
    processors, partial = predictor.model.processors, predictor.takes_some
    inputs = Inputs(processors, partial, settings)
    served = models or openai.Models({name: lambda: None})
    own = served.around(compute or predictor.compute)
    model = ServedModel(predictor, settings.top_k, searcher, own)
    service = Service(model, inputs, settings, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        # In a thread, so that those whose time is up are still told so.
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title=f"{name} · mmft",
        docs_url=None,  # FastAPI's pages fetch their scripts from elsewhere.
        redoc_url=None,
        lifespan=lifespan,
        middleware=[
            Middleware(Exchanges, metrics=metrics),
            Middleware(KeyGate, key=settings.api_key, open_paths=_OPEN),
            Middleware(SizeGate, most=settings.max_bytes),
        ],
    )
    app.state.metrics, app.state.draining = metrics, False
    card = schema.card(name, predictor, settings, searcher)
    keyed = APIRouter(dependencies=[] if settings.api_key is None else [_KEY])
    _add_predicting(keyed, service, card)
    _add_telling(keyed, card, metrics)
    openai.add_routes(keyed, service, predictor, served)
    if searcher is not None:
        _add_previews(keyed, searcher)
    app.include_router(keyed)
    _add_open(app, service, card)
    _add_failures(app)
    return app


def _add_predicting(keyed: APIRouter, service: Service, card: schema.Card) -> None:
    body = schema.request_body(card.inputs, card.partial)

    @keyed.post(
        "/predict",
        responses=_REFUSALS,  # type: ignore[arg-type]
        openapi_extra={"requestBody": body},
        response_model_exclude_unset=True,
    )
    async def predict(request: Request, show: bool = False) -> schema.Answer:
        """Predict one input; with show=true, also draw the prediction."""
        reply = await service.predict(request, show=show)
        answer = schema.Answer(prediction=reply.record)
        if reply.hits is not None:
            answer.neighbours = [_neighbour(hit) for hit in reply.hits]
        if reply.shown:
            answer.shown = {modality: data_url(view) for modality, view in reply.shown.items()}
        return answer


def _neighbour(hit: Hit) -> schema.Neighbour:
    return schema.Neighbour(
        id=printable(hit.id), score=round(hit.score, 6), preview=f"/items/{hit.key}"
    )


def _add_telling(keyed: APIRouter, card: schema.Card, metrics: Metrics) -> None:
    @keyed.get("/model", response_model_exclude_unset=True)
    async def model() -> schema.Card:
        """What is served, and within which limits."""
        return card

    @keyed.get("/metrics", response_class=Response)
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_open(app: FastAPI, service: Service, card: schema.Card) -> None:
    page = render_page(card)

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers=HEADERS)

    @app.get("/health")
    async def health() -> schema.State:
        """Whether the process is alive."""
        return schema.State(status="ok")

    @app.get("/ready", responses={503: {"model": schema.Failure}})
    async def ready() -> schema.State:
        """Whether new requests should be sent here; false after the first shutdown signal."""
        if app.state.draining:
            raise RefusedError(503, "The server is shutting down.", {"Retry-After": "5"})
        service.admission.check_open()
        return schema.State(status="ready")


def _add_previews(keyed: APIRouter, searcher: Searcher) -> None:
    @keyed.get("/items/{key}", response_class=Response)
    def item(key: str) -> Response:
        """Show an item of the index."""
        preview = searcher.preview(key)
        if preview is None:
            raise RefusedError(404, "This item has no preview.")
        return Response(preview.data, media_type=preview.mime)


def _add_failures(app: FastAPI) -> None:
    """Answer whatever goes wrong with one sentence, in one form."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, refusal: RefusedError) -> Response:
        return refusal.response(request.url.path)

    @app.exception_handler(RequestValidationError)
    async def mistyped(request: Request, error: RequestValidationError) -> Response:
        # Bodies are checked elsewhere, so of all that is typed there is only this.
        return RefusedError(422, "'show' must be true or false.").response(request.url.path)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        sentence = f"{str(error.detail).rstrip('.')}."
        refusal = RefusedError(error.status_code, sentence, error.headers)
        return refusal.response(request.url.path)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return RefusedError(400, "The request was aborted.").response(request.url.path)
