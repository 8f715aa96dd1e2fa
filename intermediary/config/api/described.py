"""The description of a view, with the scopes that it needs."""

from typing import Any

from drf_spectacular.openapi import AutoSchema


class Described(AutoSchema):
    """Adds `x-scopes` and the headers of a wish to what the framework finds out by itself."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """One operation, or None where the view hides it."""
        found: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if found is None:
            return None
        needed = getattr(self.view, "scopes", {}).get(self.method, ())
        found["x-scopes"] = list(needed)
        if not needed:
            found.pop("security", None)
        return found
