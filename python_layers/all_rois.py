"""AllRoIs: all proposals of each image, in the teacher's and in the student's frame."""

import caffe
from python_layers.array_file import DataError
from python_layers.boxes import scale_boxes
from python_layers.roi_pooling import checked_rois


class AllRoIs(caffe.Layer):
    """The real boxes of each image, without the padding rows, in both nets' frames.

    bottoms: rois (N * B, 6): image index, x1, y1, x2, y2 (pixels of data, inclusive), score;
    roi_mask (N, B), 0 for a real box, negative for a padding row; data (N, 3, H, W); data_student
    (N, 3, h, w).
    tops: rois_teacher, rois_student (R', 6): the rows whose mask is 0, in their order, corners in
    the frame of data and of data_student.
    Propagates no gradient. Raises DataError, a ValueError, for shapes or rows that do not fit and
    if there is no real box.
    """

    def setup(self, bottom, top):
        if (len(bottom), len(top)) != (4, 2):
            raise DataError(f"AllRoIs: expected 4 bottoms, 2 tops, got {len(bottom)}, {len(top)}")

    def reshape(self, bottom, top):
        rois, mask = (tuple(blob.shape) for blob in bottom[:2])
        if len(mask) != 2 or rois != (mask[0] * mask[1], 6):
            raise DataError(f"AllRoIs: expected rois (N*B, 6), roi_mask (N, B), got {rois}, {mask}")
        for blob in top:  # how many rows there are is known after forward
            blob.reshape(mask[0], 6)

    def forward(self, bottom, top):
        rois, mask, data, data_student = (blob.data for blob in bottom)
        checked_rois(rois, len(mask), columns=(6,))
        teacher = rois[mask.reshape(-1) == 0]
        if not len(teacher):
            raise DataError("AllRoIs: roi_mask: expected 0 for at least one row, got none")
        size, size_student = (d.shape[:1:-1] for d in (data, data_student))
        student = teacher.copy()
        student[:, 1:] = scale_boxes(teacher[:, 1:], size, size_student)
        for blob, rows in zip(top, (teacher, student)):
            blob.reshape(*rows.shape)
            blob.data[...] = rows

    def backward(self, top, propagate_down, bottom):
        for blob, wanted in zip(bottom, propagate_down):
            if wanted:
                blob.diff[...] = 0
