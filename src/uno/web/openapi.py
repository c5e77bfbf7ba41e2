"""The description of the page's API (OpenAPI 3.1.0). Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from uno.web.documents import (
    ApiError,
    EventList,
    LinkSeries,
    LoginRequest,
    ParticleConfiguration,
    PasswordRequest,
    ReaderSession,
)
from uno.web.documents_api import DOCUMENTS
from uno.web.series import DAY
from uno.web.view import MAX_EVENTS

_REFERENCE = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """Return the description as JSON has it."""
    kinds = [
        *(each.kind for each in DOCUMENTS),
        EventList,
        LinkSeries,
        LoginRequest,
        PasswordRequest,
        ParticleConfiguration,
        ReaderSession,
        ApiError,
    ]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "uno: the state of a UVN, as one of its cells has it",
            "version": "1",
            "description": "Keys and paths are only added. See docs/reference/json.md.",
        },
        "paths": dict(_paths()),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-uno"},
            },
        },
    }


def _paths() -> list[tuple[str, dict[str, Any]]]:
    found = [
        (f"/api/v1/{each.path}", {"get": _document(each.path, each.about, each.kind)})
        for each in DOCUMENTS
    ]
    session = _operation("session", "Who is logged in.", answer=ReaderSession)
    login = _operation("login", "Log in.", answer=ReaderSession, body=LoginRequest, public=True)
    logout = _operation("logout", "Log out.", public=True)
    config = _operation(
        "particleConfiguration",
        "The configuration of an own particle at this cell, for the password again.",
        answer=ParticleConfiguration,
        body=PasswordRequest,
        names=("id",),
    )
    explain = _operation("explain", "Why one place reaches another, or not.")
    explain["parameters"] = [_query("from"), _query("to")]
    explain["responses"] |= {
        "200": {"description": "As uno explain --json.", "content": _json({"type": "object"})},
        "422": _error("not a place"),
    }
    del explain["responses"]["204"]
    events = _operation("events", "What has happened, the newest first.", answer=EventList)
    events["parameters"] = [
        _number_asked("after", 0, 999_999_999),
        _number_asked("before", 0, 999_999_999),
        _number_asked("limit", MAX_EVENTS, MAX_EVENTS),
    ]
    series = _operation(
        "series", "Measurements of a link over a day.", answer=LinkSeries, names=("a", "b")
    )
    series["parameters"].append(_number_asked("span", DAY, DAY))
    for asked in (explain, series):
        asked["responses"]["503"] = _error("the agent has observed nothing yet")
    for asked in (events, series):
        asked["responses"]["422"] = _error("a number of the query is none, or too large")
    stream = _operation("stream", "A line for each version: server-sent events.")
    stream["responses"]["200"] = {
        "description": "event: version",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    del stream["responses"]["204"]
    return [
        *found,
        ("/api/v1/session", {"get": session}),
        ("/api/v1/login", {"post": login}),
        ("/api/v1/logout", {"post": logout}),
        ("/api/v1/particles/{id}/config", {"post": config}),
        ("/api/v1/explain", {"get": explain}),
        ("/api/v1/events", {"get": events}),
        ("/api/v1/series/{a}-{b}", {"get": series}),
        ("/api/v1/stream", {"get": stream}),
    ]


def _document(path: str, about: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    names = tuple(re.findall(r"{(\w+)}", path))
    made = _operation(path.partition("/")[0], about, answer=kind, names=names)
    made["responses"]["304"] = {"description": "The reader has this document already (ETag)."}
    made["responses"]["503"] = _error("the agent has observed nothing yet")
    return made


def _operation(
    name: str,
    about: str,
    *,
    answer: type[msgspec.Struct] | None = None,
    body: type[msgspec.Struct] | None = None,
    names: tuple[str, ...] = (),
    public: bool = False,
) -> dict[str, Any]:
    responses: dict[str, Any] = {"421": _error("another host is named")}
    if answer is None:
        responses["204"] = {"description": "Done."}
    else:
        responses["200"] = {"description": about, "content": _json(_reference(answer))}
    made: dict[str, Any] = {"operationId": name, "summary": about, "responses": responses}
    if names:
        made["parameters"] = [_number(each) for each in names]
        responses["404"] = _error("nothing of that name that the reader may see")
    if body is not None:
        made["requestBody"] = {"required": True, "content": _json(_reference(body))}
        responses |= {
            "401": _error("the password is wrong"),
            "403": _error("the request comes from another site"),
            "413": _error("the body is too long"),
            "415": _error("the body is no JSON"),
            "422": _error("the body cannot be read"),
            "429": _error("wait for the seconds of Retry-After"),
        }
    if not public:
        made["security"] = [{"session": []}]
        responses.setdefault("401", _error("nobody is logged in"))
    made["responses"] = responses
    return made


def _number(name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _number_asked(name: str, default: int, most: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0, "maximum": most, "default": default}
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": True, "schema": {"type": "string"}}


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _error(about: str) -> dict[str, Any]:
    return {"description": about, "content": _json(_reference(ApiError))}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
