"""`amqp://` against the conformance suite, on a RabbitMQ that may be killed and frozen."""

from __future__ import annotations

from typing import Any

import pytest

from kombu.testing import TLS, Target, TransportSuite


class TestAMQP(TransportSuite):
    """py-amqp and RabbitMQ together keep every guarantee claimed."""

    @pytest.fixture(autouse=True, scope='class')
    @classmethod
    def _broker(cls, rabbitmq_victim: Any) -> None:
        node = rabbitmq_victim
        cls.target = Target.tcp(
            node.new_vhost(),
            other_vhost_url=node.new_vhost(),
            tls=TLS(node.amqps_url, node.certs['ca']),
            restart=node.restart,
            kill=node.kill,
            freeze=node.freeze,
            thaw=node.thaw,
            confirm_options={'confirm_publish': True},
            # Redeliveries are counted by quorum queues only.
            delivery_limit_arguments={'x-queue-type': 'quorum'},
            limits={
                'routing.topic_hostile': 'RabbitMQ takes exponential time over such a pattern',
            },
        )
