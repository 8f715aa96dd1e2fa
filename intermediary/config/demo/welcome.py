"""What the terminal says when the demo has started: where to go, as whom, and what will happen next."""

from pathlib import Path

from intermediary.config.demo import world
from intermediary.config.demo.bootstrap import PASSWORD
from risk.market.feeds import Feed


def text(feed: Feed) -> str:
    """The welcome, with log-ins per role."""
    clients = "\n".join(f"    client.{one.key:<14} {one.legal_name}: {one.purpose}" for one in world.CLIENTS)
    investors = "\n".join(f"    investor.{one.key:<12} {one.legal_name}" for one in world.INVESTORS)
    officers = "\n".join(f"    {one.username:<21} {one.name}, risk desk (/admin/)" for one in world.OFFICERS)
    return f"""
  Sign in with the password  {PASSWORD}  as

{clients}
{investors}
{officers}

  What happens next ({feed.source} of 10-11 October 2025, platform time is UTC)
    14:00  hourly bars, one every {world.SECONDS_A_BAR} seconds: the market slides, first calls are met
    20:00  five-minute bars
    21:15  the crash, about three minutes from now: calls everywhere; Tidewater Alpha (R-108) cannot deliver
    21:35  default notice, close-out, loss through its own layers; nobody else's hedge is touched
    12:00  next day: a first recovery writes the notes up again
  Pause, speed up or start over: /admin/ > Replay.
"""


def write(var_dir: Path, feed: Feed) -> None:
    """Keep the welcome for every later start; it names play money only, yet nobody else needs to read it."""
    file = var_dir / "welcome.txt"
    file.touch(mode=0o600)
    file.write_text(text(feed))
