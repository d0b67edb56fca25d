"""The error for a name that nothing is registered under."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.exceptions import SerializerNotInstalled
from kombu.utils.text import fmatch_best

__all__ = ('UnknownName', 'unknown_name')


class UnknownName(SerializerNotInstalled, KeyError):
    """Nothing is registered under that name.

    It is a `KeyError` too, because that is what applications catch around look-ups.
    """

    __str__ = Exception.__str__  # KeyError's would show the sentence in quotes


def unknown_name(what: str, name: Any, known: Iterable[str], advice: str = '') -> UnknownName:
    """Say that there is no such name, which ones there are, and which one may have been meant.

    Args:
        what: the kind of thing, e.g. `'serializer'`.
        name: the name asked for.
        known: the names that exist.
        advice: what to do about it, where more is known.
    """
    names = sorted(known)
    # Of a compression it was the sender who chose it: it can be of any size.
    likely = isinstance(name, str) and len(name) <= 50
    best = fmatch_best(name, names) if likely else None
    hint = f'; did you mean {best!r}?' if best else ''
    end = f' {advice}' if advice else ''
    return UnknownName(f'no {what} {repr(name)[:60]} (there are: {", ".join(names)}){hint}{end}')
