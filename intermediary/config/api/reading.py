"""What a program may send: JSON of a bounded size and depth, whatever the framework would take."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from intermediary.canonical import read_json

BYTES_MAX = 1_000_000  # a sealed bid's opening has four thousand


class BoundedJson(JSONParser):
    """Refuses what is longer or deeper before it is parsed."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value. Raises `ParseError`, which is told as a problem."""
        sent = stream.read(BYTES_MAX + 1)
        if len(sent) > BYTES_MAX:
            raise ParseError(f"A body has at most {BYTES_MAX} bytes.")
        try:
            return read_json(sent.decode())
        except ValueError as problem:
            raise ParseError(f"This is no JSON of ours: {problem}") from problem
