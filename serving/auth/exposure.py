"""Whether a service may listen where it is told to."""

from __future__ import annotations

import ipaddress
import os

from recsys.errors import ConfigError
from recsys.serving_options import ServingSettings

HA_PROXY = "RAY_SERVE_ENABLE_HA_PROXY"
REMEDY = "Make a key (`python -m serving.keys create FILE --scope recommend`) and set it: "


def check_exposure(serving: ServingSettings, host: str, grpc_port: int) -> None:
    """Refuse to listen beyond the loopback without asking for keys.

    Args:
        serving: settings.
        host: that HTTP is to be bound to.
        grpc_port: 0 = none.

    Raises:
        ConfigError: if others could reach a service that asks nobody who they are.
    """
    if serving.auth.is_on:
        return
    remedy = f"{REMEDY}--set serving.auth.keys_file=FILE"
    if not is_loopback(host):
        raise ConfigError(f"serving.host={host}", "is reached by others without a key", remedy)
    if os.environ.get(HA_PROXY, "0") == "1":
        raise ConfigError(HA_PROXY, "listens on every interface, and nobody needs a key", remedy)
    if grpc_port != 0 and not serving.grpc_is_fenced:
        problem = "listens on every interface, and nobody needs a key"
        fenced = f"{remedy}; or keep others from it and say --set serving.grpc_is_fenced=true"
        raise ConfigError(f"serving.grpc_port={grpc_port}", problem, fenced)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
