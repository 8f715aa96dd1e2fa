"""The intermediary: whom it faces, on what terms, what it owes."""

from django.apps import AppConfig


class IntermediaryConfig(AppConfig):
    name = "intermediary"
    label = "intermediary"
    verbose_name = "Intermediary"
    default_auto_field = "django.db.models.BigAutoField"
