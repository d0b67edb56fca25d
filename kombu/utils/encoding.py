"""Text and bytes, and texts for logs that can never fail."""

from __future__ import annotations

from typing import Any, TypeVar, overload

__all__ = (
    'bytes_to_str',
    'default_encode',
    'default_encoding',
    'ensure_bytes',
    'from_utf8',
    'get_default_encoding_file',
    'safe_repr',
    'safe_str',
    'set_default_encoding_file',
    'str_to_bytes',
)

T = TypeVar('T')

#: The stream whose encoding `default_encoding` reports; Celery sets it to its log stream.
default_encoding_file: Any = None


def set_default_encoding_file(file: Any) -> None:
    """Set the stream that `default_encoding` asks when it is given none."""
    global default_encoding_file  # noqa: PLW0603 - the public, documented switch
    default_encoding_file = file


def get_default_encoding_file() -> Any:
    """Return the stream set with `set_default_encoding_file`."""
    return default_encoding_file


def default_encoding(file: Any = None) -> str:
    """Name the encoding that `file` (or the default stream) writes in; UTF-8 where it has none."""
    stream = default_encoding_file if file is None else file
    return getattr(stream, 'encoding', None) or 'utf-8'


@overload
def str_to_bytes(s: str) -> bytes: ...
@overload
def str_to_bytes(s: T) -> T: ...
def str_to_bytes(s: Any) -> Any:
    """Encode text as UTF-8; anything else is returned as it is."""
    return s.encode() if isinstance(s, str) else s


@overload
def bytes_to_str(s: bytes) -> str: ...
@overload
def bytes_to_str(s: T) -> T: ...
def bytes_to_str(s: Any) -> Any:
    """Decode UTF-8, with U+FFFD for what is not; anything but bytes is returned as it is."""
    return s.decode(errors='replace') if isinstance(s, bytes) else s


#: The older name of `str_to_bytes`.
ensure_bytes = str_to_bytes


def from_utf8(s: T, *args: Any, **kwargs: Any) -> T:
    """Return `s`: text has been text since Python 3."""
    return s


def default_encode(obj: T) -> T:
    """Return `obj`: text needs no encoding for a terminal since Python 3."""
    return obj


def safe_str(s: Any, errors: str = 'replace') -> str:
    """Turn anything into text without ever raising; meant for logs.

    Args:
        s: text, UTF-8 bytes, or any object (which is shown by its `repr`).
        errors: what to do with bytes that are not UTF-8.
    """
    if isinstance(s, str):
        return s
    if isinstance(s, bytes):
        try:
            return s.decode('utf-8', errors)
        except Exception as exc:
            return _unrepresentable(s, exc)
    return safe_repr(s, errors)


def safe_repr(o: Any, errors: str = 'replace') -> str:
    """Return `repr(o)`, or a text saying why there is none; meant for logs."""
    try:
        return repr(o)
    except Exception as exc:
        return _unrepresentable(o, exc)


def _unrepresentable(o: Any, exc: Exception) -> str:
    try:
        why = repr(exc)
    except Exception:
        why = type(exc).__name__
    return f'<Unrepresentable {type(o)!r}: {why}>'
