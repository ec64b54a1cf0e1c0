"""Boxes x1, y1, x2, y2 as inclusive pixel corners: a box spans the pixels x1..x2, so its width is
x2 - x1 + 1. Continuously it is the interval [x1, x2 + 1), which all formulas here follow.
"""

import numpy as np

from python_layers.array_file import DataError


def check_boxes(boxes, width, height, where):
    """Raise DataError at the first row of `boxes` (n, >= 4) that no image of this size can hold.

    Further columns (the score) must be finite numbers; `where` names the file or image.
    """
    x1, y1, x2, y2, *further = boxes.T
    good = (x1 >= 0) & (y1 >= 0) & (x2 <= width - 1) & (y2 <= height - 1)
    good &= (x1 <= x2) & (y1 <= y2)
    for column in further:
        good &= np.isfinite(column)
    if not good.all():
        worst = int(np.argmin(good))
        corners = " ".join(f"{value:g}" for value in boxes[worst])
        raise DataError(
            f"{where}: box {worst + 1}: expected 0 <= x1 <= x2 <= {width - 1}, "
            f"0 <= y1 <= y2 <= {height - 1} and a finite score, got {corners}; "
            "correct the box or make the proposals again"
        )


def scale_boxes(boxes, size, new_size):
    """Boxes (n, >= 4) of an image resized from `size` to `new_size`, both (width, height).

    x1' = x1 * s, x2' = (x2 + 1) * s - 1 with s = new width / width, the same for y: the frame of
    cv2.resize, in which the whole image stays the whole image. A box thinner than one new pixel
    keeps its first corner: x2' >= x1'. Further columns are copied.
    """
    scale = np.array(new_size, np.float64)[:, None] / np.reshape(size, (2, 1))
    last = np.array(new_size)[:, None] - 1.0
    scaled = np.array(boxes.T, np.float64, order="C")  # whole columns: twice as fast as rows
    scaled[0:2] = np.minimum(scaled[0:2] * scale, last)
    scaled[2:4] = np.clip((scaled[2:4] + 1) * scale - 1, scaled[0:2], last)
    return np.ascontiguousarray(scaled.T, np.float32)


def mirror_boxes(boxes, width):
    """Boxes (n, >= 4) of an image flipped left to right: x1' = W-1 - x2, x2' = W-1 - x1."""
    mirrored = boxes.copy()
    mirrored[:, 0] = width - 1 - boxes[:, 2]
    mirrored[:, 2] = width - 1 - boxes[:, 0]
    return mirrored


def overlaps(boxes, others):
    """Intersection over union (n, m), in 0..1, of boxes (n, >= 4) and others (m, >= 4)."""
    a, b = (np.asarray(x, np.float32)[:, :4] for x in (boxes, others))
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    opposite = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(opposite - corner + 1, 0, None).prod(axis=2)
    area_a, area_b = ((x[:, 2:] - x[:, :2] + 1).prod(axis=1) for x in (a, b))
    return common / (area_a[:, None] + area_b[None, :] - common)
