"""Parse the command line, run one command, turn our errors into one readable line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from ..errors import ShardstreamError
from . import commands
from .bench import bench
from .demo import demo
from .doctor import doctor
from .sheet import PRESETS, sheet
from .show import show


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 for damage found or an error of ours, 2 for a wrong command line."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (ShardstreamError, OSError) as error:
        text = str(error).replace("\n", " ")
        print(f"shardstream {options.command}: {text}", file=sys.stderr)  # noqa: T201 - the command's own output
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is kept: repeat with --resume", file=sys.stderr)  # noqa: T201
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shardstream",
        description="Pack image benchmarks into WebDataset shards; stream them exactly once per epoch.",
    )
    parser.add_argument("--version", action="version", version=_version())
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _write(subparsers)
    _index(subparsers)
    _reading(subparsers)
    _show(subparsers)
    _sheet(subparsers)
    _bench(subparsers)
    _doctor(subparsers)
    _demo(subparsers)
    return parser


def _version() -> str:
    from .. import __version__

    return f"shardstream {__version__}"


def _command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage-option",
        action="append",
        default=[],
        metavar="K=V",
        help="for the fsspec filesystem, e.g. endpoint_url=http://host:9000 (repeatable; also key=, secret=)",
    )


def _write(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from ..shard_writer.sources import SOURCES

    parser = _command(subparsers, "write", commands.write, "Pack a dataset from its original files into shards.")
    parser.add_argument("name", choices=sorted(SOURCES), help="which source")
    parser.add_argument("--source", help="folder, archive, file, hub name or s3:// address of the original files")
    parser.add_argument("--out", required=True, help="local folder or s3:// address to write to")
    parser.add_argument("--split", action="append", default=[], metavar="NAME", help="only this split (repeatable)")
    parser.add_argument("--shard-size", default="256MB", help="target size of a shard (default 256MB)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default 1); never changes the bytes")
    parser.add_argument("--part", type=_part, metavar="I/N", help="write only every N-th shard, I from 0: one job of N")
    parser.add_argument("--resume", action="store_true", help="finish an interrupted write, or add missing splits")
    parser.add_argument("--encode", choices=("png", "raw"), help="small fixed-size images: PNG (default) or raw .npy")
    parser.add_argument("--split-name", metavar="NAME", help="folder: what to call the only split (default train)")
    parser.add_argument("--image-column", metavar="NAME", help="hf: which column holds the image, if there are several")
    parser.add_argument("--config", metavar="NAME", help="hf: configuration of a hub dataset")
    parser.add_argument("--revision", metavar="REV", help="hf: branch, tag or commit of a hub dataset")
    parser.add_argument("--unlisted", action="store_true", help="coco: also pack images that no annotation file lists")
    parser.add_argument(
        "--join",
        action="append",
        default=[],
        metavar="FOLDER",
        help="coco, vqa: annotations of the same images in another folder, joined by image id (repeatable)",
    )
    parser.add_argument("--no-images", action="store_true", help="emotic, vqa: pack the annotations alone")
    parser.add_argument(
        "--images", metavar="FOLDER", help="emotic: where the pictures are, if not below the source (or s3:// address)"
    )
    parser.add_argument("--md5", action="store_true", help="imagenet: compare the archives with the published md5")
    parser.add_argument(
        "--pixel-stats", action="store_true", help="compute channel mean/std of photos too (decodes them)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the packing order of training splits (default 0)")
    _storage(parser)


def _part(text: str) -> tuple[int, int]:
    first, slash, second = text.partition("/")
    if not (slash and first.isdigit() and second.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N, for example 0/8")
    return int(first), int(second)


def _index(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        subparsers, "index", commands.index, "Make existing WebDataset tars a dataset, without rewriting a byte."
    )
    parser.add_argument("url", help="folder of tars, or a brace pattern such as data/{000..099}.tar")
    parser.add_argument("--out", help="where dataset.json and the index go (default: beside the tars)")
    parser.add_argument("--split", default="train", help="name of the split (default train)")
    _storage(parser)


def _reading(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(subparsers, "info", commands.info, "Splits, counts, fields and statistics of a dataset.")
    parser.add_argument("url")
    parser.add_argument("--json", action="store_true", help="the manifest as JSON")
    _storage(parser)
    parser = _command(
        subparsers, "verify", commands.verify, "Re-read every byte against its checksum; exit 1 and name the damage."
    )
    parser.add_argument("url")
    parser.add_argument("--json", action="store_true", help="damage as JSON")
    _storage(parser)
    parser = _command(subparsers, "stats", commands.stats, "Pooled pixel mean/std, label histogram, image sizes.")
    parser.add_argument("url")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pixels", action="store_true", help="decode every image to compute mean/std where unknown")
    _storage(parser)


def _show(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(subparsers, "show", show, "Draw one sample with its boxes, masks, keypoints and captions.")
    parser.add_argument("url")
    parser.add_argument("sample", metavar="KEY-OR-ROW", help="a sample's key, or its row in the split")
    parser.add_argument("--split", help="default: the first that has the sample")
    parser.add_argument("--out", metavar="FILE.png", help="default: KEY.png in the current folder")
    _storage(parser)


def _sheet(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(subparsers, "sheet", sheet, "Draw a contact sheet of what a loader would feed.")
    parser.add_argument("url")
    parser.add_argument("--out", required=True, metavar="FILE.png")
    parser.add_argument("--split", help="default: the only one, else train")
    parser.add_argument("--preset", choices=("none", *PRESETS), default="none", help="what will be fed")
    parser.add_argument(
        "--view", help="what an item is: image (default; with --preset emotic person), caption, question"
    )
    parser.add_argument(
        "--sampler",
        metavar="KIND:OPTIONS",
        help="show what it feeds and print its report: class_balanced:power=0.5, repeat_factor:0.1,"
        " multi_label:rarest, answer_balanced, weighted:COLUMN, natural:size=N",
    )
    parser.add_argument("--count", type=int, default=48, help="images on the sheet (default 48)")
    parser.add_argument("--seed", type=int, default=0)
    _storage(parser)


def _bench(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "How fast a loader is, stage by stage, and what limits it; --simulate: what an epoch costs, without data."
    parser = _command(subparsers, "bench", bench, text)
    parser.add_argument("url", nargs="?", help="a dataset; with --simulate its shards are taken, else --rows, --shards")
    parser.add_argument("--split", help="default: the only one")
    parser.add_argument("--batch-size", type=int, default=64, help="default 64")
    parser.add_argument("--workers", type=int, default=2, help="default 2; 0: batches are made by the loop itself")
    parser.add_argument("--worker-kind", choices=("process", "thread"), default="process", help="default process")
    parser.add_argument("--preset", choices=("none", *PRESETS), default="train", help="transform (default train)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="presets train and eval: side (default 224)")
    parser.add_argument("--device", default="cpu", help="where batches go and are transformed (default cpu)")
    parser.add_argument("--decode", choices=("fast", "exact", "gpu"), default="fast", help="default fast")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default 5)")
    parser.add_argument("--batches", type=int, help="end each measurement after so many batches")
    parser.add_argument("--simulate", action="store_true", help="locality, shuffle quality and memory of an epoch")
    parser.add_argument("--rows", type=int, default=1_281_167, help="default 1281167")
    parser.add_argument("--shards", type=int, default=1_024, help="default 1024")
    parser.add_argument("--row-size", default="110KB", help="default 110KB")
    parser.add_argument("--ranks", type=int, default=1, help="world size (default 1)")
    parser.add_argument("--global-batch", type=int, help="rows over all ranks (default 256)")
    parser.add_argument("--shuffle-lanes", type=int, help="default: 384, or fewer for small sets")
    parser.add_argument("--shuffle-window", type=int, default=64, help="default 64")
    parser.add_argument("--block", default="4MB", help="bytes of one read, at least (default 4MB)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    _storage(parser)


def _doctor(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "What is wrong with this machine: credentials, bucket, mount, cache, memory, decoder, GPU."
    parser = _command(subparsers, "doctor", doctor, text)
    parser.add_argument("url", nargs="?", help="the dataset that a job will read")
    parser.add_argument(
        "--mount", action="append", default=[], metavar="PATH[=ADDRESS]",
        help="a folder that must be mounted; with the address that it must show (repeatable)",
    )  # fmt: skip
    parser.add_argument("--cache-dir", metavar="FOLDER", help="default: $SHARDSTREAM_CACHE, as in ss.open")
    parser.add_argument("--cache-bytes", default="100GB", help="default 100GB, as in ss.open")
    parser.add_argument("--gpu", action="store_true", help="a GPU is needed")
    parser.add_argument("--quick", action="store_true", help="for health checks: no data is read, no decoder, no GPU")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    _storage(parser)


def _demo(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(subparsers, "demo", demo, "Offline, end to end: pack, verify, stream, train a small model.")
    parser.add_argument("--out", default="demo-out", help="folder for its results (default demo-out; replaced)")
    parser.add_argument("--epochs", type=int, default=12)
