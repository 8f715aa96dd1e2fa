"""The API described: OpenAPI for programs, and a page of the same for people.

Both come from the code of the views, so neither can say what is not there. Nothing of the description depends on who
asks, and it is made once a process.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator

from intermediary.api.tokens import SCOPES


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the base registers its subclasses
    """How the description says that a key is needed."""

    target_class = "intermediary.config.api.letting_in.Bearer"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """RFC 6750."""
        return {"type": "http", "scheme": "bearer"}


@dataclass(frozen=True)
class Operation:
    """One thing a program can ask for, as the page shows it."""

    method: str
    path: str
    summary: str
    description: str
    scopes: tuple[str, ...]
    parameters: list[dict[str, Any]]
    body: str | None
    answers: list[tuple[str, str]]

    @property
    def anchor(self) -> str:
        """Where the page shows it."""
        return self.method.lower() + self.path.replace("/", "-").replace("{", "").replace("}", "").rstrip("-")


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """OpenAPI 3.0."""
    return JsonResponse(schema(), json_dumps_params={"indent": 1})


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The same for people."""
    return render(request, "public/api.html", {"groups": operations(), "scopes": SCOPES, "shapes": shapes()})


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The whole description."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@lru_cache(maxsize=1)
def operations() -> dict[str, list[Operation]]:
    """Every operation by its group, in the order of the paths."""
    found: dict[str, list[Operation]] = {}
    for path, methods in schema()["paths"].items():
        for method, said in methods.items():
            found.setdefault(said["tags"][0], []).append(_operation(path, method, said))
    return found


def shapes() -> dict[str, list[tuple[str, str, str]]]:
    """Every body by its name: (field, type, what it is)."""
    return {
        name: [(field, _type(said), said.get("description", "")) for field, said in shape["properties"].items()]
        for name, shape in schema()["components"]["schemas"].items()
        if "properties" in shape
    }


def _operation(path: str, method: str, said: dict[str, Any]) -> Operation:
    body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return Operation(
        method=method.upper(),
        path=path,
        summary=said.get("summary", ""),
        description=said.get("description", ""),
        scopes=tuple(said.get("x-scopes", ())),
        parameters=said.get("parameters", []),
        body=_type(body) if body else None,
        answers=[(status, _answer(answer)) for status, answer in said["responses"].items()],
    )


def _answer(answer: dict[str, Any]) -> str:
    for content in answer.get("content", {}).values():
        return _type(content.get("schema", {}))
    return str(answer.get("description", ""))


def _type(said: dict[str, Any]) -> str:
    if "$ref" in said:
        return str(said["$ref"]).rsplit("/", 1)[1]
    if "allOf" in said:
        return _type(said["allOf"][0])
    if said.get("type") == "array":
        return f"list of {_type(said['items'])}"
    return str(said.get("format") or said.get("type") or "any value")
