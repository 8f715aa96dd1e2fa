"""The metrics that Prometheus reads: a row for each, with its name, what it says, its labels and its samples.

Units are in the names; a figure that is not known has no sample. docs/operations.md lists them all.
"""

from intermediary.config.operations.exposition import (
    Told,
    ages,
    counts,
    flights,
    named,
    nodes,
    of_chains,
    of_nodes,
    one,
    processes,
)
from intermediary.config.operations.figures import Waiting
from settlement.models import ReconciliationBreak

OUTBOX, BATCHES, DELIVERIES = ("DRAFT", "HELD", "BATCHED", "INCLUDED"), ("PACKED", "INCLUDED"), ("PENDING", "FAILED")
_KINDS = tuple(kind.value for kind in ReconciliationBreak.Kind)
METRICS: tuple[Told, ...] = (
    Told(
        "bulkhead_outbox_instructions",
        "Instructions for the chain that are not final, by state; HELD waits for time or a person.",
        ("state",),
        counts(lambda f: f.outbox, OUTBOX),
    ),
    Told(
        "bulkhead_outbox_oldest_age_seconds",
        "Age in seconds of the oldest of them.",
        ("state",),
        ages(lambda f: f.outbox, OUTBOX),
    ),
    Told(
        "bulkhead_batches",
        "Batches that are not final: PACKED waits for approver or chain, INCLUDED for finality.",
        ("state",),
        counts(lambda f: f.batches, BATCHES),
    ),
    Told(
        "bulkhead_batches_oldest_age_seconds",
        "Age in seconds of the oldest of them.",
        ("state",),
        ages(lambda f: f.batches, BATCHES),
    ),
    Told(
        "bulkhead_approvals_waiting",
        "Requests that the approver has not answered.",
        (),
        one(lambda f: f.approvals.count),
    ),
    Told(
        "bulkhead_approvals_oldest_age_seconds",
        "Age in seconds of the oldest of them.",
        (),
        one(lambda f: f.approvals.oldest_seconds),
    ),
    Told(
        "bulkhead_approvals_refused",
        "Requests that the approver refused in the last ten minutes.",
        (),
        one(lambda f: f.approvals_refused),
    ),
    Told(
        "bulkhead_transaction_in_flight_age_seconds",
        "Seconds since the transaction in flight was given its nonce.",
        ("chain", "role"),
        flights("age_seconds"),
    ),
    Told(
        "bulkhead_transaction_in_flight_attempts",
        "How often it was signed, each time with a higher fee.",
        ("chain", "role"),
        flights("attempts"),
    ),
    Told("bulkhead_transaction_in_flight_nonce", "Its nonce.", ("chain", "role"), flights("nonce")),
    Told(
        "bulkhead_transaction_in_flight_max_fee_wei",
        "The fee that its last attempt offers, wei a gas.",
        ("chain", "role"),
        flights("max_fee_wei"),
    ),
    Told(
        "bulkhead_transaction_fee_cap_wei",
        "The highest fee that may be offered, wei a gas.",
        ("chain", "role"),
        flights("fee_cap_wei"),
    ),
    Told(
        "bulkhead_sender_trouble_age_seconds",
        "Seconds since a key has had this trouble; no sample: it has none.",
        ("kind", "chain", "role"),
        lambda f: [((x.kind, x.chain, x.role), x.age_seconds) for x in f.troubles],
    ),
    Told(
        "bulkhead_fence_age_seconds",
        "Seconds since a chain was fenced off, being ahead of the database; no sample: it is not.",
        ("chain",),
        lambda f: [((x.chain,), x.age_seconds) for x in f.fences],
    ),
    Told(
        "bulkhead_nonce_gaps",
        "Nonces among a key's last thousand that no row of ours used.",
        ("chain", "role"),
        lambda f: f.nonce_gaps.items(),
    ),
    Told(
        "bulkhead_transactions_displaced_total",
        "Transactions whose nonce another transaction used.",
        ("chain", "role"),
        lambda f: [(key, found.count) for key, found in f.displaced.items()],
        counts=True,
    ),
    Told(
        "bulkhead_house_silent_seconds",
        "Chain seconds since a house took a batch or a beat of ours.",
        ("asset",),
        lambda f: [((x.asset,), x.silent_seconds) for x in f.houses if x.silent_seconds is not None],
    ),
    Told("bulkhead_chain_read_block", "Number of the last block that was read.", ("chain",), of_chains("head")),
    Told("bulkhead_chain_final_block", "Number of the last final block that was read.", ("chain",), of_chains("final")),
    Told(
        "bulkhead_chain_final_age_seconds",
        "Chain seconds since the last final block.",
        ("chain",),
        of_chains("final_age_seconds"),
    ),
    Told(
        "bulkhead_chain_still_seconds",
        "Seconds since another block came that every node knows.",
        ("chain",),
        of_chains("still_seconds"),
    ),
    Told(
        "bulkhead_watcher_look_age_seconds",
        "Seconds since the watcher last read the chain to its head.",
        ("chain",),
        of_chains("looked_seconds"),
    ),
    Told(
        "bulkhead_node_up",
        "1 if the chain's first node answered the last look round, else 0.",
        ("chain",),
        lambda f: [((name,), float(not node.problem)) for name, node in f.nodes.items()],
    ),
    Told("bulkhead_node_head_block", "Number of that node's newest block then.", ("chain",), of_nodes("head")),
    Told("bulkhead_node_base_fee_wei", "Base fee of that block, wei a gas.", ("chain",), of_nodes("base_fee_wei")),
    Told("bulkhead_key_balance_wei", "What a key has to pay fees with, wei.", ("chain", "role"), nodes("gas_wei")),
    Told(
        "bulkhead_house_outflow_ratio",
        "Used part of a house's daily cap on what leaves it, 0 to 1.",
        ("chain", "asset"),
        nodes("outflow_share"),
    ),
    Told(
        "bulkhead_caps_short",
        "Caps on chain that are smaller than a stressed day's variation margin.",
        ("chain",),
        lambda f: [((name,), float(len(node.cap_short))) for name, node in f.nodes.items()],
    ),
    Told(
        "bulkhead_reconciliation_breaks",
        "Open breaks between ledger and chain, by kind.",
        ("kind",),
        counts(lambda f: f.breaks, _KINDS),
    ),
    Told(
        "bulkhead_reconciliation_break_oldest_age_seconds",
        "Age in seconds of the oldest of them.",
        ("kind",),
        ages(lambda f: f.breaks, _KINDS),
    ),
    Told(
        "bulkhead_witnesses_agree",
        "1 while all nodes agree on the last final block, else 0 and nothing leaves.",
        (),
        one(lambda f: float("witnesses" not in f.breaks)),
    ),
    Told(
        "bulkhead_suspense_places",
        "Vaults with tokens in suspense.",
        (),
        one(lambda f: f.breaks.get("unknown_sender", Waiting()).count),
    ),
    Told(
        "bulkhead_events_unapplied",
        "Final events of the chain that the ledger has not taken.",
        (),
        one(lambda f: f.unapplied.count),
    ),
    Told(
        "bulkhead_events_unapplied_oldest_age_seconds",
        "Seconds since the oldest of them was read.",
        (),
        one(lambda f: f.unapplied.oldest_seconds),
    ),
    Told("bulkhead_calls_open", "Margin calls that are open.", (), one(lambda f: f.calls_open)),
    Told(
        "bulkhead_calls_overdue",
        "Open margin calls whose time to deliver has passed.",
        (),
        one(lambda f: f.calls_overdue),
    ),
    Told(
        "bulkhead_call_clocks_stopped_seconds",
        "Platform seconds for which the clocks of margin calls have stood; 0: they run.",
        (),
        one(lambda f: f.clock_stopped_seconds or 0.0),
    ),
    Told(
        "bulkhead_deliveries",
        "Events that a part of the platform has not taken, by state.",
        ("state",),
        counts(lambda f: f.deliveries, DELIVERIES),
    ),
    Told(
        "bulkhead_deliveries_oldest_age_seconds",
        "Age in seconds of the oldest of them.",
        ("state",),
        ages(lambda f: f.deliveries, DELIVERIES),
    ),
    Told(
        "bulkhead_note_units_misplaced",
        "Units of a class of notes, in base units, that lie in no holding.",
        ("note",),
        named(lambda f: f.misplaced),
    ),
    Told(
        "bulkhead_escrow_short_base_units",
        "What the escrow of a series lacks against principal and what holders are owed, in base units.",
        ("series",),
        named(lambda f: f.short_escrows),
    ),
    Told(
        "bulkhead_holders_ending",
        "Wallets that hold notes and whose eligibility ends within a month, or has ended.",
        (),
        one(lambda f: f.holders_ending),
    ),
    Told(
        "bulkhead_suspensions_due",
        "Series whose notes rest on the platform and not on chain, or the other way round, with no act under way.",
        (),
        one(lambda f: len(f.suspensions_due)),
    ),
    Told(
        "bulkhead_requests_waiting",
        "Wishes from pages that no worker has carried out.",
        (),
        one(lambda f: f.requests.count),
    ),
    Told(
        "bulkhead_requests_oldest_age_seconds",
        "Age in seconds of the oldest of them.",
        (),
        one(lambda f: f.requests.oldest_seconds),
    ),
    Told("bulkhead_ticks_running", "Ticks among the last twenty that are not done.", (), one(lambda f: f.tick.count)),
    Told(
        "bulkhead_ticks_running_oldest_age_seconds",
        "Age in seconds of the oldest of them.",
        (),
        one(lambda f: f.tick.oldest_seconds),
    ),
    Told("bulkhead_tick_duration_seconds", "What the last finished tick took.", (), one(lambda f: f.tick_seconds)),
    Told(
        "bulkhead_market_refused_seconds",
        "Seconds for which the live market has given none; 0: it gives one, or a replay runs.",
        (),
        one(lambda f: f.market_refused_seconds or 0.0),
    ),
    Told(
        "bulkhead_market_stuck",
        "1 if a market was given up and none has overtaken it, else 0.",
        (),
        one(lambda f: float(f.market_stuck)),
    ),
    Told(
        "bulkhead_measurement_behind_seconds",
        "Seconds between the first live market in which layers, haircuts or stress were not measured and the last.",
        ("of",),
        lambda f: [((what,), behind) for what, behind in f.unmeasured_seconds.items()],
    ),
    Told(
        "bulkhead_process_report_age_seconds",
        "Seconds since a process last said that it lives.",
        ("process",),
        processes("age_seconds"),
    ),
    Told(
        "bulkhead_process_uptime_seconds", "Seconds since it began to say so.", ("process",), processes("lived_seconds")
    ),
    Told("bulkhead_process_resident_bytes", "Memory that it holds, bytes.", ("process",), processes("rss_bytes")),
    Told(
        "bulkhead_process_resident_peak_bytes",
        "The most it has ever held, bytes.",
        ("process",),
        processes("peak_rss_bytes"),
    ),
    Told("bulkhead_process_step_seconds", "What its last step took.", ("process",), processes("step_seconds")),
    Told("bulkhead_process_steps_total", "Steps since it started.", ("process",), processes("steps"), counts=True),
    Told(
        "bulkhead_process_problem_age_seconds",
        "Seconds since every step of it has failed, and on what; 0: its last step succeeded.",
        ("process", "problem"),
        lambda f: [((x.name, x.problem), x.problem_seconds) for x in f.processes.values()],
    ),
    Told(
        "bulkhead_queue_messages",
        "Messages that wait in a queue of the broker, at the last look round.",
        ("queue",),
        lambda f: [((name,), count) for name, count in (f.round.queues if f.round else {}).items()],
    ),
    Told(
        "bulkhead_alarms_open",
        "Alarms that are open.",
        ("rule", "severity"),
        lambda f: [(key, count) for key, count in f.alarms.items()],
    ),
    Told(
        "bulkhead_alarms_evaluated_age_seconds",
        "Seconds since the alarms were last evaluated.",
        (),
        one(lambda f: f.round.age_seconds if f.round else None),
    ),
    Told(
        "bulkhead_alarms_evaluation_seconds", "What that took.", (), one(lambda f: f.round.seconds if f.round else None)
    ),
    Told(
        "bulkhead_alarm_notices",
        "Notices of alarms that are not sent: WAITING, or GIVEN_UP in the last seven days.",
        ("state",),
        lambda f: [((state,), f.notices.get(state, 0)) for state in ("WAITING", "GIVEN_UP")],
    ),
)
