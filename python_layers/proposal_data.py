"""ProposalData: images, labels and region proposals of a prepared set, as a Python data layer."""

import collections
import concurrent.futures
import logging

import cv2
import numpy as np

import caffe
from python_layers.array_file import DataError
from python_layers.boxes import mirror_boxes, scale_boxes
from python_layers.param_str import read_param_str
from python_layers.prepared_set import PreparedSet

PADDING = -1e4  # added to a class score before the softmax over boxes: exp() of it is exactly 0
DEFAULTS = {
    "source": None,
    "batch_size": None,
    "boxes": 0,
    "scales": None,
    "mirror": False,
    "mean": [103.52, 116.28, 123.675],
    "shuffle": False,
    "seed": 0,
    "start": 0,
    "workers": 2,
    "score": "proposal",
    "on_error": "fail",
}
CHOICES = {"score": ("proposal", "one"), "on_error": ("fail", "skip")}
SHUFFLE, SCALE, MIRROR = range(3)  # one stream of random numbers for each kind of draw


def read_options(text, tops):
    """The options of a param_str with the defaults filled in, or a DataError that names the key."""
    options = read_param_str("ProposalData", text, **DEFAULTS)

    def expect(key, good, wanted):
        if not good:
            raise DataError(f"ProposalData: param_str: {key}: expected {wanted}, got "
                            f"{options[key]!r}")  # fmt: skip

    def natural(value, least):
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    expect("source", isinstance(options["source"], str), "the folder of a prepared set")
    least = {"batch_size": 1, "boxes": 1 if tops > 2 else 0, "seed": 0, "start": 0, "workers": 1}
    for key, value in least.items():
        expect(key, natural(options[key], value), f"an integer >= {value}")
    for key in ("mirror", "shuffle"):
        expect(key, isinstance(options[key], bool), "true or false")
    for key, choices in CHOICES.items():
        expect(key, options[key] in choices, f"one of {choices}")
    scales, mean = options["scales"], options["mean"]
    good = isinstance(scales, list) and scales and all(natural(s, 1) for s in scales)
    expect("scales", good, "a list of sides in pixels, such as [480, 576, 672]")
    good = isinstance(mean, list) and [type(m) in (int, float) for m in mean] == [True] * 3
    expect("mean", good, "three numbers: blue, green, red")
    return options


class Batches:
    """The sequence of mini-batches; what batch number i holds depends on the options and i alone.

    Position p = i * batch_size + j of the endless sequence is element p mod L of epoch p div L,
    L images long: a batch may span two epochs. Draws are seeded by (seed, kind, number), so
    neither the workers nor a later start change them.
    """

    def __init__(self, options, boxes):
        self.options, self.boxes = options, boxes
        self.set = PreparedSet(options["source"])
        self.mean = np.array(options["mean"], np.float32)[:, None, None]
        self.epoch, self.order = None, None
        if boxes:
            self.set.proposals(0, boxes)
            self.check_scores()

    def check_scores(self):
        """DataError where the net is to read scores and the proposals have none."""
        if self.options["score"] == "proposal" and not self.set.has_scores():
            raise DataError(
                f'{self.options["source"]}: param_str: score: expected "one", since the proposals '
                'have no scores, got "proposal"; with "one" the RoI pooling needs score_scale 1 '
                "and score_bias 0"
            )

    def draw(self, kind, number):
        """The random generator of one draw: an epoch's order, a batch's scale, an image's flip."""
        return np.random.default_rng((self.options["seed"], kind, number))

    def scale(self, batch):
        """The side S of the images of this batch, drawn from the scales."""
        scales = self.options["scales"]
        return scales[self.draw(SCALE, batch).integers(len(scales))]

    def epoch_order(self, epoch):
        """The image numbers (L,) of one epoch, in its order."""
        if self.epoch != epoch:
            length = len(self.set)
            shuffle = self.options["shuffle"]
            order = self.draw(SHUFFLE, epoch).permutation(length) if shuffle else np.arange(length)
            self.epoch, self.order = epoch, order
        return self.order

    def plan(self, batch):
        """(order of the epoch, element, mirrored) of each image of this batch."""
        first = batch * self.options["batch_size"]
        plan = []
        for position in range(first, first + self.options["batch_size"]):
            epoch, element = divmod(position, len(self.set))
            mirrored = self.options["mirror"] and self.draw(MIRROR, position).random() < 0.5
            plan.append((self.epoch_order(epoch), element, mirrored))
        return plan

    def make(self, plan, side):
        """The blobs (data, label, rois, roi_mask) of one batch."""
        pixels, *others = self.prepare(plan, side)
        data = np.empty(pixels.shape, np.float32)
        self.subtract_mean(pixels, data)
        return data, *others

    def subtract_mean(self, pixels, out):
        """Fill `out`, the blob data (N,3,S,S), with the pixels that `prepare` made."""
        np.subtract(pixels, self.mean, out=out, dtype=np.float32)

    def prepare(self, plan, side):
        """(pixels (N,3,S,S) uint8, label, rois, roi_mask) of one batch; runs in any thread.

        Bytes take a quarter of the blob's memory, and go into it in the one pass that a copy takes.
        """
        pixels = np.empty((len(plan), 3, side, side), np.uint8)
        # Fresh memory for each image would cost as much as resizing it.
        room = np.empty((side, side, 3), np.uint8)
        samples = [self.sample(*entry, out, room) for entry, out in zip(plan, pixels)]
        label, rows, mask = (np.stack(column) for column in zip(*samples))
        numbers = np.arange(len(rows), dtype=np.float32)[:, None, None]
        numbers = np.broadcast_to(numbers, (*rows.shape[:2], 1))
        return pixels, label, np.concatenate([numbers, rows], axis=2).reshape(-1, 6), mask

    def sample(self, order, element, mirrored, out, room):
        """One image; with on_error "skip" the next readable one of the epoch in its place."""
        for step in range(len(order)):
            index = order[(element + step) % len(order)]
            try:
                return self.load(index, mirrored, out, room)
            except DataError as error:
                if self.options["on_error"] == "fail":
                    raise
                logging.getLogger(__name__).warning("skipped: %s", error)
        raise DataError(f"{self.options['source']}: expected a readable image, got none")

    def load(self, index, mirrored, out, room):
        """Fill `out` (3,S,S) with an image by way of `room` (S,S,3), both uint8.

        Returns its label (K,), rows (B,5) and mask (B,).
        """
        side = out.shape[1]
        image = self.set.read_image(index)
        height, width = image.shape[:2]
        rows, mask = self.regions(index, (width, height), side, mirrored)
        cv2.resize(image, (side, side), dst=room, interpolation=cv2.INTER_LINEAR)
        if mirrored:
            cv2.flip(room, 1, dst=room)
        cv2.split(room, list(out))
        return self.set.labels[index].astype(np.float32), rows, mask

    def regions(self, index, size, side, mirrored):
        """Rows (B,5) x1, y1, x2, y2, score in the frame of side x side, and their mask (B,)."""
        rows = np.zeros((self.boxes, 5), np.float32)
        mask = np.full(self.boxes, PADDING, np.float32)
        if not self.boxes:
            return rows, mask
        found = self.set.proposals(index, self.boxes)
        if not len(found):
            found = np.array([[0, 0, size[0] - 1, size[1] - 1, 0]], np.float32)
        found = scale_boxes(found, size, (side, side))
        if mirrored:
            found = mirror_boxes(found, side)
        if self.options["score"] == "one":
            found[:, 4] = 1
        rows[: len(found)], mask[: len(found)] = found, 0
        return rows, mask


class ProposalData(caffe.Layer):
    """Mini-batches of a prepared set (python_layers/prepared_set.py), resized and mirrored.

    tops, the first one to all four of them:
      data      (N, 3, S, S): BGR, 0..255 minus `mean`; S is drawn from `scales` per mini-batch
      label     (N, K): 0 or 1
      rois      (N*B, 6): image index n, x1, y1, x2, y2, score; inclusive pixel corners in the
                frame of `data`; B rows per image, best box first
      roi_mask  (N, B): 0 for a box, -1e4 for a padding row, which is `n 0 0 0 0 0`; added to the
                detection scores it makes the row's softmax weight exactly 0
    An image without proposals gets one box, the whole image, whose stored score is 0.

    param_str, a JSON object:
      source      folder of the prepared set                            (required)
      batch_size  N                                                     (required)
      scales      list of sides in pixels, such as [480, 576, 672]      (required)
      boxes       B, the best so many of the stored ones      (required with three or more tops)
      mirror      flip each image and its boxes with probability 1/2    (false)
      shuffle     a new order each epoch, depending on (seed, epoch)    (false: list order)
      seed        of the order, the scales and the flips                (0)
      start       number of the first mini-batch, to go on where a run stopped (0)
      workers     threads that prepare mini-batches; workers + 1 mini-batches are held (2)
      mean        [103.52, 116.28, 123.675]
      score       "one": every box has score 1; "proposal": the stored score ("proposal")
      on_error    "skip": an unreadable image is replaced by the next one, with a warning ("fail")
    After the last image the layer goes on with the first: test nets leave mirror and shuffle off
    and name one scale. Errors: DataError, a ValueError, for options and files of the set at
    once, for images at the forward pass of their mini-batch.

    Source: data layer of the released nets (HumanAttData with WsdRoigen), scales and mean as there.
    """

    def setup(self, bottom, top):
        if len(bottom) or not 1 <= len(top) <= 4:
            raise DataError(
                "ProposalData: expected no bottom and 1 to 4 tops (data, label, rois, roi_mask), "
                f"got {len(bottom)} bottoms and {len(top)} tops"
            )
        self.options = read_options(self.param_str, len(top))
        self.batches = Batches(self.options, self.options["boxes"] if len(top) > 2 else 0)
        self.number = self.planned = self.options["start"]
        self.pending = collections.deque()
        self.pool = concurrent.futures.ThreadPoolExecutor(self.options["workers"])

    def reshape(self, bottom, top):
        count, boxes = self.options["batch_size"], self.options["boxes"]
        side = self.batches.scale(self.number)
        labels = len(self.batches.set.classes)
        shapes = (count, 3, side, side), (count, labels), (count * boxes, 6), (count, boxes)
        for blob, shape in zip(top, shapes):
            blob.reshape(*shape)

    def forward(self, bottom, top):
        while len(self.pending) <= self.options["workers"]:
            plan, side = self.batches.plan(self.planned), self.batches.scale(self.planned)
            self.pending.append(self.pool.submit(self.batches.prepare, plan, side))
            self.planned += 1
        self.number += 1  # of the next one, even if this one fails
        pixels, *others = self.pending.popleft().result()
        self.batches.subtract_mean(pixels, top[0].data)
        for blob, values in zip(top[1:], others):
            blob.data[...] = values

    def backward(self, top, propagate_down, bottom):
        """A data layer has no bottom to pass a gradient to."""
