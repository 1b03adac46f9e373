import pytest

from pipelines.encode import actor_share
from recsys.errors import ConfigError
from recsys.settings import EncoderSettings


def test_without_gpus_every_cpu_may_hold_an_actor() -> None:
    assert actor_share(EncoderSettings(), {"CPU": 8.0, "GPU": 4.0}) == ("cpu", 8)
    assert actor_share(EncoderSettings(), {}) == ("cpu", 1)


@pytest.mark.parametrize(("num_gpus", "n_at_once"), [(1.0, 2), (0.5, 4), (0.1, 16), (2.0, 1)])
def test_actors_share_the_gpus(num_gpus: float, n_at_once: int) -> None:
    share = actor_share(EncoderSettings(num_gpus=num_gpus), {"CPU": 16.0, "GPU": 2.0})
    assert share == ("cuda", n_at_once)


@pytest.mark.parametrize("resources", [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 1.0}])
def test_more_gpus_than_there_are_is_a_named_error(resources: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.num_gpus = 2"):
        actor_share(EncoderSettings(num_gpus=2.0), resources)
