"""The real poster and approver with keys that only other processes hold."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from intermediary.errors import Refusal
from intermediary.models import ChainInstruction
from settlement import approver, poster, role_table, sender_alarms
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.deployment import address_of
from settlement.models import Approval, ChainTransaction
from settlement.remote_signer import RemoteSigner
from settlement.signer import LocalSigner, demo_signer, signer_for
from settlement.watcher import step as watch
from tests.settlement.test_processes import until
from tests.settlement.world import MILLION, Client, assert_reconciled, debit, funded_client, held

CHAIN_ID = 31337


@dataclass(frozen=True)
class Files:
    """What one signer needs, in a directory of its own."""

    directory: Path

    def make(self, role: str, policy: dict[str, Any]) -> list[str]:
        """Files of the demo's key of this role; the command that serves it."""
        local = demo_signer(role)
        assert isinstance(local, LocalSigner)
        contents = {
            "key": json.dumps(Account.encrypt(local.account.key, "word", kdf="pbkdf2", iterations=10)),
            "password": "word\n",
            "policy": json.dumps({"role": role, **policy}),
            "token": "a token\n",
        }
        for name, content in contents.items():
            (self.directory / f"{role}.{name}").write_text(content)
            (self.directory / f"{role}.{name}").chmod(0o600)
        places = {"keystore": "key", "password-file": "password", "policy": "policy", "journal": "journal"}
        named = [part for option, name in places.items() for part in (f"--{option}", str(self.of(role, name)))]
        return [sys.executable, "-m", "settlement.signing", *named]

    def of(self, role: str, name: str) -> Path:
        return self.directory / f"{role}.{name}"

    def place(self, role: str) -> str:
        return f"unix:{self.of(role, 'socket')}"


@contextmanager
def serving(files: Files, role: str, policy: dict[str, Any]) -> Iterator[RemoteSigner]:
    """The signer's process, ready; it ends by SIGTERM and leaves no socket."""
    command = [*files.make(role, policy), "--socket", str(files.of(role, "socket"))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(files.of(role, "socket").exists, 30)
        yield RemoteSigner(role, files.place(role))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert not files.of(role, "socket").exists()


def sends(*functions: str) -> dict[str, Any]:
    calls = [{"to": [address_of("House", "USDC")], "functions": list(functions)}]
    limits = {"gas_limit": 10**7, "fee_cap_wei": 10**12, "wei_a_day": 10**20}
    return {"transactions": {"chain_ids": [CHAIN_ID], "calls": calls, **limits}}


def approves(largest: int) -> dict[str, Any]:
    limits = {"movement": str(largest), "claim": str(largest), "day": str(10 * largest)}
    house = address_of("House", "USDC")
    return {"typed_data": {"chain_ids": [CHAIN_ID], "movements": 200, "houses": {house: limits}}}


def house_functions(label: str) -> list[str]:
    return list(role_table.functions("House", label))


@pytest.mark.world(build=funded_client)
def test_poster_and_approver_settle_with_keys_they_do_not_hold(chain: Chain, who: Client, tmp_path: Path) -> None:
    files, made = Files(tmp_path), debit(who, MILLION)
    with ExitStack() as running:
        posts = running.enter_context(serving(files, "poster", sends(*house_functions("POSTER"))))
        second = running.enter_context(serving(files, "approver", approves(MILLION)))
        keys = {"poster": posts, "operator": demo_signer("operator")}
        poster.step(chain, keys)
        assert approver.step(second, CHAIN_ID) == 1
        assert poster.step(chain, keys) == 1
        with pytest.raises(Refusal, match="function_not_allowed"):
            posts.sign_transaction(call_of_house("setOutflowCap", 0))
        with pytest.raises(Refusal, match="blind_signing"):
            second.sign_digest(bytes(32))
    settle_all()
    assert (ChainInstruction.objects.get(id=made.id).state, held(who)) == ("FINAL", 4 * MILLION)
    assert_reconciled()
    assert len(files.of("approver", "journal").read_text().splitlines()) == 1


def call_of_house(function: str, *arguments: Any) -> dict[str, Any]:
    from settlement.bindings import contract

    fees = {"gas": 10**6, "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 0}
    data = contract("House").encode(function, arguments)
    to = address_of("House", "USDC")
    return {"type": 2, "chainId": CHAIN_ID, "nonce": 0, "to": to, "value": 0, "data": data, **fees}


@pytest.mark.world(build=funded_client)
def test_signer_that_is_away_loses_nothing_and_a_person_is_told(chain: Chain, who: Client, tmp_path: Path) -> None:
    files, made = Files(tmp_path), debit(who, MILLION)
    away = {role: RemoteSigner(role, files.place(role)) for role in ("poster", "approver")}
    keys = {"poster": away["poster"], "operator": demo_signer("operator")}
    assert poster.step(chain, keys) == 0
    assert approver.step(away["approver"], CHAIN_ID) == 0
    assert list(sender_alarms.open_alarms().values_list("kind", "role")) == [
        ("signer_away", "poster"),
        ("signer_away", "approver"),
    ]
    assert Approval.objects.filter(signature="", refusal__isnull=True).count() == 1
    assert not ChainTransaction.objects.exists()
    with serving(files, "poster", sends(*house_functions("POSTER"))), serving(files, "approver", approves(MILLION)):
        assert approver.step(away["approver"], CHAIN_ID) == 1
        assert poster.step(chain, keys) == 1
        mine(chain)
        poster.step(chain, keys)
    assert not sender_alarms.open_alarms().exists()
    settle_all()
    assert ChainInstruction.objects.get(id=made.id).state == "FINAL"


@pytest.mark.world(build=funded_client)
def test_amount_over_the_signers_limit_stays_unsigned_and_is_shown(chain: Chain, who: Client, tmp_path: Path) -> None:
    debit(who, MILLION)
    poster.step(chain, {role: demo_signer(role) for role in ("poster", "operator")})
    with serving(Files(tmp_path), "approver", approves(MILLION - 1)) as second:
        assert approver.step(second, CHAIN_ID) == 0
    alarm = sender_alarms.open_alarms().get()
    assert (alarm.kind, "amount_over_limit" in alarm.detail) == ("signer_refuses", True)
    assert not Approval.objects.exclude(signature="").exists()
    watch(chain)


SOME_HOUSE = "0x" + "11" * 20
BEATS: dict[str, Any] = {
    "transactions": {
        "chain_ids": [CHAIN_ID],
        "calls": [{"to": [SOME_HOUSE], "functions": ["beat()"]}],
        "gas_limit": 10**7,
        "fee_cap_wei": 10**12,
        "wei_a_day": 10**20,
    }
}


def test_port_answers_who_knows_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(tmp_path)
    command = [*files.make("poster", BEATS), "--port", "0", "--token-file", str(files.of("poster", "token"))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = process.stderr.readline().split()[-1]
        monkeypatch.setenv("SETTLEMENT_POSTER_SIGNER", f"http://127.0.0.1:{port}")
        with pytest.raises(Refusal, match="unauthorised"):
            _ = signer_for("poster").address
        monkeypatch.setenv("SETTLEMENT_POSTER_SIGNER_TOKEN_FILE", str(files.of("poster", "token")))
        assert signer_for("poster").address == demo_signer("poster").address
        with pytest.raises(Refusal, match="signer_wrong"):
            _ = RemoteSigner("operator", f"http://127.0.0.1:{port}", str(files.of("poster", "token"))).address
        monkeypatch.setenv("SETTLEMENT_POSTER_KEYSTORE", "key.json")
        with pytest.raises(Refusal, match="key_configured_twice"):
            signer_for("poster")
    finally:
        process.terminate()
        process.communicate(timeout=10)


def no_token(files: Files, command: list[str]) -> list[str]:
    return [*command, "--port", "0"]


def open_file(files: Files, command: list[str]) -> list[str]:
    files.of("poster", "key").chmod(0o640)
    return [*command, "--socket", str(files.of("poster", "socket"))]


def other_password(files: Files, command: list[str]) -> list[str]:
    files.of("poster", "password").write_text("other")
    return [*command, "--socket", str(files.of("poster", "socket"))]


@pytest.mark.parametrize(
    ("spoil", "code"), [(no_token, "token_needed"), (open_file, "file_is_open"), (other_password, "key_not_opened")]
)
def test_signer_does_not_start_on_what_is_unsafe(
    spoil: Callable[[Files, list[str]], list[str]], code: str, tmp_path: Path
) -> None:
    files = Files(tmp_path)
    done = subprocess.run(spoil(files, files.make("poster", BEATS)), capture_output=True, text=True, check=False)
    assert (done.returncode, code in done.stderr) == (2, True)


def test_signer_needs_neither_django_nor_a_database() -> None:
    look = "import settlement.signing.__main__, sys; print({m.split('.')[0] for m in sys.modules})"
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, env=bare()).stdout
    assert not {"django", "psycopg"} & set(eval(found))  # noqa: S307


def bare() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}


def test_remote_signer_lies_on_this_machine_only() -> None:
    with pytest.raises(Refusal, match="bad_signer"):
        _ = RemoteSigner("poster", "http://example.org:80").address
