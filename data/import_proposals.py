"""Read region proposals that somebody else has computed: .mat, COCO results, released lists.

Each source knows which images it has boxes for, and gives them (n, 5) float64 as x1, y1, x2, y2
in inclusive pixel corners of the image and a score. An image of a prepared set is that of a source
with the same path, else the same file name, else the same file name without the suffix.
"""

import array
import json
import pathlib
import re

import numpy as np
from convert_list import parse_line
from mat_cells import read_variables
from prepared import NO_BOXES, fit_boxes

from python_layers.array_file import DataError
from python_layers.boxes import check_boxes, scale_boxes

CHUNK = 1 << 20  # characters of JSON read at a time; no object is longer
BETWEEN = re.compile(r"[\s,]*")


def keys_of(image):
    """What a source may call an image, the most particular name first."""
    path = pathlib.PurePosixPath(image)
    return image, path.name, path.stem


def by_any_name(names):
    """{key: number} of the source's images by each of their keys; the first one keeps a key."""
    numbers = {}
    for number, name in enumerate(names):
        for key in keys_of(name):
            numbers.setdefault(key, number)
    return numbers


def look_up(table, keys):
    """What the table has under the first of these keys that it has, or None."""
    return next((table[key] for key in keys if key in table), None)


def best_first(boxes):
    """The boxes (n,5) by falling score; equal ones stay in their order."""
    return boxes[np.argsort(-boxes[:, 4], kind="stable")]


def no_scores(where):
    """The error of a source without scores."""
    return DataError(
        f"{where}: expected a score for each box, got none; with --score one each counts alike "
        "(then the net's RoI pooling needs score_scale 1 and score_bias 0)"
    )


class MatSource:
    """EdgeBoxes' and WSDDN's layout: the cells images (names), boxes (n x 4: y1 x1 y2 x2, pixels
    counted from `base`) and boxScores (n), one element per image."""

    def __init__(self, path, base, need_scores):
        self.path, self.base = path, base
        variables = read_variables(path)
        absent = {"images", "boxes"} - set(variables)
        if absent:
            raise DataError(
                f"{path}: expected cells 'images' and 'boxes', got {sorted(variables) or 'nothing'}"
            )
        if need_scores and "boxScores" not in variables:
            raise no_scores(f"{path}: 'boxScores'")
        self.boxes, self.scores = variables["boxes"], variables.get("boxScores")
        names, sizes = variables["images"], {len(self.boxes), len(variables["images"])}
        if len(sizes | ({len(self.scores)} if self.scores is not None else set())) > 1:
            raise DataError(f"{path}: expected as many boxes and scores as images; fetch it again")
        self.numbers = by_any_name(names[number] for number in range(len(names)))

    def find(self, image, size):
        """The boxes of an image, or None."""
        number = look_up(self.numbers, keys_of(image))
        if number is None:
            return None
        boxes = np.asarray(self.boxes[number], np.float64).reshape(-1, 4)
        scores = np.ones(len(boxes)) if self.scores is None else self.scores[number].ravel()
        if len(scores) != len(boxes):
            raise DataError(
                f"{self.path}: image {image}: expected {len(boxes)} boxScores, got {len(scores)}"
            )
        return np.column_stack([boxes[:, [1, 0, 3, 2]] - self.base, scores])


def read_objects(path):
    """The objects of a JSON array one by one: the file may be larger than the memory."""
    decode = json.JSONDecoder().raw_decode
    with open(path, encoding="utf-8") as file:
        text = file.read(CHUNK).lstrip()
        if not text.startswith("["):
            raise DataError(f"{path}: expected COCO results, a JSON list [{{...}}, ...]")
        at = 1
        while True:
            at = BETWEEN.match(text, at).end()
            if text.startswith("]", at):
                return
            try:
                value, at = decode(text, at)
            except ValueError as error:
                more = file.read(CHUNK) if len(text) - at < CHUNK else ""
                if not more:  # nothing to complete it with
                    raise DataError(
                        f"{path}: expected COCO results, got: {error.msg} after "
                        f"{text[max(at - 40, 0) : at]!r}; is the file cut short?"
                    ) from None
                text, at = text[at:] + more, 0
                continue
            yield value


class ResultsSource:
    """COCO results, any detector's: [{"image_id", "bbox": [x, y, width, height], "score"}, ...].

    An image_id is looked up in the instances file `annotations` or, without one, is the file's
    name or the number at its end. Of each image the best `limit` boxes are kept.
    """

    def __init__(self, path, annotations, limit, need_scores):
        self.limit, self.boxes, self.names = limit, {}, {}
        if annotations:
            images = json.loads(pathlib.Path(annotations).read_text(encoding="utf-8"))["images"]
            self.names = {image["file_name"]: image["id"] for image in images}
        for number, entry in enumerate(read_objects(path), 1):
            try:
                x, y, w, h = entry["bbox"]
                score = entry["score"] if need_scores else entry.get("score", 1.0)
                rows = self.boxes.setdefault(entry["image_id"], array.array("f"))
                rows.extend((x, y, x + w - 1, y + h - 1, score))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                if error.args == ("score",):
                    raise no_scores(f"{path}: result {number}") from None
                raise DataError(
                    f"{path}: result {number}: expected image_id, bbox of four numbers and score, "
                    f"got {str(entry)[:120]}"
                ) from None
            if len(rows) > 5 * (limit + limit // 4 + 1):
                self.boxes[entry["image_id"]] = array.array("f", self.best(rows).ravel())

    def best(self, rows):
        """The best boxes (n,5) of these numbers, n <= limit."""
        boxes = np.array(rows, np.float64).reshape(-1, 5)
        return best_first(boxes)[: self.limit]

    def find(self, image, size):
        """The boxes of an image, or None."""
        path, name, stem = keys_of(image)
        digits = re.search(r"\d+$", stem)
        keys = [self.names.get(path), self.names.get(name)] if self.names else [path, name, stem]
        if digits and not self.names:
            keys.append(int(digits[0]))
        rows = look_up(self.boxes, keys)
        return None if rows is None else self.best(rows)


class ListSource:
    """The released text list (see convert_list.py), boxes in the frame of the image or of it
    resized to `frame`; a line is parsed when its image is asked for."""

    def __init__(self, path, labels, frame, columns):
        self.path, self.labels, self.frame, self.columns = path, labels, frame, columns
        names, self.places, position = [], [], 0
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    names.append(line.split(maxsplit=1)[0].decode("utf-8", "replace"))
                    self.places.append((position, number))
                position += len(line)
        self.numbers = by_any_name(names)

    def find(self, image, size):
        """The boxes of an image of (width, height), or None."""
        found = look_up(self.numbers, keys_of(image))
        if found is None:
            return None
        start, number = self.places[found]
        with open(self.path, "rb") as file:
            file.seek(start)
            line = file.readline().decode("utf-8", "replace")
        where = f"{self.path}:{number}"
        _, _, boxes = parse_line(line, self.labels, where, self.columns)
        if self.frame:
            check_boxes(boxes, *self.frame, where)
            boxes = scale_boxes(boxes, self.frame, size)
        return boxes.astype(np.float64)


def open_source(path, labels, options):
    """The source in the file `path`, its kind told by the suffix: .mat, .json, else a list.

    options: boxes, score ("own" or "one"), base, annotations, frame.
    """
    if not pathlib.Path(path).is_file():
        raise DataError(f"{path}: no such file: expected proposals to import")
    need_scores = options["score"] == "own"
    suffix = pathlib.Path(path).suffix.lower()
    if suffix == ".mat":
        return MatSource(path, options["base"], need_scores)
    if suffix == ".json":
        return ResultsSource(path, options["annotations"], options["boxes"], need_scores)
    return ListSource(path, labels, options["frame"], 5 if need_scores else 4)


def imported(prepared, source, path, options):
    """Yield per image of the set its boxes (n,5), best first; n <= options["boxes"].

    DataError for an image that the source does not have, unless options["allow_missing"].
    """
    for image, size in zip(prepared.images, prepared.sizes.tolist(), strict=True):
        boxes = source.find(image, size)
        if boxes is None and not options["allow_missing"]:
            raise DataError(
                f"{path}: image {image}: expected its boxes, got none under its path, its name or "
                "its number; with --allow-missing such an image has no boxes"
            )
        boxes = NO_BOXES if boxes is None else best_first(boxes)[: options["boxes"]]
        boxes = fit_boxes(boxes, size, lambda row, image=image: f"{path}: image {image}")
        if options["score"] == "one":
            boxes[:, 4] = 1
        yield boxes
