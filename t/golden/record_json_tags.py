"""Record how kombu 5.x writes each type in JSON: run this with an interpreter that has it.

python t/golden/record_json_tags.py > t/golden/json_tags.json
"""

from __future__ import annotations

import json
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from kombu.serialization import dumps

INDIA = timezone(timedelta(hours=5, minutes=30))


class Colour(IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


class Money:
    def __json__(self):
        return {'amount': Decimal('9.90')}


#: What a body may hold; those that JSON has itself come first.
VALUES = {
    'none': None,
    'true': True,
    'int': 42,
    'huge int': 2**200,
    'float': 0.1,
    'large float': 1e16,
    'negative zero': -0.0,
    'nan': float('nan'),
    'infinity': float('inf'),
    'ascii': 'plain',
    'quotes and control characters': '"\\\x00\n\x7f',
    'accents': 'h\xe9llo',
    'astral': '\U0001f600',
    'lone surrogate': '\ud800',
    'list': [1, [2, []]],
    'tuple': (1, 2),
    'namedtuple': Point(1, 2),
    'dict': {'b': 1, 'a': {}},
    'keys that are not text': {1: 'int', 1.5: 'float', None: 'none', False: 'bool'},
    'int enum': Colour.RED,
    '__json__': Money(),
    'bytes': b'plain',
    'no bytes': b'',
    'utf-8 bytes': 'h\xe9'.encode(),
    'binary bytes': b'\xff\x00\x80',
    'datetime': datetime(2024, 2, 29, 1, 2, 3),
    'datetime with microseconds': datetime(2024, 2, 29, 1, 2, 3, 4),
    'datetime in UTC': datetime(2024, 2, 29, 1, 2, 3, 4, timezone.utc),
    'datetime with offset': datetime(2024, 2, 29, 1, 2, 3, tzinfo=INDIA),
    'date': date(2024, 2, 29),
    'time': time(1, 2, 3),
    'time with offset': time(1, 2, 3, 4, INDIA),
    'uuid': UUID('12345678-9abc-4def-8123-456789abcdef'),
    'decimal': Decimal('1.10'),
    'decimal with exponent': Decimal('1E+5'),
    'decimal nan': Decimal('NaN'),
    'nested': {'args': [b'x', {'at': date(2024, 1, 1)}], 'id': UUID(int=1)},
}


def record() -> dict[str, str]:
    """Return each value as JSON."""
    return {name: dumps(value, serializer='json')[2] for name, value in VALUES.items()}


if __name__ == '__main__':
    json.dump(record(), sys.stdout, indent=1)
    sys.stdout.write('\n')
