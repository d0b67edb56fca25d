"""Names for the objects of a cluster of processes."""

from __future__ import annotations

import os
from functools import cache
from threading import get_ident
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

__all__ = ('generate_oid', 'get_node_id', 'oid_from')


@cache
def get_node_id() -> int:
    """Return a random number that stands for this machine, the same one every time."""
    return uuid4().int


def generate_oid(node_id: int, process_id: int, thread_id: int, instance: Any) -> str:
    """Return the identifier of an object.

    Args:
        node_id: number of the machine.
        process_id: number of the process.
        thread_id: number of the thread; 0 for objects that threads share.
        instance: the object.

    Returns:
        36 characters, the same for the same arguments.
    """
    return str(uuid5(NAMESPACE_OID, f'{node_id:x}-{process_id:x}-{thread_id:x}-{id(instance):x}'))


def oid_from(instance: Any, threads: bool = True) -> str:
    """Return the identifier of an object of this process.

    Args:
        instance: the object.
        threads: a different one in each thread.
    """
    # Asked for anew each time: a fork changes it.
    return generate_oid(get_node_id(), os.getpid(), get_ident() if threads else 0, instance)
