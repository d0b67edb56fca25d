"""What a connection knows without being connected: its hosts, its transport, its URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from kombu._failover import failover_strategies, find_strategy, host_cycle, split_hosts
from kombu._retry import ErrorClasses
from kombu._target import Target, merge
from kombu.transport import get_transport_cls, supports_librabbitmq
from kombu.utils.arguments import warn_unknown
from kombu.utils.collections import HashedSeq
from kombu.utils.objects import cached_property
from kombu.utils.url import as_url, maybe_sanitize_url, sanitize_url

__all__ = ('Description', 'resolve_aliases')

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_TRANSPORT = 'amqp'

#: Names that `Connection.info` shows by the name of the protocol.
resolve_aliases: dict[str, str] = {'pyamqp': 'amqp', 'librabbitmq': 'amqp'}

_uri_fields = itemgetter('port', 'userid', 'password', 'virtual_host', 'transport')

#: Arguments of the constructor, in the order of `info()` and of pickles.
_ARGUMENTS = (
    'hostname', 'userid', 'password', 'virtual_host', 'port', 'insist', 'ssl', 'transport',
    'connect_timeout', 'transport_options', 'login_method', 'uri_prefix', 'heartbeat',
    'failover_strategy', 'alternates', 'credential_provider',
)  # fmt: skip

#: Attributes that are taken from a target as they are.
_PLAIN = (
    'hostname',
    'userid',
    'password',
    'insist',
    'ssl',
    'connect_timeout',
    'login_method',
    'uri_prefix',
    'heartbeat',
    'credential_provider',
)


class _Key(HashedSeq):
    """What a connection is equal to, as the key of its pools; keeps the password to itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        # Not the rest: passwords are in URLs, in options, and in those of TLS.
        transport, hostname, userid, password, *rest = self[:6]
        where = maybe_sanitize_url(hostname or '')
        shown = [transport, where, userid, '**' if password else None, *rest]
        return f'<{", ".join(map(repr, shown))}>'


def _error_property(name: str, doc: str) -> Any:
    """Make a property for one of `ErrorClasses`; dependents' tests assign to it."""

    def read(self: Description) -> tuple[type[BaseException], ...]:
        errors: tuple[type[BaseException], ...] = getattr(self._error_classes, name)
        return errors

    def replace(self: Description, errors: Iterable[type[BaseException]]) -> None:
        kind, classes = self.transport.__class__, self._error_classes
        self._known_errors = kind, classes.replacing(name, tuple(errors))

    return property(read, replace, doc=doc)


class Description:
    """The arguments of a connection, and what follows from them."""

    hostname: str | None = None
    userid: str | None = None
    #: A string, or what is called for one at each attempt to connect.
    password: Any = None
    virtual_host: str | None = '/'
    port: Any = None
    ssl: Any = None
    insist: bool = False
    login_method: str | None = None
    uri_prefix: str | None = None
    #: Seconds between heartbeats; 0 turns them off, None leaves it to the broker.
    heartbeat: float | None = None
    transport_options: dict[str, Any]
    credential_provider: Any = None
    #: Name, path or class of the transport.
    transport_cls: Any = None

    #: Strategies to choose from by name.
    failover_strategies: ClassVar[dict[str, Any]] = failover_strategies
    #: Makes an iterator over the hosts.
    failover_strategy: Any = 'round-robin'
    #: All hosts, where there are several.
    alt: list[str]
    #: The hosts in the order in which they are tried; None where there is one.
    cycle: Iterator[str] | None = None

    resolve_aliases: ClassVar[dict[str, str]] = resolve_aliases

    _transport: Any = None
    #: The class of a transport, and its error classes.
    _known_errors: tuple[Any, ErrorClasses | None] = (None, None)
    _connect_timeout: float | None = 5

    def _describe(
        self,
        arguments: Target,
        hostname: Any,
        alternates: Iterable[str] | None,
        failover_strategy: Any,
        unknown: dict[str, Any],
    ) -> None:
        """Take the arguments of the constructor."""
        if unknown:
            warn_unknown('Connection', unknown, _ARGUMENTS)
        text, self.alt = split_hosts(hostname, alternates)
        arguments = arguments._replace(
            port=_port(arguments.port),
            heartbeat=_seconds('heartbeat', arguments.heartbeat),
            connect_timeout=_seconds('connect_timeout', arguments.connect_timeout),
            transport_options=_options(arguments.transport_options),
        )
        self._arguments = arguments
        self._first = first = merge(text, arguments)
        self._apply(first)
        self._failover_strategy = first.failover_strategy or failover_strategy
        self.failover_strategy = find_strategy(self._failover_strategy, self.failover_strategies)
        self._hosts = self.alt
        if self.alt:
            self._begin_cycle(text)

    def _begin_cycle(self, text: Any) -> None:
        first = self._first
        targets = [merge(host, self._arguments, first) for host in self.alt]
        same = (index for index, target in enumerate(targets) if target.is_same_host(first))
        current = next(same, None)
        if current is None:  # the first host takes part, even if the alternates do not name it
            self._hosts, current = [text, *self.alt], 0
        self.cycle = host_cycle(self.failover_strategy, self._hosts, current)

    def _apply(self, target: Target) -> None:
        for name in _PLAIN:
            setattr(self, name, getattr(target, name))
        self.port = target.port
        self.virtual_host = target.virtual_host or '/'
        self.transport_options = dict(target.transport_options or {})
        name = target.transport or DEFAULT_TRANSPORT
        if name == 'amqp' and _prefer_librabbitmq():
            name = 'librabbitmq'
        self.transport_cls = name
        self.__dict__.pop('manager', None)

    # -- hosts

    def completes_cycle(self, retries: int) -> bool:
        """Tell whether every host was tried, after so many retries."""
        return not self._hosts or (retries + 1) % len(self._hosts) == 0

    def _next_host(self) -> str:
        assert self.cycle is not None  # noqa: S101 - asked by maybe_switch_next
        host = next(self.cycle, None)
        if host is None:  # a strategy may end, and begins again then
            self.cycle = host_cycle(self.failover_strategy, self._hosts, None)
            host = next(self.cycle)
        return host

    @property
    def host(self) -> str:
        """`hostname:port`, with the defaults of the transport filled in."""
        info = self.info()
        hostname, port = info['hostname'], info['port']
        if not port or '://' in hostname:
            return str(hostname)
        return f'[{hostname}]:{port}' if ':' in hostname else f'{hostname}:{port}'

    # -- the transport

    @property
    def transport(self) -> Any:
        """The transport, made on first use."""
        transport = self._transport
        if transport is None:
            transport = self._transport = self.create_transport()
        return transport

    def create_transport(self) -> Any:
        """Make a new transport."""
        return self.get_transport_cls()(client=self)

    def get_transport_cls(self) -> Any:
        """Return the class of the transport, importing it."""
        return get_transport_cls(self.transport_cls)

    @property
    def _error_classes(self) -> ErrorClasses:
        transport = self._transport
        if transport is None:
            transport = self.transport
        kind, classes = self._known_errors
        if classes is None or kind is not transport.__class__:
            classes = ErrorClasses.of(transport)
            self._known_errors = transport.__class__, classes
        return classes

    connection_errors = _error_property('connection', 'Errors that mean the connection is lost.')
    channel_errors = _error_property(
        'channel', 'Errors that mean a channel is lost, or refused something.'
    )
    recoverable_connection_errors = _error_property(
        'recoverable_connection', 'Connection errors after which connecting again makes sense.'
    )
    recoverable_channel_errors = _error_property(
        'recoverable_channel', 'Channel errors after which a new channel makes sense.'
    )

    @property
    def supports_heartbeats(self) -> bool:
        """Whether the transport notices a dead peer by heartbeats."""
        return bool(self.transport.implements.heartbeats)

    @property
    def is_evented(self) -> bool:
        """Whether the transport runs on the event loop."""
        return bool(self.transport.implements.asynchronous)

    def supports_exchange_type(self, exchange_type: str) -> bool:
        """Tell whether the transport has exchanges of that type."""
        return exchange_type in self.transport.implements.exchange_type

    def get_manager(self, *args: Any, **kwargs: Any) -> Any:
        """Make a client for the management interface of the broker."""
        return self.transport.get_manager(*args, **kwargs)

    @cached_property
    def manager(self) -> Any:
        """A client for the management interface of the broker."""
        return self.transport.manager

    # -- showing and copying

    def info(self) -> dict[str, Any]:
        """Return the arguments, the password too, with the defaults of the transport filled in."""
        return dict(self._info())

    def _info(self, resolve: bool = True) -> tuple[tuple[str, Any], ...]:
        """Return the arguments of this connection.

        Args:
            resolve: fill in the defaults of the transport, and give its name instead of its alias.
        """
        values = {name: getattr(self, name) for name in _PLAIN}
        if self.uri_prefix and self.hostname:
            values['hostname'] = f'{self.uri_prefix}+{self.hostname}'
        values.update(
            port=self.port,
            virtual_host=self.virtual_host,
            transport=self.transport_cls,
            transport_options=dict(self.transport_options),
            failover_strategy=self._failover_strategy,
            alternates=list(self.alt),
        )
        if resolve:
            for name, default in self.transport.default_connection_params.items():
                values[name] = values.get(name) or default
            if isinstance(self.transport_cls, str):
                values['transport'] = self.resolve_aliases.get(
                    self.transport_cls, self.transport_cls
                )
        return tuple((name, values[name]) for name in _ARGUMENTS)

    def as_uri(
        self,
        include_password: bool = False,
        mask: str = '**',
        getfields: Callable[[dict[str, Any]], tuple[Any, ...]] = _uri_fields,
    ) -> str:
        """Return the URL of the host in use, with the defaults of the transport filled in.

        Args:
            include_password: show it; one that is called for is called for now.
            mask: shown in its place otherwise.
            getfields: takes port, userid, password, virtual host and transport out of `info()`.
        """
        info = self.info()
        hostname = info['hostname'] or 'localhost'
        if self.transport.can_parse_url:
            uri: str = self.transport.as_uri(hostname, include_password, mask)
            return uri
        return _uri(hostname, getfields(info), self.uri_prefix, include_password, mask)

    def __repr__(self) -> str:
        return f'<Connection: {self._shown()} at {id(self):#x}>'

    def _shown(self) -> str:
        """Return the URL from the attributes alone: asking the transport would import it."""
        hostname = self.hostname or 'localhost'
        if '://' in hostname:
            return sanitize_url(f'{self.uri_prefix}+{hostname}' if self.uri_prefix else hostname)
        values = (self.port, self.userid, self.password, self.virtual_host, self.transport_cls)
        return _uri(hostname, values, self.uri_prefix, False, '**')

    def __eqhash__(self) -> HashedSeq:
        # Dependents look into the first seven.
        return _Key(
            self.transport_cls,
            self.hostname,
            self.userid,
            self.password,
            self.virtual_host,
            self.port,
            repr(self.transport_options),
            repr(self.ssl),
            self.login_method,
            self.heartbeat,
            self.credential_provider,
            tuple(self.alt),
        )

    def clone(self, **kwargs: Any) -> Self:
        """Make another connection to the same place, not connected; `kwargs` replace arguments."""
        return self.__class__(**{**dict(self._info(resolve=False)), **kwargs})

    def __copy__(self) -> Self:
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, tuple(value for _, value in self._info(resolve=False)), None


@cache
def _prefer_librabbitmq() -> bool:
    # Looking for a package takes longer than all else a connection does before it connects.
    return bool(supports_librabbitmq())


def _port(port: Any) -> int | None:
    if not port:
        return None
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 0xFFFF:
        raise ValueError(f'port={port!r}: must be a number from 0 to 65535')
    return port


def _seconds(name: str, value: Any) -> Any:
    if not value:
        return value
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1
    if not seconds >= 0:
        raise ValueError(f'{name}={value!r}: must be a number of seconds')
    return seconds


def _options(options: Any) -> dict[str, Any]:
    try:
        return dict(options or {})
    except (TypeError, ValueError):
        # Not what it is: there may be a password in it.
        raise TypeError(f'transport_options is a dict, not {type(options).__name__}') from None


def _uri(
    hostname: str,
    values: tuple[Any, ...],
    uri_prefix: str | None,
    include_password: bool,
    mask: str,
) -> str:
    if uri_prefix:
        text = hostname if hostname.startswith(f'{uri_prefix}+') else f'{uri_prefix}+{hostname}'
        return text if include_password or '://' not in text else sanitize_url(text, mask)
    port, userid, password, virtual_host, transport = values
    if callable(password):
        password = password() if include_password else mask
    if not isinstance(transport, str):
        transport = f'{transport.__module__}:{transport.__qualname__}'
    return as_url(
        transport,
        hostname,
        port,
        userid,
        password,
        virtual_host,
        sanitize=not include_password,
        mask=mask,
    )
