"""Take a client's margin out of its vault with nothing but an Ethereum node and the client's key.

    pip install eth-account
    python exit_vault.py --rpc URL --vault 0x… [--keystore FILE [--password-file FILE]] [--stay] [--send]

It needs no platform, no database and no other file of this project. Without --send it changes nothing: it shows the
vault, what locks it, when it comes free, and the calls it would make, with their data, so that any wallet can make
them. With --send it makes them: it asks for the whole balance, gives notice to leave (not with --stay, which waits for
what is free, or for a silent operator), and takes out what has come free. Each run reads where the vault stands and
does the next thing only, so it may be stopped and run again at any point. A transaction
that waits at too low a fee is replaced with --dearer. It never prints a key, nor the path of the node's URL, which
often is one.

Ends with 0 when the vault is empty, 3 when something is left and must wait, 1 when it could not do what it tried.
"""

import argparse
import getpass
import http.client
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eth_account import Account
from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak

SILENCE = 7 * 24 * 3600  # MarginVault.SILENCE and REQUEST_LIFE: constants of the contract
REQUEST_LIFE = 7 * 24 * 3600
RPC_TIMEOUT_SECONDS = 20  # public nodes answer within seconds
RECEIPT_SECONDS = 300  # a fee of twice the base fee is mined within a few blocks; after that, run again
POLL_SECONDS = 1
DEARER = 4  # what is replaced offered twice its day's base fee; nodes want a tenth more than that, in both fees
DONE, FAILED, MUST_WAIT = 0, 1, 3


class Stop(Exception):
    """What keeps the script from going on, as a sentence."""


class Refused(Stop):
    """The node answered, and said no."""


class Node:
    """One node's JSON-RPC."""

    def __init__(self, url: str) -> None:
        self.url, self.name = url, urlsplit(url).hostname or "this address"

    def call(self, method: str, *parameters: Any) -> Any:
        """The result of one call; Stop with what the node said, or did not say."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})  # noqa: S310 - the user's own
        try:
            with urllib.request.urlopen(request, timeout=RPC_TIMEOUT_SECONDS) as answer:  # noqa: S310
                found = dict(json.loads(answer.read()))
        except (OSError, ValueError, TypeError, http.client.HTTPException) as error:
            said = f"{error}".replace(self.url, self.name)
            raise Stop(f"The node at {self.name} does not answer {method}: {said}") from error
        if "result" not in found:
            raise Refused(f"The node refuses {method}: {(found.get('error') or {}).get('message', found)}")
        return found["result"]

    def words(self, to: str, function: str, *arguments: int) -> list[int]:
        """What a view returned, in words of 32 bytes."""
        answer = self.call("eth_call", {"to": to, "data": calldata(function, *arguments)}, "latest")
        return [int(answer[at : at + 64], 16) for at in range(2, len(answer), 64)]

    def word(self, to: str, function: str, *arguments: int) -> int:
        """The one word of a view; Stop when there is no such contract."""
        found = self.words(to, function, *arguments)
        if not found:
            raise Stop(f"{to} does not answer {function}: is it a margin vault, and is this the right chain?")
        return found[0]


def calldata(function: str, *arguments: int) -> str:
    """0x calldata of a call whose arguments are words."""
    return "0x" + keccak(text=function)[:4].hex() + "".join(f"{value:064x}" for value in arguments)


@dataclass(frozen=True)
class Vault:
    """Where a vault stands at the latest block. Times are unix seconds of the chain, amounts base units."""

    address: str
    house: str
    token: str
    client: str
    payout: str
    symbol: str
    decimals: int
    now: int
    balance: int
    required: int
    locked: int
    free: int
    last_beat: int
    exit_ready: int
    request: int
    request_ready: int
    notice_until: int
    claim: int
    answer_period: int
    exit_period: int

    @property
    def notice_is_live(self) -> bool:
        return self.now < self.notice_until

    @property
    def exit_is_ripe(self) -> bool:
        return self.exit_ready != 0 and self.now >= self.exit_ready

    @property
    def silent_from(self) -> int:
        """When the operator counts as silent, unless it gives another sign of life."""
        return self.last_beat + SILENCE + 1

    @property
    def request_is_alive(self) -> bool:
        """Ripe or ripening; a request of more than seven days past its time is dead."""
        return self.request > 0 and self.now < self.request_ready + REQUEST_LIFE

    @property
    def can_pay(self) -> bool:
        ripe = self.request_is_alive and self.now >= self.request_ready
        return self.free > 0 and (self.exit_is_ripe or ripe)

    def amount(self, base_units: int) -> str:
        """Exactly, in whole tokens."""
        digits = str(base_units).rjust(self.decimals + 1, "0")
        whole, part = digits[: len(digits) - self.decimals], digits[len(digits) - self.decimals :].rstrip("0")
        return f"{int(whole):,}{'.' + part if part else ''} {self.symbol}"


def read_vault(node: Node, vault: str) -> Vault:
    """Everything about the vault that matters for leaving it."""
    try:
        terms, state = node.words(vault, "terms()"), node.words(vault, "state()")
    except Refused:
        terms, state = [], []
    if len(terms) != 9 or len(state) != 16:
        if node.call("eth_getCode", vault, "latest") == "0x":
            raise Stop(
                f"Nothing stands at {vault}: is the address right, and the chain? A vault that was paid into and never"
                " opened keeps its tokens: anyone may open it, by VaultFactory.open(terms). Then run again."
            )
        raise Stop(f"{vault} is no margin vault of this kind: is the address right, and the chain?")
    house, token = (_address(node.word(vault, name)) for name in ("house()", "token()"))
    latest = node.call("eth_getBlockByNumber", "latest", False)
    return Vault(
        address=vault,
        house=house,
        token=token,
        client=_address(terms[2]),
        payout=_address(node.word(vault, "payout()")),
        symbol=_symbol(node, token),
        decimals=node.word(token, "decimals()"),
        now=int(latest["timestamp"], 16),
        balance=node.word(token, "balanceOf(address)", int(vault, 16)),
        required=state[0],
        locked=node.word(vault, "locked()"),
        free=node.word(vault, "free()"),
        last_beat=node.word(house, "lastBeat()"),
        exit_ready=state[3],
        request=state[5],
        request_ready=state[6],
        notice_until=state[8],
        claim=state[11] - state[12],
        answer_period=terms[6],
        exit_period=terms[7],
    )


def _address(word: int) -> str:
    return str(to_checksum_address(f"0x{word:040x}"))


def _symbol(node: Node, token: str) -> str:
    """The token's symbol, a string or (of old tokens) 32 bytes; its address when it has none."""
    words = node.words(token, "symbol()")
    raw = b"".join(word.to_bytes(32, "big") for word in (words[2:] if len(words) > 2 else words))
    text = raw.rstrip(b"\0").decode("ascii", "replace")
    return text if text.isprintable() and text else token


@dataclass(frozen=True)
class Step:
    """One call to the vault. Only the client may make it, unless `anyone`."""

    function: str
    arguments: tuple[int, ...]
    what: str
    anyone: bool = False


def steps(vault: Vault, leave: bool) -> Iterator[Step]:
    """What can be done now, in order. Nothing that runs already is started again: that would set its time back."""
    if vault.can_pay:
        amount = vault.free if vault.exit_is_ripe else min(vault.free, vault.request)
        yield Step("withdraw()", (), f"Pay {vault.amount(amount)} to {vault.payout}", anyone=True)
        return
    if vault.balance == 0:
        return
    if not vault.request_is_alive and not vault.exit_is_ripe:
        what = f"Ask for {vault.amount(vault.balance)}; the operator has {_span(vault.answer_period)} to answer"
        yield Step("requestWithdraw(uint96)", (vault.balance,), what)
    if leave and vault.exit_ready == 0:
        yield Step("requestExit()", (), f"Give notice to leave; after {_span(vault.exit_period)} nothing is locked")


def waits(vault: Vault) -> Iterator[str]:
    """Why what is left cannot be taken yet, and when it can."""
    if vault.balance == 0 or vault.can_pay:
        return
    if vault.notice_is_live:
        until = _when(vault.notice_until, vault.now)
        yield f"A default notice claims {vault.amount(vault.claim)}; it ends {until}, or at once when you cure it."
    if vault.exit_ready and not vault.exit_is_ripe:
        yield f"Your exit matures {_when(vault.exit_ready, vault.now)}; then all of it is free, if no notice lives."
    if not vault.request_is_alive:
        if not vault.exit_ready:
            yield "Nothing was asked for yet: without a request or an exit the vault pays nothing out."
        return
    asked = vault.amount(vault.request)
    if vault.now < vault.request_ready:
        yield f"Your request of {asked} ripens {_when(vault.request_ready, vault.now)}."
    if vault.locked == 0 or vault.notice_is_live:
        return
    silent = max(vault.silent_from, vault.request_ready)
    yield (
        f"{vault.amount(vault.locked)} is locked: the operator requires it and gave its last sign of life at"
        f" {_time(vault.last_beat)}."
    )
    if silent < vault.request_ready + REQUEST_LIFE:
        yield f"If no other sign comes, all of it is free {_when(silent, vault.now)}."


def _span(seconds: int) -> str:
    hours = seconds // 3600
    return f"{hours // 24} days" if hours >= 48 and hours % 24 == 0 else f"{hours} hours" if hours else f"{seconds} s"


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _when(moment: int, now: int) -> str:
    left = moment - now
    return f"at {_time(moment)} ({left // 86400} d {left % 86400 // 3600} h {left % 3600 // 60} min from now)"


def describe(vault: Vault) -> Iterator[str]:
    """The vault in lines for a person."""
    yield f"vault          {vault.address}"
    yield f"client         {vault.client}"
    yield f"pays out to    {vault.payout}"
    yield f"chain's time   {_time(vault.now)}"
    yield f"balance        {vault.amount(vault.balance)}"
    yield f"required       {vault.amount(vault.required)}"
    yield f"locked now     {vault.amount(vault.locked)}"
    yield f"free now       {vault.amount(vault.free)}"
    silent = "silent since" if vault.now >= vault.silent_from else "silent from, if no other sign comes,"
    yield f"last beat      {_time(vault.last_beat)}; {silent} {_time(vault.silent_from)}"
    yield f"exit           {_time(vault.exit_ready) if vault.exit_ready else 'not asked for'}"
    if vault.request:
        dies = _time(vault.request_ready + REQUEST_LIFE)
        yield f"request        {vault.amount(vault.request)}, ripe {_time(vault.request_ready)}, dies {dies}"


class Wallet:
    """The client's key and its transactions, one after another."""

    def __init__(self, node: Node, key: Any, *, dearer: bool = False) -> None:
        self.node, self._account, self._dearer = node, Account.from_key(key), dearer
        self.address = str(self._account.address)

    def send(self, to: str, data: str) -> str:
        """Sign and send one call; its hash, when it is in a block and did not revert."""
        latest = self.node.call("eth_getBlockByNumber", "latest", False)
        if latest.get("baseFeePerGas") is None:
            raise Stop("This chain has no base fee (EIP-1559). Let another wallet make the calls shown without --send.")
        tip = int(self.node.call("eth_maxPriorityFeePerGas"), 16)
        gas = int(self.node.call("eth_estimateGas", {"from": self.address, "to": to, "data": data}, "latest"), 16)
        fee = 2 * int(latest["baseFeePerGas"], 16) + tip
        nonce = int(self.node.call("eth_getTransactionCount", self.address, "latest"), 16)
        if int(self.node.call("eth_getTransactionCount", self.address, "pending"), 16) != nonce:
            if not self._dearer:
                raise Stop(
                    f"A transaction of {self.address} is under way. Wait until it is in a block, then run again; if"
                    " none takes it, run with --dearer: it is replaced by this call at four times the fee."
                )
            fee, tip = DEARER * fee, DEARER * max(tip, 1)
        held = int(self.node.call("eth_getBalance", self.address, "latest"), 16)
        if held < gas * 5 // 4 * fee:
            raise Stop(f"{self.address} holds {held} wei and needs {gas * 5 // 4 * fee} wei to pay for gas.")
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": int(self.node.call("eth_chainId"), 16),
                "nonce": nonce,
                "to": to,
                "value": 0,
                "data": data,
                "gas": gas * 5 // 4,
                "maxFeePerGas": fee,
                "maxPriorityFeePerGas": tip,
            }
        )
        found = str(self.node.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex()))
        self._wait(found)
        return found

    def _wait(self, sent: str) -> None:
        deadline = time.monotonic() + RECEIPT_SECONDS
        while (receipt := self.node.call("eth_getTransactionReceipt", sent)) is None:
            if time.monotonic() > deadline:
                raise Stop(f"{sent} is in no block after {RECEIPT_SECONDS} s. Run again: nothing is done twice.")
            time.sleep(POLL_SECONDS)
        if int(receipt["status"], 16) != 1:
            raise Stop(f"{sent} reverted: something came in between. Run again.")


def run(node: Node, vault_address: str, wallet: Wallet | None, *, leave: bool, tell: Callable[[str], None]) -> int:
    """Show the vault, do what can be done (or, without a wallet, tell it), and say what is left and until when."""
    vault = read_vault(node, vault_address)
    for line in describe(vault):
        tell(line)
    while todo := list(steps(vault, leave)):
        for step in todo:
            data = calldata(step.function, *step.arguments)
            if wallet is None:
                tell(f"would call     {step.function}: {step.what}\n               to {vault.address} data {data}")
                continue
            if not step.anyone and wallet.address != vault.client:
                raise Stop(f"Only {vault.client} may call {step.function}; this key is {wallet.address}.")
            tell(f"calling        {step.function}: {step.what}")
            tell(f"done           {wallet.send(vault.address, data)}")
        if wallet is None:
            break
        vault = read_vault(node, vault_address)
    for reason in waits(vault):
        tell(f"wait           {reason}")
    tell(f"left           {vault.amount(vault.balance)}")
    return DONE if vault.balance == 0 else MUST_WAIT


def _key(keystore: Path, password_file: Path | None) -> Any:
    try:
        content = json.loads(keystore.read_text())
        password = password_file.read_text().rstrip("\n") if password_file else getpass.getpass("Keystore password: ")
    except (OSError, ValueError) as error:
        raise Stop(f"The keystore cannot be read: {error}") from error
    try:
        return Account.decrypt(content, password)
    except (KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise Stop(f"{keystore} is no Web3 keystore of version 3: {type(error).__name__} {error}.") from error
    except ValueError as error:
        raise Stop(f"The keystore does not open with this password: {error}.") from error


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Take a client's margin out of its vault: a node and a key suffice.")
    parser.add_argument("--rpc", required=True, help="URL of an Ethereum node")
    parser.add_argument("--vault", required=True, help="address of the vault")
    parser.add_argument("--keystore", type=Path, help="the client's key, an encrypted keystore file (Web3 version 3)")
    parser.add_argument("--password-file", type=Path, help="holds the keystore's password; else it is asked for")
    parser.add_argument("--stay", action="store_true", help="give no notice to leave: take what is or comes free")
    parser.add_argument("--dearer", action="store_true", help="replace a transaction that waits, at a higher fee")
    parser.add_argument("--send", action="store_true", help="make the calls; without it nothing is changed")
    options = parser.parse_args(arguments)
    if not is_address(options.vault):
        parser.error("--vault is an address: 0x and 40 hex digits")
    if options.send and not options.keystore:
        parser.error("--send needs --keystore")
    node = Node(options.rpc)
    try:
        wallet = None
        if options.send:
            wallet = Wallet(node, _key(options.keystore, options.password_file), dearer=options.dearer)
        vault = str(to_checksum_address(options.vault))
        return run(node, vault, wallet, leave=not options.stay, tell=lambda line: print(line, flush=True))
    except Stop as stop:
        print(f"stopped        {stop}", file=sys.stderr, flush=True)
        return FAILED


if __name__ == "__main__":
    raise SystemExit(main())
