"""The last resort for messages that cannot be given back to the broker."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable
from io import BytesIO
from pprint import pformat
from typing import IO, Any

from kombu.log import get_logger

__all__ = ('emergency_dump_state',)

logger = get_logger(__name__)


def emergency_dump_state(
    state: Any,
    open_file: Callable[..., IO[bytes]] = open,
    dump: Callable[..., Any] | None = None,
    stderr: IO[str] | None = None,
) -> str:
    """Write something to a temporary file, as a pickle or, where that is impossible, as text.

    The file can be read by its owner only.

    Args:
        state: what to save.
        open_file: opens the file, called with its path and `'wb'`.
        dump: pickles, instead of `pickle.dump`; called with `state`, a binary file and
            `protocol=0`.
        stderr: where to tell the path; None logs it.

    Returns:
        the path of the file.
    """
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    told = f'EMERGENCY DUMP STATE TO FILE -> {path} <-'
    if stderr is None:
        logger.error('%s', told)
    else:
        stderr.write(f'{told}\n')
    pickled = BytesIO()
    try:
        (pickle.dump if dump is None else dump)(state, pickled, protocol=0)
        content = pickled.getvalue()
    except Exception:
        logger.exception('cannot pickle the state; writing it as text')
        content = pformat(state).encode('utf-8', 'backslashreplace')
    with open_file(path, 'wb') as file:
        file.write(content)
    return path
