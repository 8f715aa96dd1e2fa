"""`manage.py create_database_roles`: prepare a PostgreSQL server of your own for the platform."""

import os
import shlex
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intermediary.config.services import default_state
from intermediary.config.supervisor import database_roles
from intermediary.config.supervisor.state import write_private


class Command(BaseCommand):
    help = "Make database and roles on the server of DATABASE_ADMIN_URL, and write their addresses to var/database.env."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        admin_url = os.environ.get("DATABASE_ADMIN_URL")
        if not admin_url:
            raise CommandError("Set DATABASE_ADMIN_URL to a login that may create roles and databases.")
        state = default_state()
        database_roles.create_roles(state, admin_url)
        database_roles.create_database(admin_url)
        lines = [f"export {name}={shlex.quote(url)}" for name, url in database_roles.urls(state, admin_url).items()]
        target = state.root / "database.env"
        write_private(target, "\n".join(lines) + "\n")
        self.stdout.write(f"Database {database_roles.DATABASE} and its roles are ready. Their addresses: {target}")
