"""A test net with the images of a prepared set put into it, in one view or several.

The net is a test prototxt with a ProposalData layer (data, label, and for the teacher rois and
roi_mask). That layer says which set, how many boxes and how they score; here it is replaced by
inputs, so that any image can be asked about, at any size, mirrored or cropped.
"""

from __future__ import annotations

import collections
import concurrent.futures
import json
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from errors import UserError
from google.protobuf import text_format
from run_files import read_prototxt
from tqdm import tqdm

import caffe
from caffe.proto import caffe_pb2
from python_layers import proposal_data

CROP = 7 / 8  # side of a crop in sides of the image that it is cut from: 224 of 256
PLACES = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))  # of crops: down, right
PREFETCHED = 2  # mini-batches made ahead of their use


@dataclass(frozen=True)
class View:
    """One way to show an image: resized to side x side, or cut to that out of a larger one."""

    side: int
    mirrored: bool = False
    place: tuple[float, float] | None = None  # of the crop: 0 is the top or left end, 1 the other


@dataclass(frozen=True)
class ViewPlan:
    """Which views of an image a net's answers are averaged over.

    scales: sides of the net's data (none: the data layer's own); mirror: each also left to right;
    crops: 1 the whole image, 5 the corners and the centre, 10 these mirrored, too. A net with
    proposals looks at its boxes instead of crops: for it 5 is the whole image, 10 that mirrored.
    """

    scales: tuple[int, ...] = ()
    mirror: bool = False
    crops: int = 1

    def views(self, side: int, proposals: bool) -> list[View]:
        """All of them, for a data layer of this side, with proposals or without."""
        mirrored = (False, True) if self.mirror or self.crops == 10 else (False,)
        places = PLACES if self.crops > 1 and not proposals else (None,)
        sides = self.scales or (side,)
        return [View(s, m, place) for s in sides for m in mirrored for place in places]

    def tag(self) -> str:
        """What file names call it; empty for the plain single view."""
        parts = [*map(str, self.scales)]
        parts += ["mirror"] if self.mirror else []
        parts += [f"{self.crops}crops"] if self.crops > 1 else []
        return "-".join(parts)

    def describe(self) -> list[str]:
        """One phrase for the lines under a table; none for the plain single view."""
        parts = [f"{len(self.scales)} scales ({', '.join(map(str, self.scales))})"] * bool(
            self.scales
        )
        parts += ["mirror"] if self.mirror else []
        parts += [f"{self.crops} crops (nets with proposals: none)"] if self.crops > 1 else []
        return ["Tested as the mean over " + " x ".join(parts)] if parts else []


def data_layer(net: caffe_pb2.NetParameter, model: pathlib.Path) -> caffe_pb2.LayerParameter:
    """The net's ProposalData layer; UserError if it has none."""
    for layer in net.layer:
        if layer.type == "Python" and layer.python_param.layer == "ProposalData":
            return layer
    raise UserError(f"{model}: no Python layer ProposalData, so nothing to evaluate it on")


def read_net(
    model: pathlib.Path, folder: str | None = None, batch_size: int | None = None
) -> tuple[caffe_pb2.NetParameter, dict]:
    """The test net and its data layer's options, those two put in their place.

    UserError if the net cannot be read or its data layer names no set.
    """
    net = read_prototxt(model, caffe_pb2.NetParameter())
    layer = data_layer(net, model)
    try:
        options = dict(json.loads(layer.python_param.param_str))
    except (ValueError, TypeError):
        raise UserError(
            f"{model}: layer {layer.name}: param_str: expected a JSON object, "
            f"got {layer.python_param.param_str!r}"
        ) from None
    options.update({"source": folder} if folder else {})
    options.update({} if batch_size is None else {"batch_size": batch_size})
    if not isinstance(options.get("source"), str):
        raise UserError(
            f"{model}: layer {layer.name}: param_str: source: expected the folder of a prepared "
            f"set, got {options.get('source')!r}"
        )
    return net, options


def start_net(net: caffe_pb2.NetParameter, weights: pathlib.Path) -> caffe.Net:
    """The net in test phase with its weights."""
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text_format.MessageToString(net))
        file.flush()
        return caffe.Net(file.name, str(weights), caffe.TEST)


def make_inputs(layer: caffe_pb2.LayerParameter, options: dict, classes: int) -> None:
    """Turn a ProposalData layer into an Input layer with the same tops."""
    count, boxes, side = options["batch_size"], options["boxes"], options["scales"][0]
    shapes = (count, 3, side, side), (count, classes), (count * boxes, 6), (count, boxes)
    layer.type = "Input"
    layer.ClearField("python_param")
    for shape, _ in zip(shapes, layer.top, strict=False):
        layer.input_param.shape.add(dim=shape)


def cut(data: np.ndarray, view: View) -> np.ndarray:
    """The view's crop of data (N,3,H,H), H >= side: (N,3,side,side)."""
    if view.place is None:
        return data
    room = data.shape[2] - view.side
    y, x = (round(part * room) for part in view.place)
    return data[:, :, y : y + view.side, x : x + view.side]


class Feed:
    """A started test net, the set it is asked about and the views it is shown of each image.

    net     the caffe.Net, its data layer replaced by inputs
    set     the PreparedSet
    views   list of View
    Raises UserError, DataError or CaffeError naming the file for a missing or unfit net, set or
    weights.
    """

    def __init__(
        self,
        model: pathlib.Path,
        weights: pathlib.Path,
        folder: str | None = None,
        batch_size: int | None = None,
        view_plan: ViewPlan | None = None,
    ) -> None:
        param, options = read_net(model, folder, batch_size)
        layer = data_layer(param, model)
        self.tops = list(layer.top)
        # An image that cannot be read must not be replaced by another in a test.
        options = {**options, "on_error": "fail"}
        options = proposal_data.read_options(json.dumps(options), len(self.tops))
        self.boxes = options["boxes"] if len(self.tops) > 2 else 0
        self._batches = proposal_data.Batches(options, self.boxes)
        self.set, self.batch_size = self._batches.set, options["batch_size"]
        self.views = (view_plan or ViewPlan()).views(options["scales"][0], self.boxes > 0)
        make_inputs(layer, options, len(self.set.classes))
        self.net = start_net(param, weights)

    def make(self, view: View, images: Sequence[int]) -> list[np.ndarray]:
        """The inputs for one view of these images."""
        order = np.asarray(images)
        plan = [(order, place, view.mirrored) for place in range(len(order))]
        larger = view.side if view.place is None else round(view.side / CROP)
        data, *rest = self._batches.make(plan, larger)
        return [cut(data, view), *rest]

    def forward(
        self, title: str = "", images: Sequence[int] | None = None
    ) -> Iterator[tuple[Sequence[int], View]]:
        """Run the net on each view of the images (all of the set), one mini-batch after another.

        Yields (image numbers, view) when the net's blobs hold its answers; all views of some
        images before the next images.
        """
        images = range(len(self.set)) if images is None else images
        starts = range(0, len(images), self.batch_size)
        parts = [images[start : start + self.batch_size] for start in starts]
        work = [(view, part) for part in parts for view in self.views]
        with concurrent.futures.ThreadPoolExecutor(PREFETCHED) as pool:
            ahead: collections.deque = collections.deque()
            for number, (view, part) in enumerate(tqdm(work, title, unit="batch", leave=False)):
                for later in work[number + len(ahead) : number + 1 + PREFETCHED]:
                    ahead.append(pool.submit(self.make, *later))
                for name, values in zip(self.tops, ahead.popleft().result(), strict=False):
                    self.net.blobs[name].reshape(*values.shape)
                    self.net.blobs[name].data[...] = values
                self.net.forward()
                yield part, view
