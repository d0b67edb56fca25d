"""The one reference that looks up: channels make consumers and producers.

`channel.Consumer(...)` and `channel.Producer(...)` are public API of the transports, which are
below `kombu.messaging`.  The classes are looked up when they are called, and every time, so that
replacing them in `kombu.messaging` works.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def Consumer(*args: Any, **kwargs: Any) -> Any:
    """Make a `kombu.messaging.Consumer`."""
    return import_module('kombu.messaging').Consumer(*args, **kwargs)


def Producer(*args: Any, **kwargs: Any) -> Any:
    """Make a `kombu.messaging.Producer`."""
    return import_module('kombu.messaging').Producer(*args, **kwargs)
