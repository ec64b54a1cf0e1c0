"""The data layer of the teacher's nets next to OpenCV alone: what tools/bench.py times.

Both read the same JPEGs of 640x480 with as many threads as there are cores. A rival decodes and
resizes them, or makes what a net reads of them (cv2.dnn.blobFromImage), and throws it away; ours
also mirrors half of them with their boxes, subtracts the mean and fills the blobs.
"""

from __future__ import annotations

import atexit
import collections
import concurrent.futures
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from predict import write_set
from roi_pooling_rivals import Calls

from caffe.memory import keep_freed_memory
from python_layers.array_file import write_arrays
from python_layers.prepared_set import PreparedSet
from python_layers.proposal_data import DEFAULTS, ProposalData

Load = Callable[[Path], np.ndarray]

WIDTH, HEIGHT, SIDE = 640, 480, 672
IMAGES, EPOCHS, BATCH, BOXES, CLASSES = 64, 2, 4, 500, 80


class Top:
    """What a Python layer uses of a blob."""

    def __init__(self) -> None:
        self.data = np.zeros(0, np.float32)

    def reshape(self, *shape: int) -> None:
        if self.data.shape != shape:
            self.data = np.zeros(shape, np.float32)


def photograph(rng: np.random.Generator) -> np.ndarray:
    """Pixels (H, W, 3) with the spectrum of photographs, 1/f; a JPEG of them is as large as one."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH))
    frequency[0, 0] = np.inf  # no mean
    waves = rng.standard_normal((2, 3, *frequency.shape)) / frequency
    noise = np.fft.irfft2(waves[0] + 1j * waves[1], s=(HEIGHT, WIDTH))
    light, blue, red = noise / noise.std(axis=(1, 2), keepdims=True)
    channels = np.stack([light + blue / 3, light, light + red / 3], axis=2)
    return np.clip(128 + 40 * channels, 0, 255).astype(np.uint8)


def make_set(folder: Path, images: int) -> list[Path]:
    """Photographs and a prepared set of them with BOXES proposals each; the photographs' paths."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(images)]
    for path in paths:
        cv2.imwrite(str(path), photograph(rng), [cv2.IMWRITE_JPEG_QUALITY, 90])
    write_set(folder, paths, [str(number) for number in range(CLASSES)])
    x, y = (np.sort(rng.integers(0, n, (images, BOXES, 2)), axis=2) for n in (WIDTH, HEIGHT))
    scores = rng.random((images, BOXES))
    boxes = np.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1], scores], axis=2)
    arrays = {"boxes": boxes.astype("<f4"), "counts": np.full(images, BOXES, "<i4")}
    meta = {"images_sha256": PreparedSet(folder).images_sha256}
    write_arrays(folder / "proposals.arr", arrays, meta)
    return paths


def start_layer(folder: Path, threads: int) -> tuple[ProposalData, list[Top]]:
    """The data layer on the prepared set, and its tops."""
    layer, top = ProposalData(), [Top() for _ in range(4)]
    options = {"source": str(folder), "batch_size": BATCH, "boxes": BOXES, "scales": [SIDE]}
    layer.param_str = json.dumps(options | {"mirror": True, "workers": threads})
    layer.setup([], top)
    return layer, top


def run_layer(layer: ProposalData, top: list[Top], batches: int) -> None:
    """The next mini-batches, and as many prepared ahead as there were before."""
    for _ in range(batches):
        layer.reshape([], top)
        layer.forward([], top)
    concurrent.futures.wait(layer.pending)  # they would run on while the rival is timed


def decode(path: Path) -> np.ndarray:
    """The image (H, W, 3)."""
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)


def resized(path: Path) -> np.ndarray:
    """(SIDE, SIDE, 3) bytes."""
    return cv2.resize(decode(path), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def net_input(path: Path) -> np.ndarray:
    """(1, 3, SIDE, SIDE) float32, less the mean."""
    return cv2.dnn.blobFromImage(decode(path), 1, (SIDE, SIDE), DEFAULTS["mean"])


def run_opencv(load: Load, paths: Sequence[Path], threads: int) -> None:
    """Load the images and throw them away."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        collections.deque(pool.map(load, paths), maxlen=0)


def parts() -> Calls:
    """What a mini-batch is made of, on one core, and the whole of it by each.

    cv2 has one thread from then on.
    """
    keep_freed_memory()
    cv2.setNumThreads(1)
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    paths = make_set(Path(folder.name), BATCH)
    batches = start_layer(Path(folder.name), 1)[0].batches
    images = [decode(path) for path in paths]
    room, planes = np.empty((SIDE, SIDE, 3), np.uint8), np.empty((3, SIDE, SIDE), np.uint8)
    floats, data = (np.empty((*n, *planes.shape), np.float32) for n in ((), (BATCH,)))

    def whole() -> np.ndarray:
        pixels, *_ = batches.prepare(batches.plan(0), SIDE)
        batches.subtract_mean(pixels, data)
        return data

    return {
        "decode": lambda: [decode(path) for path in paths],
        "resize": lambda: [cv2.resize(image, (SIDE, SIDE), dst=room) for image in images],
        "split into planes": lambda: [cv2.split(room, list(planes)) for _ in images],
        "convert to float32": lambda: [np.copyto(floats, planes) for _ in images],
        "all, ProposalData": whole,
        "all, cv2.dnn.blobFromImage": lambda: [net_input(path) for path in paths],
    }


def calls(load: Load, memory_kept: bool) -> Calls:
    """Some epochs by each, OpenCV with `load` in a process of its own.

    memory_kept: there, too, freed memory is used again as caffe.Net arranges it; otherwise OpenCV
    runs as in any program of its own, and the kernel clears new pages for most of its images.
    """
    keep_freed_memory()
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    threads = os.cpu_count() or 1
    paths = make_set(Path(folder.name), IMAGES)
    layer, top = start_layer(Path(folder.name), threads)
    process = concurrent.futures.ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=keep_freed_memory if memory_kept else None,
    )
    return {
        "ProposalData": lambda: run_layer(layer, top, EPOCHS * IMAGES // BATCH),
        "OpenCV": lambda: process.submit(run_opencv, load, EPOCHS * paths, threads).result(),
    }
