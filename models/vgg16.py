"""VGG16 as a branch of a net, and WSDDN's head on it."""

from typing import Any

from datasets import Size

import caffe
from caffe import layers as L
from caffe.net_spec import Top

CONVOLUTIONS = (2, 2, 3, 3, 3)  # VGG16's, per resolution
TRAINED, FROZEN, DEPLOYED = "trained", "frozen", "deployed"


class Branch:
    """One VGG16 of a net: adds layers under a prefix, all of them trained, frozen or deployed."""

    def __init__(
        self, net: caffe.NetSpec, size: Size, mode: str, prefix: str = "", new_rate: float = 1
    ) -> None:
        self.net, self.size, self.mode, self.prefix = net, size, mode, prefix
        self.new_rate = new_rate

    def add(self, name: str, kind: str, *bottoms: Top, **fields: Any) -> Top:
        """Add one layer; a frozen one runs in test phase whatever the net's phase is."""
        if self.mode == FROZEN:
            fields["phase"] = caffe.TEST
        self.net[self.prefix + name] = getattr(L, kind)(*bottoms, **fields)
        return self.net[self.prefix + name]

    def learn(self, name: str, kind: str, bottom: Top, rates=(1, 2), filler=None, **fields) -> Top:
        """Add a layer with weights and a bias, `rates` their lr_mults; a bias does not decay."""
        if self.mode == FROZEN:
            fields["param"] = [{"lr_mult": 0, "decay_mult": 0}] * 2
        elif self.mode == TRAINED:
            fields["param"] = [
                {"lr_mult": rate, "decay_mult": decay}
                for rate, decay in zip(rates, (1, 0), strict=True)
            ]
            fields["weight_filler"] = filler or {"type": "msra"}
        return self.add(name, kind, bottom, **fields)

    def convolve(self, data: Top) -> Top:
        """conv1_1 .. conv5_3 with their ReLUs and the four poolings between them."""
        top = data
        for i, (count, width) in enumerate(zip(CONVOLUTIONS, self.size.widths, strict=True), 1):
            for j in range(1, count + 1):
                top = self._conv_relu(f"{i}_{j}", top, width)
            if i < len(CONVOLUTIONS):
                top = self.add(f"pool{i}", "Pooling", top, pool="MAX", kernel_size=2, stride=2)
        return top

    def _conv_relu(self, number: str, bottom: Top, width: int) -> Top:
        first, scale = {}, self.size.input_scale
        if number == "1_1" and scale != 1:
            std = scale * (2 / (3 * 3 * 3)) ** 0.5  # msra's for 3x3 kernels on 3 channels
            first = {"rates": (scale, 2), "filler": {"type": "gaussian", "std": std}}
        shape = {"num_output": width, "kernel_size": 3, "pad": 1}
        top = self.learn(f"conv{number}", "Convolution", bottom, **first, **shape)
        return self.add(f"relu{number}", "ReLU", top, in_place=True)

    def tap(self, name: str) -> Top:
        """The map that stage 1 compares, of the layer conv<i>_<j>."""
        return self.net[self.prefix + name.replace("conv", "relu")]

    def connect(self, top: Top) -> Top:
        """fc6 and fc7 with ReLU and, while they learn, dropout."""
        for i in (6, 7):
            top = self.learn(f"fc{i}", "InnerProduct", top, num_output=self.size.fc)
            top = self.add(f"relu{i}", "ReLU", top, in_place=True)
            ratio = self.size.dropout
            if self.mode == TRAINED and ratio:
                top = self.add(f"drop{i}", "Dropout", top, in_place=True, dropout_ratio=ratio)
        return top

    def classify(self, name: str, fc7: Top, classes: int) -> Top:
        """A new classifier, at the recipe's own rate."""
        filler = {"type": "gaussian", "std": 0.01}
        options = {
            "rates": (self.new_rate, 2 * self.new_rate),
            "filler": filler,
            "num_output": classes,
        }
        return self.learn(name, "InnerProduct", fc7, **options)

    def reshape(self, name: str, bottom: Top, *dims: int) -> Top:
        return self.add(name, "Reshape", bottom, shape={"dim": list(dims)})

    def pool_rois(self, name: str, top: Top, rois: Top, stride: int, scale: float, bias: float):
        grid = {"pooled_h": self.size.grid, "pooled_w": self.size.grid}
        scores = {"score_scale": scale, "score_bias": bias}
        return self.add(name, "ROIPooling", top, rois, spatial_scale=1 / stride, **grid, **scores)

    def detect(self, data: Top, rois: Top, mask: Top, classes: int, temperature: float = 1) -> Top:
        """WSDDN: S (R,K) = softmax over classes * softmax over the image's boxes."""
        top = self.convolve(data)
        size = self.size
        top = self.pool_rois("roi_pool5", top, rois, 16, size.score_scale, size.score_bias)
        fc7 = self.connect(top)
        c, d = (self.classify(f"fc8_{branch}", fc7, classes) for branch in "cd")
        if temperature != 1:
            c = self.add("fc8_c_tempered", "Power", c, scale=1 / temperature)
            d = self.add("fc8_d_tempered", "Power", d, scale=1 / temperature)
        prob_c = self.add("prob_c", "Softmax", c)
        d = self.reshape("fc8_d_image", d, -1, size.boxes, classes)
        d = self.add("fc8_d_masked", "Bias", d, mask, axis=0)
        d = self.add("prob_d_image", "Softmax", d, axis=1)
        prob_d = self.reshape("prob_d", d, -1, classes)
        return self.add("S", "Eltwise", prob_c, prob_d, operation="PROD")

    def sum_boxes(self, scores: Top, classes: int) -> Top:
        """p (N,K) = sum of S over each image's boxes: their mean times their number."""
        boxes = self.size.boxes
        top = self.reshape("S_image", scores, -1, 1, boxes, classes)
        kernel = {"kernel_h": boxes, "kernel_w": 1}
        top = self.add("S_mean", "Pooling", top, pool="AVE", **kernel)
        top = self.add("S_sum", "Power", top, scale=boxes)
        return self.reshape("p", top, -1, classes)

    def recognise(self, data: Top, classifier: str, classes: int) -> Top:
        """The plain VGG16: convolutions, pool5, fc6, fc7, classifier."""
        top = self.convolve(data)
        top = self.add("pool5", "Pooling", top, pool="MAX", kernel_size=2, stride=2)
        return self.classify(classifier, self.connect(top), classes)
