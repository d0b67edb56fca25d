"""The version of the distribution, where the build can read it without importing anything."""

from __future__ import annotations

__version__ = '6.0.0'
