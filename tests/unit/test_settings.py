from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from recsys.errors import ConfigError
from recsys.settings import Settings, load


def test_an_assignment_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("serving: {n_shards: 3, port: 1, max_k: 9}\n")
    environ = {"RECSYS__SERVING__N_SHARDS": "4", "RECSYS__SERVING__PORT": "2", "OTHER": "x"}
    serving = load(path, environ, ["serving.n_shards=5"]).serving
    assert (serving.n_shards, serving.port, serving.max_k) == (5, 2, 9)
    assert serving.host == "127.0.0.1"


def test_lists_are_yaml(tmp_path: Path) -> None:
    settings = load(assignments=["interest.half_lives_s=[60, 3600.5]"])
    assert settings.interest.half_lives_s == (60.0, 3600.5)
    environ = {"RECSYS__INTEREST__POSITIVE_KINDS": "[click]"}
    assert load(environ=environ).interest.positive_kinds == ("click",)


def test_one_entry_of_a_table_can_be_set() -> None:
    settings = load(assignments=["interest.importance={click: 2}"])
    assert settings.interest.importance == {"click": 2.0}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("serving.n_shard=3", "serving.n_shard = 3"),
        ("servin.n_shards=3", "servin"),
        ("serving.n_shards=0", "greater than 0"),
        ("serving.n_shards=many", "'many'"),
        ("serving.port=70000", "serving.port"),
        ("interest.half_lives_s=[60, 30]", "strictly rising"),
        ("interest.half_lives_s=[]", "strictly rising"),
        ("interest.half_lives_s=[-1]", "greater than 0"),
        ("data.max_bad_share=1.5", "data.max_bad_share"),
        ("serving.n_shards", "has no value"),
        ("n_shards=3", "section and field"),
        ("=3", "section and field"),
        ("serving.host.name=3", "serving.host"),
        ("serving.host={", "no YAML"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(assignment: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(assignments=[assignment])
    assert said in str(caught.value)


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"serving\.n_shrads"):
        load(environ={"RECSYS__SERVING__N_SHRADS": "4"})


@pytest.mark.parametrize("text", ["- a\n", "a: [", "serving: 3\n", "\x00"])
def test_a_file_that_is_no_tree_of_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load(path)
    with pytest.raises(ConfigError):
        load(path, assignments=["serving.n_shards=3"])


def test_a_missing_file_is_refused_and_an_empty_one_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        load(tmp_path / "missing.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load(tmp_path / "empty.yaml") == Settings()


def test_an_empty_section_in_a_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("serving:\n")
    assert load(tmp_path / "settings.yaml") == Settings()
    settings = load(tmp_path / "settings.yaml", assignments=["serving.port=1"])
    assert settings.serving.port == 1


def test_settings_round_trip_through_yaml(tmp_path: Path) -> None:
    settings = load(assignments=["ranking.interest=[1, 2]", "interest.n_recent=3"])
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    assert load(path) == settings


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().serving.port = 1  # type: ignore[misc]


def test_every_setting_is_documented() -> None:
    for section in Settings.model_fields.values():
        kind = section.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        assert all(field.description for field in kind.model_fields.values()), kind
