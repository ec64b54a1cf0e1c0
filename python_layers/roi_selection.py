"""RoISelection: the proposals R'_n that stage 1 compares, and their weights s'."""

import numpy as np

import caffe
from python_layers.array_file import DataError
from python_layers.boxes import overlaps, scale_boxes
from python_layers.param_str import read_param_str
from python_layers.roi_pooling import checked_rois

OBJECTNESS = {"max": np.max, "sum": np.sum}
DEFAULTS = {"nms_iou": 0.5, "top": 50, "objectness": "max"}


def select(boxes, scores, nms_iou, top):
    """Indices of at most `top` boxes (n, 4), best first: greedy non-maximum suppression.

    A box goes if it overlaps a better kept one by more than nms_iou. Of equal scores the lower
    index comes first.
    """
    kept = []
    rest = np.argsort(-scores, kind="stable")
    while len(rest) and len(kept) < top:
        best, rest = rest[0], rest[1:]
        kept.append(best)
        rest = rest[overlaps(boxes[[best]], boxes[rest])[0] <= nms_iou]
    return np.array(kept, int)


class RoISelection(caffe.Layer):
    """The best boxes of each image after non-maximum suppression, in both nets' frames.

    bottoms: rois (N * B, 6), B rows per image, in order: image index, x1, y1, x2, y2 (pixels of
    data, inclusive), score; S (N * B, K), the teacher's scores; roi_mask (N, B), 0 for a real box,
    negative for a padding row; data (N, 3, H, W); data_student (N, 3, h, w).
    tops: rois_teacher, rois_student (R', 6): image after image, best first, corners in the frame of
    data and of data_student; column 6 is s' = s / max of s over the image's kept boxes, s the max
    or the sum over classes of S. An image has at least one row: without any real box it is the
    whole image, s' = 1.
    param_str: JSON, may have nms_iou (0.5), top (50), objectness ("max" or "sum").
    Propagates no gradient. Raises DataError, a ValueError, for shapes, rows or options that do not
    fit.
    """

    def setup(self, bottom, top):
        if (len(bottom), len(top)) != (5, 2):
            raise DataError(
                f"RoISelection: expected 5 bottoms, 2 tops, got {len(bottom)}, {len(top)}"
            )
        self.nms_iou, self.top, self.objectness = read_options(self.param_str)

    def reshape(self, bottom, top):
        rois, scores, mask = (tuple(blob.shape) for blob in bottom[:3])
        if len(mask) != 2 or rois != (mask[0] * mask[1], 6) or scores[:1] != rois[:1]:
            raise DataError(
                f"RoISelection: expected rois (N*B, 6), S (N*B, K), roi_mask (N, B), got {rois}, "
                f"{scores}, {mask}"
            )
        for blob in top:  # how many rows there are is known after forward
            blob.reshape(mask[0], 6)

    def forward(self, bottom, top):
        rois, scores, mask, data, data_student = (blob.data for blob in bottom)
        images, boxes = mask.shape
        checked_rois(rois, images, columns=(6,))
        if not np.array_equal(rois[:, 0], np.repeat(np.arange(images), boxes)):
            raise DataError("RoISelection: expected rois image after image, as many rows each")
        if not np.isfinite(scores).all():
            raise DataError(f"RoISelection: S row {_first_bad(scores)}: expected finite numbers")
        objectness = OBJECTNESS[self.objectness](scores.reshape(images, boxes, -1), axis=2)
        size, size_student = (d.shape[:1:-1] for d in (data, data_student))
        rows = [
            self._rows(n, rois[n * boxes : (n + 1) * boxes], objectness[n], mask[n] == 0, size)
            for n in range(images)
        ]
        teacher = np.concatenate(rows)
        student = teacher.copy()
        student[:, 1:] = scale_boxes(teacher[:, 1:], size, size_student)
        for blob, selected in zip(top, (teacher, student)):
            blob.reshape(*selected.shape)
            blob.data[...] = selected

    def _rows(self, image, rois, objectness, real, size):
        if not real.any():
            return np.array([[image, 0, 0, size[0] - 1, size[1] - 1, 1]], np.float32)
        rois, objectness = rois[real], objectness[real]
        kept = select(rois[:, 1:5], objectness, self.nms_iou, self.top)
        best = objectness[kept[0]]
        rows = rois[kept]
        # Softmaxes can underflow; then no box is better than another.
        rows[:, 5] = objectness[kept] / best if best > 0 else 1
        return rows

    def backward(self, top, propagate_down, bottom):
        for blob, wanted in zip(bottom, propagate_down):
            if wanted:
                blob.diff[...] = 0


def _first_bad(scores):
    return int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])


def read_options(text):
    """(nms_iou, top, objectness) of a param_str, or a DataError that names them."""
    nms_iou, top, objectness = read_param_str("RoISelection", text, **DEFAULTS).values()
    iou_fits = isinstance(nms_iou, (int, float)) and 0 <= nms_iou <= 1
    if not iou_fits or not isinstance(top, int) or top < 1 or objectness not in [*OBJECTNESS]:
        raise DataError(
            "RoISelection: expected nms_iou in 0..1, an integer top >= 1, objectness of "
            f"{[*OBJECTNESS]}, got {nms_iou!r}, {top!r}, {objectness!r}"
        )
    return nms_iou, top, objectness
