"""A small chart as SVG: how time grows with events, both on logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT, EDGE = 640, 400, 60
_LINES = (("Rung", "#1f6f54"), ("by hand", "#9a5b13"))


def growth_chart(path: Path, points: Sequence[tuple[int, float, float]]) -> Path:
    """Draw seconds over events for Rung and for the query by hand, and return the file.

    Args:
        path: The file.
        points: (events, seconds of Rung, seconds by hand), in rising order of events.
    """
    low_x, high_x = math.floor(math.log10(points[0][0])), math.ceil(math.log10(points[-1][0]))
    seconds = [value for point in points for value in point[1:]]
    low_y, high_y = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))

    def x(events: float) -> float:
        return EDGE + (math.log10(events) - low_x) / (high_x - low_x) * (WIDTH - 2 * EDGE)

    def y(value: float) -> float:
        return HEIGHT - EDGE - (math.log10(value) - low_y) / (high_y - low_y) * (HEIGHT - 2 * EDGE)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        '<g font-family="sans-serif" font-size="12">',
        "<title>Seconds to aggregate everything again, over the number of events</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for power in range(low_x, high_x + 1):
        place = x(10**power)
        parts.append(
            f'<path d="M{place:.1f} {EDGE}V{HEIGHT - EDGE}" stroke="#dddddd"/>'
            f'<text x="{place:.1f}" y="{HEIGHT - EDGE + 18}" text-anchor="middle">{10**power:,}</text>'
        )
    for power in range(low_y, high_y + 1):
        place = y(10**power)
        parts.append(
            f'<path d="M{EDGE} {place:.1f}H{WIDTH - EDGE}" stroke="#dddddd"/>'
            f'<text x="{EDGE - 8}" y="{place + 4:.1f}" text-anchor="end">{10**power:g} s</text>'
        )
    for line, (name, colour) in enumerate(_LINES, 1):
        places = [(x(point[0]), y(point[line])) for point in points]
        drawn = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{colour}"/>' for across, down in places
        ]
        parts.append(f'<text x="{EDGE + 12}" y="{EDGE + 16 * line}" fill="{colour}">{name}</text>')
    parts += [f'<text x="{WIDTH / 2}" y="{HEIGHT - 14}" text-anchor="middle">events</text>', "</g></svg>"]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return path
