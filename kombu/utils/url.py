"""URLs of brokers: taking them apart, putting them together, showing them without their password.

A URL is `transport://userid:password@hostname:port/virtual_host?option=value`.  Every part but the
transport can be left out; what would be read as punctuation is percent-encoded (`safequote`).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlparse

__all__ = (
    'as_url',
    'maybe_sanitize_url',
    'parse_ssl_cert_reqs',
    'parse_url',
    'safequote',
    'sanitize_url',
    'ssl_available',
    'url_to_parts',
    'urlparse',
    'urlparts',
)

#: Percent-encode a user name, a password or a host: everything but letters, digits and `_.-~`.
safequote = partial(quote, safe='')

#: Kept for those who ask; Python has been built with ssl wherever py-amqp runs.
ssl_available = True

#: What a path may hold as it is.
_quote_path = partial(quote, safe="/:!$&'()*+,=~")

_CERT_REQS = {
    'required': ssl.CERT_REQUIRED,
    'optional': ssl.CERT_OPTIONAL,
    'none': ssl.CERT_NONE,
}

#: What separates several URLs; a semicolon in a password does not.
_NEXT_URL = re.compile(r';(?=[\w.+-]+://)')

_BOOLEANS = dict.fromkeys(('true', 'yes', 'on', '1'), True) | dict.fromkeys(
    ('false', 'no', 'off', '0'), False
)


class urlparts(NamedTuple):
    """A URL taken apart; nothing is percent-encoded, and what was left out is None."""

    scheme: str
    hostname: str | None
    port: int | None
    username: str | None
    password: str | None
    path: str | None
    query: dict[str, str]


def url_to_parts(url: str) -> urlparts:
    """Take a URL apart.

    Args:
        url: with or without a scheme; a fragment is ignored.

    Returns:
        the decoded parts.  Of the path, the leading slash is taken off: the virtual host of
        `amqp://host//` is `/`.

    Raises:
        ValueError: the port is not a number up to 65535, or a bracket of an IPv6 address is
            missing.
    """
    scheme, separator, rest = url.strip().partition('://')
    if not separator:
        scheme, rest = '', scheme.removeprefix('//')
    rest, _, _ = rest.partition('#')
    rest, _, query = rest.partition('?')
    authority, _, path = rest.partition('/')
    userinfo, _, address = authority.rpartition('@')
    if not userinfo and authority.endswith(':') and '@' in path:
        raise ValueError(f'the port in {_shown(url)} is missing; {_HINT}')
    username, _, password = userinfo.partition(':')
    hostname, port = _split_address(address, url)
    return urlparts(
        scheme.lower(),
        hostname,
        port,
        unquote(username) or None,
        unquote(password) or None,
        unquote(path) or None,
        dict(parse_qsl(query)) if query else {},
    )


#: The older name of `url_to_parts`; dependents import it.
_parse_url = url_to_parts


def _split_address(address: str, url: str) -> tuple[str | None, int | None]:
    if address.startswith('['):
        hostname, bracket, rest = address[1:].partition(']')
        colon, _, digits = rest.rpartition(':')
        if not bracket or colon or (rest and not rest.startswith(':')):
            raise ValueError(
                f'the IPv6 address in {_shown(url)} is not written as [address] or [address]:port'
            )
    else:
        hostname, _, digits = address.partition(':')
        if '[' in address or ']' in address:
            raise ValueError(f'a bracket in {_shown(url)} belongs to no IPv6 address; {_HINT}')
    if not digits:
        port = None
    elif _is_number(digits) and len(digits) < 9 and int(digits) <= 65535:
        port = int(digits)
    else:
        raise ValueError(f'the port in {_shown(url)} is not a number from 0 to 65535; {_HINT}')
    decoded = unquote(hostname)
    # Names of hosts have no case, but a percent-encoded path of a socket has.
    return (decoded if '/' in decoded else decoded.lower()) or None, port


_HINT = 'a password with punctuation has to be percent-encoded (kombu.utils.url.safequote)'


def _shown(url: str) -> str:
    """Name a malformed URL in an error."""
    return repr(_mask_malformed(url.strip(), '**'))


def _mask_malformed(url: str, mask: str | None) -> str:
    """Mask all that may be a password in a URL that is malformed or has several hosts."""
    scheme, separator, rest = url.partition('://') if '://' in url else ('', '', url)
    userinfo, at, tail = rest.rpartition('@')
    secret = f':{mask}' if mask else ''
    if at:
        user, colon, _ = userinfo.partition(':')
        return f'{scheme}{separator}{user}{secret if colon else ""}@{tail.partition("?")[0]}'
    hosts = rest.partition('/')[0].partition('?')[0].split(',')
    if all(_is_address(host) for host in hosts):
        return f'{scheme}{separator}{rest.partition("?")[0]}'
    # What follows the colon is no port, so it may be a password whose host was left out.
    return f'{scheme}{separator}{hosts[0].partition(":")[0]}{secret}'


def _is_address(host: str) -> bool:
    port = host.partition(':')[2]
    return host.startswith('[') or not port or _is_number(port)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def parse_url(url: str) -> dict[str, Any]:
    """Turn a URL into arguments of `Connection`.

    Query parameters become further arguments.  Those that begin with `ssl_` are gathered in `ssl`:
    `ssl_cert_reqs` is one of `required`, `optional` and `none` (`CERT_REQUIRED`, ...),
    `ssl_check_hostname` a boolean.  `ssl` itself is a boolean.

    Args:
        url: e.g. `'rediss://:secret@host:6379/0?ssl_cert_reqs=required'`.

    Returns:
        `transport`, `hostname`, `port`, `userid`, `password`, `virtual_host` and the query
        parameters.

    Raises:
        ValueError: the URL is malformed, a value is not one of those possible, or a parameter
            repeats a part of the URL (only `virtual_host` may, and wins).
    """
    scheme, hostname, port, username, password, path, query = url_to_parts(url)
    arguments: dict[str, Any] = {
        'transport': scheme,
        'hostname': hostname,
        'port': port,
        'userid': username,
        'password': password,
        'virtual_host': path,
    }
    options: dict[str, Any] = {}
    for name, value in query.items():
        if name == 'ssl':
            arguments['ssl'] = _boolean(name, value)
        elif name == 'ssl_cert_reqs':
            options[name] = parse_ssl_cert_reqs(value)
        elif name == 'ssl_check_hostname':
            options[name] = _boolean(name, value)
        elif name.startswith('ssl_'):
            options[name] = value
        elif name in arguments and name != 'virtual_host':
            raise ValueError(f'{name!r} is a part of {sanitize_url(url)!r}, not a query parameter')
        else:
            arguments[name] = value
    if options and arguments.get('ssl', True):
        arguments['ssl'] = options
    return arguments


def parse_ssl_cert_reqs(query_value: str) -> ssl.VerifyMode:
    """Translate the value of `ssl_cert_reqs`.

    Args:
        query_value: `required`, `optional` or `none`, or the names of the ssl module
            (`CERT_REQUIRED`, ...).

    Raises:
        ValueError: it is none of them.
    """
    try:
        return _CERT_REQS[query_value.lower().removeprefix('cert_')]
    except (AttributeError, KeyError):  # None is no text, and above all it is not 'none'
        raise ValueError(
            f'ssl_cert_reqs={query_value!r}: must be one of {", ".join(_CERT_REQS)}'
        ) from None


def _boolean(name: str, value: str) -> bool:
    try:
        return _BOOLEANS[value.lower()]
    except KeyError:
        raise ValueError(f'{name}={value!r}: must be true or false') from None


def as_url(
    scheme: str,
    host: str | None = None,
    port: int | None = None,
    user: str | None = None,
    password: str | None = None,
    path: str | None = None,
    query: Mapping[str, Any] | None = None,
    sanitize: bool = False,
    mask: str | None = '**',
) -> str:
    """Put a URL together from the parts that `url_to_parts` gives.

    Args:
        scheme: name of the transport.
        host: name or address; an IPv6 address gets its brackets.
        port: left out if None or 0.
        user: user name.
        password: password.
        path: virtual host.
        query: further parameters.
        sanitize: mask the password, and leave the query out, whose values may be secrets as well.
        mask: what is put in place of the password; None leaves nothing there.
    """
    parts = [scheme, '://']
    if user or password:
        if user:
            parts.append(safequote(user))
        if password and sanitize:
            parts += [':', mask] if mask else []
        elif password:
            parts += [':', safequote(password)]
        parts.append('@')
    if host:
        parts.append(f'[{quote(host, safe=":")}]' if _is_ipv6(host) else safequote(host))
    if port:
        parts.append(f':{port}')
    parts += ['/', _quote_path(path or '')]
    if query and not sanitize:
        parts += ['?', urlencode(query)]
    return ''.join(parts)


def _is_ipv6(host: str) -> bool:
    return host.count(':') > 1


def sanitize_url(url: str, mask: str | None = '**') -> str:
    """Mask the password of a URL and leave out its query; also of several, joined with `;`.

    Args:
        url: anything; what cannot be taken apart is returned with everything masked that may be a
            password.
        mask: what is put in place of a password; None leaves nothing there.
    """
    return ';'.join(_sanitize(one, mask) for one in _NEXT_URL.split(url))


def _sanitize(url: str, mask: str | None) -> str:
    authority, _, path = url.partition('://')[2].partition('/')
    if '@' in path and ':' in authority:
        # Maybe a port and a virtual host with an `@`, maybe a password with a `/`.
        return _mask_malformed(url, mask)
    try:
        return as_url(*url_to_parts(url), sanitize=True, mask=mask)
    except ValueError:
        return _mask_malformed(url, mask)


def maybe_sanitize_url(url: Any, mask: str | None = '**') -> Any:
    """Mask the password of a URL (see `sanitize_url`); anything else is returned as it is."""
    return sanitize_url(url, mask) if isinstance(url, str) and '://' in url else url
