"""What a signer answers when it does not sign: a stable code, a sentence, the figures."""

from typing import Any


class NotSigned(Exception):
    """Nothing was signed. `status` is that of HTTP."""

    def __init__(self, code: str, message: str, *, status: int = 403, **data: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.data = code, message, status, data

    def body(self) -> dict[str, Any]:
        """The answer's body; figures as decimal strings."""
        return {
            "error": {"code": self.code, "message": self.message, "data": {k: str(v) for k, v in self.data.items()}}
        }
