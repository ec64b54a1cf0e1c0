"""WindowData: windows around objects and background, cut out of images."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from caffe.data import image, window_crop, window_file
from caffe.data.batch_layer import BatchLayer
from caffe.data.transformer import Draw
from caffe.registry import register


@register("WindowData")
class WindowData(BatchLayer):
    """`batch_size` windows drawn by chance, background first, then objects.

    tops: data (N, 3, S, S), S = transform_param.crop_size, the windows of the images (BGR) warped
    to S x S; label (N), the windows' classes, 0 for background.
    `source` is a window file (see caffe/data/window_file.py). A window is an object from the
    overlap `fg_threshold` on and background below `bg_threshold`; floor(N * `fg_fraction`) are
    objects. `context_pad`: that many of the S pixels on each side show what surrounds the window;
    `crop_mode` "square" cuts out the smallest square around the window's centre that holds it,
    "warp" the window itself. What lies outside of the image is 0. `cache_images` keeps the files'
    contents in memory; `root_folder` is put in front of every path as it stands.
    transform_param: y = scale * (x - mean), mirrored with probability 1/2 if `mirror`; of a mean
    file its central S x S count, or `mean_value`, one or three.
    Source: Caffe's WindowDataLayer, after Girshick et al., "Rich feature hierarchies for accurate
    object detection", CVPR 2014, appendix A. Raises CaffeError naming the file and the image.
    """

    def setup(self) -> None:
        self.param = param = self.layer_param.window_data_param
        self.refuse_moved(param, "window_data_param")
        transform = self.layer_param.transform_param
        if not transform.crop_size or transform.scale_factors:
            self.fail("transform_param: expected a crop_size and no scale_factors")
        self.size, self.batch_size = transform.crop_size, param.batch_size
        if 2 * param.context_pad >= self.size:
            self.fail(f"context_pad {param.context_pad} leaves nothing of crop_size {self.size}")
        if param.crop_mode not in ("warp", "square"):
            self.fail(f'expected crop_mode "warp" or "square", got "{param.crop_mode}"')
        self.windows = window_file.read(param.source)
        self._sort()
        self.paths = [param.root_folder + path for path in self.windows.images]
        cached = self.paths if param.cache_images else []
        self.contents = {path: image.content(path) for path in cached}
        super().setup()

    def _sort(self) -> None:
        """Find the windows to draw from, and how many are objects."""
        param, overlaps = self.param, self.windows.overlaps
        objects = overlaps >= np.float32(param.fg_threshold)
        background = ~objects & (overlaps < np.float32(param.bg_threshold))
        self.windows.classes[background] = 0
        wrong = np.flatnonzero(objects & (self.windows.classes <= 0))
        if wrong.size:
            self.fail(f"{self.where(wrong[0])}: expected a class above 0 for an object")
        count = int(np.float32(self.batch_size) * np.float32(param.fg_fraction))
        if not 0 <= count <= self.batch_size:
            self.fail(f"expected a fg_fraction of 0 to 1, got {param.fg_fraction:g}")
        self.pools = [
            (np.flatnonzero(background), self.batch_size - count),
            (np.flatnonzero(objects), count),
        ]
        for (pool, wanted), name in zip(self.pools, ("background", "object"), strict=True):
            if wanted and not pool.size:
                self.fail(f"{param.source}: no window counts as {name}; change the thresholds")

    def records(self) -> Iterator[int]:
        while True:
            for pool, count in self.pools:
                yield from pool[self.rng.integers(len(pool), size=count)].tolist() if count else ()

    def where(self, record: int) -> str:
        owner = self.windows.owners[record]
        nth = record - np.searchsorted(self.windows.owners, owner)
        return f"{self.param.source}: image {owner} ({self.windows.images[owner]}), window {nth}"

    @cached_property
    def mean(self) -> np.ndarray:
        """What is subtracted from a crop (S, S, 3)."""
        size, mean = self.size, self.transformer.mean
        values = list(self.layer_param.transform_param.mean_value)
        if mean is None:
            each = self.one_each(values, 3, "mean_value") if values else [0.0] * 3
            return np.broadcast_to(np.array(each, np.float32), (size, size, 3))
        start = (mean.shape[1] - size) // 2  # of the width in both axes, as in Caffe
        cut = mean[start : start + size, start : start + size] if start >= 0 else mean
        if cut.shape != (size, size, 3):
            self.fail(f"expected a mean_file (C, H, W) that holds (3, {size}, {size})")
        return cut

    def load(self, record: int, draw: Draw) -> tuple[np.ndarray, ...]:
        path = self.paths[self.windows.owners[record]]
        content = self.contents.get(path)
        pixels = image.read(path) if content is None else image.decode(content, True)
        label = np.array(self.windows.classes[record], np.float32)
        return self._crop(pixels, self.windows.boxes[record].tolist(), draw.mirror), label

    def _crop(self, pixels: np.ndarray, box: list[int], mirror: bool) -> np.ndarray:
        """A window of the image (H, W, 3) as a blob (3, S, S)."""
        size, pad, square = self.size, self.param.context_pad, self.param.crop_mode == "square"
        rows, columns = window_crop.spans(box, pixels.shape[:2], size, pad, square)
        top, left = rows.before, columns.after if mirror else columns.before
        height, width = min(rows.extent, size - top), min(columns.extent, size - left)
        out = np.zeros((size, size, 3), np.float32)
        if height > 0 and width > 0:
            window = pixels[rows.low : rows.high + 1, columns.low : columns.high + 1]
            window = image.resize(window, height, width)
            part = np.s_[top : top + height, left : left + width]
            out[part] = (window[:, ::-1] if mirror else window) - self.mean[part]
            out *= np.float32(self.layer_param.transform_param.scale)
        return np.ascontiguousarray(out.transpose(2, 0, 1))
