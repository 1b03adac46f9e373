import pickle

import pytest

from recsys import errors
from recsys.errors import ChecksumError, ConflictError, RecsysError, StoreError, UnavailableError


def every_error() -> list[type[RecsysError]]:
    found = [RecsysError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_survives_pickling(kind: type[RecsysError]) -> None:
    error = kind("item i1", "does not exist", "Ingest it first")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.thing, copy.problem, copy.remedy) == ("item i1", "does not exist", error.remedy)
    assert str(copy) == str(error) == "item i1: does not exist. Ingest it first"


def test_an_error_that_says_when_to_retry_keeps_it_across_processes() -> None:
    copy = pickle.loads(pickle.dumps(UnavailableError("shard 3", "is away", retry_after_s=7.5)))
    assert copy.retry_after_s == 7.5
    assert str(copy) == "shard 3: is away"


def test_the_tree_in_the_docstring_names_every_error() -> None:
    for kind in every_error():
        assert kind.__name__ in str(errors.__doc__)


def test_a_moved_pointer_and_changed_bytes_are_errors_of_the_store() -> None:
    assert issubclass(ConflictError, StoreError)
    assert issubclass(ChecksumError, StoreError)
