"""Encrypted keystores, and margin statements that a client can check."""

import json
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from intermediary.errors import Refusal
from settlement.leaves import ZERO_ROOT, leaf, proof, proves, root
from settlement.signer import keystore_signer


def test_keystore_opens_with_its_password_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.create()
    (tmp_path / "key.json").write_text(json.dumps(Account.encrypt(account.key, "right", kdf="pbkdf2", iterations=10)))
    (tmp_path / "password").write_text("right\n")
    monkeypatch.setenv("SETTLEMENT_POSTER_KEYSTORE", str(tmp_path / "key.json"))
    with pytest.raises(Refusal, match="no_key_configured"):
        keystore_signer("poster")
    monkeypatch.setenv("SETTLEMENT_POSTER_PASSWORD_FILE", str(tmp_path / "password"))
    assert keystore_signer("poster").address == account.address
    (tmp_path / "password").write_text("wrong")
    with pytest.raises(Refusal, match="key_not_opened"):
        keystore_signer("poster")


def statement(index: int) -> bytes:
    numbers = {"exposure": -index, "independent_amount": index, "required": index, "held": index, "as_of": 0}
    return leaf({"vault": f"0x{index:040x}", **numbers})


def test_no_statements_have_the_zero_root() -> None:
    assert root([]) == ZERO_ROOT


@given(st.integers(1, 40).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))))
def test_every_client_proves_its_own_leaf_and_nobody_proves_another(shape: tuple[int, int]) -> None:
    count, index = shape
    leaves = [statement(number) for number in range(count)]
    siblings = proof(leaves, index)
    assert proves(leaves[index], siblings, root(leaves))
    assert not proves(statement(count + 1), siblings, root(leaves))
