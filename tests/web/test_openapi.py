"""The OpenAPI document: valid, complete, and what the API really does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient
from django.urls import get_resolver
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from codex_tracking.web.api import urls
from codex_tracking.web.api.endpoints import ENDPOINTS
from tests.kit.pipeline import Process, view

URL = "/cabinet/tracking/api/"

ASKED = {
    "/page/": "?path=/",
    "/summary/": "?compare=previous",
    "/funnel/": "?step=page:/&step=event:signup|page:/pricing/",
    "/journey/": "?step=/&towards=true",
    "/series/": "?compare=year&metric=bounce_rate&period=28d",
    "/values/{dimension}/": "?f=source:is:Google&f=page:is:/",
}
"""Parameters that an address needs, or that make its answer complete."""

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("visit_log")]


@pytest.fixture
async def document(staff: AsyncClient) -> Any:
    """Return the document as it is served."""
    return (await staff.get(URL + "openapi.json")).json()


def address_of(path: str, document: Any) -> str:
    """Return a documented path with the first value of each of its parameters."""
    for parameter in document["paths"][path]["get"]["parameters"]:
        if parameter["in"] == "path":
            values = parameter["schema"]["enum"]
            # CSV is no JSON, so the other format stands for both.
            path = path.replace(f"{{{parameter['name']}}}", "json" if "json" in values else values[0])
    return path


async def test_the_document_is_openapi(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


async def test_every_documented_path_answers_what_it_says(
    staff: AsyncClient, document: Any, process: Process, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(visit_log_days=30)
    await process.push(view("/", referrer="https://example.org/"))
    for path, item in document["paths"].items():
        response: Any = await staff.get(URL.rstrip("/") + address_of(path, document) + ASKED.get(path, ""))
        assert response.status_code == 200, path
        body = [piece async for piece in response] if response.streaming else [response.content]
        schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": document["components"]}
        assert [error.message for error in Draft202012Validator(whole).iter_errors(json.loads(b"".join(body)))] == [], (
            path
        )


async def test_errors_are_as_documented(staff: AsyncClient, document: Any) -> None:
    whole = {"$ref": "#/components/schemas/Error", "components": document["components"]}
    for path, item in document["paths"].items():
        response = await staff.get(URL.rstrip("/") + address_of(path, document) + "?nonsense=1")
        assert response.status_code == 400
        assert Draft202012Validator(whole).is_valid(response.json())
        assert "400" in item["get"]["responses"]


async def test_documented_defaults_and_limits_hold(
    staff: AsyncClient, document: Any, tracking_settings: Callable[..., None]
) -> None:
    tracking_settings(visit_log_days=30)
    for path, item in document["paths"].items():
        address = URL.rstrip("/") + address_of(path, document)
        required: dict[str, dict[str, Any]] = {
            "/page/": {"path": "/"},
            "/funnel/": {"step": ["page:/", "page:/a/"]},
        }
        needed = required.get(path, {})
        for parameter in item["get"]["parameters"]:
            schema = parameter["schema"]
            if parameter["in"] != "query":
                continue
            for name in ("default", "minimum", "maximum"):
                if name in schema:
                    response = await staff.get(address, needed | {parameter["name"]: schema[name]})
                    assert response.status_code == 200
                    response.close()
            beyond = {"maximum": 1, "minimum": -1}
            for name in set(beyond) & set(schema):
                response = await staff.get(address, needed | {parameter["name"]: schema[name] + beyond[name]})
                assert response.status_code == 400


async def test_every_address_is_documented_and_every_documented_one_is_there(document: Any) -> None:
    assert [f"/{endpoint.path}" for endpoint in ENDPOINTS] == list(document["paths"])
    assert len(urls.urlpatterns) == len(document["paths"])
    known = {str(name) for name in get_resolver("codex_tracking.web.api.urls").reverse_dict if isinstance(name, str)}
    assert known == {f"api-{item['get']['operationId']}" for item in document["paths"].values()}
