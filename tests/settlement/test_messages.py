"""What is encoded here word by word is what the libraries make of it."""

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from intermediary.typed_data import _digest_by_library as by_library
from intermediary.typed_data import digest_of
from settlement.bindings import contract, decode_event
from settlement.messages import batch_calldata, batch_message

HOUSE = "0x" + "ab" * 20
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda found: "0x" + found.hex())
WORDS = st.binary(min_size=32, max_size=32).map(lambda found: "0x" + found.hex())
MOVEMENTS = st.fixed_dictionaries(
    {
        "vault": ADDRESSES,
        "kind": st.integers(0, 3),
        "seq": st.integers(0, 2**32 - 1),
        "amount": st.integers(0, 2**96 - 1),
        "required": st.integers(0, 2**96 - 1),
        "ref": WORDS,
    }
)


def message_of(movements: list[dict[str, Any]], number: int = 7, statement: str = "0x" + "12" * 32) -> dict[str, Any]:
    return batch_message(HOUSE, 31337, number, statement, movements)


@given(st.lists(MOVEMENTS, max_size=4), st.integers(0, 2**64 - 1), WORDS)
def test_a_batch_is_signed_and_sent_as_the_libraries_encode_it(
    movements: list[dict[str, Any]], number: int, statement: str
) -> None:
    message = message_of(movements, number, statement)
    assert digest_of(message) == by_library(message)
    plain = ("vault", "kind", "seq", "amount", "required")
    listed = [(*(move[name] for name in plain), bytes.fromhex(move["ref"][2:])) for move in movements]
    arguments = (number, bytes.fromhex(statement[2:]), listed, HOUSE, b"\x01" * 65)
    assert batch_calldata(message, HOUSE, b"\x01" * 65) == contract("House").encode("postBatch", arguments)


@pytest.mark.parametrize(("field", "value"), [("amount", 2**96), ("seq", 2**32), ("kind", 256), ("amount", -1)])
def test_a_value_that_does_not_fit_its_type_is_not_encoded(field: str, value: int) -> None:
    move = {"vault": HOUSE, "kind": 1, "seq": 1, "amount": 1, "required": 1, "ref": "0x" + "00" * 32} | {field: value}
    with pytest.raises(OverflowError, match="does not fit"):
        batch_calldata(message_of([move]), HOUSE, b"")


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_an_answer_of_single_words_reads_as_the_library_reads_it(one: int, other: int) -> None:
    data = encode(["uint256", "uint256"], [one, other])
    fields = [{"type": "uint256"}, {"type": "uint256"}]
    bound = contract("House")
    found = type(bound)("x", b"", {"two": {"name": "two", "inputs": [], "outputs": fields}}, {}, {}, ())
    assert found.decode_result("two", data) == decode(["uint256", "uint256"], data) == (one, other)


@given(MOVEMENTS)
def test_an_event_reads_as_the_library_reads_it_however_often(move: dict[str, Any]) -> None:
    bound = contract("MarginVault")
    topic, entry = next((key, entry) for key, entry in bound.events.items() if entry["name"] == "Moved")
    said = {field["name"]: move[field["name"]] for field in entry["inputs"]}
    said["ref"] = bytes.fromhex(move["ref"][2:])
    indexed = [field for field in entry["inputs"] if field["indexed"]]
    plain = [field for field in entry["inputs"] if not field["indexed"]]
    topics = ["0x" + topic.hex(), *("0x" + encode([one["type"]], [said[one["name"]]]).hex() for one in indexed)]
    data = "0x" + encode([one["type"] for one in plain], [said[one["name"]] for one in plain]).hex()
    for _ in range(2):
        found = decode_event(topics, data)
        assert found is not None
        assert (found.name, found.arguments) == ("Moved", said)
    assert decode_event(topics[:-1], data) is None, "another number of topics is another event"
