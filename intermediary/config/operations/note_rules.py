"""The alarms about notes and those who hold them; part of the list in `rules`."""

from intermediary.config.operations import findings
from intermediary.config.operations.rows import Alarm
from intermediary.config.operations.rule import Rule

CRITICAL, WARNING = Alarm.Severity.CRITICAL, Alarm.Severity.WARNING

RULES: tuple[Rule, ...] = (
    Rule(
        "notes_misplaced",
        "Notes lie where nobody may hold them",
        CRITICAL,
        "Units are with an address that nobody proved, or with a covered client's affiliate: B3 is broken on chain.",
        "Read which address in the class's transfers, and end its eligibility with a second person.",
        "bulkhead_note_units_misplaced > 0",
        findings.notes_misplaced,
    ),
    Rule(
        "collateral_short",
        "An escrow holds less than it owes",
        CRITICAL,
        "Principal of a series is not covered in full; holders must be told.",
        "Compare the series' collateral account with Reconciliation; instruct nothing out of that escrow meanwhile.",
        "bulkhead_escrow_short_base_units > 0",
        findings.collateral_short,
    ),
    Rule(
        "eligibility_ends",
        "The eligibility of holders ends",
        WARNING,
        "They keep their notes and are paid, but can neither send nor receive any until they are renewed.",
        "Ask them, on the page Investors, for the documents of a renewal.",
        "bulkhead_holders_ending > 0",
        findings.holders_ending,
    ),
    Rule(
        "suspension_due",
        "Notes do not rest on chain as they do here",
        WARNING,
        "Who knows of a lapsed call can sell past the platform; or, after the notice, nobody can sell at all.",
        "Propose the act on the page Acts on chain; a second officer decides, and it holds a day after that.",
        "bulkhead_suspensions_due > 0",
        findings.suspension_due,
    ),
)
