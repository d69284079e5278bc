"""Pictures of a batch's rows: the bytes of each fetched and decoded once, and every part that is wanted cut from it.

    row        picture     parts that are wanted
    person 0   (3, 17)     crop of the context, body 0  ┐ decoded once: four parts
    person 1   (3, 17)     crop of the context, body 1  ┘
    person 0   (5, 2)      crop of the context, body 0    decoded once: two parts

Evaluation goes through the parts of an image one after another, so there this saves most of the decoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from PIL import Image

from ..errors import UndecodableImage
from .base import Dataset
from .coded import Coded, Member, coded
from .decode import U8, Geometry, decode_image, decode_parts
from .decoders.route import on_gpu
from .stages import DECODE
from .together import each

if TYPE_CHECKING:
    from .steps import Rows

Wanted = Sequence[Geometry | None]
"""Parts of one picture; None: the whole of it, as it is."""


@dataclass(frozen=True, slots=True)
class Where:
    """A sample's address for messages, put together only where one is written."""

    ds: Dataset
    shard: int
    row: int

    def __str__(self) -> str:
        return self.ds.where(self.shard, self.row)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Reads the pictures of a dataset with images."""

    ds: Dataset
    exact: bool
    """Resized by Pillow."""

    def parts(self, rows: Rows, wanted: Sequence[Wanted]) -> list[list[U8]]:
        """(H, W, 3) pixels of each row's parts, as asked for; what a row gets does not depend on the others."""
        places = _places(rows)
        asked: dict[tuple[int, int], dict[Geometry | None, None]] = {}
        for place, parts in zip(places, wanted, strict=True):
            asked.setdefault(place, {}).update(dict.fromkeys(parts))
        made = dict(zip(asked, each(self._decoded, asked.items()), strict=True))
        return [[made[place][part] for part in parts] for place, parts in zip(places, wanted, strict=True)]

    def whole(self, rows: Rows) -> Iterator[Image.Image]:
        """Each row's picture in RGB, one after another."""
        return (self._image(place) for place in _places(rows))

    def coded(self, rows: Rows, wanted: Wanted, size: int) -> Coded:
        """Each row's picture for a GPU to decode, those that it does not take decoded here."""
        found = [(*self._data(*place), self._orientation(*place)) for place in _places(rows)]
        members = [Member(data, str(where), orientation) for data, where, orientation in found]
        return coded(members, wanted, on_gpu, size)

    def _decoded(self, asked: tuple[tuple[int, int], Iterable[Geometry | None]]) -> dict[Geometry | None, U8]:
        place, parts = asked
        (data, where), orientation = self._data(*place), self._orientation(*place)
        with DECODE:
            return decode_parts(data, where, list(parts), orientation, self.exact)

    def _image(self, place: tuple[int, int]) -> Image.Image:
        (data, where), orientation = self._data(*place), self._orientation(*place)
        with DECODE:
            return decode_image(data, where, orientation)

    def _data(self, shard: int, row: int) -> tuple[memoryview | bytes, Where]:
        data = self.ds.fetcher.member(shard, row, cast("str", self.ds.info.image_field))
        where = Where(self.ds, shard, row)
        if data is None:
            raise UndecodableImage(
                f"{where}: the sample has no {self.ds.info.image_field!r} member. Leave it out when indexing."
            )
        return data, where

    def _orientation(self, shard: int, row: int) -> int:
        return int(self.ds.fetcher.rows(shard).orientation[row])


def _places(rows: Rows) -> list[tuple[int, int]]:
    return list(zip(rows.shards.tolist(), rows.rows.tolist(), strict=True))
