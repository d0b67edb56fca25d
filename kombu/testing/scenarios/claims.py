"""Claims: what a transport does not support it says, and what it claims is known.

For every capability that can be asked for there is a scenario that runs where it is *not* claimed:
asking for it warns by default and raises with `transport_options={'strict': True}`; it is never
ignored in silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from kombu.entity import Exchange, Queue
from kombu.exceptions import UnsupportedFeature, UnsupportedFeatureWarning
from kombu.transport.base import CAPABILITIES

from ..bench import Bench
from ..checks import Broken, NotApplicable, check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Claims',)

Use = Callable[[Bench, Any], object]


def queue_with(**options: Any) -> Use:
    """Declare a queue with `options`."""
    return lambda bench, channel: bench.queue(channel, **options)


def queue_arguments(**arguments: Any) -> Use:
    """Declare a queue with queue arguments, whose names lack the `x-` and have `_` for `-`."""
    named = {'x-' + name.replace('_', '-'): value for name, value in arguments.items()}
    return queue_with(queue_arguments=named)


def exchange_of(kind: str, **arguments: Any) -> Use:
    """Declare an exchange of a type, and bind a queue to it."""

    def use(bench: Bench, channel: Any) -> None:
        exchange = bench.exchange(channel, kind, arguments=arguments)
        bench.queue(channel, exchange=exchange, routing_key='a')

    return use


def published(**options: Any) -> Use:
    """Publish with `options`."""
    return lambda bench, channel: bench.publish(bench.queue(channel), 'x', **options)


def alternate(bench: Bench, channel: Any) -> None:
    """Declare an exchange with an alternate exchange."""
    other = bench.exchange(channel, 'direct')
    bench.exchange(channel, 'direct', arguments={'alternate-exchange': other.name})


def exchange_bind(bench: Bench, channel: Any) -> None:
    """Bind an exchange to an exchange."""
    bench.exchange(channel, 'direct').bind_to(bench.exchange(channel, 'direct'), 'a')


def recover(bench: Bench, channel: Any) -> None:
    """Ask for redelivery."""
    channel.basic_recover(requeue=True)


def passive(bench: Bench, channel: Any) -> None:
    """Ask whether a queue exists that does not."""
    channel.queue_declare(queue=bench.name('missing'), passive=True)


def inequivalent(bench: Bench, channel: Any) -> None:
    """Declare a queue again with other arguments."""
    queue = bench.queue(channel, durable=True)
    Queue(queue.name, durable=False, max_length=7)(channel).queue_declare()


def confirmed(bench: Bench, channel: Any) -> None:
    """Ask for publisher confirms, in the way that AMQP has."""
    channel.confirm_select()


#: How each capability is asked for.
USES: dict[str, Use] = {
    'priority': queue_with(max_priority=5),
    'message_ttl': published(expiration=5.0),
    'queue_ttl': queue_with(message_ttl=5.0),
    'queue_expires': queue_with(expires=60.0),
    'dead_letter': queue_arguments(dead_letter_exchange='', dead_letter_routing_key='dead'),
    'max_length': queue_with(max_length=5),
    'max_length_bytes': queue_with(max_length_bytes=5000),
    'overflow_reject': queue_arguments(max_length=5, overflow='reject-publish'),
    'delay': exchange_of('x-delayed-message', **{'x-delayed-type': 'direct'}),
    'alternate_exchange': alternate,
    'exchange_bind': exchange_bind,
    'mandatory': published(mandatory=True),
    'confirms': confirmed,
    'exclusive': queue_with(exclusive=True),
    'auto_delete': queue_with(auto_delete=True),
    'passive': passive,
    'inequivalent': inequivalent,
    'recover': recover,
    'exchange:topic': exchange_of('topic'),
    'exchange:fanout': exchange_of('fanout'),
    'exchange:headers': exchange_of('headers'),
}

#: Capabilities that are properties of the broker, not something to ask for.
PASSIVE = frozenset(
    {
        'asynchronous',
        'heartbeats',
        'batch_publish',
        'persistent',
        'processes',
        'virtual_hosts',
        'consumer_prefetch',
        'requeue_head',
        'delivery_count',
        'lease',
    }
)


def refused(bench: Bench, name: str, use: Use) -> None:
    """Check that using an unclaimed capability warns, and raises in strict mode."""
    if name in bench.target.claims():
        raise NotApplicable(f'{name} is claimed, and proved elsewhere')
    # Without any names declared before, which could be at fault as well.
    connection = bench.connect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            use(bench, connection.channel())
        except (UnsupportedFeature, NotImplementedError):
            return
        except bench.errors(connection):
            # The broker itself refused.
            return
    said = [
        warning for warning in caught if issubclass(warning.category, UnsupportedFeatureWarning)
    ]
    check(said, f'{name} is not claimed, and was accepted without a warning')
    strict = bench.connect(transport_options={'strict': True})
    try:
        use(bench, strict.channel())
    except UnsupportedFeature:
        return
    check(False, f'{name} is not claimed, and was accepted in strict mode')


class Claims(Scenarios):
    """What is said about what is supported."""

    @scenario('claims')
    def test_claims_known(self, bench: Bench) -> None:
        """Every capability claimed is one that there are scenarios for"""
        claims = {name for name in bench.target.claims() if ':' not in name}
        equal(sorted(claims - set(CAPABILITIES)), [], 'claims nobody knows')
        equal(
            sorted(set(CAPABILITIES) - set(USES) - PASSIVE), [], 'capabilities without a scenario'
        )

    @scenario('claims')
    def test_claims_quiet(self, bench: Bench) -> None:
        """What is claimed can be used in strict mode without a warning"""
        claims = bench.target.claims()
        connection = bench.connect(transport_options={'strict': True})
        for name, use in USES.items():
            if name not in claims:
                continue
            try:
                use(bench, connection.channel())
            except (UnsupportedFeature, UnsupportedFeatureWarning) as exc:
                raise Broken(f'{name} is claimed and refused: {exc}') from exc
            except bench.errors(connection):
                continue

    @scenario('claims')
    def test_claims_unknown_exchange_type(self, bench: Bench) -> None:
        """An exchange type that nobody knows is refused with a clear error"""
        connection = bench.connect()
        try:
            Exchange(bench.name('x'), 'no-such-type')(connection.channel()).declare()
        except bench.refusals(connection):
            return
        check(False, 'it was declared')

    @scenario('claims')
    def test_claims_heartbeat(self, bench: Bench) -> None:
        """Asking for a heartbeat and checking it is harmless, supported or not"""
        connection = bench.connect(heartbeat=5)
        channel = connection.channel()
        queue = bench.queue(channel)
        inbox = bench.inbox(channel, queue, settle=True)
        for _ in range(3):
            connection.heartbeat_check()
        check(connection.get_heartbeat_interval() >= 0, 'the interval is negative')
        bench.publish(queue, 1)
        equal(inbox.wait(1), [1], 'messages')


def _refusal(name: str, use: Use) -> Callable[[Any], None]:
    def run(self: Claims, bench: Bench) -> None:
        refused(bench, name, use)

    run.__name__ = f'test_claims_refused_{name.replace(":", "_")}'
    run.__qualname__ = f'Claims.{run.__name__}'
    run.__doc__ = f'Without `{name}`, asking for it warns, and raises in strict mode'
    return scenario('claims')(run)


for _name, _use in USES.items():
    _method = _refusal(_name, _use)
    setattr(Claims, _method.__name__, _method)
