"""What `ssl=` means: a connection that is encrypted, to a server that has proved who it is."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from kombu.log import get_logger
from kombu.utils.text import fmatch_best
from kombu.utils.url import parse_ssl_cert_reqs

__all__ = ('tls_options',)

logger = get_logger(__name__)

#: Keys of `ssl=`, which may be written with `ssl_` before them as they are in URLs.
KEYS = frozenset(
    {
        'ca_certs',
        'cert_reqs',
        'certfile',
        'check_hostname',
        'ciphers',
        'context',
        'keyfile',
        'server_hostname',
        'ssl_version',
        'tls_maximum_version',
        'tls_minimum_version',
    }
)


def tls_options(given: Any, hostname: str) -> dict[str, Any] | None:
    """Return what the wire needs for TLS; None where there is to be none.

    The certificate of the server is verified, against `ca_certs` or those that the system trusts,
    and has to name the host.

    Args:
        given: `ssl=` as the application has it: a boolean, a dict with any of `KEYS`, or an
            `ssl.SSLContext`.
        hostname: the host of the URL, which the certificate has to name unless `server_hostname`
            says otherwise.

    Raises:
        ValueError: a key is not known, or a value makes no sense.
        OSError: a certificate or a key cannot be read.
    """
    if not given:
        return None
    if isinstance(given, ssl.SSLContext):
        given = {'context': given}
    options = _options(given) if isinstance(given, Mapping) else {}
    context = _context(options)
    if context.verify_mode == ssl.CERT_NONE:
        logger.warning('TLS to %s is not verified: it may be anybody at the other end', hostname)
    elif not context.check_hostname:
        logger.warning(
            'TLS to %s does not check the host name: it may be anybody with a certificate '
            'at the other end',
            hostname,
        )
    return {'context': context, 'server_hostname': options.get('server_hostname') or hostname}


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without the prefix that they have in URLs."""
    options = {}
    for key, value in given.items():
        name = key if key in KEYS else key.removeprefix('ssl_')
        if name not in KEYS:
            best = fmatch_best(name, KEYS)
            hint = f'; did you mean {best!r}?' if best else ''
            raise ValueError(f'ssl: unknown option {key!r}{hint}')
        if value is not None:
            options[name] = value
    return options


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    made = options.get('context')
    if isinstance(made, ssl.SSLContext):
        return made
    check_hostname = options.get('check_hostname', True)
    if made is not None:
        # As py-amqp has it: arguments of `ssl.create_default_context`, and `check_hostname`.
        arguments = dict(made)
        check_hostname = arguments.pop('check_hostname', check_hostname)
        context = ssl.create_default_context(**arguments)
    else:
        context = ssl.SSLContext(options.get('ssl_version') or ssl.PROTOCOL_TLS_CLIENT)
    verify = options.get('cert_reqs', ssl.CERT_REQUIRED)
    if isinstance(verify, str):
        verify = parse_ssl_cert_reqs(verify)
    # In this order: a context that checks the host name cannot be told not to verify at all.
    context.check_hostname = False
    context.verify_mode = verify
    context.check_hostname = bool(check_hostname) and verify != ssl.CERT_NONE
    if 'ca_certs' in options:
        context.load_verify_locations(options['ca_certs'])
    elif made is None and verify != ssl.CERT_NONE:
        context.load_default_certs()
    if 'certfile' in options:
        context.load_cert_chain(options['certfile'], options.get('keyfile'))
    elif 'keyfile' in options:
        raise ValueError('ssl: keyfile needs certfile')
    if 'ciphers' in options:
        context.set_ciphers(options['ciphers'])
    for bound in ('minimum_version', 'maximum_version'):
        if f'tls_{bound}' in options:
            setattr(context, bound, options[f'tls_{bound}'])
    return context
