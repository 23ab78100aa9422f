"""Shows what tests have measured."""

from __future__ import annotations

from tests.service.conftest import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]
