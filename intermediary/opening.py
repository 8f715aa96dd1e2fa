"""Opening a relationship off chain: its party, the client's proved wallet and the first signed terms, entered by one
officer and approved by another.

The client signs with its own wallet that the wallet is its own, and the terms; a key of the house signs the terms. What
is proposed is tried and taken back, so that all that would refuse it refuses it then, by name; it is carried out when
it is approved. The contracts come after that (`settlement.acts`). People who act for a party are entered by the owner
of the database alone, so a new party has none yet.
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection, transaction
from eth_utils.address import is_address, to_checksum_address

from intermediary import access, approvals, onboarding
from intermediary.errors import BadInput, NotAllowed, Refusal
from intermediary.ids import derive
from intermediary.models import Asset, Cell, Membership, Party, Proposal
from intermediary.terms import Terms

Body = Mapping[str, Any]
KIND = Proposal.Kind.RELATIONSHIP
PARTY = ("code", "legal_name", "kind", "jurisdiction", "netting_opinion", "recourse")
SIGNATURES = ("wallet_signature", "client_signature", "house_signature", "house_signer")
UINT80 = 1 << 80  # of a vault's largest amounts
LONGEST_MINUTES = 365 * 24 * 60  # VaultFactory.MAX_PERIOD
PERIODS = ("valuation_minutes", "deliver_minutes", "cure_minutes", "answer_minutes", "exit_minutes")
CAPS = ("debit_cap_base_units", "max_required_base_units", "rounding_unit_base_units")
NOTHING_BPS = 10_000  # the haircut of what does not count
NOT_BELOW_ZERO = ("minimum_transfer_base_units", "grace_minutes", "acknowledge_minutes")
HASHES, HEX_64 = ("agreement", "rulebook_hash"), re.compile("[0-9a-f]{64}")
ADDRESSES = ("client", "payout")


def messages(party: Body, terms: Terms) -> dict[str, dict[str, Any]]:
    """What is signed before it can be proposed (EIP-712): `wallet` by the client's wallet, `terms` by the client's
    wallet and by a key of the house."""
    return {
        "wallet": onboarding.wallet_typed_data(_known(party) or _new(party), terms.client),
        "terms": onboarding.terms_typed_data(terms),
    }


def propose(*, maker: User, body: Body, reason: str) -> Proposal:
    """Lay a relationship before a second officer: `party` (by the names of `PARTY`), `terms` (their body), and the
    `SIGNATURES` in hexadecimal. Refuses what `approve` would."""
    access.require_officer(maker)
    said = _whole(body)
    with transaction.atomic():
        _open(maker, said)
        transaction.set_rollback(True)
    house = Cell.objects.get(kind=Cell.Kind.HOUSE)
    return approvals.propose(maker=maker, kind=KIND, cell_id=house.id, body=said, reason=reason)


def approve(*, checker: User, proposal_id: UUID, seen_hash: str, reason: str) -> Cell:
    """Open exactly what was proposed; the same approval again finds what it opened."""
    assert connection.in_atomic_block, "a decision belongs to a transaction"
    proposal = approvals.approve(
        checker=checker, proposal_id=proposal_id, kind=KIND, seen_hash=seen_hash, reason=reason
    )
    body = approvals.body_of(proposal)
    terms = Terms.from_body(body["terms"])
    opened = Cell.objects.filter(code=terms.relationship, terms_versions__hash=terms.hash).first()
    return opened or _open(checker, body)


def _whole(body: Body) -> dict[str, Any]:
    """As it is hashed. Refuses `bad_opening` for what is missing, too much, or no value of its type."""
    try:
        terms = Terms.from_body(dict(body["terms"]))
        said = {
            "party": {name: str(body["party"][name]) for name in PARTY},
            "terms": terms.body(),
            **{name: str(body[name]) for name in SIGNATURES},
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput("bad_opening", f"This does not say what is to be opened: {error}.") from error
    _refuse_odd(terms)
    return said


def _refuse_odd(terms: Terms) -> None:
    """What no vault could be opened with, or what no margin could be counted by."""
    bounds = dict.fromkeys(CAPS, (1, UINT80 - 1)) | dict.fromkeys(PERIODS, (1, LONGEST_MINUTES))
    bounds |= dict.fromkeys(NOT_BELOW_ZERO, (0, UINT80 - 1))
    odd: dict[str, Any] = {name: getattr(terms, name) for name, limits in bounds.items()
                           if not _lies_in(getattr(terms, name), *limits)}  # fmt: skip
    known = set(Asset.objects.values_list("code", flat=True))
    odd |= {code: bps for code, bps in terms.haircut_bps if code not in known or not _lies_in(bps, 0, NOTHING_BPS)}
    others = set(Asset.objects.filter(is_settlement=False).values_list("code", flat=True))
    caps = dict(terms.max_required_by_token)
    odd |= {code: cap for code, cap in caps.items() if code not in others or not _lies_in(cap, 1, UINT80 - 1)}
    odd |= {code: "no cap" for code, bps in terms.haircut_bps if code in others - caps.keys() and bps != NOTHING_BPS}
    odd |= {name: getattr(terms, name) for name in HASHES if not HEX_64.fullmatch(str(getattr(terms, name)))}
    odd |= {name: getattr(terms, name) for name in ADDRESSES if not _is_account(getattr(terms, name))}
    if odd:
        raise BadInput("odd_terms", f"No vault or no margin goes with these: {', '.join(sorted(odd))}.", odd=odd)


def _lies_in(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and least <= value <= most


def _is_account(value: object) -> bool:
    """Checksummed, since its text is hashed and signed; and somebody's."""
    return is_address(value) and to_checksum_address(str(value)) == value and int(str(value), 16) != 0


def _open(officer: User, body: Body) -> Cell:
    """Write it all, or refuse it by name."""
    terms, party = Terms.from_body(body["terms"]), _known(body["party"])
    if party is None:
        if Party.objects.filter(legal_name=body["party"]["legal_name"]).exists():
            raise Refusal("party_exists", "A party of this name has another code.", name=body["party"]["legal_name"])
        party = _new(body["party"])
        party.save(force_insert=True)
    elif Membership.objects.filter(party=party, user=officer).exists():
        raise NotAllowed("acts_for_the_client", "A person who acts for the client takes no part in decisions on it.")
    actor = officer.get_username()
    if body["wallet_signature"]:
        onboarding.prove_wallet(actor=actor, party=party, address=terms.client, signature=body["wallet_signature"])
    return onboarding.open_relationship(
        actor=actor,
        party=party,
        code=terms.relationship,
        terms=terms,
        client_signature=body["client_signature"],
        client_signer=terms.client,
        house_signature=body["house_signature"],
        house_signer=body["house_signer"],
    )


def _known(said: Body) -> Party | None:
    """The party of this code, None where it is new. Refuses `party_differs` where it is known otherwise."""
    party = Party.objects.filter(code=said["code"]).first()
    differs = [name for name in PARTY if party is not None and getattr(party, name) != said[name]]
    if differs:
        raise Refusal("party_differs", f"The party {said['code']} is known otherwise: {', '.join(differs)}.")
    return party


def _new(said: Body) -> Party:
    """Not written yet. Its id follows from its code, so that the challenge of its wallet can be signed before."""
    if said["kind"] not in Party.Kind.values or said["recourse"] not in (Party.Recourse.FULL, Party.Recourse.NONE):
        raise BadInput("bad_opening", "This is no kind of party, or no recourse that is entered here.")
    if said["netting_opinion"] not in Party.NettingOpinion.values or len(said["jurisdiction"]) != 2:
        raise BadInput("bad_opening", "This is no netting opinion, or no country.")
    return Party(id=derive("party", said["code"]), **{name: said[name] for name in PARTY})
