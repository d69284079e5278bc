"""The panel below a picture: lines of text, some with a coloured square before them or small meters behind.

[#] person 0 · Female, Adult      valence ====---- 6.0   arousal ===----- 4.0
    Engagement 3/5, Happiness 2/5
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import ImageDraw

from .palette import BLACK, GREY, PALE, Colour
from .text import font, wrap

BODY = 22
ROW = BODY + 8
INDENT = 40
_SQUARE, _BAR, _GAP = 18, 60, 14


@dataclass(frozen=True, slots=True)
class Meter:
    """A number on a scale; None draws an empty bar and a dash."""

    name: str
    value: float | None
    low: float
    high: float

    @property
    def text(self) -> str:
        return "-" if self.value is None else f"{self.value:.1f}"

    @property
    def width(self) -> float:
        face = font(BODY)
        return face.getlength(self.name) + _BAR + face.getlength("10.0") + 3 * _GAP


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the panel."""

    text: str
    ink: Colour = BLACK
    indent: int = 0
    square: Colour | None = None
    meters: Sequence[Meter] = ()
    tab: float = 0
    """Where the meters begin at the earliest, so that those of several lines stand in columns."""

    @property
    def start(self) -> int:
        """Where the text begins."""
        return self.indent + (0 if self.square is None else INDENT)

    @property
    def end(self) -> float:
        """Where the meters begin."""
        text = font(BODY).getlength(self.text) + 2 * _GAP if self.text else 0
        return max(self.start + text, self.tab)


def wrapped(line: Line, width: float, hanging: int = 0) -> Iterator[Line]:
    """The line, and lines below it for what does not fit: text beyond its width, ``hanging`` in, then meters."""
    words = wrap(line.text, font(BODY), width - line.start - hanging) if line.text else []
    rows = [replace(line, text=words[0] if words else "", meters=())]
    rows += [Line(text, line.ink, line.start + hanging) for text in words[1:]]
    room = width - rows[-1].end
    for meter in line.meters:
        if meter.width > room:
            rows.append(Line("", indent=line.start + hanging))
            room = width - rows[-1].end
        rows[-1] = replace(rows[-1], meters=(*rows[-1].meters, meter))
        room -= meter.width
    return iter(rows)


def paint(draw: ImageDraw.ImageDraw, lines: Iterable[Line], left: int, top: int) -> None:
    """Draw lines, one below another."""
    face = font(BODY)
    for number, line in enumerate(lines):
        x, y = left + line.end, top + number * ROW
        if line.square is not None:
            corner = left + line.indent, y + (BODY - _SQUARE) // 2 + 2
            draw.rectangle((*corner, corner[0] + _SQUARE, corner[1] + _SQUARE), fill=line.square)
        draw.text((left + line.start, y), line.text, font=face, fill=line.ink)
        for meter in line.meters:
            _meter(draw, meter, x, y)
            x += meter.width


def _meter(draw: ImageDraw.ImageDraw, meter: Meter, x: float, y: int) -> None:
    face = font(BODY)
    draw.text((x, y), meter.name, font=face, fill=GREY)
    bar = x + face.getlength(meter.name) + _GAP / 2
    top, bottom = y + BODY // 2 - 2, y + BODY // 2 + 8
    draw.rectangle((bar, top, bar + _BAR, bottom), fill=PALE)
    if meter.value is not None:
        share = min(max((meter.value - meter.low) / (meter.high - meter.low), 0.0), 1.0)
        draw.rectangle((bar, top, bar + share * _BAR, bottom), fill=GREY)
    draw.text((bar + _BAR + _GAP / 2, y), meter.text, font=face, fill=BLACK)
