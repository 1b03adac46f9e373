"""The Serve config: what Serve passes over in silence is an error here."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from ray.serve import Application
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

import serving
from recsys.bundle import Bundle
from recsys.errors import NotFoundError
from recsys.store import Store
from serving.app import AppArgs, build, pool_spec

CONFIG = Path(serving.__file__).parent / "config.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return tree


def unknown_keys(tree: dict[str, Any], model: type[BaseModel]) -> set[str]:
    return set(tree) - set(model.model_fields)


def test_it_is_a_serve_config(config: dict[str, Any]) -> None:
    ServeDeploySchema.model_validate(config)


def test_it_has_no_unknown_key(config: dict[str, Any]) -> None:
    from ray.serve.schema import (  # noqa: PLC0415
        DeploymentSchema,
        HTTPOptionsSchema,
        LoggingConfig,
    )

    assert unknown_keys(config, ServeDeploySchema) == set()
    assert unknown_keys(config["http_options"], HTTPOptionsSchema) == set()
    assert unknown_keys(config["logging_config"], LoggingConfig) == set()
    for application in config["applications"]:
        assert unknown_keys(application, ServeApplicationSchema) == set()
        for deployment in application["deployments"]:
            assert unknown_keys(deployment, DeploymentSchema) == set()


def test_its_arguments_are_those_of_the_builder(config: dict[str, Any]) -> None:
    (application,) = config["applications"]
    assert application["import_path"] == "serving.app:build"
    assert AppArgs.model_validate(application["args"]).settings.serving.n_shards == 2


def test_it_listens_on_the_loopback(config: dict[str, Any]) -> None:
    assert config["http_options"]["host"] == "127.0.0.1"


def test_its_deployments_exist(config: dict[str, Any]) -> None:
    source = Path(serving.__file__).with_name("app.py").read_text(encoding="utf-8")
    for deployment in config["applications"][0]["deployments"]:
        assert f'name="{deployment["name"]}"' in source


def test_a_store_without_a_bundle_is_refused_by_name(tmp_path: Path) -> None:
    args = AppArgs(store=str(tmp_path), ledger="sqlite:///x.db")
    with pytest.raises(NotFoundError, match=r"pipelines\.embed"):
        build(args)
    assert Store(str(tmp_path)).paths("") == []


def test_serve_turns_the_arguments_of_a_config_into_ours() -> None:
    """Serve validates them only if the annotation is the class itself, not its name."""
    assert inspect.signature(build).parameters["args"].annotation is AppArgs


def test_it_is_built_and_pinned_to_the_published_bundle(bundle: Bundle, store: Store) -> None:
    args = AppArgs(store=store.uri, ledger="sqlite:///x.db")
    assert isinstance(build(args), Application)
    assert pool_spec(args).bundle_id == bundle.bundle_id
    with pytest.raises(NotFoundError, match="nothing"):
        build(args.model_copy(update={"bundle_id": "nothing"}))


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        AppArgs.model_validate({"store": "s", "ledger": "l", "colour": "red"})
