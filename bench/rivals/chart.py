"""A bar chart as SVG, without a library.

Rule: it must be read on light and on dark pages, so text and bars stand on a ground of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

_WIDTH, _LABELS, _ROW, _TOP = 760, 300, 26, 44
_BAR_WIDTH = _WIDTH - _LABELS - 90
_OURS, _THEIRS = "#c2410c", "#64748b"


def bars(title: str, values: Mapping[str, float]) -> str:
    """Horizontal bars, the shortest first.

    Args:
        title: above them.
        values: lengths by label, none negative; labels that begin with ``stream_infer`` stand out.
    """
    height = _TOP + _ROW * len(values) + 12
    longest = max(values.values(), default=0) or 1.0
    rows = sorted(values.items(), key=lambda item: item[1])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
        *(_bar(place, label, value, value / longest) for place, (label, value) in enumerate(rows)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bar(place: int, label: str, value: float, share: float) -> str:
    top, colour = _TOP + place * _ROW, _OURS if label.startswith("stream_infer") else _THEIRS
    width = max(1.0, share * _BAR_WIDTH)
    return (
        f'<text x="{_LABELS - 8}" y="{top + 15}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{_LABELS}" y="{top + 2}" width="{width:.1f}" height="18" fill="{colour}"/>'
        f'<text x="{_LABELS + width + 6:.1f}" y="{top + 15}">{value:.2f}</text>'
    )
