"""An OpenAPI 3.1 document of what was recorded: the endpoints, and what they took and gave."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from keploy_framework.generate.schema import Seen
from keploy_framework.generate.shapes import json_body, media_type, path_template, query_names
from keploy_framework.model import header_value
from keploy_framework.storage.names import descriptive_base

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keploy_framework.model import Exchange, Headers, Request

__all__ = ("openapi_document",)

_METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"})
_SCHEMES: Final[dict[str, dict[str, Any]]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
}
_KEYS: Final = ("x-api-key", "api-key")
_LOWEST: Final = 100
_HIGHEST: Final = 599
_BYTES: Final = "application/octet-stream"
_FORM: Final = "application/x-www-form-urlencoded"


def openapi_document(
    exchanges: Iterable[Exchange], *, title: str = "Recorded API", version: str = "1.0.0"
) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document that describes all of the exchanges.

    It says what was seen: a field is required if each answer had it, a parameter if each request
    had it. Ids in paths become parameters. Exchanges of methods that OpenAPI does not know, and
    those without an answer, are left out.

    Args:
        exchanges: What was recorded, redacted.
        title: The title of the API.
        version: Its version.

    Example:
        >>> from keploy_framework.model import Direction, Exchange, Request, Response
        >>> asked = Request("GET", "http://h/users/7?full=1")
        >>> document = openapi_document(
        ...     [Exchange("1", Direction.INBOUND, asked, Response(404), 0, 0)]
        ... )
        >>> list(document["paths"]), list(document["paths"]["/users/{id}"]["get"]["responses"])
        (['/users/{id}'], ['404'])
    """
    grouped: dict[str, dict[str, list[Exchange]]] = {}
    servers: dict[str, None] = {}
    for exchange in exchanges:
        request = exchange.request
        if exchange.response is None or request.method not in _METHODS:
            continue
        if not _LOWEST <= exchange.response.status <= _HIGHEST:
            continue
        grouped.setdefault(path_template(request.url), {}).setdefault(request.method, []).append(
            exchange
        )
        scheme, _, rest = request.url.partition("://")
        servers.setdefault(f"{scheme}://{rest.partition('/')[0].partition('?')[0]}")
    ids: dict[str, int] = {}
    schemes: dict[str, dict[str, Any]] = {}
    paths: dict[str, Any] = {}
    for path, methods in sorted(grouped.items()):
        paths[path] = {
            method.lower(): _operation(path, members, ids, schemes)
            for method, members in methods.items()
        }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
    }
    known = [server for server in servers if "[redacted" not in server]
    if known:
        document["servers"] = [{"url": server} for server in known]
    if schemes:
        document["components"] = {"securitySchemes": schemes}
    return document


def _operation(
    path: str,
    members: Sequence[Exchange],
    ids: dict[str, int],
    schemes: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    first = members[0].request
    name = descriptive_base(first.method, first.url)
    ids[name] = ids.get(name, 0) + 1
    made: dict[str, Any] = {"operationId": name if ids[name] == 1 else f"{name}-{ids[name]}"}
    parameters = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in path.split("/")
        if part.startswith("{") and part.endswith("}")
    ]
    parameters += _query(members)
    if parameters:
        made["parameters"] = parameters
    if body := _content([(one.request.headers, one.request.body) for one in members]):
        always = all(one.request.body for one in members)
        made["requestBody"] = {"content": body, **({"required": True} if always else {})}
    made["responses"] = _responses(members)
    if security := _security([one.request for one in members], schemes):
        made["security"] = security
    return made


def _query(members: Sequence[Exchange]) -> list[dict[str, Any]]:
    seen: dict[str, Seen] = {}
    count: dict[str, int] = {}
    several: set[str] = set()
    for one in members:
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(
            one.request.url.partition("?")[2].partition("#")[0], keep_blank_values=True
        ):
            values.setdefault(name, []).append(value)
        for name in query_names(one.request.url):
            count[name] = count.get(name, 0) + 1
            if len(values.get(name, ())) > 1:
                several.add(name)
            for value in values.get(name, ()):
                seen.setdefault(name, Seen()).add(_typed(value))
    made: list[dict[str, Any]] = []
    for name, how_often in count.items():
        schema = seen[name].schema() if name in seen else {}
        made.append(
            {
                "name": name,
                "in": "query",
                "required": how_often == len(members),
                "schema": {"type": "array", "items": schema} if name in several else schema,
            }
        )
    return made


def _typed(value: str) -> object:
    """Return the value that a parameter's text most likely stands for."""
    if value in {"true", "false"}:
        return value == "true"
    return int(value) if value.isdecimal() and len(value) < 16 else value  # noqa: PLR2004 - digits


def _responses(members: Sequence[Exchange]) -> dict[str, Any]:
    by_status: dict[int, list[tuple[Headers, bytes]]] = {}
    for one in members:
        if one.response is not None:
            bodies = by_status.setdefault(one.response.status, [])
            bodies.append((one.response.headers, one.response.body))
    made: dict[str, Any] = {}
    for status, bodies in sorted(by_status.items()):
        made[str(status)] = {"description": responses.get(status, f"Status {status}")}
        if content := _content(bodies):
            made[str(status)]["content"] = content
    return made


def _content(bodies: Iterable[tuple[Headers, bytes]]) -> dict[str, Any]:
    """Return what is known of bodies, by their media type."""
    seen: dict[str, Seen | None] = {}
    for headers, body in bodies:
        if not body:
            continue
        is_json, value = json_body(headers, body)
        media = media_type(headers) or ("application/json" if is_json else _BYTES)
        if media == _FORM:
            value = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
        elif not is_json:
            seen.setdefault(media, None)
            continue
        found = seen.get(media) or Seen()
        found.add(value)
        seen[media] = found
    return {
        media: {} if found is None else {"schema": found.schema()} for media, found in seen.items()
    }


def _security(
    requests: Sequence[Request], schemes: dict[str, dict[str, Any]]
) -> list[dict[str, list[str]]]:
    """Return how requests were authorized, and take note of the schemes."""
    found: dict[str, None] = {}
    for request in requests:
        value = header_value(request.headers, "authorization") or ""
        name = value.partition(" ")[0].lower()
        if name in _SCHEMES:
            schemes[name] = _SCHEMES[name]
            found.setdefault(name)
        for header in _KEYS:
            if header_value(request.headers, header) is not None:
                schemes[header] = {"type": "apiKey", "in": "header", "name": header}
                found.setdefault(header)
    made: list[dict[str, list[str]]] = [{name: []} for name in found]
    open_too = any(
        header_value(request.headers, "authorization") is None
        and all(header_value(request.headers, header) is None for header in _KEYS)
        for request in requests
    )
    return [*made, {}] if made and open_too else made
