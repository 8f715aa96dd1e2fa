"""Sessions in the database, each readable by whoever brings its key and by nobody else.

Row-level security shows a request one session: the one it names. So no query of a page, however wrong, lists the keys
of others, which would be as good as their passwords.
"""

from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db import connection


class SessionStore(db.SessionStore):
    """Django's store, which says whose row it is about to touch."""

    def _get_session_from_db(self) -> Session | None:
        _name(self.session_key)
        found: Session | None = super()._get_session_from_db()  # type: ignore[misc]  # not in the stubs
        return found

    def exists(self, session_key: str) -> bool:
        """Whether this key is taken."""
        _name(session_key)
        return super().exists(session_key)

    def save(self, must_create: bool = False) -> None:
        """Write the session under its key, which a new one gets here."""
        _name(self.session_key)
        super().save(must_create)

    def delete(self, session_key: str | None = None) -> None:
        """End a session: this one, or the one named."""
        _name(session_key or self.session_key)
        super().delete(session_key)

    @classmethod
    def get_model_class(cls) -> Any:
        """The table of Django's own app."""
        return Session


def _name(session_key: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('bulkhead.session', %s, true)", [session_key or ""])
