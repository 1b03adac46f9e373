"""Without a GPU this suite fails; it never passes by not looking."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def gpu() -> None:
    """A GPU that torch sees."""
    assert torch.cuda.is_available(), (
        f"torch {torch.__version__} sees no GPU: install the driver and a torch built with CUDA"
    )
