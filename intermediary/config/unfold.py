"""How the officers' admin looks: Bulkhead's name, colours and symbol, and a sidebar ordered by job, not by table.

Colours stand in `bulkhead/admin.css`, not here: unfold would write them into an inline style element, which the
content policy refuses.
"""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _at(name: str) -> Any:
    return reverse_lazy(f"admin:{name}")


def _table(app: str, model: str, title: str, icon: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": _at(f"{app}_{model}_changelist"), "table": f"{app}.{model}"}


def _group(title: str, *items: dict[str, Any], collapsible: bool = True) -> dict[str, Any]:
    return {"title": title, "separator": True, "collapsible": collapsible, "items": list(items)}


def without_inline_colours(_request: HttpRequest) -> dict[str, Any]:
    """Context of every admin page: no inline colours, see above."""
    return {"colors": {}}


def sidebar(_request: HttpRequest) -> list[dict[str, Any]]:
    """The groups with the tables that are registered, and the numbers of what waits for somebody."""
    from django.contrib import admin

    from intermediary.config.office.badges import waiting

    known = {model._meta.label_lower for model in admin.site._registry}
    known.add("")  # an entry that is no table
    counts = {name: count for name, count in waiting().items() if count}
    return [
        group | {"items": [_with_badge(one, counts) for one in group["items"] if one.get("table", "") in known]}
        for group in GROUPS
    ]


def name_tables() -> None:
    """Give each table the name on its own pages that it has in the sidebar; models keep theirs."""
    from django.apps import apps

    for group in GROUPS:
        for item in group["items"]:
            if "table" in item:
                apps.get_model(item["table"])._meta.verbose_name_plural = item["title"].lower()


def _with_badge(item: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
    count = counts.get(item.get("waiting", ""))
    return item | {"badge": str(count)} if count else item


def demo_only(_request: HttpRequest) -> bool:
    """Whether this installation replays a recorded market."""
    from django.conf import settings

    return bool(settings.MODE != "production")


DESK = _group(
    "",
    {"title": "Desk", "icon": "space_dashboard", "link": _at("index")},
    {"title": "Alarms", "icon": "emergency", "link": _at("alarms"), "waiting": "open_alarms"},
    {"title": "Approvals", "icon": "fact_check", "link": _at("approvals"), "waiting": "waiting_proposals"},
    {"title": "Credit lines", "icon": "account_balance", "link": _at("lines")},
    {
        "title": "Margin calls",
        "icon": "notification_important",
        "link": _at("intermediary_margincall_changelist"),
        "waiting": "open_calls",
    },
    {"title": "Defaults", "icon": "gavel", "link": _at("defaults"), "waiting": "live_defaults"},
    {"title": "Recovery", "icon": "currency_exchange", "link": _at("recovery"), "waiting": "unbooked_receipts"},
    {"title": "Stress", "icon": "thunderstorm", "link": _at("stress")},
    {"title": "Liquidity and capital", "icon": "water_drop", "link": _at("liquidity")},
    {"title": "Acts on chain", "icon": "link", "link": _at("acts"), "waiting": "open_acts"},
    {"title": "Stuck", "icon": "error", "link": _at("stuck"), "waiting": "stuck"},
    {"title": "Runbook", "icon": "menu_book", "link": _at("runbook")},
    {"title": "Replay", "icon": "play_circle", "link": _at("replay"), "permission": demo_only},
    collapsible=False,
)
RELATIONSHIPS = _group(
    "Relationships",
    _table("intermediary", "cell", "Relationships", "hub"),
    _table("intermediary", "marginstate", "Requirements", "speed"),
    _table("intermediary", "withdrawal", "Withdrawals", "payments"),
    _table("intermediary", "variationpayment", "Variation margin", "swap_vert"),
    _table("intermediary", "trade", "Trades", "handshake"),
    _table("intermediary", "position", "Positions", "stacked_bar_chart"),
    _table("intermediary", "lot", "Linked lots", "link"),
    _table("intermediary", "termsversion", "Signed terms", "contract"),
)
LEDGER = _group(
    "Ledger",
    _table("intermediary", "journalentry", "Journal", "receipt_long"),
    _table("intermediary", "account", "Accounts", "account_balance_wallet"),
    _table("intermediary", "posting", "Postings", "format_list_numbered"),
)
SETTLEMENT = _group(
    "Settlement",
    _table("intermediary", "chaininstruction", "Instructions", "outbox"),
    _table("settlement", "batch", "Batches", "inventory_2"),
    _table("settlement", "chaintransaction", "Transactions", "sync_alt"),
    _table("settlement", "heldcall", "Held calls", "hourglass_top"),
    _table("settlement", "chainblock", "Blocks", "deployed_code"),
    _table("settlement", "housereceipt", "House receipts", "call_received"),
    _table("settlement", "stray", "Strays", "call_received"),
    {"title": "Reconciliation", "icon": "balance", "link": _at("reconciliation"), "waiting": "open_breaks"},
    _table("settlement", "reconciliationrun", "Runs", "history"),
    _table("settlement", "reconciliationreport", "Days", "calendar_month"),
    _table("settlement", "reconciliationbreak", "Breaks", "report"),
    _table("settlement", "deployment", "Contracts", "code_blocks"),
)
MARKET = _group(
    "Market and risk",
    {"title": "Market", "icon": "candlestick_chart", "link": _at("market")},
    {"title": "Contagion", "icon": "lan", "link": _at("contagion")},
    {"title": "Backtest", "icon": "query_stats", "link": _at("backtest")},
    _table("intermediary", "valuation", "Official valuations", "monitoring"),
    _table("risk", "snapshot", "Snapshots", "photo_camera"),
    _table("risk", "tick", "Ticks", "timer"),
    _table("risk", "layerrisk", "Live risk of layers", "ssid_chart"),
    _table("risk", "stressreport", "Stress reports", "thunderstorm"),
    _table("risk", "requirementrecord", "Kept requirements", "bookmark"),
    _table("intermediary", "instrument", "Instruments", "sell"),
)
BONDS = _group(
    "Bonds",
    {"title": "Investors", "icon": "verified_user", "link": _at("investors"), "waiting": "open_applications"},
    {"title": "Structuring", "icon": "architecture", "link": _at("series")},
    {"title": "Offerings", "icon": "sell", "link": _at("offerings")},
    _table("bonds", "series", "Series", "stacks"),
    _table("bonds", "tranche", "Classes", "layers"),
    _table("bonds", "slice", "Slices", "data_table"),
    _table("bonds", "order", "Orders", "shopping_cart"),
    _table("bonds", "holding", "Holdings", "savings"),
    _table("bonds", "notetransfer", "Note transfers", "swap_horiz"),
    _table("bonds", "eligiblewallet", "Eligible wallets", "how_to_reg"),
    _table("bonds", "escrowreading", "Escrow readings", "visibility"),
    _table("bonds", "sliceact", "Write-downs and write-ups", "trending_down"),
)
PEOPLE = _group(
    "People and record",
    _table("intermediary", "party", "Parties", "domain"),
    _table("intermediary", "wallet", "Wallets", "wallet"),
    _table("auth", "user", "Users", "person"),
    _table("intermediary", "commandrequest", "Requests", "send"),
    _table("intermediary", "event", "Events", "bolt"),
    _table("intermediary", "auditrecord", "Audit trail", "history"),
)

GROUPS = (DESK, RELATIONSHIPS, LEDGER, SETTLEMENT, MARKET, BONDS, PEOPLE)

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Bulkhead desk",
    "SITE_HEADER": "Bulkhead",
    "SITE_SUBHEADER": "The officers' desk",
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("bulkhead/logo.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("bulkhead/logo.svg")},
    ],
    "SHOW_HISTORY": False,  # nothing is edited here; the audit trail is the history
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "GLOBAL_CALLBACK": "intermediary.config.unfold.without_inline_colours",
    "STYLES": [lambda request: static("bulkhead/admin.css")],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "intermediary.config.unfold.sidebar",
    },
}
