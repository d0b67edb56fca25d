"""What a connection is to: the parts of a URL and of the arguments of `Connection`, merged.

Rules of precedence:

* What a URL says wins over the argument of the same meaning; an explicit `transport` wins over the
  scheme.
* A text without a scheme is a host: everything else stays as it was.
* Another URL (`Connection.switch`, the next of several hosts) brings credentials and TLS settings
  of its own, or none.  It keeps port and virtual host of the first one where both use the same
  transport.
* The query of a URL holds arguments of `Connection`, and after those options of the transport.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from kombu.transport import get_transport_cls
from kombu.utils.url import parse_url, sanitize_url, url_to_parts, urlparts

__all__ = ('Target', 'merge')

#: A password, or what is called for one before each attempt to connect.
Password: TypeAlias = Any


class Target(NamedTuple):
    """One broker and the terms of connecting to it, by the arguments of `kombu.Connection`."""

    hostname: str | None = None
    userid: str | None = None
    password: Password = None
    virtual_host: str | None = None
    port: Any = None
    insist: Any = False
    ssl: Any = False
    transport: Any = None
    connect_timeout: float | None = 5
    transport_options: Mapping[str, Any] | None = None
    login_method: str | None = None
    uri_prefix: str | None = None
    heartbeat: Any = 0
    failover_strategy: Any = None
    credential_provider: Any = None

    def is_same_host(self, other: Target) -> bool:
        """Tell whether both lead to the same server; a port that is left out may be any."""
        return self.hostname == other.hostname and (
            None in (self.port, other.port) or self.port == other.port
        )

    def __repr__(self) -> str:
        # Not the fields: one of them is the password.
        return f'<Target: {self.transport}>'


def merge(text: str | None, arguments: Target, first: Target | None = None) -> Target:
    """Read a URL or a host name against the arguments of `Connection`.

    Args:
        text: a URL, `host`, `host:port`, or None.
        arguments: what the constructor was given.
        first: what the first URL came to, when this is another one.

    Raises:
        ValueError: the URL is malformed, or tries to name a transport by its import path.
        KeyError: there is no such transport.
    """
    inherited = first or arguments
    if not text or '://' not in text:
        if not text or '@' not in text or get_transport_cls(inherited.transport).can_parse_url:
            return _with_host(text, inherited)
        return _with_parts(url_to_parts(text), inherited)
    scheme = text.partition('://')[0].strip().lower()
    prefix, plus, _ = scheme.partition('+')
    if '.' in prefix or ':' in prefix:
        raise ValueError(
            f'Invalid transport scheme: {prefix!r} (a URL cannot name a transport by its '
            f'import path; the argument `transport` can)'
        )
    transport = arguments.transport or prefix
    can_parse_url = get_transport_cls(transport).can_parse_url
    if first is not None and first.transport not in (None, transport):
        inherited = arguments
    if plus or can_parse_url:
        return arguments._replace(
            hostname=text.strip().partition('+')[2] if plus else text.strip(),
            transport=transport,
            uri_prefix=prefix if plus else arguments.uri_prefix,
        )
    parsed = parse_url(text)
    own = first is not None
    url_ssl = parsed.pop('ssl', None)
    target = arguments._replace(
        transport=transport,
        hostname=parsed.pop('hostname'),
        port=_first(parsed.pop('port'), inherited.port),
        virtual_host=_first(parsed.pop('virtual_host'), inherited.virtual_host),
        userid=_first(parsed.pop('userid'), None if own else arguments.userid),
        password=_first(parsed.pop('password'), None if own else arguments.password),
        ssl=_merge_ssl(arguments.ssl, url_ssl),
    )
    del parsed['transport']
    return _with_query(target, parsed, text) if parsed else target


def _first(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _with_host(text: str | None, target: Target) -> Target:
    """Read `host` or `host:port`; what has more colons is an address of IPv6 or a path."""
    host, colon, port = (text or '').partition(':')
    if colon and host and port.isascii() and port.isdigit():
        return target._replace(hostname=host, port=int(port))
    return target._replace(hostname=text)


def _with_parts(parts: urlparts, target: Target) -> Target:
    """Read `userid:password@host:port/virtual_host`: a URL that lacks nothing but the scheme."""
    return target._replace(
        hostname=parts.hostname,
        userid=_first(parts.username, target.userid),
        password=_first(parts.password, target.password),
        port=_first(parts.port, target.port),
        virtual_host=_first(parts.path, target.virtual_host),
    )


def _merge_ssl(argument: Any, in_url: Any) -> Any:
    if in_url is None:
        return argument
    if isinstance(in_url, Mapping):
        return {**argument, **in_url} if isinstance(argument, Mapping) else dict(in_url)
    return (argument or True) if in_url else False


def _number(name: str, value: str) -> float | None:
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        raise ValueError(f'{name}={value!r} in the URL: must be a number of seconds') from None


def _boolean(name: str, value: str) -> bool:
    try:
        return _BOOLEANS[value.lower()]
    except KeyError:
        raise ValueError(f'{name}={value!r} in the URL: must be true or false') from None


def _text(name: str, value: str) -> str:
    return value


#: Arguments of `Connection` that the query of a URL may hold, and how they are read.
_IN_QUERY: dict[str, Any] = {
    'connect_timeout': _number,
    'credential_provider': _text,
    'failover_strategy': _text,
    'heartbeat': _number,
    'insist': _boolean,
    'login_method': _text,
}
_BOOLEANS = {'true': True, '1': True, 'false': False, '0': False}
_NOT_IN_QUERY = frozenset({'alternates', 'transport_options', 'uri_prefix'})

_LITERALS: dict[str, Any] = {'true': True, 'false': False, 'none': None}
_NUMBER = re.compile(r'-?(0|[1-9][0-9]*)(\.[0-9]+)?', re.ASCII)


def _with_query(target: Target, query: dict[str, str], url: str) -> Target:
    """Add what `parse_url` left of the query: arguments of `Connection`, and transport options."""
    for name in _NOT_IN_QUERY.intersection(query):
        raise ValueError(
            f'{name!r} is an argument of Connection, and cannot be given in {sanitize_url(url)!r}'
        )
    arguments = {
        name: read(name, query.pop(name)) for name, read in _IN_QUERY.items() if name in query
    }
    if query:
        options = {name: _literal(value) for name, value in query.items()}
        arguments['transport_options'] = {**(target.transport_options or {}), **options}
    return target._replace(**arguments)


def _literal(value: str) -> Any:
    """Read a plain number, `true`, `false` or `none`; anything else is text."""
    lower = value.lower()
    if lower in _LITERALS:
        return _LITERALS[lower]
    if not _NUMBER.fullmatch(value):
        return value
    return float(value) if '.' in value else int(value)
