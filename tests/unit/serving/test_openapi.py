"""The OpenAPI document: every operation says what it does, what it takes, and how it fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from recsys.archive import create_store
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from serving.api.errors import PROBLEM_JSON
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.stage import Stage

JSON = "application/json"
METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = load(assignments=["encoder.n_dims=8", "data.n_partitions=4"])
    store = Store(str(tmp_path_factory.mktemp("openapi")))
    create_store(store, 4)
    bundle = tiny_bundle(store, tiny_items({"a": "x", "b": "y"}), 0.0, settings)
    app = create_app(Stage.of(Gateway(bundle, None, settings, time.time)))  # type: ignore[arg-type]
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield f"{method} {path}", item[method]


def check(document: dict[str, Any], content: dict[str, Any], value: Any) -> None:
    """Whether a value is of the schema of a content of the document."""
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.validate(value, schema)


def test_every_operation_says_what_it_does_and_how_it_fails(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names)) > 20
    for name, operation in operations(document):
        assert operation["summary"] and operation["description"], name
        for status in ("400", "413", "415", "422", "503"):
            assert PROBLEM_JSON in operation["responses"][status]["content"], (name, status)


def test_every_body_has_an_example_that_fits(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        content = operation.get("requestBody", {"content": {}})["content"]
        for kind, told in content.items():
            given = [one["value"] for one in told.get("examples", {}).values()]
            given += [told["example"]] if "example" in told else []
            assert len(given) > 0, (name, kind)
            for value in given:
                check(document, told, value)


def test_examples_of_replies_fit(document: dict[str, Any]) -> None:
    n_told = 0
    for _, operation in operations(document):
        for status, reply in operation["responses"].items():
            told = reply.get("content", {}).get(JSON, {})
            if status.startswith("2") and "example" in told:
                check(document, told, told["example"])
                n_told += 1
    assert n_told > 15
