"""Registers what a production start checks about chains."""

from django.apps import AppConfig


class SettlementConfig(AppConfig):
    name = "settlement"

    def ready(self) -> None:
        """Checks are found by being imported."""
        from settlement import checks  # noqa: F401
