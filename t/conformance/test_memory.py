"""`memory://` against the conformance suite, with a clock of its own so that no test waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kombu.testing import MemoryBroker, Target, TransportSuite


class TestMemory(TransportSuite):
    """The reference broker keeps every guarantee it claims."""

    @pytest.fixture(autouse=True, scope='class')
    @classmethod
    def _brokers(cls) -> Iterator[None]:
        with MemoryBroker() as broker, MemoryBroker() as other:
            cls.target = Target(
                broker.url,
                clock=broker,
                other_vhost_url=other.url,
                # What was published is there at once.
                settle=0.02,
            )
            yield
