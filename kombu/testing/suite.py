"""The whole suite: every group of scenarios in one class."""

from __future__ import annotations

from typing import Any

from .scenario import Scenarios
from .scenarios.claims import Claims
from .scenarios.concurrency import Concurrency
from .scenarios.confirms import Confirms
from .scenarios.consumers import Consumers
from .scenarios.crash import Crash
from .scenarios.delivery import Delivery
from .scenarios.faults import Faults
from .scenarios.fidelity import Fidelity
from .scenarios.foreign import Foreign
from .scenarios.hygiene import Hygiene
from .scenarios.isolation import Isolation
from .scenarios.leases import Leases
from .scenarios.outages import Outages
from .scenarios.policies import Policies
from .scenarios.queues import Queues
from .scenarios.routing import Routing
from .scenarios.tls import TLSScenarios
from .target import Target

__all__ = ('TransportSuite', 'suite_for')


class TransportSuite(
    Delivery,
    Routing,
    Queues,
    Policies,
    Consumers,
    Confirms,
    Leases,
    Crash,
    Faults,
    Outages,
    Foreign,
    Fidelity,
    Concurrency,
    Hygiene,
    Isolation,
    TLSScenarios,
    Claims,
    Scenarios,
):
    """Prove a transport against its broker.

    A subclass names the broker by `url`, or describes all that can be done to it by `target`; a
    test framework runs its `test_...` methods::

        class TestMine(TransportSuite):
            url = 'mine://localhost'
    """

    url: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if 'url' in vars(cls) and 'target' not in vars(cls):
            cls.target = Target(cls.url)


def suite_for(target: Target) -> type[TransportSuite]:
    """Make a suite that runs against `target`."""
    return type('Suite', (TransportSuite,), {'target': target})
