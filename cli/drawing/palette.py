"""Colours that stay apart for colour-blind readers and in greyscale print.

The first seven are Okabe and Ito's (https://jfly.uni-koeln.de/color/, without black), the others fill in from
Paul Tol's muted scheme (https://personal.sron.nl/~pault/).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66),
    (136, 34, 85), (68, 170, 153), (153, 153, 51), (51, 34, 136), (221, 204, 119),
)  # fmt: skip
BLACK: Colour = (17, 17, 17)
WHITE: Colour = (255, 255, 255)
GREY: Colour = (110, 110, 110)
PALE: Colour = (232, 232, 232)


def class_colours(labels: Iterable[int]) -> Mapping[int, Colour]:
    """A colour per label: ``PALETTE[label % 12]``, so that a class keeps it from figure to figure.

    Where two labels of one image would share a colour, the later in numeric order takes the next free one. Colours
    repeat only beyond 12 classes.
    """
    chosen: dict[int, Colour] = {}
    for label in sorted(set(labels)):
        wheel = [PALETTE[(label + step) % len(PALETTE)] for step in range(len(PALETTE))]
        taken = set(chosen.values())
        chosen[label] = next((colour for colour in wheel if colour not in taken), wheel[0])
    return chosen


def luminance(colour: Colour) -> float:
    """Relative luminance in [0, 1], as WCAG 2.1 defines it."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    """Contrast ratio in [1, 21], as WCAG 2.1 defines it; small text needs 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(colour: Colour) -> Colour:
    """Black or white text, whichever reads better on a colour."""
    return max((BLACK, WHITE), key=lambda ink: contrast(ink, colour))
