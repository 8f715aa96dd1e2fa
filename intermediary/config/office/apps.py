"""Puts the officers' site in the place of Django's admin."""

from django.contrib.admin.apps import AdminConfig


class OfficeConfig(AdminConfig):
    default_site = "intermediary.config.office.site.OfficerSite"
