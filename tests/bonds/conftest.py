"""What tests of a series that is on risk ask for: the world of their mark, its relationships, its series."""

import pytest

from bonds.models import Series
from intermediary.models import Cell


@pytest.fixture
def cells(rolled_back_world: tuple[list[Cell], Series]) -> list[Cell]:
    """The covered relationships of the built world."""
    return rolled_back_world[0]


@pytest.fixture
def series(rolled_back_world: tuple[list[Cell], Series]) -> Series:
    """The series of the built world."""
    return rolled_back_world[1]
