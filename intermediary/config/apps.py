"""Registers the composition root; it wires the ports once every app is loaded."""

from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "intermediary.config"
    label = "config"
    verbose_name = "Platform"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Models are loaded: what reads them may be bound."""
        from intermediary.config.bindings import bind_reads
        from intermediary.config.operations import checks  # noqa: F401  # loading registers them
        from intermediary.config.unfold import name_tables

        bind_reads()
        name_tables()
