"""A client of the HTTP API, sync and async, that needs neither Ray nor torch.

>>> from serving.client import HalflifeClient
>>> client = HalflifeClient("http://127.0.0.1:8000")
>>> client.close()
"""

from serving.client.aio import AsyncHalflifeClient
from serving.client.batcher import AsyncEventBatcher, EventBatcher
from serving.client.errors import AccessError
from serving.client.retry import RetryPolicy
from serving.client.sync import HalflifeClient

__all__ = [
    "AccessError",
    "AsyncEventBatcher",
    "AsyncHalflifeClient",
    "EventBatcher",
    "HalflifeClient",
    "RetryPolicy",
]
