"""Tests mirror the source tree; `conftest.py` provides real servers."""
