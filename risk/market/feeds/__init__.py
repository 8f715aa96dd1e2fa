"""Feeds: where snapshots come from. A recording when there is one, else the labelled reconstruction; same interface."""

from pathlib import Path

from risk.market.feeds.base import Feed
from risk.market.feeds.reconstruction import ReconstructionFeed
from risk.market.feeds.replay import RECORDING_FILE, ReplayFeed

__all__ = ["Feed", "open_feed"]


def open_feed(history_dir: Path | None) -> Feed:
    """The recording in `history_dir` when its file is there, otherwise the reconstruction of 10-11 October 2025."""
    if history_dir is not None and (history_dir / RECORDING_FILE).is_file():
        return ReplayFeed(history_dir)
    return ReconstructionFeed()
