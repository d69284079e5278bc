"""COCO: instances, captions and person keypoints in one sample per image, from the official files or zips.

Facts: https://cocodataset.org/#format-data and cocoapi.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ..types import About, SplitInfo
from .coco_build import Builder, Built, common, label_ids, label_names
from .coco_files import CocoFiles, Place
from .coco_karpathy import karpathy_of
from .coco_parts import Joined
from .coco_pictures import pictures_of
from .coco_sample import columns_of
from .coco_source import ImageSource, open_files
from .options import SourceOptions, keep_bytes, need_source, some
from .vqa_join import join_questions


@dataclass(slots=True)
class CocoRecipe:
    """One copy of COCO, and folders whose VQA questions about its images are joined."""

    files: CocoFiles
    unlisted: bool
    folders: tuple[CocoFiles, ...] = ()
    _builder: Builder | None = field(default=None, init=False, repr=False, compare=False)
    _joined: Joined | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (CocoRecipe, (self.files, self.unlisted, self.folders))

    def annotations(self) -> Mapping[str, Mapping[str, Place]]:
        return self.files.annotations()

    def extra(self) -> Sequence[Place]:
        """Karpathy's file, where there is one."""
        place = self.files.karpathy()
        return [] if place is None else [place]

    def has_pictures(self, split: str) -> bool:
        return self._made().has_pictures(split)

    def no_pictures(self, splits: Sequence[str]) -> SourceError:
        return SourceError(
            f"{self.files.store.url}: annotations of {some(splits)}, but none of their images. Put {splits[0]}/"
            f" or {splits[0]}.zip beside them."
        )

    def info(self, split: str) -> SplitInfo:
        own = columns_of(self.annotations()[split], self.files.karpathy() is not None)
        columns = {**own, **self.joined().columns}
        return SplitInfo(name=split, image_field="jpg", columns=columns, shuffle=split.startswith("train"))

    def joined(self) -> Joined:
        if self._joined is None:
            self._joined = join_questions(self.folders)
        return self._joined

    def build(self, split: str) -> Built:
        return self._made().build(split, karpathy_of(self.files), self.joined())

    def about(self, built: Mapping[str, Built]) -> About:
        categories = common({name: one.categories for name, one in built.items()})
        return About(
            name="coco",
            licence="annotations CC BY 4.0; each image its own Flickr licence (field `license`)",
            homepage="https://cocodataset.org",
            classes={**label_names(categories), **self.joined().classes},
            class_ids=label_ids(categories),
        )

    def _made(self) -> Builder:
        """All files below the source are listed here, once."""
        if self._builder is None:
            self._builder = Builder(self.files, pictures_of(self.files), self.unlisted)
        return self._builder


def open_coco(source: str | None, options: SourceOptions) -> ImageSource:
    """COCO below a folder or address: ``annotations/`` and image folders, or the official zips.

    ``options.join`` adds the VQA questions of other folders, by image id. Raises OptionError without an address,
    SourceError for files that do not hold what COCO promises.
    """
    keep_bytes("coco", options.encode)
    address = need_source("coco", source, "the folder that holds annotations/ and val2017/, or their zips")
    files, *folders = open_files(address, options)
    return ImageSource(CocoRecipe(files, options.unlisted, tuple(folders)))
