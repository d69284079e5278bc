"""Fine-tune a ViT with the familiar Hugging Face pipeline; only the line that loads the data is ours.

    shardstream write folder --source PHOTOS --out SHARDS
    python examples/hf_vit.py SHARDS

Everything from ``AutoImageProcessor`` to ``collate_fn`` is what an image-classification tutorial has. The model here
is a small ViT with random weights, so that the example runs offline; give --processor a hub name for a real one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor
from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification

import shardstream as ss

Examples = dict[str, list[Any]]


def make_transform(processor: Any) -> Callable[[Examples], Examples]:
    """The tutorial's ``transforms(examples)``: PIL images to ``pixel_values``."""
    size = (processor.size["height"], processor.size["width"])
    pipeline = Compose(
        [
            RandomResizedCrop(size),
            RandomHorizontalFlip(),
            ToTensor(),
            Normalize(mean=processor.image_mean, std=processor.image_std),
        ]
    )

    def transforms(examples: Examples) -> Examples:
        pixel_values = [pipeline(image.convert("RGB")) for image in examples["image"]]
        return {"pixel_values": pixel_values, "label": examples["label"]}

    return transforms


def collate_fn(examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The tutorial's collate function."""
    return {
        "pixel_values": torch.stack([example["pixel_values"] for example in examples]),
        "labels": torch.tensor([example["label"] for example in examples]),
    }


def main() -> None:
    options = _options()
    processor = AutoImageProcessor.from_pretrained(options.processor)

    # dataset = load_dataset("imagefolder", data_dir=..., split="train")
    dataset = ss.open(options.shards, split="train")

    dataset = dataset.with_transform(make_transform(processor))
    loader = DataLoader(dataset, batch_size=options.batch_size, shuffle=True, num_workers=2, collate_fn=collate_fn)

    torch.manual_seed(0)
    model = ViTForImageClassification(
        ViTConfig(hidden_size=96, num_hidden_layers=3, num_attention_heads=3, intermediate_size=192, patch_size=32,
                  num_labels=len(dataset.classes))
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    step = 0
    while step < options.steps:
        for batch in loader:
            loss = model(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 5 == 0 or step == options.steps:
                print(f"step {step:4d}  loss {loss.item():.3f}")
            if step == options.steps:
                break


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fine-tune a ViT on packed shards.")
    parser.add_argument("shards", help="a dataset packed with class labels")
    parser.add_argument("--processor", default=str(Path(__file__).parent / "vit"), help="hub name or folder")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
