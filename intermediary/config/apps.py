"""Registers the composition root; it wires the ports once every app is loaded."""

from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "intermediary.config"
    label = "config"
    verbose_name = "Platform"
    default_auto_field = "django.db.models.BigAutoField"
