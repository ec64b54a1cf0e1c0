"""Write the nets and solvers below models/, for all data sets.

    python models/generate.py
    python models/generate.py --check
    python models/generate.py --dataset birds --classes 9 --images 4000 --like demo

models/<dataset>/<stage>/{train,train_cached,test,deploy,solver}.prototxt are this program's
output. Change them in the modules beside it: datasets.py has sizes, rates and schedules, method.py
the nets of our method, baselines.py those of the others (models/<dataset>/<method>/<stage>/),
vgg16.py their backbone, solvers.py the solvers. models/<dataset>/<backbone>/<stage>/ are
students with another backbone (backbones.py); the nets of models/<dataset>/<net>/ come from
models/nets/. `--check` writes nothing and exits with 1 if a file differs. With --dataset it
writes the nets for a prepared set of your own; all tools take that name as their --dataset. Names
of layers and blobs, and what the stages compute, are explained in models/README.md.
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import cards
import preset_table
from backbones import PRETRAIN_RATES, TITLES
from baselines import BASELINES
from datasets import DATASETS, Dataset
from google.protobuf import text_format
from google.protobuf.message import Message
from method import STAGES, Stages, object_net
from nets import NETS
from solvers import pretrain_solver, solver

from caffe.files import write_atomic
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text

Files = Iterator[tuple[Path, str, Message | None]]  # header and message, or a text alone

ROOT = Path(__file__).parent
WHAT = {
    "train_val": "the net for both phases, on its data",
    "deploy": "the net that reads the blob `data`",
    "solver": "its solver",
}


def nets_of(backbone: str) -> Stages:
    """The nets for students with this backbone; the teacher and the other methods have VGG16."""
    if backbone == "vgg16":
        return STAGES | BASELINES
    return {path: net for path, net in STAGES.items() if not path.startswith("wsddn")}


def messages(dataset: Dataset) -> dict[str, tuple[Message, str]]:
    """{path below the data set's folder: (its message, what it is)}."""
    made = {}
    for path, (build, what) in nets_of(dataset.backbone).items():
        made[path] = build(dataset).to_proto(), what
        stage, _, file = path.rpartition("/")
        if file == "train":
            made[f"{stage}/solver"] = solver(dataset, stage, dataset.images), f"solver of {what}"
    if "pretrain" in dataset.recipes:
        what = "single-object classification, from which the others start"
        recipe = dataset.recipes["pretrain"]
        made["pretrain/train"] = object_net(dataset, recipe).to_proto(), what
        made["pretrain/test"] = object_net(dataset, None).to_proto(), what
        made["pretrain/solver"] = pretrain_solver(dataset), f"solver of {what}"
    for path, (message, _) in made.items():
        if isinstance(message, caffe_pb2.NetParameter):
            message.name = f"{dataset.folder}/{path}".replace("/", "_")
    return made


def of_backbone(dataset: Dataset, backbone: str) -> Dataset:
    """The data set with another backbone of the student."""
    title = f"{dataset.title}, student {TITLES[backbone]}"
    recipes = dict(dataset.recipes)
    if "pretrain" in recipes and backbone in PRETRAIN_RATES:
        rate = PRETRAIN_RATES[backbone]
        recipes["pretrain"] = dataclasses.replace(recipes["pretrain"], base_lr=rate)
    return dataclasses.replace(dataset, backbone=backbone, title=title, recipes=recipes)


def header(title: str, what: str, origin: str = "models/generate.py") -> str:
    return f"# {title}: {what}.\n# Written by {origin}; change it there.\n"


def dataset_files(dataset: Dataset) -> Files:
    """The files of one data set."""
    for each in (dataset, *(of_backbone(dataset, backbone) for backbone in TITLES)):
        made = messages(each)
        for name, (message, what) in made.items():
            path = ROOT / each.folder / f"{name}.prototxt"
            yield path, header(each.title, what), message
        presets = preset_table.of_stages(made)
        texts = preset_table.files(presets) | cards.files(each, made, presets)
        for name, text in texts.items():
            yield ROOT / each.folder / name, text, None


def files() -> Files:
    """All that this program writes without options."""
    for dataset in DATASETS:
        yield from dataset_files(dataset)
    for net in NETS:
        for stem, build in net.files.items():
            head = header(net.title, WHAT[stem], "models/generate.py from models/nets/")
            yield ROOT / net.path / f"{stem}.prototxt", head, build()


def differs(path: Path, message: Message | None, head: str) -> bool:
    """Whether the file is missing or says anything else than the message and its header."""
    if not path.is_file() or not path.read_text(encoding="utf-8").startswith(head):
        return True
    if message is None:
        return path.read_text(encoding="utf-8") != head
    return read_text(path, type(message)()) != message


def own_dataset(name: str, classes: int, images: int, like: str) -> Dataset:
    """A data set of the user's own, with sizes and recipes of one of ours but for `pretrain`."""
    model = {dataset.name: dataset for dataset in DATASETS}[like]
    recipes = {stage: recipe for stage, recipe in model.recipes.items() if stage != "pretrain"}
    own = {"name": name, "title": name, "classes": classes, "images": images}
    return dataclasses.replace(model, recipes=recipes, **own)


def write(path: Path, head: str, message: Message | None) -> None:
    """Write one of the Files."""
    text = text_format.MessageToString(message) if message else ""
    write_atomic(path, (head + text).encode())


def parser() -> argparse.ArgumentParser:
    """The command line, documented by --help."""
    make = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    make.add_argument("--check", action="store_true", help="compare; write nothing")
    own = make.add_argument_group("nets for a prepared set of your own, data/NAME/{train,test}")
    own.add_argument("--dataset", metavar="NAME", type=own_name, help="write only models/NAME")
    own.add_argument("--classes", type=int, metavar="K", help="its classes")
    own.add_argument("--images", type=int, metavar="N", help="its training images")
    own.add_argument(
        "--like",
        choices=("coco", "demo"),
        default="coco",
        help="coco: the paper's sizes, starting from VGG16's ImageNet weights; demo: thin nets for "
        "a CPU, starting from out/demo/pretrain (coco)",
    )
    return make


def own_name(text: str) -> str:
    """A new folder's name below models/."""
    taken = {dataset.name for dataset in DATASETS} | {net.path.split("/")[0] for net in NETS}
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", text) or text in taken | {"nets"}:
        raise argparse.ArgumentTypeError(
            f"expected a name of a-z, 0-9, _ and - that is not one of ours, got {text!r}"
        )
    return text


def chosen(options: argparse.Namespace, make: argparse.ArgumentParser) -> Files:
    """The files that the options are about."""
    counts = options.classes, options.images
    if not options.dataset:
        if counts != (None, None):
            make.error("--classes and --images belong to --dataset")
        return files()
    if None in counts or min(counts) < 1:
        make.error("--dataset needs --classes and --images, both at least 1")
    return dataset_files(own_dataset(options.dataset, *counts, options.like))


def main() -> int:
    make = parser()
    options = make.parse_args()
    count, wrong = 0, []
    for path, head, message in chosen(options, make):
        count += 1
        if options.check and differs(path, message, head):
            wrong.append(path)
        elif not options.check:
            write(path, head, message)
    for path in wrong:
        print(f"{path}: differs from models/generate.py", file=sys.stderr)
    print(f"{count} files, {len(wrong)} differ" if options.check else f"{count} files written")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
