"""``hf_loader``: a Loader as ``transformers.Trainer`` drives it, which counts batches and skips those it has had."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import IterableDataset

from .batch import Batch
from .loader import Loader


def hf_loader(trainer: Any, loader: Loader, fields: Sequence[str] | None = None) -> HfLoader:
    """What ``Trainer.get_train_dataloader`` and ``get_eval_dataloader`` return when they are overridden.

        class MyTrainer(Trainer):
            def get_train_dataloader(self):
                return ss.hf_loader(self, ss.Loader(ds, global_batch_size=256, shuffle=True, rename=NAMES))

    Each rank gets its own batches; the Trainer neither splits nor dispatches them. Batches hold ``fields``; by default
    those that the model's ``forward`` names, as the Trainer itself does with columns of a dataset.

    ``train(resume_from_checkpoint=...)`` goes on after the last step of the checkpoint without reading what came before
    it, on any number of ranks. The checkpoint counts steps, so it wants the same ``global_batch_size`` again.
    """
    return HfLoader(trainer, loader, fields)


class HfLoader:
    """The four things that the Trainer asks of a DataLoader, and what ``skip_first_batches`` builds a new one from."""

    batch_size = None
    drop_last = False
    num_workers = 0
    prefetch_factor = None

    def __init__(self, trainer: Any, loader: Loader, fields: Sequence[str] | None) -> None:
        self.trainer, self.loader, self.fields = trainer, loader, fields
        self.dataset = _Resumed(self)

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[Batch]:
        wanted = self._wanted()
        for batch in self.loader:
            yield Batch({name: value for name, value in batch.items() if name in wanted})

    def _wanted(self) -> set[str]:
        if self.fields is not None:
            return set(self.fields)
        return {*inspect.signature(self.trainer.model.forward).parameters, *(self.trainer.label_names or ())}

    @staticmethod
    def collate_fn(batch: Any) -> Any:
        """For the DataLoader that skips: batches are made already."""
        return batch


class _Resumed(IterableDataset[Any]):
    """The batches of the epoch that a checkpoint stands in: None for each that is skipped, then the rest.

    ``accelerate.skip_first_batches``, which the Trainer resumes with, makes a DataLoader of a loader's ``dataset`` and
    drops its first batches unseen. So those cost nothing, and what follows is read where it lies.
    """

    def __init__(self, of: HfLoader) -> None:
        super().__init__()
        self._of = of

    def __len__(self) -> int:
        """Items of an epoch, which the Trainer reports."""
        return self._of.loader.stream.size

    def __iter__(self) -> Iterator[Batch | None]:
        loader, trainer = self._of.loader, self._of.trainer
        accumulated = trainer.args.gradient_accumulation_steps
        epoch, updates = divmod(trainer.state.global_step, max(1, -(-len(loader) // accumulated)))
        skipped = updates * accumulated
        position = skipped * loader.stream.config.global_batch
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "position": position})
        yield from [None] * skipped
        yield from self._of
