"""Small pictures of counts per minute, drawn on the server as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

WIDTH = 140
HEIGHT = 34


def series(counts: Mapping[int, int], until: int, minutes: int) -> list[int]:
    """The counts of the `minutes` whole minutes up to and including `until`; a minute without a count is 0."""
    return [counts.get(minute, 0) for minute in range(until - minutes + 1, until + 1)]


def sparkline(values: Sequence[int], label: str, *, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """A line with its area and a word for those who can't see it.

    Args:
        values: Counts per minute, oldest first, at least two.
        label: What the picture says, in words.
        width: In pixels.
        height: In pixels.
    """
    top = max(values)
    if top == 0:
        middle = height - 1.5
        return Markup(
            '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
            '<line class="base" x1="0" x2="{w}" y1="{y}" y2="{y}"/></svg>'
        ).format(w=width, h=height, label=label, y=middle)
    step = width / (len(values) - 1)
    points = [(index * step, height - 1.5 - value / top * (height - 4)) for index, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"0,{height} {line} {width},{height}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">'
        '<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/></svg>'
    ).format(w=width, h=height, label=label, area=area, line=line)
