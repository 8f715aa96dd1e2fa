"""Whether a downloaded margin statement is what the chain holds: no database, no word from us.

Each check is a line that says what was compared and whether it holds; what could not be checked is said to be so. The
leaf is hashed from the document's amounts, climbs by the document's proof, and must arrive at the root; that root must
be the one that the house's `BatchPosted` event of that number carries, in a block that is final on the node asked.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.address import is_checksum_address, to_checksum_address

from intermediary.errors import Refusal
from settlement.bindings import contract, decode_event, topic
from settlement.chain import Chain
from settlement.documents import AMOUNTS, FORMAT, plain
from settlement.leaves import climbed, leaf

HASH_DIGITS = 66
NUMBERS_BELOW = 2**37  # block numbers and unix seconds: until the year 6325
LEVELS_MAX = 32  # four thousand million leaves: a batch has two hundred


@dataclass(frozen=True)
class Check:
    """One thing compared. `holds` is None where it could not be checked."""

    what: str
    holds: bool | None
    said: str = ""

    def __str__(self) -> str:
        mark = {True: "holds", False: "DOES NOT HOLD", None: "not checked"}[self.holds]
        return f"{mark:<14}{self.what}{': ' if self.said else ''}{self.said}"


def check(document: Any, chain: Chain | None = None) -> list[Check]:
    """Every check of one document, against `chain` where a node is given. Stops early at a document that is none."""
    broken = _broken(document)
    if broken:
        return [Check("the file is a margin statement", False, broken)]
    found = list(_inside(document))
    if chain is None:
        return [*found, Check("the root is on the chain", None, "no node was given")]
    return [*found, *_outside(document, chain)]


def is_proved(checks: list[Check]) -> bool:
    """Everything was checked and holds."""
    return all(one.holds for one in checks)


def _broken(document: Any) -> str:
    """Why this is no statement of ours; empty when it is one."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return f"its format is not {FORMAT}"
    row, batch = document.get("leaf"), document.get("batch")
    if not isinstance(row, dict) or not isinstance(batch, dict) or not isinstance(document.get("plain"), dict):
        return "leaf, plain or batch is missing"
    for name in AMOUNTS:
        if not _is_whole(row.get(name), signed=name == "exposure"):
            return f"leaf.{name} is no whole number of base units"
    for name, value in (("leaf.vault", row.get("vault")), ("house", document.get("house"))):
        if not isinstance(value, str) or not is_checksum_address(value):
            return f"{name} is no address"
    numbers = (document.get("chain_id"), row.get("as_of"), batch.get("number"), batch.get("block_number"))
    if not all(type(value) is int and 0 <= value < NUMBERS_BELOW for value in numbers):
        return "chain_id, as_of, number or block_number is no number"
    proof = document.get("proof")
    if not isinstance(proof, list) or len(proof) > LEVELS_MAX:
        return "the proof is no list"
    if not all(map(_is_hash, [*proof, document.get("root"), batch.get("transaction"), batch.get("block_hash")])):
        return "a hash is not 0x and 64 hex digits"
    return ""


def _is_whole(value: Any, *, signed: bool) -> bool:
    digits = value.removeprefix("-") if signed and isinstance(value, str) else value
    return isinstance(digits, str) and digits.isascii() and digits.isdigit() and int(digits) < 2**255


def _is_hash(value: Any) -> bool:
    if not isinstance(value, str) or len(value) != HASH_DIGITS or not value.startswith("0x"):
        return False
    return all(digit in "0123456789abcdefABCDEF" for digit in value[2:])


def _inside(document: Mapping[str, Any]) -> Iterator[Check]:
    """What the document says of itself."""
    row = document["leaf"]
    written = plain(row)
    wrong = [name for name, text in written.items() if document["plain"].get(name) != text]
    said = ", ".join(f"{name} is {written[name]}, not {document['plain'].get(name)}" for name in wrong)
    yield Check("the plain figures are those of the leaf", not wrong, said)
    hashed = leaf(row | {name: int(row[name]) for name in AMOUNTS})
    reached = "0x" + climbed(hashed, [bytes.fromhex(one[2:]) for one in document["proof"]]).hex()
    said = "" if reached == document["root"].lower() else f"it leads to {reached}, not {document['root']}"
    yield Check("the leaf leads to the root", not said, said)


def _outside(document: Mapping[str, Any], chain: Chain) -> Iterator[Check]:
    """What the chain says about it; the first question that cannot be answered ends it."""
    questions: tuple[Callable[[Mapping[str, Any], Chain], Check], ...] = (_same_chain, _vault_of_house, _posted, _final)
    for ask in questions:
        try:
            yield ask(document, chain)
        except Refusal as refusal:
            yield Check((ask.__doc__ or "").rstrip("."), None, refusal.message)


def _same_chain(document: Mapping[str, Any], chain: Chain) -> Check:
    """the node is on the statement's chain."""
    found = int(chain.call("eth_chainId"), 16)
    said = "" if found == document["chain_id"] else f"the node is on chain {found}, not {document['chain_id']}"
    return Check("the node is on the statement's chain", not said, said)


def _vault_of_house(document: Mapping[str, Any], chain: Chain) -> Check:
    """the vault belongs to that house."""
    what, vault = "the vault belongs to that house", document["leaf"]["vault"]
    answer = chain.eth_call(vault, contract("MarginVault").encode("house"))
    if len(answer) != 32:
        return Check(what, False, f"{vault} is no vault")
    house = to_checksum_address(answer[12:])
    return Check(what, house == document["house"], "" if house == document["house"] else f"its house is {house}")


def _posted(document: Mapping[str, Any], chain: Chain) -> Check:
    """the house posted that root under that number."""
    what, batch = "the house posted that root under that number", document["batch"]
    topics = [topic("House", "BatchPosted"), f"0x{batch['number']:064x}"]
    within = {"blockHash": batch["block_hash"], "address": document["house"], "topics": topics}
    logs = chain.call("eth_getLogs", within)
    if not logs:
        return Check(what, False, f"block {batch['block_hash']} holds no batch {batch['number']} of this house")
    event = decode_event(logs[0]["topics"], logs[0]["data"])
    statement = "0x" + event.arguments["statement"].hex() if event else "unreadable"
    if statement != document["root"].lower():
        return Check(what, False, f"it posted {statement}")
    if logs[0]["transactionHash"] != batch["transaction"]:
        return Check(what, False, f"it did so in transaction {logs[0]['transactionHash']}")
    return Check(what, True)


def _final(document: Mapping[str, Any], chain: Chain) -> Check:
    """the block is final."""
    what, batch = "the block is final", document["batch"]
    final, there = chain.block("finalized"), chain.block(batch["block_number"])
    if there is None or there["hash"] != batch["block_hash"]:
        return Check(what, False, f"block {batch['block_number']} is {there['hash'] if there else 'not there'}")
    reached = int(final["number"], 16) if final else 0
    said = "" if reached >= batch["block_number"] else f"final blocks reach {reached}"
    return Check(what, not said, said)
