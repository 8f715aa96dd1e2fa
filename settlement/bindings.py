"""The contracts as Python sees them: calls encoded, results and events decoded, from the committed ABI.

`contract("House").encode("postBatch", [...])` gives calldata; `decode_event(log)` names an event of any of our
contracts, or of none; `error_name(data)` names a revert. Addresses come out checksummed, bytes as bytes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from settlement.chain import Call, Chain, block_name, call_object

ARTIFACTS = Path(__file__).parent / "contracts" / "artifacts"
Entry = dict[str, Any]


@dataclass(frozen=True)
class Contract:
    """One contract's ABI and creation code."""

    name: str
    bytecode: bytes
    functions: dict[str, Entry]
    events: dict[bytes, Entry]
    errors: dict[bytes, str]
    constructor: tuple[str, ...]

    def encode(self, function: str, arguments: Sequence[Any] = ()) -> bytes:
        """Calldata of one call."""
        return self.selector(function) + encode(_types(self.functions[function]["inputs"]), list(arguments))

    def selector(self, function: str) -> bytes:
        """The four bytes that name the function."""
        return self._selectors[function]

    @cached_property
    def _selectors(self) -> dict[str, bytes]:
        return {name: keccak(text=_signature(entry))[:4] for name, entry in self.functions.items()}

    def creation(self, arguments: Sequence[Any] = ()) -> bytes:
        """Creation code with the constructor's arguments."""
        return self.bytecode + encode(self.constructor, list(arguments))

    def decode_arguments(self, function: str, data: bytes) -> tuple[Any, ...]:
        """What a function was called with, from calldata after its selector."""
        return _values(self.functions[function]["inputs"], data)

    def decode_result(self, function: str, data: bytes) -> Any:
        """What a call returned: one value, or a tuple of several."""
        values = _values(self.functions[function]["outputs"], data)
        return values[0] if len(values) == 1 else values

    def call(self, address: str, function: str, arguments: Sequence[Any], block: int | str) -> Call:
        """The eth_call of a view, for a batch."""
        return ("eth_call", [call_object(address, self.encode(function, arguments)), block_name(block)])


@dataclass(frozen=True)
class DecodedEvent:
    """One event of a contract of ours."""

    name: str
    arguments: dict[str, Any]


@cache
def contract(name: str) -> Contract:
    """A contract of the suite by name; FileNotFoundError when there is no such artefact."""
    artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
    by_type: dict[str, list[Entry]] = {}
    for entry in artifact["abi"]:
        by_type.setdefault(entry["type"], []).append(entry)
    constructors = by_type.get("constructor", [])
    return Contract(
        name=name,
        bytecode=bytes.fromhex(artifact["bytecode"].removeprefix("0x")),
        functions={entry["name"]: entry for entry in by_type.get("function", [])},
        events={keccak(text=_signature(entry)): entry for entry in by_type.get("event", [])},
        errors={keccak(text=_signature(entry))[:4]: entry["name"] for entry in by_type.get("error", [])},
        constructor=_types(constructors[0]["inputs"]) if constructors else (),
    )


def read(chain: Chain, address: str, name: str, function: str, *arguments: Any, block: int | str = "latest") -> Any:
    """The value of a view."""
    bound = contract(name)
    return bound.decode_result(function, chain.eth_call(address, bound.encode(function, arguments), block))


def topic(name: str, event: str) -> str:
    """The first topic of an event, 0x hex."""
    return "0x" + next(key for key, entry in contract(name).events.items() if entry["name"] == event).hex()


def decode_event(topics: Sequence[str], data: str) -> DecodedEvent | None:
    """The event of one of our contracts behind a log; None for anything else."""
    return _decoded(tuple(topics), data) if topics else None


@lru_cache(4096)  # some blocks of full batches, 6 MB: what is read is decoded to be stored, shown, and booked
def _decoded(topics: tuple[str, ...], data: str) -> DecodedEvent | None:
    event = _all_events().get((topics[0].lower(), len(topics)))
    if event is None:
        return None
    said = _values(event.indexed, bytes.fromhex("".join(found[2:] for found in topics[1:])))
    said += _values(event.plain, bytes.fromhex(data[2:]))
    return DecodedEvent(event.name, dict(zip(event.fields, said, strict=True)))


def error_name(data: bytes) -> str:
    """The name of the custom error a call reverted with; its first bytes in hex when it is none of ours."""
    return known_error(data) or "0x" + data[:4].hex()


def known_error(data: bytes) -> str:
    """The same, empty when it is none of ours."""
    return _all_errors().get(data[:4], "")


@dataclass(frozen=True)
class _Event:
    """How an event is laid out: indexed values in topics of their own, the others after each other in its data."""

    name: str
    indexed: tuple[Entry, ...]
    plain: tuple[Entry, ...]
    fields: tuple[str, ...]  # their names, indexed ones first


@cache
def _all_events() -> dict[tuple[str, int], _Event]:
    """Every event of the suite by first topic and number of topics (Transfer of a token has three of them)."""
    return {
        ("0x" + key.hex(), 1 + sum(field["indexed"] for field in entry["inputs"])): _event(entry)
        for path in ARTIFACTS.glob("*.json")
        for key, entry in contract(path.stem).events.items()
    }


def _event(entry: Entry) -> _Event:
    indexed = tuple(field for field in entry["inputs"] if field["indexed"])
    plain = tuple(field for field in entry["inputs"] if not field["indexed"])
    return _Event(entry["name"], indexed, plain, tuple(field["name"] for field in (*indexed, *plain)))


@cache
def _all_errors() -> dict[bytes, str]:
    return {key: name for path in ARTIFACTS.glob("*.json") for key, name in contract(path.stem).errors.items()}


def _values(fields: Sequence[Entry], data: bytes) -> tuple[Any, ...]:
    """What stands in ABI-encoded data. Fields of one word each, which is nearly everything that is read by the
    thousand, are cut out; a value that does not fit its type is left to the library to refuse."""
    readers = [_WORDS.get(field["type"]) for field in fields]
    if None not in readers and len(data) == 32 * len(fields):
        words = [data[start : start + 32] for start in range(0, len(data), 32)]
        read = [reader(word) for reader, word in zip(readers, words, strict=True) if reader is not None]
        if None not in read:
            return tuple(read)
    return tuple(_plain(value, field) for value, field in zip(decode(_types(fields), data), fields, strict=True))


def _uint(bits: int) -> Callable[[bytes], int | None]:
    def read(word: bytes) -> int | None:
        value = int.from_bytes(word)
        return None if value >> bits else value

    return read


def _address(word: bytes) -> str | None:
    return None if any(word[:12]) else checksummed(word[12:])


def _bool(word: bytes) -> bool | None:
    return {0: False, 1: True}.get(int.from_bytes(word))


_WORDS: dict[str, Callable[[bytes], Any]] = {
    **{f"uint{bits}": _uint(bits) for bits in range(8, 257, 8)},
    "bytes32": lambda word: word,
    "address": _address,
    "bool": _bool,
}


@lru_cache(100_000)  # every address of a large platform: some 20 MB; hashing each again takes 30 microseconds
def checksummed(address: bytes | str) -> str:
    """The address as people write it, with its checksum in upper and lower case."""
    return str(to_checksum_address(address))


def _types(fields: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(_type(field) for field in fields)


def _type(field: Entry) -> str:
    if not field["type"].startswith("tuple"):
        return str(field["type"])
    return f"({','.join(_types(field['components']))}){field['type'].removeprefix('tuple')}"


def _signature(entry: Entry) -> str:
    return f"{entry['name']}({','.join(_types(entry['inputs']))})"


def _plain(value: Any, field: Entry) -> Any:
    kind = field["type"]
    if kind.endswith("]"):
        inner = field | {"type": kind[: kind.rindex("[")]}
        return [_plain(item, inner) for item in value]
    if kind == "tuple":
        return {part["name"]: _plain(item, part) for part, item in zip(field["components"], value, strict=True)}
    return checksummed(value) if kind == "address" else value
