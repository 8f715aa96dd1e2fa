"""Where the scenarios come from, written down for pages, which load no numeric library.

The gate asks the scenarios themselves (`risk.doubt`). Of the row it reads one thing, which they cannot know: that those
of a live market once followed from a recording, so that to take it away does not pass for never having had one.
"""

from datetime import date
from uuid import UUID

from django.conf import settings

from risk.figures import scenarios_for
from risk.market.history import missing_files
from risk.market.recording import LIVE
from risk.models import ScenarioSource, Tick

RULESET = "standard"  # how far a recording reaches is the same under all
TOLD_OF_LEFT_OUT = 20


def note(tick_id: UUID) -> None:
    """Say it of the market of this tick, if that is the last one. Written where it differs: mostly once a day."""
    last = Tick.objects.values_list("id", "snapshot__as_of", "snapshot__source").first()
    if last is None or last[0] != tick_id:
        return
    _, as_of, source = last
    drawn = scenarios_for(RULESET, as_of.date())
    missing = missing_files(settings.MARKET_HISTORY_DIR)
    lacks = f"{missing[0]} is missing" if len(missing) == 1 else drawn.why_simulated
    said = {
        "as_of": drawn.as_of,
        "recorded_to": drawn.recorded_to,
        "lacks": lacks if drawn.recorded_to is None else "",
        "left_out": [str(one) for one in drawn.left_out[:TOLD_OF_LEFT_OUT]],
        "is_live": source == LIVE,
        "known_to": (drawn.recorded_to if source == LIVE else None) or known_to(),
        "daily_vols": {
            coin: round(float(vol), 6) for coin, vol in zip(drawn.shocks.coins, drawn.daily_vol, strict=True)
        },
    }
    if ScenarioSource.objects.filter(only_row=True).values(*said).first() != said:
        ScenarioSource.objects.update_or_create(only_row=True, defaults=said)


def known_to() -> date | None:
    """The last day that a recording reached from which scenarios of a live market followed; None if none ever did."""
    return ScenarioSource.objects.values_list("known_to", flat=True).first()
