"""Prove a transport, and test code that uses one.

A transport shows that it keeps its promises in three lines, under any test framework that runs
`test_` methods::

    from kombu.testing import TransportSuite

    class TestMine(TransportSuite):
        url = 'mine://localhost'

or without one: ``python -m kombu.testing mine://localhost``.  What can be done to the broker
besides connecting to it (restart it, put a faulty network before it) is said with a `Target`.
"""

from __future__ import annotations

from .bench import collect, unique
from .checks import Broken, Hung, NotApplicable, NotClaimed, eventually
from .memory import ManualClock, MemoryBroker
from .proxy import Proxy, proxied
from .scenario import scenario
from .suite import TransportSuite
from .target import TLS, Clock, Target

__all__ = (
    'TLS',
    'Broken',
    'Clock',
    'Hung',
    'ManualClock',
    'MemoryBroker',
    'NotApplicable',
    'NotClaimed',
    'Proxy',
    'Target',
    'TransportSuite',
    'collect',
    'eventually',
    'proxied',
    'scenario',
    'unique',
)
