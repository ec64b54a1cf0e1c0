"""Ask the frozen teacher once about every image, for stages 1 and 2 to learn from its answers.

    python tools/cache_teacher.py --dataset demo
    python tools/cache_teacher.py stage2 --dataset coco --gpu 0
    tools/distill.sh stage1 stage2 --dataset demo --cache        # this, then the training

Writes out/<dataset>/seed<k>/teacher_cache/[<method>/]<stage>.arr, both stages' in one pass: the
answers about each image in each variant in which the data layer may deliver it (its scales,
mirrored or not). Says first how many bytes these are. The same command goes on after an
interruption and leaves alone what is complete. Takes the options of tools/train.py, so that one
command line serves both; those of the solver change nothing here.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import run_files
import stage_net
import teacher
import train
from errors import UserError, exit_code
from google.protobuf import text_format
from tqdm import tqdm

import caffe
from caffe.proto import caffe_pb2
from python_layers import roi_selection, teacher_cache
from python_layers.only_run import only_run
from python_layers.proposal_data import Batches

HALVED = ("features", "map")  # arrays that --half stores as float16
PREFETCHED = 2  # mini-batches that threads prepare while the teacher looks at another
Chunk = tuple[int, bool, np.ndarray]  # side, mirrored, numbers of images


@dataclasses.dataclass
class Job:
    """The cache of one stage: what it is to hold, and what is there of it."""

    stage: str
    path: Path
    part: teacher.Layers
    batches: Batches
    meta: dict
    cache: teacher_cache.TeacherCache | None = None

    @property
    def variants(self) -> list[tuple[int, bool]]:
        return teacher_cache.variants_of(self.batches.options)


def read_job(stage: str, weights: Path, options: argparse.Namespace) -> Job:
    """The job of a stage, from its train.prototxt and the options that concern the teacher."""
    path = Path(options.models) / options.dataset / stage / "train.prototxt"
    net = run_files.read_prototxt(path, caffe_pb2.NetParameter())
    stage_net.edit(net, stage, options)
    part = teacher.part_of(net, stage)
    # An image that another one stood in for would get that one's answers.
    data = {**teacher.data_options(part[0]), "on_error": "fail"}
    batches = Batches(data, data["boxes"])
    meta = {
        "fingerprint": {
            **teacher.fingerprint(part, weights, options.precision),
            **teacher_cache.fingerprint(batches.set),
        },
        "command": teacher.build_command(options, [stage]) + " --half" * options.half,
    }
    return Job(stage, teacher.cache_file(options, stage), part, batches, meta)


def is_complete(job: Job) -> bool:
    """Open what is there of the job's cache; whether nothing is missing.

    Raises DataError for a damaged file or one of something else, which only --rebuild replaces.
    """
    if not job.path.exists():
        return False
    job.cache = teacher_cache.TeacherCache(job.path, job.meta["command"])
    job.cache.check(**job.meta["fingerprint"])
    job.cache.check_variants(job.variants)
    return not job.cache.missing(job.variants)


def start_net(
    jobs: Sequence[Job], weights: Path, options: argparse.Namespace
) -> tuple[caffe.Net, dict[str, dict[str, str]]]:
    """The teacher with the layers that the jobs need, and {stage: {blob asked for: its name}}."""
    first, *others = (job.batches.options for job in jobs)
    for other in others:
        differ = [key for key in ("source", "boxes", "score", "mean", "scales", "mirror")
                  if other[key] != first[key]]  # fmt: skip
        if differ:
            raise UserError(f"the stages' data layers differ in {', '.join(differ)}; cache one "
                            "stage at a time")  # fmt: skip
    message, names = teacher.joined({job.stage: job.part for job in jobs})
    path = jobs[0].path.with_name("teacher.prototxt")
    run_files.write_text(path, text_format.MessageToString(message))
    net = caffe.Net(str(path), caffe.TEST)
    teacher.load(net, weights, Path(options.models) / options.dataset / "wsddn" / "deploy.prototxt")
    return net, names


def arrays_of(job: Job, net: caffe.Net, names: dict[str, str], half: bool) -> dict:
    """{name: (dtype, (places, ...))} of the job's cache."""
    asked = teacher.ASKED[job.stage]
    places = places_of(job) if "boxes" in asked else 1
    arrays = {}
    for name, blob in asked.items():
        shape = net.blobs[names[blob]].data.shape[1:]
        dtype = "<f2" if half and name in HALVED else "<f4"
        arrays[name] = (dtype, (places, *((5,) if name == "boxes" else shape)))
    return arrays


def places_of(job: Job) -> int:
    """How many boxes of an image the cache may have to hold: all, or those that are selected."""
    for layer in job.part:
        if layer.python_param.layer == "RoISelection":
            _, top, _ = roi_selection.read_options(layer.python_param.param_str)
            return min(top, job.batches.boxes)
    return job.batches.boxes


def reserve(jobs: Sequence[Job], arrays: dict[str, dict]) -> None:
    """Say how much is to be written, then take the space of the files that are not there yet.

    UserError if the disk has fewer bytes.
    """
    new = [job for job in jobs if job.cache is None]
    plans = {
        job.stage: (arrays[job.stage], job.variants, len(job.batches.set), job.meta) for job in new
    }
    needed = sum(teacher_cache.size_of(job.path, *plans[job.stage]) for job in new)
    folder, first = jobs[0].path.parent, jobs[0]
    old = sum(job.path.stat().st_blocks * 512 for job in new if job.path.exists())
    free = shutil.disk_usage(folder).free + old
    variants = ", ".join(map(teacher_cache.variant_text, first.variants))
    print(
        f"{folder}: {', '.join(job.stage for job in jobs)}: {len(first.batches.set):,} images x "
        f"{len(first.variants)} variants ({variants}): {needed:,} bytes to reserve, {free:,} free"
    )
    if needed > free:
        raise UserError(
            f"{folder}: expected {needed:,} bytes free, got {free:,}; free some space, or give "
            "another folder (--cache), fewer --scales, --half or stage2 alone"
        )
    for job in new:
        job.path.unlink(missing_ok=True)
        teacher_cache.create(job.path, *plans[job.stage])
        job.cache = teacher_cache.TeacherCache(job.path)


def chunks(jobs: Sequence[Job], size: int) -> Iterator[Chunk]:
    """Mini-batches of what any of the caches lacks, variant after variant."""
    for side, mirrored in jobs[0].variants:
        rows = [job.cache.rows[job.cache.variants[side, mirrored]] for job in jobs]
        lacking = np.flatnonzero((np.stack(rows) == 0).any(axis=0))
        for start in range(0, len(lacking), size):
            yield side, mirrored, lacking[start : start + size]


def prefetched(batches: Batches, work: Iterable[Chunk]) -> Iterator[tuple[Chunk, tuple]]:
    """Each chunk with its data, label, rois and roi_mask, some chunks ahead of their use."""

    def make(side: int, mirrored: bool, images: np.ndarray) -> tuple:
        return batches.make([(images, n, mirrored) for n in range(len(images))], side)

    with concurrent.futures.ThreadPoolExecutor(PREFETCHED) as pool:
        pending: collections.deque = collections.deque()
        for chunk in work:
            pending.append((chunk, pool.submit(make, *chunk)))
            if len(pending) > PREFETCHED:
                done, blobs = pending.popleft()
                yield done, blobs.result()
        for done, blobs in pending:
            yield done, blobs.result()


def answers(net: caffe.Net, stage: str, names: dict[str, str], images: int) -> list[dict]:
    """What the net has just said about each image, as the stage's cache holds it."""
    said = {name: net.blobs[names[blob]].data for name, blob in teacher.ASKED[stage].items()}
    if "boxes" not in said:
        return [{name: rows[[n]] for name, rows in said.items()} for n in range(images)]
    ends = np.searchsorted(said["boxes"][:, 0], np.arange(1, images))  # image after image
    said["boxes"] = said["boxes"][:, 1:]
    split = (np.split(rows, ends) for rows in said.values())
    return [dict(zip(said, parts, strict=True)) for parts in zip(*split, strict=True)]


def fill(net: caffe.Net, names: dict[str, dict[str, str]], jobs: Sequence[Job]) -> None:
    """Ask the net about all that is missing, with a progress bar."""
    batches = jobs[0].batches
    work = list(chunks(jobs, batches.options["batch_size"]))
    total = len(batches.set) * len(jobs[0].variants)
    there = total - sum(len(images) for *_, images in work)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(teacher_cache.writer(job.path)) for job in jobs]
        bar = stack.enter_context(tqdm(desc="teacher", total=total, initial=there, unit="image"))
        for (side, mirrored, images), (data, _, rois, mask) in prefetched(batches, work):
            for name, values in zip(net.inputs, (data, rois, mask), strict=True):
                net.blobs[name].reshape(*values.shape)
                net.blobs[name].data[...] = values
            net.forward()
            for job, writer in zip(jobs, writers, strict=True):
                said = answers(net, job.stage, names[job.stage], len(images))
                variant = job.cache.variants[side, mirrored]
                writer.add(variant, dict(zip(images, said, strict=True)))
            bar.update(len(images))


def build(options: argparse.Namespace) -> None:
    """Make or complete the caches that the options ask for."""
    train.prepare(options)
    weights = teacher.weights_file(options)
    options.stages = options.stages or ["stage1", "stage2"]
    stages = [stage for stage in train.stages_of(options) if stage in teacher.ASKED]
    if not stages:
        raise UserError(f"--method {options.method} has no {options.stages[0]}: nothing to cache")
    jobs = [read_job(stage, weights, options) for stage in stages]
    folder = jobs[0].path.parent
    with only_run(folder):
        for leftover in folder.glob(".*.arr.*"):  # of a process that was killed
            leftover.unlink()
        todo = [job for job in jobs if options.rebuild or not is_complete(job)]
        if todo:
            net, names = start_net(todo, weights, options)
            arrays = {
                job.stage: arrays_of(job, net, names[job.stage], options.half) for job in todo
            }
            reserve(todo, arrays)
            fill(net, names, todo)
    for job in jobs:
        arrays = teacher_cache.TeacherCache(job.path).arrays.items()
        held = ", ".join(f"{name} {array.dtype.name}" for name, array in arrays)
        print(f"{job.path}: complete ({held}; {job.path.stat().st_size:,} bytes)")


def parser() -> argparse.ArgumentParser:
    """The command line, documented by --help."""
    make = train.parser(__doc__, ("stage1", "stage2"), "*")
    cache = make.add_argument_group("the cache")
    cache.add_argument(
        "--half", action="store_true", help="store a new cache's features and maps as float16"
    )
    cache.add_argument(
        "--rebuild", action="store_true", help="replace a cache that is there, whatever it holds"
    )
    return make


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return exit_code("cache_teacher.py", lambda: build(options))


if __name__ == "__main__":
    sys.exit(main())
