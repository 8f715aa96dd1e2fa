"""Who we face and on what terms: proved wallets, signed terms, the opening of a relationship.

Both sides sign the hash of the terms' canonical body (EIP-712), the client from a wallet whose control it proved
before. The engine reads the newest signed version and nothing else (D5). Signatures are of plain keys here; a
contract wallet (ERC-1271) is asked on chain, which is settlement's to do.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q
from eth_utils.address import is_address, to_checksum_address

from intermediary import audit, ledger
from intermediary.errors import BadInput, Refusal
from intermediary.models import Affiliation, Asset, Cell, OwnToken, Party, TermsVersion, Wallet
from intermediary.terms import Terms
from intermediary.typed_data import signer_of

_DOMAIN_TYPE = [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}]
NOTHING_LEFT_BPS = 10_000
_DOMAIN = {"name": "Bulkhead", "version": "1"}


def terms_typed_data(terms: Terms) -> dict[str, Any]:
    """The EIP-712 message that both sides sign: which relationship, which terms, under which rulebook."""
    return {
        "types": {
            "EIP712Domain": _DOMAIN_TYPE,
            "Terms": [
                {"name": "relationship", "type": "string"},
                {"name": "termsHash", "type": "bytes32"},
                {"name": "rulebookHash", "type": "bytes32"},
            ],
        },
        "primaryType": "Terms",
        "domain": _DOMAIN,
        "message": {
            "relationship": terms.relationship,
            "termsHash": _bytes32(terms.hash),
            "rulebookHash": _bytes32(terms.rulebook_hash),
        },
    }


def wallet_typed_data(party: Party, address: str) -> dict[str, Any]:
    """The EIP-712 challenge that proves control of a wallet; bound to party and address, worth nothing else."""
    return {
        "types": {
            "EIP712Domain": _DOMAIN_TYPE,
            "Wallet": [{"name": "party", "type": "string"}, {"name": "wallet", "type": "address"}],
        },
        "primaryType": "Wallet",
        "domain": _DOMAIN,
        "message": {"party": str(party.id), "wallet": _checksummed(address)},
    }


def prove_wallet(*, actor: str, party: Party, address: str, signature: str) -> Wallet:
    """Record that the party controls this address. Refuses a wrong signature and a wallet of somebody else."""
    assert connection.in_atomic_block, "a proof belongs to a transaction"
    address = _checksummed(address)
    _refuse_unless_signed(wallet_typed_data(party, address), signature, address)
    known = Wallet.objects.filter(address=address).first()
    if known is not None and known.party_id != party.id:
        raise Refusal("wallet_taken", "This wallet is registered already.")
    if known is not None:
        return known
    wallet = Wallet.objects.create(party=party, address=address, proof=signature)
    audit.record(actor=actor, action="wallet.prove", subject=party.id, address=address)
    return wallet


def open_relationship(
    *,
    actor: str,
    party: Party,
    code: str,
    terms: Terms,
    client_signature: str,
    client_signer: str,
    house_signature: str,
    house_signer: str,
) -> Cell:
    """Open the cell of a new relationship under its first signed terms. Investors have no relationship."""
    assert connection.in_atomic_block, "a relationship belongs to a transaction"
    if party.kind == Party.Kind.INVESTOR:
        raise Refusal("party_is_an_investor", "An investor faces the bonds, not the intermediary.")
    if Cell.objects.filter(code=code).exists():
        raise Refusal("relationship_exists", f"There is a relationship {code} already.")
    cell = Cell.objects.create(code=code, kind=Cell.Kind.CLIENT, party=party)
    sign_terms(
        actor=actor,
        cell_id=cell.id,
        terms=terms,
        client_signature=client_signature,
        client_signer=client_signer,
        house_signature=house_signature,
        house_signer=house_signer,
    )
    audit.record(actor=actor, action="relationship.open", subject=cell.id, code=code, party=party.id)
    return cell


def sign_terms(
    *,
    actor: str,
    cell_id: UUID,
    terms: Terms,
    client_signature: str,
    client_signer: str,
    house_signature: str,
    house_signer: str,
) -> TermsVersion:
    """Write the next version of a relationship's terms, signed by both sides; the same terms again are refused."""
    assert connection.in_atomic_block, "terms belong to a transaction"
    cell = ledger.lock_cells([cell_id])[cell_id]
    if terms.relationship != cell.code:
        raise Refusal("terms_name_another_relationship", f"These terms are of {terms.relationship}, not {cell.code}.")
    assert cell.party_id is not None, "terms are of a client's relationship"
    _refuse_own_tokens(cell.party_id, terms)
    if TermsVersion.objects.filter(hash=terms.hash).exists():
        raise Refusal("terms_signed_already", "Exactly these terms are signed already.", hash=terms.hash)
    client, house = _checksummed(client_signer), _checksummed(house_signer)
    for address in (client, _checksummed(terms.client)):
        if not Wallet.objects.filter(party__cells=cell, address=address).exists():
            raise Refusal("wallet_not_proved", "The client has not proved control of this wallet.", address=address)
    if house not in {_checksummed(known) for known in settings.HOUSE_SIGNERS}:
        raise Refusal("house_signer_unknown", "This key does not sign for the house.", address=house)
    _refuse_unless_signed(terms_typed_data(terms), client_signature, client)
    _refuse_unless_signed(terms_typed_data(terms), house_signature, house)
    version = TermsVersion.objects.create(
        cell=cell,
        version=TermsVersion.objects.filter(cell=cell).count() + 1,
        body=terms.canonical,
        hash=terms.hash,
        client_signer=client,
        client_signature=client_signature,
        house_signer=house,
        house_signature=house_signature,
    )
    audit.record(actor=actor, action="terms.sign", subject=cell.id, hash=terms.hash, version=version.version)
    return version


def state_own_token(*, actor: str, party: Party, underlying: str) -> OwnToken:
    """Record that a coin is the party's own. Refuses `own_token_is_margin` while signed terms of the party, or of an
    affiliate, still count a token of it: they are signed anew first, so that nothing is taken from a client unsaid."""
    assert connection.in_atomic_block, "a statement belongs to a transaction"
    cells = Cell.objects.filter(kind=Cell.Kind.CLIENT, party_id__in=_one_house(party.id)).exclude(state="CLOSED")
    for cell_id, terms in terms_of_cells(ledger.lock_cells(list(cells.values_list("id", flat=True)))).items():
        counting = _counted_of(terms, {underlying})
        if counting:
            code = Cell.objects.get(id=cell_id).code
            message = f"The terms of {code} count a token as margin that would be its own."
            raise Refusal("own_token_is_margin", message, relationship=code, assets=counting)
    found, made = OwnToken.objects.get_or_create(party=party, underlying=underlying)
    if made:
        audit.record(actor=actor, action="party.own_token", subject=party.id, underlying=underlying)
    return found


def without_netting(cell_ids: Iterable[UUID]) -> set[UUID]:
    """Those of the relationships of whose party no opinion says that what it gains may be set off against what it owes
    when it is insolvent. One query."""
    with connection.cursor() as cursor:
        cursor.execute(WITHOUT_NETTING, [list(cell_ids)])
        return {cell_id for (cell_id,) in cursor.fetchall()}


def _one_house(party_id: UUID) -> set[UUID]:
    """The party and its affiliates, either side's statement counting."""
    linked = Affiliation.objects.filter(Q(party_id=party_id) | Q(affiliate_id=party_id))
    return {party_id, *(one for pair in linked.values_list("party_id", "affiliate_id") for one in pair)}


def _counted_of(terms: Terms, underlyings: set[str]) -> list[str]:
    """Tokens of these coins that the terms count for something."""
    tokens = Asset.objects.filter(priced_as__in=underlyings).order_by("code").values_list("code", flat=True)
    return [code for code in tokens if terms.haircut_of(code) < NOTHING_LEFT_BPS]


def _refuse_own_tokens(party_id: UUID, terms: Terms) -> None:
    stated = OwnToken.objects.filter(party_id__in=_one_house(party_id)).values_list("underlying", flat=True)
    counting = _counted_of(terms, set(stated))
    if counting:
        message = "These terms count a token as margin that is the client's or an affiliate's own."
        raise Refusal("own_token_is_margin", message, relationship=terms.relationship, assets=counting)


def current_terms(cell_id: UUID) -> Terms:
    """The newest signed terms of a relationship. Refuses a cell that has none."""
    found = terms_of_cells([cell_id]).get(cell_id)
    if found is None:
        raise Refusal("no_terms", "This relationship has no signed terms.", cell_id=str(cell_id))
    return found


def terms_of_cells(cell_ids: Iterable[UUID]) -> dict[UUID, Terms]:
    """The newest signed terms of several relationships, one query; cells without any are left out."""
    with connection.cursor() as cursor:
        cursor.execute(NEWEST_TERMS, [list(cell_ids)])
        return terms_of(cursor.fetchall())


def terms_of(rows: Iterable[tuple[UUID, Any]]) -> dict[UUID, Terms]:
    """The same of the rows of `NEWEST_TERMS`."""
    return {cell_id: Terms.from_canonical(body) for cell_id, body in rows}


NEWEST_TERMS = """
    SELECT DISTINCT ON (cell_id) cell_id, body FROM intermediary_termsversion
    WHERE cell_id = ANY(%s) ORDER BY cell_id, version DESC"""


WITHOUT_NETTING = """
    SELECT cell.id FROM intermediary_cell AS cell JOIN intermediary_party AS party ON party.id = cell.party_id
    WHERE cell.id = ANY(%s) AND party.netting_opinion = 'NONE'"""
# Relationship and coin: what its party, or an affiliate by either side's statement, has stated as its own.
OWN_COINS = """
    SELECT cell.id, own.underlying FROM intermediary_cell AS cell
        CROSS JOIN LATERAL (
            SELECT cell.party_id AS id
            UNION SELECT affiliate_id FROM intermediary_affiliation WHERE party_id = cell.party_id
            UNION SELECT party_id FROM intermediary_affiliation WHERE affiliate_id = cell.party_id) AS house
        JOIN intermediary_owntoken AS own ON own.party_id = house.id
    WHERE cell.id = ANY(%s)"""


def _bytes32(hex_digits: str) -> str:
    digits = hex_digits.removeprefix("0x")
    if len(digits) != 64:
        raise BadInput("not_a_hash", "A hash has 64 hex digits.", value=hex_digits)
    return f"0x{digits}"


def _checksummed(address: str) -> str:
    if not is_address(address):
        raise BadInput("not_an_address", "This is not an EVM address.", value=address)
    return str(to_checksum_address(address))


def _refuse_unless_signed(message: dict[str, Any], signature: str, signer: str) -> None:
    if signer_of(message, signature) != signer:
        raise Refusal("signature_wrong", "The signature is not of this message by this wallet.", signer=signer)
