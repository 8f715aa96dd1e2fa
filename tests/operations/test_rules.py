"""Each alarm: it is silent while all is well, and says where and by how much when it is not."""

import re
from dataclasses import replace

import pytest
from django.test import override_settings

from intermediary.config.operations import rules
from intermediary.config.operations.figures import Chain, Fenced, Figures, House, Node, Round, Waiting
from intermediary.config.operations.findings import duration
from settlement.models import ReconciliationBreak, SenderAlarm
from tests.operations.figures import GWEI, WELL, but, flight, process, trouble

DAY = 24 * 3600
BROKEN = process(problem="finality_broken", said="The chain dropped final block 7.", problem_seconds=600.0)
KEYLESS = process("poster", problem="no_key_configured", said="KEYSTORE", problem_seconds=61.0)
TWO_BREAKS = but(breaks={"amount": Waiting(2, 7300)}, break_places={"amount": "vault 0xa"})
DEAR = Node(base_fee_wei=100 * GWEI, gas_wei={"poster": 10**18})
ILL: list[tuple[str, Figures, str, str]] = [  # rule, figures, subject, part of what is said
    ("finality_broken", but(processes={"watcher": BROKEN}), "watcher", "dropped final block 7"),
    ("finality_broken", but(breaks={"reorg": Waiting(1, 60)}), "reorg", "60 s"),
    ("fenced", but(fences=(Fenced("main", "batches: 3 here, 5 on chain", 90.0),)), "main", "for 90 s: batches: 3 here"),
    ("rpc_disagreement", but(breaks={"witnesses": Waiting(1, 60)}), "witnesses", "60 s"),
    ("reconciliation_break", TWO_BREAKS, "amount", "vault 0xa and 1 more, for 2 h 1 min"),
    ("reconciliation_break", but(breaks={"a_kind_nobody_knows_yet": Waiting(1, 1)}), "a_kind_nobody_knows_yet", "1 s"),
    ("key_used_elsewhere", but(displaced={("main", "poster"): Waiting(3, 3600)}), "poster on main", "3 in all"),
    ("approver_refused", but(approvals_refused=2), "", "2 refused"),
    ("approver_refused", but(breaks={"approval": Waiting(1, 60)}), "approval", "60 s"),
    ("beat_old", but(houses=(House("USDC", "0xh", 1.5 * DAY),)), "house USDC", "36 h 0 min"),
    ("nonce_stuck", but(flights=(flight(age_seconds=301.0),)), "poster on main", "nonce 7 for 5 min, 1 attempts, 30"),
    ("fee_cap", but(troubles=(trouble("fee_cap"),)), "poster on main", "for 40 s: 500 gwei"),
    ("nonce_in_doubt", but(troubles=(trouble("nonce"),)), "poster on main", "40 s"),
    ("signer_away", but(troubles=(trouble("signer_away"),)), "poster on main", "40 s"),
    ("signer_away", but(troubles=(trouble("signer_refuses"),)), "poster on main", "40 s"),
    ("node_refuses", but(troubles=(trouble("node_refuses"),)), "poster on main", "40 s"),
    ("gas_low", but(nodes={"main": DEAR}), "poster on main", "1.0000 of 22.4000 coins"),
    (
        "cap_short",
        but(nodes={"main": Node(cap_short={"house USDC": (5 * 10**12, 8 * 10**12)})}),
        "house USDC on main",
        "5,000,000 a day, a stressed day needs 8,000,000 USDC",
    ),
    ("outflow_cap", but(nodes={"main": Node(outflow_share={"USDC": 0.85})}), "house USDC on main", "85%"),
    ("watcher_stands", but(chains={"main": Chain(looked_seconds=61.0)}), "main", "61 s"),
    ("chain_stands", but(chains={"base": Chain(head=100, still_seconds=181.0)}), "base", "3 min, the last is 100"),
    ("node_silent", but(nodes={"main": Node(problem="chain_unreachable: refused")}), "main", "refused"),
    ("process_away", but(processes={"poster": process("poster", age_seconds=91.0)}), "poster", "91 s ago on m1"),
    ("process_fails", but(processes={"poster": KEYLESS}), "poster", "no_key_configured KEYSTORE"),
    ("not_booked", but(unapplied=Waiting(1, 121)), "", "1 final events"),
    ("suspense", but(breaks={"unknown_sender": Waiting(1, 60)}), "unknown_sender", "60 s"),
    ("dust", but(breaks={"dust": Waiting(1, 60)}), "dust", "60 s"),
    ("approval_waits", but(approvals=Waiting(4, 121)), "", "4 unanswered"),
    ("call_stuck", but(breaks={"call": Waiting(1, 60)}), "call", "60 s"),
    ("outbox_old", but(outbox={"DRAFT": Waiting(4, 1801)}), "DRAFT", "4 instructions, the oldest for 30 min"),
    ("delivery_failed", but(deliveries={"FAILED": Waiting(1, 60)}), "", "1 given up"),
    ("notes_misplaced", but(misplaced={"BLK251A": 5 * 10**12}), "BLK251A", "5,000,000.000000 units lie in no"),
    ("collateral_short", but(short_escrows={"BLK-1": 1}), "BLK-1", "0.000001 less in the escrow"),
    ("eligibility_ends", but(holders_ending=2), "", "2 wallets"),
    ("suspension_due", but(suspensions_due={"BLK-1": "transfers are to go on again"}), "BLK-1", "to go on again"),
    ("clocks_stand", but(clock_stopped_seconds=300.0, calls_open=3), "", "3 open calls"),
    ("market_stands", but(market_refused_seconds=121.0), "", "2 min"),
    ("market_stands", but(market_stuck=True), "", "did not get done"),
    ("tick_slow", but(tick=Waiting(1, 121)), "", "2 min"),
    ("not_measured", but(unmeasured_seconds={"layers": 70.0, "stress": 601.0}), "stress", "of the last 10 min"),
    ("requests_wait", but(requests=Waiting(2, 61)), "", "2 wishes"),
    ("queue_long", but(round=Round(1.0, 0.1, {"risk": 501})), "risk", "501"),
    ("memory_high", but(processes={"watcher": process(rss_bytes=301_000_000)}), "watcher", "301 MB after 2 h 0 min"),
    ("notices_lost", but(notices={"GIVEN_UP": 2}), "", "2 notices"),
]  # fmt: skip


def found_in(figures: Figures) -> list[tuple[str, str, str]]:
    return [(rule.key, finding.subject, finding.said) for rule, finding in rules.find_all(figures)]


def test_nothing_is_found_while_all_is_well_and_before_anything_has_happened() -> None:
    assert found_in(WELL) == []
    assert found_in(Figures(at=WELL.at)) == []


@pytest.mark.parametrize(("rule", "figures", "subject", "said"), ILL, ids=[f"{row[0]}-{row[2]}" for row in ILL])
@override_settings(OPERATIONS_PROCESSES=["poster"])
def test_an_alarm_says_where_and_by_how_much(rule: str, figures: Figures, subject: str, said: str) -> None:
    well = process("poster")
    found = found_in(replace(figures, processes={"poster": well, **figures.processes}))
    assert [(key, where) for key, where, _ in found] == [(rule, subject)], "this alarm and no other"
    assert said in found[0][2]


def test_every_alarm_is_provoked_above() -> None:
    assert {row[0] for row in ILL} == set(rules.BY_KEY)


def test_every_kind_of_break_and_of_trouble_has_its_alarm() -> None:
    for kind in ReconciliationBreak.Kind:
        assert found_in(but(breaks={kind.value: Waiting(1, 1)})), kind
    for trouble_of in SenderAlarm.Kind:
        assert found_in(but(troubles=(trouble(trouble_of.value),))), trouble_of


@override_settings(OPERATIONS_PROCESSES=["poster", "approver"])
def test_a_process_that_never_reported_is_away() -> None:
    found = found_in(but(processes={"poster": process("poster")}))
    assert found == [("process_away", "approver", "it has never reported")]


@override_settings(OPERATIONS_LIMITS={"watcher_seconds": 10})
def test_a_limit_is_changed_by_the_environment_and_a_misspelt_one_is_refused() -> None:
    assert found_in(but(chains={"main": Chain(looked_seconds=11.0)}))
    with override_settings(OPERATIONS_LIMITS={"watcher_secs": 10}), pytest.raises(TypeError, match="watcher_secs"):
        found_in(WELL)


def test_texts_are_sentences_and_keys_are_words() -> None:
    for rule in rules.RULES:
        assert re.fullmatch(r"[a-z_]{3,40}", rule.key)
        for text in (rule.stake, rule.first):
            assert text[0].isupper(), text
            assert text.endswith("."), text
        assert len(rule.title) <= 50


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(s) for s in (5, 119, 120, 7199, 7200, 172_799, 172_800)] == [
        "5 s", "119 s", "2 min", "119 min", "2 h 0 min", "47 h 59 min", "2 d 0 h",
    ]  # fmt: skip
