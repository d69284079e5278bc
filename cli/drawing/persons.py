"""Persons over a picture, their body boxes, and what annotators said of them below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .canvas import Box, Canvas
from .frames import frame, tag
from .palette import GREY, class_colours
from .panel import INDENT, Line, Meter, wrapped

DIMENSIONS = ("valence", "arousal", "dominance")
LOW, HIGH = 1.0, 10.0
NAMED = 2  # emotions in a tag

Person = Mapping[str, Any]


def draw_persons(canvas: Canvas, item: Mapping[str, Any]) -> None:
    """Body boxes, largest first; tags with the number and the emotions that most annotators named."""
    persons = sorted(item.get("persons") or [], key=lambda person: -_area(person["bbox"]))
    colours = class_colours(person["person"] for person in persons)
    for person in persons:
        frame(canvas, tuple(person["bbox"]), colours[person["person"]])
    taken: list[Box] = []
    for person in reversed(persons):  # small ones choose their place first
        emotions = [name for name, _ in emotions_of(person, item.get("person_names") or ())]
        named = ", ".join(emotions[:NAMED]) + (" ..." if len(emotions) > NAMED else "")
        tag(canvas, tuple(person["bbox"]), f"{person['person']} {named}".rstrip(), colours[person["person"]], taken)


def person_lines(item: Mapping[str, Any], width: float) -> Iterator[Line]:
    """Who each is and the ratings, then the emotions, with votes where several annotators looked."""
    persons, names = item.get("persons") or [], item.get("person_names") or ()
    colours = class_colours(person["person"] for person in persons)
    tab = max((Line(_title(person), indent=INDENT).end for person in persons), default=0)
    for person in persons:
        meters = [Meter(name, value, LOW, HIGH) for name, value in zip(DIMENSIONS, person["vad"], strict=True)]
        yield from wrapped(Line(_title(person), square=colours[person["person"]], meters=meters, tab=tab), width)
        yield from wrapped(Line(_said(person, names), indent=INDENT), width)
    for person in item.get("dropped_persons") or []:
        title = f"{_title(person)}, left out: {person['reason']}, {person['body_bbox']}"
        yield from wrapped(Line(title, GREY, indent=INDENT), width)


def emotions_of(person: Person, names: Sequence[str]) -> list[tuple[str, int]]:
    """(name, votes) of the combined categories, most votes first; a category without a name is its number."""
    found = [(names[c] if c < len(names) else str(c), int(person["votes"][c])) for c in person["categories"]]
    return sorted(found, key=lambda pair: -pair[1])


def _said(person: Person, names: Sequence[str]) -> str:
    annotators = len(person["annotators"])
    said = [name if annotators == 1 else f"{name} {votes}/{annotators}" for name, votes in emotions_of(person, names)]
    return ", ".join(said) or "no emotion"


def _title(person: Person) -> str:
    about = ", ".join(filter(None, (person["gender"], person["age"])))
    return f"person {person['person']}" + (f" \N{MIDDLE DOT} {about}" if about else "")


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
