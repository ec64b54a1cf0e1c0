"""Read a prepared data set: the folder that data/prepare_*.py and data/make_proposals.py write.

    set.json       classes, image_root (relative to the folder), images_sha256, counts
    images.txt     one image path per line, relative to image_root; UTF-8
    labels.arr     labels (N,K) uint8 0/1; sizes (N,2) int32 width, height;
                   truth (M,5) float32 class, x1, y1, x2, y2; truth_start (N+1,) int64;
                   difficult (M,) uint8
    proposals.arr  boxes (N,B,5) float32 x1, y1, x2, y2, score, best first, zero rows after the
                   last; counts (N,) int32

Boxes are inclusive pixel corners in the image as stored. images_sha256 ties the files together.
"""

import hashlib
import json
import os
import pathlib

import cv2
import numpy as np

from python_layers.array_file import DataError, read_arrays
from python_layers.boxes import check_boxes

AGAIN = "run the preparation again"
SCORED_IMAGES = 100  # the first so many tell whether boxes have scores


def decode_image(path):
    """The image file as (H, W, 3) uint8 BGR, not turned by its EXIF orientation: COCO's boxes
    are in the frame of the stored pixels. DataError if it is missing, unreadable or cut short."""
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read the image: {error.strerror}") from None
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error:  # more pixels than OpenCV takes
        image = None
    # OpenCV 4 fills what a truncated JPEG lacks with grey and only warns.
    truncated = content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9", -65536) < 0
    if image is None or truncated:
        raise DataError(
            f"{path}: expected a whole JPEG or PNG image, got {len(content)} bytes that do not "
            "decode; fetch the file again or leave it out"
        )
    return image


class PreparedSet:
    """N images with K labels, and B proposals each once data/make_proposals.py has run.

    images    list of N paths relative to the image root
    classes   list of K names
    counts    dict: raw, without_labels, unreadable, kept
    labels    (N,K) uint8, 0 or 1
    sizes     (N,2) int32 width, height
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        description = self.read_description()
        self.classes, self.counts = description["classes"], description["counts"]
        self.images_sha256 = description["images_sha256"]
        root = self.folder / description["image_root"]
        self.image_root = pathlib.Path(os.path.normpath(root))
        text = (self.folder / "images.txt").read_bytes()
        if hashlib.sha256(text).hexdigest() != self.images_sha256:
            raise DataError(f"{self.folder / 'images.txt'}: not the list of set.json; {AGAIN}")
        self.images = text.decode().splitlines()
        arrays = self.read_part("labels.arr", AGAIN)
        self.labels, self.sizes = arrays["labels"], arrays["sizes"]
        self._truth, self._truth_start = arrays["truth"], arrays["truth_start"]
        # Sets written before there were difficult boxes have no such array.
        self._difficult = arrays.get("difficult", np.zeros(len(self._truth), np.uint8))
        self._proposals = None
        self.check_labels()

    def __len__(self):
        return len(self.images)

    def read_description(self):
        """set.json as a dict; DataError if it is missing or lacks a key."""
        path = self.folder / "set.json"
        try:
            description = json.loads(path.read_text())
        except FileNotFoundError:
            raise DataError(
                f"{path}: no such file: expected a prepared set, as data/prepare_coco.py writes it"
            ) from None
        except ValueError:
            description = {}
        missing = {"classes", "counts", "images_sha256", "image_root"} - set(description)
        if missing:
            raise DataError(f"{path}: expected JSON with {sorted(missing)}, got none; {AGAIN}")
        return description

    def read_part(self, name, remedy):
        """The arrays of one file of the folder, made for this very image list."""
        path = self.folder / name
        if not path.exists():
            raise DataError(f"{path}: no such file; {remedy}")
        arrays, meta = read_arrays(path)
        if meta.get("images_sha256") != self.images_sha256:
            raise DataError(f"{path}: made for another image list than images.txt; {remedy}")
        return arrays

    def check_labels(self):
        """DataError unless labels is (N,K) of 0 and 1."""
        expected = (len(self.images), len(self.classes))
        if self.labels.shape != expected:
            raise DataError(
                f"{self.folder / 'labels.arr'}: expected labels of shape {expected}, "
                f"got {self.labels.shape}; {AGAIN}"
            )
        bad = np.argwhere(self.labels > 1)
        if len(bad):
            image, label = bad[0]
            raise DataError(
                f"{self.folder / 'labels.arr'}: image {self.images[image]}: label {label + 1}: "
                f"expected 0 or 1, got {self.labels[image, label]}; {AGAIN}"
            )

    def image_path(self, index):
        """Where the file of one image lies."""
        return self.image_root / self.images[index]

    def read_image(self, index):
        """decode_image of one image, which must still have the size it was prepared with."""
        path, (width, height) = self.image_path(index), self.sizes[index]
        image = decode_image(path)
        if image.shape[:2] != (height, width):
            raise DataError(
                f"{path}: expected {width}x{height} pixels, got {image.shape[1]}x{image.shape[0]}; "
                f"{AGAIN}"
            )
        return image

    def truth(self, index):
        """Ground-truth boxes (m,5) float32 of one image: class index, x1, y1, x2, y2."""
        return self._truth[self._truth_start[index] : self._truth_start[index + 1]]

    def difficult(self, index):
        """(m,) uint8 of the same image: 1 for boxes that a detection score must ignore."""
        return self._difficult[self._truth_start[index] : self._truth_start[index + 1]]

    @property
    def boxes_stored(self):
        """B of proposals.arr; opens it at the first use."""
        if self._proposals is None:
            remedy = f"run: python data/make_proposals.py --set {self.folder}"
            arrays = self.read_part("proposals.arr", remedy)
            self._proposals = arrays["boxes"], arrays["counts"]
        return self._proposals[0].shape[1]

    def has_scores(self):
        """Whether the proposals differ in score: where they have none, each box has score 1."""
        if not self.boxes_stored:
            return True
        boxes, counts = (array[:SCORED_IMAGES] for array in self._proposals)
        used = np.arange(boxes.shape[1]) < counts[:, None]
        return not used.any() or bool((boxes[..., 4][used] != 1).any())

    def proposals(self, index, limit):
        """The best proposals (n,5) float32 of one image: x1, y1, x2, y2, score; n <= limit <= B."""
        if limit > self.boxes_stored:
            raise DataError(
                f"{self.folder / 'proposals.arr'}: expected at least {limit} boxes per image, got "
                f"{self.boxes_stored}; run: python data/make_proposals.py --set {self.folder} "
                f"--boxes {limit}"
            )
        boxes, counts = self._proposals
        best = boxes[index, : min(limit, counts[index])]
        check_boxes(best, *self.sizes[index], f"{self.folder / 'proposals.arr'}: "
                    f"image {self.images[index]}")  # fmt: skip
        return best
