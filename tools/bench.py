"""Time the engine and its native operators against named rivals, as ratios in one run.

    make bench            or            python tools/bench.py --json out/bench.json

Each pair is timed in turn, one call each, so that what else the machine does hits both; the ratio
is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from files import write_atomically
from hardware import hardware
from rich.console import Console
from rich.table import Table
from torch import nn

import caffe
from caffe import layers as L
from caffe.ops.roi_pooling import roi_pooling

BATCH, SIZE, CLASSES = 4, 224, 80
WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool") + (512, 512, 512, "pool") * 2


def median_times(calls: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median seconds of each call, after one warm-up, the calls taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(runs + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if run:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def handwritten_vgg16() -> nn.Sequential:
    """The student as one writes it in PyTorch: S-Cls without dropout."""
    layers: list[nn.Module] = []
    channels = 3
    for width in WIDTHS:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    head = [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True)]
    head += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, CLASSES)]
    return nn.Sequential(*layers, *head)


def vgg16_calls(models: Path) -> dict[str, Callable[[], object]]:
    """Forward + backward of S-Cls: through caffe.Net, and handwritten."""
    net = caffe.Net(str(models / "coco" / "student" / "deploy.prototxt"), caffe.TEST)
    net.blobs["data"].reshape(BATCH, 3, SIZE, SIZE)
    net.reshape()
    x = np.random.default_rng(0).standard_normal((BATCH, 3, SIZE, SIZE)).astype(np.float32)
    net.blobs["data"].data[...] = x
    top = np.full((BATCH, CLASSES), 0.1, np.float32)
    rival, rival_x, rival_top = handwritten_vgg16(), torch.from_numpy(x), torch.from_numpy(top)

    def engine() -> None:
        net.clear_param_diffs()
        net.forward()
        net.backward(p=top)

    def pytorch() -> None:
        rival.zero_grad(set_to_none=True)
        torch.sigmoid(rival(rival_x)).backward(rival_top)

    return {"caffe.Net": engine, "PyTorch eager": pytorch}


def roi_pooling_calls(models: Path) -> dict[str, Callable[[], object]]:
    """Forward + backward of RoI pooling, 500 boxes on 1x512x42x42: native, and the numpy twin."""
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 671, (500, 2, 2)), axis=1).reshape(500, 4)
    rois = np.column_stack([np.zeros(500), corners, rng.uniform(0, 1, 500)]).astype(np.float32)
    features = rng.standard_normal((1, 512, 42, 42)).astype(np.float32)
    top = np.ones((500, 512, 7, 7), np.float32)
    twin = _numpy_twin(features, rois)

    def native() -> None:
        x = torch.from_numpy(features).requires_grad_(True)
        y = roi_pooling(x, torch.from_numpy(rois), 7, 7, 1 / 16, 10.0, 1.0)
        y.backward(torch.from_numpy(top))

    def numpy_twin() -> None:
        twin.forward()
        twin.backward(roi_pool5=top)

    return {"native": native, "numpy twin": numpy_twin}


def _numpy_twin(features: np.ndarray, rois: np.ndarray) -> caffe.Net:
    param = {"pooled_h": 7, "pooled_w": 7, "spatial_scale": 1 / 16}
    spec = caffe.NetSpec()
    spec.conv5_3 = L.Input(shape={"dim": features.shape})
    spec.rois = L.Input(shape={"dim": rois.shape})
    spec.roi_pool5 = L.Python(
        spec.conv5_3,
        spec.rois,
        module="python_layers.roi_pooling",
        layer="ROIPooling",
        param_str=json.dumps(param | {"score_scale": 10, "score_bias": 1}),
    )
    proto = spec.to_proto()
    proto.force_backward = True
    net = caffe.Net(proto, caffe.TRAIN)
    net.blobs["conv5_3"].data[...] = features
    net.blobs["rois"].data[...] = rois
    return net


BENCHES = (
    ("VGG16, 4x3x224x224", vgg16_calls, 7, "<= 1.05"),
    ("RoI pooling, 500 boxes on 1x512x42x42", roi_pooling_calls, 5, "<= 0.05"),
)


def measure(models: Path) -> dict:
    """All benches; {name: {seconds of ours, of the rival, their ratio, what it must reach}}."""
    results = {}
    for name, make, runs, target in BENCHES:
        times = median_times(make(models), runs)
        (ours, mine), (rival, theirs) = times.items()
        results[name] = {
            "ours": ours,
            "seconds": round(mine, 4),
            "rival": rival,
            "rival_seconds": round(theirs, 4),
            "ratio": round(mine / theirs, 4),
            "target": target,
            "runs": runs,
        }
    return results


def show(results: dict, console: Console) -> None:
    """Print the results as a table."""
    table = Table("forward + backward", "ours", "rival", "ratio", "target")
    for name, row in results.items():
        ours = f"{row['ours']} {row['seconds'] * 1e3:.0f} ms"
        rival = f"{row['rival']} {row['rival_seconds'] * 1e3:.0f} ms"
        table.add_row(name, ours, rival, f"{row['ratio']:.3f}", row["target"])
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="(models)")
    parser.add_argument("--json", type=Path, default=Path("out/bench.json"), help="(%(default)s)")
    options = parser.parse_args()
    results = measure(options.models)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    about = f"{hardware()}, torch {torch.__version__}"
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": about,
        "peak_memory_GiB": round(peak, 2),
        "benches": results,
    }
    write_atomically(options.json, json.dumps(record, indent=1).encode() + b"\n")
    show(results, Console())
    print(f"{about}; peak memory {peak:.1f} GiB; written to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
