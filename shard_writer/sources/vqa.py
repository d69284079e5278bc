"""VQA v2: all questions of an image with their answers in one sample, from the official files or zips.

Facts: https://visualqa.org/download and GT-Vision-Lab/VQA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import SourceError
from ..types import About, SplitInfo
from .coco_build import Built
from .coco_files import CocoFiles, Place
from .coco_join import join_coco
from .coco_parts import Joined
from .coco_pictures import pictures_of
from .coco_source import ImageSource, open_files
from .options import SourceOptions, keep_bytes, need_source
from .vqa_build import VqaBuilder
from .vqa_columns import columns_of_questions
from .vqa_files import left_out, question_files
from .vqa_join import question_classes


@dataclass(slots=True)
class VqaRecipe:
    """One copy of VQA v2, and folders whose COCO annotations of its images are joined."""

    files: CocoFiles
    no_images: bool
    folders: tuple[CocoFiles, ...] = ()
    _builder: VqaBuilder | None = field(default=None, init=False, repr=False, compare=False)
    _joined: Joined | None = field(default=None, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return (VqaRecipe, (self.files, self.no_images, self.folders))

    def annotations(self) -> Mapping[str, Mapping[str, Place]]:
        return question_files(self.files)

    def extra(self) -> Sequence[Place]:
        return []

    def has_pictures(self, split: str) -> bool:
        return self._made().has_pictures(split)

    def no_pictures(self, splits: Sequence[str]) -> SourceError:
        return self._made().no_pictures(splits[0])

    def info(self, split: str) -> SplitInfo:
        own = columns_of_questions(self.annotations()[split])
        columns = {"image_id": "int64", **own, **self.joined().columns}
        field_name = None if self.no_images else "jpg"
        return SplitInfo(name=split, image_field=field_name, columns=columns, shuffle=split.startswith("train"))

    def joined(self) -> Joined:
        if self._joined is None:
            self._joined = join_coco(self.folders)
        return self._joined

    def build(self, split: str) -> Built:
        return self._made().build(split, self.joined())

    def about(self, built: Mapping[str, Built]) -> About:
        columns = {name: kind for split in built for name, kind in self.info(split).columns.items()}
        return About(
            name="vqa",
            licence="annotations CC BY 4.0; each image its own Flickr licence",
            homepage="https://visualqa.org",
            classes={**question_classes(columns), **self.joined().classes},
            class_ids=self.joined().class_ids,
            notes=tuple(left_out(self.files)),
        )

    def _made(self) -> VqaBuilder:
        """All files below the source are listed here, once."""
        if self._builder is None:
            self._builder = VqaBuilder(self.files, pictures_of(self.files), self.no_images)
        return self._builder


def open_vqa(source: str | None, options: SourceOptions) -> ImageSource:
    """VQA v2 below a folder or address: questions, annotations and pairs, loose or zipped, and image folders.

    ``options.no_images`` packs the annotations alone; ``options.join`` adds COCO's annotations of other folders, by
    image id. Raises OptionError without an address, SourceError for files that do not hold what VQA promises.
    """
    keep_bytes("vqa", options.encode)
    address = need_source(
        "vqa", source, "the folder that holds v2_OpenEnded_mscoco_<split>_questions.json or their zips"
    )
    files, *folders = open_files(address, options)
    return ImageSource(VqaRecipe(files, options.no_images, tuple(folders)))
