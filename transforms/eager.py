"""What torch.compile is to leave alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import torch

F = TypeVar("F", bound=Callable[..., object])


def eager(forward: F) -> F:
    """``forward`` as one call that torch.compile does not look into: parameters are drawn and annotations moved in
    numpy, with 64-bit words that no graph can hold. From Normalize on, a compiled model takes the pixels into its graph.
    """
    return cast("F", torch.compiler.disable(forward))  # type: ignore[no-untyped-call]
