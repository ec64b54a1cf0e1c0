"""Train one stage of the method, or several in order: pretrain, wsddn, student, stage1, stage2.

    python tools/train.py student --dataset demo --seed 1
    python tools/train.py stage1 stage2 --dataset coco --gpu 0
    python tools/train.py stage1 stage2 --dataset coco --gpu 0 --method fitnets

A stage reads models/<dataset>/<stage>/{train,solver}.prototxt and works in
out/<dataset>/seed<k>/<stage>/, with a --method other than ours both its stages in
<method>/<stage>/: its own copy of both files, log.jsonl, snapshots. The stages of a
student with another --backbone are in folders of its name, in both places. Ctrl-C
writes a snapshot; the same command continues from the last one, and passes over a stage that is
complete. With --cache stages 1 and 2 read what tools/cache_teacher.py has written of the teacher.
tools/train_wsddn.sh and tools/distill.sh call it; they take the same options.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import initial_weights
import numpy as np
import presets
import run_files
import stage_net
import teacher
import tensorboard_log
from errors import UserError, exit_code
from google.protobuf import text_format
from hardware import hardware, peak_memory
from options import add_backbone_option, backbone_folder, check_dataset, natural, one_of
from scores import check_scores
from tqdm import tqdm

import caffe
from caffe.proto import caffe_pb2
from python_layers.only_run import only_run
from python_layers.roi_selection import OBJECTNESS
from python_layers.teacher_cache import TeacherCache, variants_of

STAGES = ("pretrain", "wsddn", "student", "stage1", "stage2")
METHODS = ("ours", "hinton", "fitnets", "attention", "released")
CONVOLUTIONS = ("conv", "res", "bn", "scale")  # what the backbones' names of these begin with


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of one run: what to train, where, from which weights."""

    name: str  # as its folders are called: stage2, or <method>/stage2
    folder: Path
    weights: tuple[Path, ...]  # loaded by layer name, in this order
    teacher: Path | None  # loaded into the layers of the same name behind `teacher_`
    cache: Path | None = None  # or its answers, read from here


def plan(name: str, options: argparse.Namespace) -> Stage:
    """Which weights the stage starts from, by the options or by where earlier stages left them."""
    backbone = backbone_folder(options.backbone)
    if backbone and name == "wsddn":
        raise UserError("--backbone is the student's; train the teacher, wsddn, without it")
    if name == "pretrain":
        return Stage(name, Path(options.runs) / backbone / name, (), None)
    seed = Path(options.runs) / f"seed{options.seed}" / backbone
    folder, weights = seed / name, (_initial_weights(options),)
    if name in ("wsddn", "student"):
        return Stage(name, folder, weights, None)
    before = name.replace("stage2", "stage1")
    if before != name and before in teacher.ASKED:
        weights += (Path(options.stage1 or run_files.last_weights(seed / before)),)
    elif options.stage1 and before != name:
        raise UserError(f"--stage1: {options.method} has no stage 1, its stage 2 starts without")
    if options.cache is not None:
        cache = teacher.cache_file(options, name)
        return Stage(name, folder, weights, teacher.weights_file(options), cache)
    # The weights of stage 1 hold what it needed of the teacher, unless they come from a training
    # with a cache; start_solver sees to the rest.
    own = None if len(weights) == 2 else teacher.weights_file(options)
    return Stage(name, folder, weights, own)


def net_folder(options: argparse.Namespace, name: str) -> Path:
    """Of the stage's nets and solver."""
    return Path(options.models, options.dataset, backbone_folder(options.backbone), name)


def _initial_weights(options: argparse.Namespace) -> Path:
    if options.weights:
        return Path(options.weights)
    backbone = backbone_folder(options.backbone)
    if net_folder(options, "pretrain").is_dir():
        return run_files.last_weights(Path(options.runs) / backbone / "pretrain")
    file = "VGG_ILSVRC_16_layers.caffemodel"
    if backbone:
        file = f"a caffemodel for models/imagenet/{backbone}"
    raise UserError(
        f"--dataset {options.dataset} has no pretrain stage: give --weights, {file} for nets of "
        f"full width, the last of {Path('out/demo', backbone)}/pretrain for thin ones"
    )


def read_solver(name: str, options: argparse.Namespace) -> caffe_pb2.SolverParameter:
    """The committed solver with the options' overrides."""
    path = net_folder(options, name) / "solver.prototxt"
    solver = run_files.read_prototxt(path, caffe_pb2.SolverParameter())
    for field in ("base_lr", "max_iter", "snapshot", "display", "iter_size"):
        value = getattr(options, field)
        if value is not None:
            setattr(solver, field, value)
    solver.random_seed = options.seed
    if options.source:  # the solver's test nets read the data set's own images
        for field in ("test_net", "test_iter", "test_interval", "test_initialization"):
            solver.ClearField(field)
    return solver


def check_cache(stage: Stage, options: argparse.Namespace) -> None:
    """DataError unless the cache is there, of this teacher and net, with all that is to be read.

    That it is of these images and proposals is for the layer that reads it.
    """
    path = net_folder(options, stage.name) / "train.prototxt"
    net = run_files.read_prototxt(path, caffe_pb2.NetParameter())
    stage_net.edit(net, stage.name, options)
    part = teacher.part_of(net, stage.name)
    cache = TeacherCache(stage.cache, teacher.build_command(options, [stage.name]))
    cache.check(**teacher.fingerprint(part, stage.teacher, options.precision))
    cache.check_complete(variants_of(teacher.data_options(part[0])))


def write_run(stage: Stage, options: argparse.Namespace, start: int) -> tuple[Path, int]:
    """The run's own train.prototxt and solver.prototxt; the solver's path and the batch size."""
    solver = read_solver(stage.name, options)
    # Other dropout masks from where it stopped than from the beginning.
    solver.random_seed += 1_000_003 * start
    name = "train_cached" if stage.cache else "train"
    source = net_folder(options, stage.name) / f"{name}.prototxt"
    net = run_files.read_prototxt(source, caffe_pb2.NetParameter())
    batch_size = stage_net.edit(net, stage.name, options, start * max(1, solver.iter_size))
    check_scores(net)
    if stage.cache:
        stage_net.edit_cache(net, stage.cache)
    solver.net = str(stage.folder / "train.prototxt")
    solver.snapshot_prefix = str(stage.folder / stage.folder.name)
    solver.solver_mode = solver.CPU if options.gpu is None else solver.GPU
    solver.device_id = options.gpu or 0
    run_files.write_text(Path(solver.net), text_format.MessageToString(net))
    path = stage.folder / "solver.prototxt"
    run_files.write_text(path, text_format.MessageToString(solver))
    return path, batch_size * max(1, solver.iter_size)


def load_weights(net: caffe.Net, stage: Stage, options: argparse.Namespace) -> None:
    """Load what the stage starts from, and the teacher where none came with it."""
    convolutions = [name for name in net.params if name.startswith(CONVOLUTIONS)]
    for weights in stage.weights:
        initial_weights.load(net, weights, convolutions if weights == stage.weights[0] else ())
    if stage.cache is None and (stage.teacher or teacher.is_missing(net)):
        deploy = Path(options.models) / options.dataset / "wsddn" / "deploy.prototxt"
        teacher.load(net, stage.teacher or teacher.weights_file(options), deploy)


def start_solver(stage: Stage, options: argparse.Namespace) -> tuple[caffe.SGDSolver, int]:
    """A solver with the stage's weights, or with those of its last snapshot; images per step."""
    state = run_files.last_state(stage.folder)
    start = run_files.iteration_of(state) if state else 0
    path, batch_size = write_run(stage, options, start)
    solver = caffe.get_solver(str(path))
    if options.recompute:
        solver.net.recompute = True
    if state:
        solver.restore(str(state))
        return solver, batch_size
    load_weights(solver.net, stage, options)
    return solver, batch_size


def _losses(net: caffe.Net) -> dict[str, float]:
    """Each loss of the net, times its loss_weight."""
    weights = net.blob_loss_weights  # of numbers, or of arrays of one number: a Python layer's
    return {name: weights[name] * net.blobs[name].data.item() for name in weights if weights[name]}


class Interrupt:
    """While entered, SIGINT and SIGTERM only set `asked`, so that no step is cut in two."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class Log:
    """log.jsonl: a first line about the run, then a line per `display` steps with their means."""

    def __init__(self, folder: Path, start: int, about: dict) -> None:
        self.path = folder / "log.jsonl"
        run_files.drop_after(self.path, start)
        self._sums: dict[str, float] = {}
        self._steps, self._since = 0, time.monotonic()
        if not self.path.exists():
            run_files.append_line(self.path, about)
        self._events = tensorboard_log.events(folder, start)

    def add(self, losses: dict[str, float]) -> None:
        self._steps += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def write(self, iteration: int, batch_size: int) -> dict:
        """Write and return the means since the last call."""
        now = time.monotonic()
        means = {name: total / self._steps for name, total in self._sums.items()}
        line = {
            "iter": iteration,
            "loss": sum(means.values()),
            **{name: value for name, value in means.items() if len(means) > 1},
            "images_per_s": round(self._steps * batch_size / (now - self._since), 2),
            "time": round(time.time(), 1),
        }
        run_files.append_line(self.path, line)
        self._events.add(line)
        self._sums, self._steps, self._since = {}, 0, now
        return line


def about(stage: Stage, options: argparse.Namespace, batch_size: int) -> dict:
    """What somebody who finds the log needs to know about the run."""
    return {
        "stage": stage.name,
        "command": " ".join(["tools/train.py", *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "hardware": hardware(),
        "batch_size": batch_size,
        "precision": options.precision,
        "weights": [str(path) for path in (*stage.weights, stage.teacher) if path],
    }


def train(stage: Stage, options: argparse.Namespace) -> None:
    """Run the stage to its last iteration, unless it is there; DataError if another run does."""
    param = read_solver(stage.name, options)
    total, interval = param.max_iter, param.display or 20
    if run_files.iteration_of(run_files.last_state(stage.folder)) >= total:
        print(f"{stage.folder}: complete ({total} iterations)")
        return
    if stage.cache:
        check_cache(stage, options)
    with only_run(stage.folder):
        run_files.check_same_options(stage.folder, _identity(stage, options))
        go_on(stage, options, total, interval)


def go_on(stage: Stage, options: argparse.Namespace, total: int, interval: int) -> None:
    """Run the stage from its last snapshot to iteration `total`, a log line every `interval`."""
    solver, batch_size = start_solver(stage, options)
    log = Log(stage.folder, solver.iter, about(stage, options, batch_size))
    bar = tqdm(total=total, initial=solver.iter, unit="it", desc=f"{stage.name:8}", mininterval=1)
    with bar, Interrupt() as interrupt:
        while solver.iter < total and not interrupt.asked:
            _step(stage, solver, log)
            bar.update(1)
            if solver.iter % interval == 0 or solver.iter == total:
                line = log.write(solver.iter, batch_size)
                bar.set_postfix_str(f"loss {line['loss']:.4g}, {line['images_per_s']:.0f} images/s")
    if run_files.iteration_of(run_files.last_state(stage.folder)) < solver.iter:
        solver.snapshot()
    print(f"{stage.name}: peak memory so far {peak_memory()}")
    if solver.iter < total:
        raise KeyboardInterrupt


def _step(stage: Stage, solver: caffe.SGDSolver, log: Log) -> None:
    solver.step(1)
    losses = _losses(solver.net)
    if not all(np.isfinite(value) for value in losses.values()):
        raise UserError(
            f"{stage.name}: loss is {losses} at iteration {solver.iter}; lower --base-lr "
            "(the run's last snapshot is unharmed)"
        )
    log.add(losses)


def _identity(stage: Stage, options: argparse.Namespace) -> dict:
    """The options that must be the same when a run is continued."""
    names = (
        "dataset",
        "seed",
        "source",
        "batch_size",
        "scales",
        "student_size",
        "score",
        "base_lr",
    )
    if stage.name == "stage1":
        names += ("taps", "objectness")
    given = {name: getattr(options, name) for name in names}
    # A snapshot of the one holds the teacher, which the other has no layers for.
    precision = None if options.precision == "fp32" else options.precision
    cached = True if stage.cache else None
    return {"stage": stage.name, **given, "cached": cached, "precision": precision}


def parser(
    description: str = __doc__, stages: Sequence[str] = STAGES, count: str = "+"
) -> argparse.ArgumentParser:
    """The command line, documented by --help; `count` of `stages` as argparse's nargs."""
    make = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    make.add_argument(
        "stages", nargs=count, type=one_of(stages), metavar="STAGE", help=", ".join(stages)
    )
    make.add_argument("--dataset", default="demo", help="folder of its nets below models/ (demo)")
    add_backbone_option(make)
    make.add_argument(
        "--method", default="ours", choices=METHODS, help="of stage1 and stage2 (ours)"
    )
    make.add_argument("--seed", type=int, default=1, help="of weights, order, dropout (1)")
    make.add_argument("--gpu", type=int, metavar="ID", help="train on this GPU (default: the CPU)")
    make.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "tf32", "bf16", "fp16"),
        help="compute in it; weights, their updates and all files stay float32 (fp32)",
    )
    make.add_argument(
        "--recompute",
        action="store_true",
        help="compute each stage of VGG16 again in the backward pass: less memory, slower",
    )
    make.add_argument("--models", default="models", help="folder of the nets (models)")
    make.add_argument("--runs", help="folder of the results (out/<dataset>)")
    sizes = make.add_argument_group("data and sizes (default: as in the net's data layer)")
    sizes.add_argument(
        "--source", metavar="PATH", help="prepared set to train on (pretrain: an image list)"
    )
    sizes.add_argument("--batch-size", type=natural, metavar="N", help="images per pass")
    sizes.add_argument(
        "--memory",
        metavar="GB",
        help="of the GPU: 8, 16, 24 or 80; batch size and passes per update that fit into it and "
        "together make the solver's batch (computed; --batch-size and --iter-size win)",
    )
    sizes.add_argument(
        "--scales",
        type=natural,
        nargs="+",
        metavar="S",
        help="image sizes, one drawn per mini-batch",
    )
    sizes.add_argument(
        "--score",
        choices=("one",),
        help="let each proposal count alike, for proposals without scores",
    )
    sizes.add_argument("--student-size", type=natural, metavar="S", help="the student's input size")
    sizes.add_argument(
        "--taps",
        nargs="+",
        choices=stage_net.STRIDES,
        help="maps that ours' stage1 compares (conv5_3)",
    )
    sizes.add_argument(
        "--objectness",
        choices=OBJECTNESS,
        help="of a box in ours' stage1: over the classes' scores (max)",
    )
    solver = make.add_argument_group("solver (default: as in solver.prototxt)")
    solver.add_argument("--base-lr", type=float, metavar="RATE")
    solver.add_argument("--iterations", type=natural, metavar="N", dest="max_iter")
    solver.add_argument("--iter-size", type=natural, metavar="N", help="passes per update")
    solver.add_argument(
        "--snapshot", type=natural, metavar="N", help="iterations between snapshots"
    )
    solver.add_argument("--display", type=natural, metavar="N", help="iterations between log lines")
    start = make.add_argument_group("weights to start from (default: where earlier stages end)")
    start.add_argument("--weights", metavar="FILE", help="the backbone's, of ImageNet")
    start.add_argument("--teacher", metavar="FILE", help="T-WDet's, for stage1 and the cache")
    start.add_argument("--stage1", metavar="FILE", help="stage 1's, for stage2")
    start.add_argument(
        "--cache",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="in stage1 and stage2 read the teacher's answers, which tools/cache_teacher.py has "
        "written (to <runs>/seed<k>/teacher_cache), instead of running the teacher",
    )
    return make


def prepare(options: argparse.Namespace) -> None:
    """Fill in the folder of the results; compute where the options say."""
    check_dataset(options.dataset, options.models)
    # The progress bar and log.jsonl say what Caffe's log would.
    logging.getLogger("caffe").addHandler(logging.NullHandler())
    options.runs = options.runs or f"out/{options.dataset}"
    if options.precision != "fp32":
        caffe.set_precision(options.precision)
    if options.gpu is None:
        caffe.set_mode_cpu()
    else:
        caffe.set_device(options.gpu)
        caffe.set_mode_gpu()


def stages_of(options: argparse.Namespace) -> list[str]:
    """The names of the method's stages, in its order, also of one that it does not have.

    UserError for options that none of them would heed.
    """
    folder = "" if options.method == "ours" else f"{options.method}/"
    found = [
        folder + name if name in teacher.ASKED else name
        for name in sorted(set(options.stages), key=STAGES.index)
    ]
    if folder and options.backbone != "vgg16" and any(name.startswith(folder) for name in found):
        raise UserError(f"--backbone: the student of --method {options.method} has vgg16")
    for option in ("taps", "objectness"):
        if getattr(options, option) and "stage1" not in found:
            raise UserError(f"--{option} changes stage1 of --method ours, which is not asked for")
    if options.stage1 and not any(name.endswith("stage2") for name in found):
        raise UserError("--stage1 is what stage2 starts from, which is not asked for")
    return found


def run(options: argparse.Namespace) -> None:
    """Train the stages in the method's order."""
    prepare(options)
    for name in stages_of(options):
        if name not in (*STAGES, *teacher.ASKED):
            print(f"{name}: no such stage, {options.method} goes on without")
            continue
        sized = presets.with_sizes(options, net_folder(options, name))
        train(plan(name, sized), sized)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return exit_code("train.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
