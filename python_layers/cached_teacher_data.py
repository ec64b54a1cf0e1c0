"""CachedTeacherData: ProposalData's images and labels, and what the teacher said about them."""

import json

import numpy as np

from python_layers.array_file import DataError
from python_layers.boxes import scale_boxes
from python_layers.param_str import read_param_str
from python_layers.proposal_data import DEFAULTS, Batches, ProposalData
from python_layers.teacher_cache import TeacherCache, fingerprint, variants_of

OF_THE_TEACHER = ("boxes", "score", "on_error")  # options that were settled when the cache was made
OWN = {"cache": None, "student_side": 0}
TOPS = {
    ("boxes", "features"): ("rois_student", "teacher_features"),
    ("map",): ("teacher_map",),
    ("p",): ("teacher_p",),
}


class CachedBatches(Batches):
    """The mini-batches of Batches, without proposals but with the cache's arrays."""

    def __init__(self, options, cache, student_side):
        super().__init__(options, boxes=0)
        self.cache, self.student_side = cache, student_side

    def entries(self, plan, side):
        """The cache's arrays of each image of a batch."""
        return [self.cache.read(side, flip, order[element]) for order, element, flip in plan]

    def prepare(self, plan, side):
        """(pixels, label, then the blobs of the cache) of one batch."""
        pixels, label, *_ = super().prepare(plan, side)
        entries = self.entries(plan, side)
        joined = [np.concatenate(a, dtype=np.float32) for a in zip(*entries)]
        *boxes, values = joined
        return pixels, label, *(self.rois(b, entries, side) for b in boxes), values

    def rois(self, boxes, entries, side):
        """rois_student (R',6) of the kept boxes (R',5), which are in the teacher's frame."""
        student = self.student_side, self.student_side
        numbers = np.repeat(np.arange(len(entries)), [len(entry[0]) for entry in entries])
        scaled = scale_boxes(boxes, (side, side), student)
        return np.concatenate([numbers[:, None].astype(np.float32), scaled], axis=1)

    def shapes(self, number):
        """The shapes of the cache's blobs in batch number `number`."""
        variants, side = self.cache.variants, self.scale(number)
        rows = sum(
            int(self.cache.rows[variants[side, flip], order[element]])
            for order, element, flip in self.plan(number)
        )
        *boxes, values = self.cache.arrays.values()
        return [(rows, 6) for _ in boxes] + [(rows, *values.shape[3:])]


class CachedTeacherData(ProposalData):
    """The mini-batches of ProposalData with the frozen teacher's blobs, read and not computed.

    tops: data (N, 3, S, S), label (N, K), as ProposalData makes them from the same options; then
      of a cache with boxes
        rois_student      (R', 6): image index, x1, y1, x2, y2 (pixels of the student's image,
                          inclusive), s'; image after image, in the order of the live net
        teacher_features  (R', D): what the teacher makes of each of them
      of one with predictions
        teacher_p         (N, K): in 0..1
      of one with maps
        teacher_map       (N, ...): of each image
    param_str, a JSON object: ProposalData's keys but for boxes, score and on_error, which the cache
    has settled, and
      cache         the file that tools/cache_teacher.py has made       (required)
      student_side  side of the student's image             (required for a cache with boxes)
    Raises DataError, a ValueError, at once: the cache is missing, cut, incomplete, without one of
    the scales, or of other images or proposals than `source` has. Weights and net are not known
    here; tools/train.py checks them.
    """

    def setup(self, bottom, top):
        own, self.param_str = read_options(self.param_str)
        super().setup(bottom, top[:2])
        cache = TeacherCache(own["cache"])
        tops = ("data", "label", *TOPS[tuple(cache.arrays)])
        if len(top) != len(tops):
            raise DataError(
                f"CachedTeacherData: {cache.path}: expected the {len(tops)} tops "
                f"{', '.join(tops)}, got {len(top)}"
            )
        if len(tops) == 4 and own["student_side"] < 1:
            raise DataError("CachedTeacherData: param_str: student_side: expected an integer >= 1, "
                            f"got {own['student_side']}")  # fmt: skip
        self.batches = CachedBatches(self.options, cache, own["student_side"])
        self.check_cache(cache)

    def check_cache(self, cache):
        """DataError unless the cache is of this set and holds all that will be asked of it."""
        cache.check(**fingerprint(self.batches.set))
        cache.check_complete(variants_of(self.options))

    def reshape(self, bottom, top):
        super().reshape(bottom, top[:2])
        for blob, shape in zip(top[2:], self.batches.shapes(self.number)):
            blob.reshape(*shape)


def read_options(text):
    """(own options, param_str of ProposalData) of a param_str, or a DataError naming the key."""
    plain = {key: value for key, value in DEFAULTS.items() if key not in OF_THE_TEACHER}
    options = read_param_str("CachedTeacherData", text, **OWN, **plain)
    own = {key: options.pop(key) for key in OWN}
    if not isinstance(own["cache"], str) or type(own["student_side"]) is not int:
        raise DataError(
            "CachedTeacherData: param_str: expected the path of a cache and an integer "
            f"student_side, got {own}"
        )
    return own, json.dumps(options)
