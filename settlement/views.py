"""Many views of contracts in few calls: ten thousand balances are twenty requests of one kilobyte an answer, not ten
thousand calls.

A node runs creation code in an `eth_call` without a receiver and answers with what that code returns. Ours reads its
own tail, a list of (address, calldata of at most one argument), asks each, and returns a word and a flag for each. It
needs no contract on the chain, so it works on any chain, at any block, on the first day. Every view is read at the
same block; one that reverts fails the call, one without a contract answers None.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from settlement.bindings import contract
from settlement.chain import Call, Chain, block_name

# What a call returns here counts as code of a new contract: at most 24,576 bytes, of which each view takes 33.
VIEWS_A_CALL = 500
# A node answers such a call in some 20 ms; ten of them stay far below its own limit of seconds a request.
CALLS_A_REQUEST = 10
_ENTRY = 56  # bytes: an address, a selector, one word
_ANSWER = 33  # bytes: a word, and 1 where there was one
View = bytes  # an entry of the list: address, calldata of 4 or 36 bytes, zeros
Answers = tuple[str, ...]  # what a node said, call by call; equal ones say the same
# Two views a vault of ten thousand, and some: they stay what they are as long as the contract does.
REMEMBERED = 32_768


@lru_cache(REMEMBERED)
def view(address: str, name: str, function: str, argument: str | int | None = None) -> View:
    """A view without arguments, or with one of one word, that answers with one word."""
    calldata = contract(name).selector(function)
    if argument is not None:
        word = int(argument, 16) if isinstance(argument, str) else argument
        calldata += word.to_bytes(32, "big")
    return (bytes.fromhex(address[2:]) + calldata).ljust(_ENTRY, b"\0")


def read_words(chain: Chain, views: Sequence[View], block: int | str) -> list[int | None]:
    """What each view says at that block, as an unsigned number; None where there is no contract.

    Raises ChainRefused when one reverts, or the node no longer has the state of that block.
    """
    (answers,) = answers_at(chain, views, [block])
    return words_in(answers, len(views))


def answers_at(chain: Chain, views: Sequence[View], blocks: Sequence[int | str]) -> Iterator[Answers]:
    """What the node answers about all of these views at each of the blocks, in their order. Raises as `read_words`."""
    starts = range(0, len(views), VIEWS_A_CALL)
    asked = ["0x" + (_CODE + b"".join(views[start : start + VIEWS_A_CALL])).hex() for start in starts]
    calls: list[Call] = [("eth_call", [{"data": data}, block_name(block)]) for block in blocks for data in asked]
    found: list[str] = []
    sent = 0
    for _ in blocks:
        while len(found) < len(asked):
            found += chain.batch(calls[sent : sent + CALLS_A_REQUEST])
            sent += CALLS_A_REQUEST
        yield tuple(found[: len(asked)])
        del found[: len(asked)]


def words_in(answers: Answers, count: int) -> list[int | None]:
    """The words of the answers about so many views, in their order."""
    words = [word for answer in answers for word in _words(bytes.fromhex(answer[2:]))]
    assert len(words) == count, "the node ran other code than ours"
    return words


def _words(answer: bytes) -> Iterator[int | None]:
    # One byte in front: returned bytes that begin with 0xEF are refused as code.
    for start in range(1, len(answer), _ANSWER):
        yield int.from_bytes(answer[start : start + 32], "big") if answer[start + 32] else None


# Memory: 0x00 the entry, 0x40 the word it answered, from 0x80 on the answers. On the stack, always: the place of the
# next answer, and above it that of the next entry in the code. A number is pushed; so is @label, the place of a label.
_PROGRAM = """
        0x80 @list
loop:   CODESIZE DUP2 LT ISZERO @done JUMPI
        56 DUP2 0 CODECOPY
        32 0x40 36 20 0 MLOAD 96 SHR GAS STATICCALL ISZERO @failed JUMPI
        0x40 MLOAD DUP3 MSTORE
        RETURNDATASIZE 31 LT DUP3 32 ADD MSTORE8
        56 ADD SWAP1 33 ADD SWAP1 @loop JUMP
done:   POP 0x7f DUP1 SWAP2 SUB SWAP1 RETURN
failed: RETURNDATASIZE 0 0 RETURNDATACOPY RETURNDATASIZE 0 REVERT
"""
_OPCODES = {
    "PUSH1": 0x60, "ADD": 0x01, "SUB": 0x03, "LT": 0x10, "ISZERO": 0x15, "SHR": 0x1C, "CODESIZE": 0x38,
    "CODECOPY": 0x39, "RETURNDATASIZE": 0x3D, "RETURNDATACOPY": 0x3E, "POP": 0x50, "MLOAD": 0x51, "MSTORE": 0x52,
    "MSTORE8": 0x53, "JUMP": 0x56, "JUMPI": 0x57, "GAS": 0x5A, "JUMPDEST": 0x5B, "DUP1": 0x80, "DUP2": 0x81,
    "DUP3": 0x82, "SWAP1": 0x90, "SWAP2": 0x91, "RETURN": 0xF3, "STATICCALL": 0xFA, "REVERT": 0xFD,
}  # fmt: skip


def _assembled() -> bytes:
    """The program as bytes; the list begins where they end."""
    labels, code = {}, bytearray()
    for token in _PROGRAM.split():
        if token.endswith(":"):
            labels[f"@{token[:-1]}"] = len(code)
            code.append(_OPCODES["JUMPDEST"])
        else:
            code += bytes([_OPCODES[token]] if token in _OPCODES else [_OPCODES["PUSH1"], 0])
    labels["@list"] = len(code)
    at = 0
    for token in _PROGRAM.split():
        pushes = token not in _OPCODES and not token.endswith(":")
        if pushes:
            code[at + 1] = labels[token] if token in labels else int(token, 0)
        at += 2 if pushes else 1
    return bytes(code)


_CODE = _assembled()
