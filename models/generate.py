"""Write the nets and solvers below models/, for all data sets: python models/generate.py [--check]

models/<dataset>/<stage>/{train,train_cached,test,deploy,solver}.prototxt are this program's
output. Change them in the modules beside it: datasets.py has sizes, rates and schedules, method.py
the nets, vgg16.py their backbone, solvers.py the solvers. The nets of models/<dataset>/<net>/ come
from models/nets/. `--check` writes nothing and exits with 1 if a file differs. Names of layers and
blobs, and what the stages compute, are explained in models/README.md.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from datasets import DATASETS, Dataset
from google.protobuf import text_format
from google.protobuf.message import Message
from method import STAGES, object_net
from nets import NETS
from solvers import pretrain_solver, solver

from caffe.files import write_atomic
from caffe.proto import caffe_pb2
from caffe.prototxt import read_text

ROOT = Path(__file__).parent
WHAT = {
    "train_val": "the net for both phases, on its data",
    "deploy": "the net that reads the blob `data`",
    "solver": "its solver",
}


def messages(dataset: Dataset) -> dict[str, tuple[Message, str]]:
    """{path below models/<dataset>: (its message, what it is)}."""
    made = {}
    for path, (build, what) in STAGES.items():
        made[path] = build(dataset).to_proto(), what
    if "pretrain" in dataset.recipes:
        what = "single-object classification, from which the others start"
        recipe = dataset.recipes["pretrain"]
        made["pretrain/train"] = object_net(dataset, recipe).to_proto(), what
        made["pretrain/test"] = object_net(dataset, None).to_proto(), what
        made["pretrain/solver"] = pretrain_solver(dataset), f"solver of {what}"
    for stage in ("wsddn", "student", "stage1", "stage2"):
        what = f"solver of {STAGES[f'{stage}/train'][1]}"
        made[f"{stage}/solver"] = solver(dataset, stage, dataset.images), what
    for path, (message, _) in made.items():
        if isinstance(message, caffe_pb2.NetParameter):
            message.name = f"{dataset.name}_{path.replace('/', '_')}"
    return made


def header(title: str, what: str, origin: str = "models/generate.py") -> str:
    return f"# {title}: {what}.\n# Written by {origin}; change it there.\n"


def files() -> Iterator[tuple[Path, str, Message]]:
    """All that this program writes: (path, header, message)."""
    for dataset in DATASETS:
        for name, (message, what) in messages(dataset).items():
            path = ROOT / dataset.name / f"{name}.prototxt"
            yield path, header(dataset.title, what), message
    for net in NETS:
        for stem, build in net.files.items():
            head = header(net.title, WHAT[stem], "models/generate.py from models/nets/")
            yield ROOT / net.path / f"{stem}.prototxt", head, build()


def differs(path: Path, message: Message, head: str) -> bool:
    """Whether the file is missing or says anything else than the message and its header."""
    if not path.is_file() or not path.read_text(encoding="utf-8").startswith(head):
        return True
    return read_text(path, type(message)()) != message


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    check = parser.parse_args().check
    count, wrong = 0, []
    for path, head, message in files():
        count += 1
        if check and differs(path, message, head):
            wrong.append(path)
        elif not check:
            write_atomic(path, (head + text_format.MessageToString(message)).encode())
    for path in wrong:
        print(f"{path}: differs from models/generate.py", file=sys.stderr)
    print(f"{count} files, {len(wrong)} differ" if check else f"{count} files written")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
