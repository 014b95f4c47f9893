"""The OpenAPI document as a page, at `/docs`: made here, so that it needs no script, no network and no CDN."""

from __future__ import annotations

from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from asr.serving.api_document import api_document
from asr.serving.service import service_of

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


async def show(request: Request) -> Response:
    """`GET /docs`."""
    service = service_of(request)
    base = str(request.base_url).rstrip("/")
    page = api_page(api_document(service), base=base, model=service.model, has_keys=bool(service.keys))
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


def api_page(document: dict[str, Any], *, base: str, model: str, has_keys: bool) -> str:
    """The page of a document.

    Parameters
    ----------
    document : dict
    base : str
        The address of the server, for the examples.
    model : str
    has_keys : bool
        Whether requests need a key.
    """
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post")
    ]
    content: str = _template().render(
        document=document, operations=operations, base=base, model=model, has_keys=has_keys
    )
    return content


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("asr.serving"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("docs.html.j2")
