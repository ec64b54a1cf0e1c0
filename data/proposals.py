"""Region proposals from the pixels of an image, with OpenCV's contrib module.

Both methods take an image (H, W, 3) uint8 BGR and give boxes (n, 5) float32, best first:
x1, y1, x2, y2 in inclusive pixel corners and a score >= 0.
"""

import cv2
import numpy as np

from python_layers.boxes import overlaps

GRAPH_SIGMA = 0.5
GRAPH_SCALES = (50, 150)
EDGE_CAP = 40.0  # grey levels per pixel; steeper edges say nothing more about objects
SIDE_SLACK = 2  # pixels by which a side may miss its edge
RING = 0.25  # width of the ring around a box, in widths and heights of the box
CONTRAST_CAP = 60.0  # distance in Lab at which inside and ring differ fully
AGREEMENT = 0.7  # IoU from which two boxes speak for each other
DUPLICATE = 0.8  # IoU from which the lower box is dropped
EDGE_THRESHOLDS = (6, 15)  # of cv2.Canny, in grey levels per pixel


def gradient(image):
    """(dx, dy), each (H, W) float32: per pixel the Lab channel with the steepest slope."""
    lab = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2Lab), (0, 0), 1.0)
    dx, dy = (cv2.Scharr(lab, cv2.CV_32F, *order) / 32 for order in ((1, 0), (0, 1)))
    steepest = (dx * dx + dy * dy).argmax(axis=2)[..., None]
    return tuple(np.take_along_axis(d, steepest, axis=2)[..., 0] for d in (dx, dy))


def corners(rectangles):
    """cv2's x, y, width, height as inclusive corners, in an order that depends on them alone."""
    rectangles = np.asarray(rectangles, np.int64).reshape(-1, 4)
    boxes = np.concatenate([rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:] - 1], axis=1)
    return np.unique(boxes, axis=0)


def box_sums(values, boxes):
    """Sum of values (H, W) or (H, W, C) over each box (n, 4) of integers: (n,) or (n, C)."""
    table = cv2.integral(values, sdepth=cv2.CV_64F)
    x1, y1, x2, y2 = boxes[:, 0], boxes[:, 1], boxes[:, 2] + 1, boxes[:, 3] + 1
    return table[y2, x2] - table[y1, x2] - table[y2, x1] + table[y1, x1]


def areas(boxes):
    """Pixels (n,) in each box (n, 4) of inclusive corners."""
    return (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)


def side_strength(image, boxes):
    """0..1: how steep the image is along the weakest side of each box.

    Per side the mean of the gradient across it, the steepest within SIDE_SLACK pixels, capped. A
    side on the image's border has no edge to show: it is left out, and the value lowered by 1/4.
    """
    height, width = image.shape[:2]
    across = [np.minimum(np.abs(d), EDGE_CAP) for d in gradient(image)]
    reach = 2 * SIDE_SLACK + 1
    kernels = np.ones((1, reach)), np.ones((reach, 1))
    across = [cv2.dilate(d, kernel) for d, kernel in zip(across, kernels, strict=True)]
    sides, border = [], []
    for axis, last in ((0, width - 1), (1, height - 1)):
        for corner, edge in ((axis, 0), (axis + 2, last)):
            line = boxes.copy()
            line[:, axis] = line[:, axis + 2] = boxes[:, corner]
            sides.append(box_sums(across[axis], line) / areas(line))
            border.append(np.abs(boxes[:, corner] - edge) <= 1)
    border = np.stack(border, axis=1)
    weakest = np.where(border, EDGE_CAP, np.stack(sides, axis=1)).min(axis=1)
    return weakest / EDGE_CAP * (4 - border.sum(axis=1)) / 4


def contrast(image, boxes):
    """0..1: distance in Lab between the mean colours of each box and of the ring around it."""
    height, width = image.shape[:2]
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2Lab)
    margin = RING * (boxes[:, 2:] - boxes[:, :2] + 1)
    outer = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1).astype(np.int64)
    outer = np.clip(outer, 0, [width - 1, height - 1] * 2)
    inside, area = box_sums(lab, boxes), areas(boxes)[:, None]
    ring = (box_sums(lab, outer) - inside) / np.maximum(areas(outer)[:, None] - area, 1)
    distance = np.linalg.norm(inside / area - ring, axis=1)
    empty = areas(outer) == area[:, 0]
    return np.where(empty, 0, np.minimum(distance / CONTRAST_CAP, 1))


def best_first(boxes, scores, iou, limit):
    """Rows (n, 5) after non-maximum suppression, sorted by falling score; n <= limit."""
    keep, alive = [], np.ones(len(boxes), bool)
    for index in np.argsort(-scores, kind="stable"):
        if len(keep) == limit:
            break
        if alive[index]:
            keep.append(index)
            alive &= iou[index] < DUPLICATE
    return np.concatenate([boxes[keep], scores[keep, None]], axis=1).astype(np.float32)


def selective_search(image, limit, spaces=(cv2.COLOR_BGR2Lab, cv2.COLOR_BGR2HSV)):
    """Selective Search (Uijlings et al. 2013) with an objectness score that it does not have.

    Hierarchical grouping in each of the colour spaces, from graph segmentations with k = 50 and
    150, merged by colour + size + fill. OpenCV orders the boxes at random; here
      score = side_strength * contrast * sqrt(votes / most votes),  each factor in 0..1,
    votes = number of boxes with IoU >= 0.7 (an object is found by several groupings); then NMS.
    """
    ss = cv2.ximgproc.segmentation
    search = ss.createSelectiveSearchSegmentation()
    for space in spaces:
        search.addImage(cv2.cvtColor(image, space))
    for scale in GRAPH_SCALES:
        search.addGraphSegmentation(ss.createGraphSegmentation(GRAPH_SIGMA, float(scale), scale))
    colour = ss.createSelectiveSearchSegmentationStrategyColor()
    size = ss.createSelectiveSearchSegmentationStrategySize()
    fill = ss.createSelectiveSearchSegmentationStrategyFill()
    search.addStrategy(ss.createSelectiveSearchSegmentationStrategyMultiple(colour, size, fill))
    boxes = corners(search.process())
    iou = overlaps(boxes, boxes)
    votes = (iou >= AGREEMENT).sum(axis=1)
    scores = side_strength(image, boxes) * contrast(image, boxes) * np.sqrt(votes / votes.max())
    return best_first(boxes, scores, iou, limit)


def edge_boxes(image, limit, model=None):
    """EdgeBoxes (Zitnick & Dollar 2014), with OpenCV's own score.

    Edges come from the structured forest `model` (a cv2.ximgproc.StructuredEdgeDetection) or, if
    there is none, from the gradient, thinned as Canny does: without thinning few boxes are good.
    """
    if model:
        edges = model.detectEdges(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) / 255)
        orientation = model.computeOrientation(edges)
        edges = model.edgesNms(edges, orientation)
    else:
        dx, dy = gradient(image)
        low, high = (8 * threshold for threshold in EDGE_THRESHOLDS)  # 1/8: Canny takes integers
        fixed = [(8 * d).astype(np.int16) for d in (dx, dy)]
        thin = cv2.Canny(*fixed, low, high, L2gradient=True) > 0
        edges = np.minimum(np.hypot(dx, dy) / EDGE_CAP, 1) * thin
        orientation = np.mod(np.arctan2(dy, dx), np.pi)
    search = cv2.ximgproc.createEdgeBoxes(maxBoxes=limit, minScore=1e-4, minBoxArea=100)
    rectangles, scores = search.getBoundingBoxes(
        edges.astype(np.float32), orientation.astype(np.float32)
    )
    boxes = np.asarray(rectangles, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2] - 1
    scores = scores if len(boxes) else ()  # None where nothing was found
    return np.concatenate([boxes, np.asarray(scores, np.float32).reshape(-1, 1)], axis=1)
