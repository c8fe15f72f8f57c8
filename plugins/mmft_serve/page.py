"""The page on which a person tries a model: it holds all it needs and asks this server alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from mmft_report.page import policy
from mmft_report.templating import asset, render
from mmft_report.wording import encodable

if TYPE_CHECKING:
    from mmft_serve.schema import Card

HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def render_page(card: Card) -> str:
    """The page as a string. It learns what there is to fill in from `GET /model`."""
    kind = "serve" if card.chat is None else "chat"
    script = asset("mmft_serve/asking.js") + asset(f"mmft_serve/{kind}.js")
    sheets = dict.fromkeys(("serve", kind))
    html = render(
        f"mmft_serve/{kind}.html.j2",
        card=card,
        layout=Markup("").join(asset(f"mmft_serve/{sheet}.css") for sheet in sheets),
        script=script,
        policy=policy(script, media="data: blob:", connect="'self'"),
    )
    return encodable(html)
