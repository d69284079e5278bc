"""``--sampler``: a sampler as text, ``class_balanced:power=0.5`` or ``multi_label:rarest,size=20000``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..errors import OptionError
from ..loaders import samplers

KINDS: Mapping[str, type[samplers.Sampler]] = {
    "natural": samplers.Natural,
    "class_balanced": samplers.ClassBalanced,
    "repeat_factor": samplers.RepeatFactor,
    "multi_label": samplers.MultiLabel,
    "answer_balanced": samplers.AnswerBalanced,
    "weighted": samplers.Weighted,
}
_WORDS = {"true": True, "false": False, "none": None}
FORM = "KIND[:VALUE or OPTION=VALUE,...]"


def parse_sampler(text: str) -> samplers.Sampler:
    """The sampler that a text means; raises OptionError, naming what there is, for one that means none.

    A value without a name is the sampler's first option: ``repeat_factor:0.1``, ``weighted:COLUMN``. Answer types are
    targets: ``answer_balanced:yes/no=0.5,number=0.2,other=0.3``.
    """
    name, _, rest = text.partition(":")
    if name not in KINDS:
        raise OptionError(f"sampler {name!r} is not one of {', '.join(KINDS)}; write it as {FORM}.")
    kind = KINDS[name]
    own = [each for each in fields(kind) if each.init]
    first = next((each.name for each in own if not each.kw_only), None)
    given: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = first or "", part
        known = key in {each.name for each in own} and key != "targets"
        if not known and (name != "answer_balanced" or not equals):
            named = ", ".join(each.name for each in own)
            raise OptionError(f"sampler {text!r}: {part!r} is no option of {name}, which has {named or 'none'}.")
        target = given if known else given.setdefault("targets", {})
        target[key] = _value(value)
    missing = [each.name for each in own if each.default is MISSING and each.name not in given]
    if missing:
        raise OptionError(f"sampler {text!r} needs {', '.join(missing)}; write it as {name}:VALUE.")
    return _made(kind, given, text)


def _value(text: str) -> Any:
    """A number, true, false or none; other text as it is."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _made(kind: type[samplers.Sampler], given: Mapping[str, Any], text: str) -> samplers.Sampler:
    try:
        return kind(**given)
    except TypeError as error:  # text where a number belongs
        raise OptionError(f"sampler {text!r}: an option has the wrong kind of value ({error}).") from error
