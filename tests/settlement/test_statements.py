"""A client's own margin statement: handed out when final, checked without us, refused when it was changed."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings

from intermediary.models import ChainTarget
from settlement import approver, poster
from settlement.breaks import VaultStatement
from settlement.chain import Chain
from settlement.cycle import settle_all
from settlement.demo_chain import mine
from settlement.models import Batch, ChainLog
from settlement.proving import check, is_proved
from settlement.signer import demo_signer
from settlement.watcher import step as watch
from tests.settlement.statement_world import three_told
from tests.settlement.test_witnessed import Forgetful
from tests.settlement.world import MILLION, Client, debit

pytestmark = pytest.mark.world(build=three_told)
Document = dict[str, Any]


@pytest.fixture
def document(who: Client) -> Document:
    """The statement of the client in the middle."""
    body: Document = VaultStatement.objects.get(target=who.vault).body
    return body


def test_each_vault_has_its_own_and_it_holds(chain: Chain, who: Client, document: Document) -> None:
    assert document["plain"]["exposure"] == "-0.000007 USDC"
    assert document["leaf"]["vault"] == who.vault.address
    handed = list(VaultStatement.objects.select_related("target"))
    assert sorted(len(row.body["proof"]) for row in handed) == [1, 2, 2]
    for row in handed:
        assert row.body["leaf"]["vault"] == row.target.address
        checks = check(row.body, chain)
        assert is_proved(checks), [str(one) for one in checks]
        assert len(checks) == 6


def test_a_later_batch_replaces_it_once_it_is_final(chain: Chain, who: Client, document: Document) -> None:
    debit(who, 5)
    settle_all()
    later = VaultStatement.objects.get(target=who.vault)
    assert later.batch_number == document["batch"]["number"] + 1 == Batch.objects.count()
    assert is_proved(check(later.body, chain))
    assert is_proved(check(document, chain))


CHANGES: dict[str, tuple[Callable[[Document], Any], str]] = {
    "amount": (lambda d: d["leaf"].update(required="1"), "the plain figures are those of the leaf"),
    "sign": (lambda d: (d["leaf"].update(exposure="7"), d["plain"].update(exposure="0.000007 USDC")), "the leaf leads"),
    "plain amount": (lambda d: d["plain"].update(held="9 USDC"), "held is 4000000.000000 USDC, not 9 USDC"),
    "sibling": (lambda d: d.update(proof=["0x" + "33" * 32, *d["proof"][1:]]), "the leaf leads to the root"),
    "root": (lambda d: d.update(root="0x" + "11" * 32), "it posted 0x"),
    "batch": (lambda d: d["batch"].update(number=2), "holds no batch 2 of this house"),
    "block": (lambda d: d["batch"].update(block_number=3), "block 3 is 0x"),
    "transaction": (lambda d: d["batch"].update(transaction="0x" + "22" * 32), "in transaction 0x"),
    "chain": (lambda d: d.update(chain_id=1), "the node is on chain 31337, not 1"),
    "house": (lambda d: d.update(house=d["leaf"]["vault"]), "its house is 0x"),
    "format": (lambda d: d.update(format="v2"), "its format is not"),
    "float": (lambda d: d["leaf"].update(held=4e12), "leaf.held is no whole number"),
    "proof": (lambda d: d.update(proof=["0x12"]), "a hash is not"),
}


def test_whatever_is_changed_is_named(chain: Chain, document: Document) -> None:
    for change, (tamper, said) in CHANGES.items():
        tampered = copy.deepcopy(document)
        tamper(tampered)
        checks = check(tampered, chain)
        assert any(one.holds is False for one in checks), change
        assert said in "\n".join(map(str, checks)), change


def test_a_block_that_is_not_final_yet_is_said(chain: Chain, who: Client, document: Document) -> None:
    early = copy.deepcopy(document)
    mine(chain)
    head = chain.block("latest")
    assert head is not None
    early["batch"] |= {"block_number": int(head["number"], 16), "block_hash": head["hash"]}
    assert "final blocks reach" in "\n".join(map(str, check(early, chain)))


def test_the_command_needs_no_database_and_says_what_it_did_not_check(
    chain: Chain, document: Document, tmp_path: Path
) -> None:
    file = tmp_path / "statement.json"
    file.write_text(json.dumps(document))
    command = [sys.executable, str(Path(django_settings.BASE_DIR) / "manage.py"), "verify_statement", str(file)]

    def verified(*more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*command, *more], cwd=tmp_path, env={}, capture_output=True, text=True, timeout=60)

    held = verified("--rpc", chain.url)
    assert (held.returncode, held.stdout.count("holds ")) == (0, 6), held.stdout + held.stderr
    alone = verified()
    assert (alone.returncode, "not checked" in alone.stdout) == (3, True)
    document["leaf"]["required"] = str(MILLION)
    file.write_text(json.dumps(document))
    assert verified("--rpc", chain.url).returncode == 1


def test_a_client_is_given_nothing_before_its_batch_is_final(chain: Chain, who: Client) -> None:
    before = VaultStatement.objects.get(target=who.vault).batch_number
    debit(who, 5)
    watch(chain)
    assert VaultStatement.objects.get(target=who.vault).batch_number == before


def post(chain: Chain) -> str:
    """What was instructed leaves in a batch, which is in a block; its transaction."""
    signers = {role: demo_signer(role) for role in ("poster", "operator")}
    poster.step(chain, signers)
    approver.step(demo_signer("approver"), chain.id())
    poster.step(chain, signers)
    mine(chain)
    watch(chain)
    return ChainLog.objects.filter(name="BatchPosted").latest("id").transaction_hash


def handed_out() -> dict[UUID, int]:
    """The number of the batch that each vault's statement is of."""
    return dict(VaultStatement.objects.values_list("target_id", "batch_number"))


def test_a_batch_that_becomes_final_after_a_later_one_is_handed_out_too(chain: Chain, who: Client) -> None:
    """The nodes disputed that it was posted, for a while."""
    first = Batch.objects.count() + 1
    vault = ChainTarget.objects.filter(kind="VAULT").exclude(id=who.vault.id).first()
    assert vault is not None
    witness = Forgetful(chain.url)
    debit(who, 5)
    witness.hidden = post(chain)
    debit(replace(who, cell=vault.cell, targets={"USDC": vault}), 5)
    post(chain)
    for told in (first - 1, first):
        for _ in range(4):
            mine(chain)
            watch(chain, [witness])
        assert (handed_out()[who.vault.id], handed_out()[vault.id]) == (told, first + 1)
        witness.hidden = ""
    assert is_proved(check(VaultStatement.objects.get(target=who.vault).body, chain))
