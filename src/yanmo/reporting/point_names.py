"""Where the names of points stand in a plot, so that none lies on another; it draws nothing.

The reader's fonts draw the names, so their sizes are estimates: half an em for a letter, a whole one for a wide sign.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Box", "NamePlace", "place_names", "short_name"]

MAX_NAME = 24
EM = 10.0
LINE = 1.25
GAP = 7.0
RADIUS = 5.0
SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 2), (0, -2), (1, 2), (-1, -2))
"""Where a name may stand from its point, the best place first: steps across and up."""
MOST_COVERED = 0.02
"""Which share of a name may lie on another name, or outside of the frame; one that has no such place is left out."""
ALIGNMENTS = {1: "left", 0: "center", -1: "right"}


class Box(NamedTuple):
    """A rectangle in points: its left, lower, right and upper end."""

    left: float
    low: float
    right: float
    high: float

    def overlap(self, other: Box) -> float:
        """Return the area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        up = min(self.high, other.high) - max(self.low, other.low)
        return max(across, 0.0) * max(up, 0.0)

    @property
    def area(self) -> float:
        """Its area."""
        return (self.right - self.left) * (self.high - self.low)


class NamePlace(NamedTuple):
    """Where one name stands.

    Attributes:
        across: Of its anchor, in points from the point that it names.
        up: Of the middle of its line.
        alignment: Which part of the name is at the anchor: left, center or right.
    """

    across: float
    up: float
    alignment: str


def short_name(name: str) -> str:
    """Return a name that has room in a plot."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def place_names(
    names: Sequence[str], points: Sequence[tuple[float, float]], frame: Box, lines: Sequence[Box] = ()
) -> list[NamePlace | None]:
    """Return a place for each name: of those around its point the one that covers least; None where there is no room.

    Args:
        names: As they are drawn, those that matter most first.
        points: Where the points are, in points of a figure.
        frame: What no name may leave.
        lines: What a name should not lie on, if there is another place.
    """
    signs = [Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in points]
    written: list[Box] = []
    found: list[NamePlace | None] = []
    for name, point in zip(names, points, strict=True):
        places = [_place(side) for side in SIDES]
        boxes = [_box(point, place, _width(name)) for place in places]
        lost = [one.area - one.overlap(frame) + sum(map(one.overlap, written)) for one in boxes]
        # Names on names cannot be read; on a point or a line they can, for they are drawn with an edge.
        costs = [
            100 * gone + 4 * sum(map(one.overlap, signs)) + sum(map(one.overlap, lines))
            for gone, one in zip(lost, boxes, strict=True)
        ]
        best = min(range(len(places)), key=lambda place: (round(costs[place], 3), place))
        if lost[best] > MOST_COVERED * boxes[best].area:
            found.append(None)
            continue
        written.append(boxes[best])
        found.append(places[best])
    return found


def _width(name: str) -> float:
    return sum(EM if unicodedata.east_asian_width(one) in "WF" else 0.58 * EM for one in name)


def _place(side: tuple[float, float]) -> NamePlace:
    across, up = side
    # Beside the point the line is at its height, above and below it keeps clear of it.
    return NamePlace(GAP * across, (GAP + 0.5 * LINE * EM) * up * (0.6 if across else 1), ALIGNMENTS[int(across)])


def _box(point: tuple[float, float], place: NamePlace, width: float) -> Box:
    x, y = point[0] + place.across, point[1] + place.up
    left = {"left": x, "center": x - width / 2, "right": x - width}[place.alignment]
    return Box(left, y - LINE * EM / 2, left + width, y + LINE * EM / 2)
