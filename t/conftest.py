"""What every test has: see t/README.rst."""

from __future__ import annotations

import os

from hypothesis import settings

# Fixtures that find brokers, or start them.
pytest_plugins = ['t.brokers.plugin']

# A busy machine is slow, not wrong: the time limit of pytest bounds each test.  A build tries the
# same examples every time, developers try new ones.
settings.register_profile('kombu', deadline=None, print_blob=True, derandomize='CI' in os.environ)
settings.load_profile('kombu')
