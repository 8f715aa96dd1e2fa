"""Registers the bonds app."""

from django.apps import AppConfig


class BondsConfig(AppConfig):
    name = "bonds"
    verbose_name = "Tail-risk bonds"
    default_auto_field = "django.db.models.BigAutoField"
