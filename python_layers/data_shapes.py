"""A training net without its data: Input layers that give blobs of the same shapes.

What a net's memory and time are counted or measured with, where there are no images.
"""

import json


def with_inputs(net, images, side=None):
    """A copy of the NetParameter for mini-batches of so many images, with Input layers in place of
    ProposalData, ImageData and RoISelection, whose rows are then as many as it ever keeps.

    side: of the teacher's images; the largest of the data layer's `scales` without it.
    Raises ValueError for another data layer.
    """
    out = type(net)()
    out.CopyFrom(net)
    counts = [la.inner_product_param.num_output for la in net.layer if la.type == "InnerProduct"]
    classes = counts[-1] if counts else 1  # without any, nothing reads the labels
    for layer in out.layer:
        shapes = _shapes(layer, images, side, classes)
        if shapes:
            names, tops = layer.name, list(layer.top)
            layer.Clear()
            layer.name, layer.type = names, "Input"
            layer.top.extend(tops)
            for _, shape in zip(tops, shapes, strict=False):
                layer.input_param.shape.add(dim=shape)
    return out


def _shapes(layer, images, side, classes):
    """Of the tops of a layer that reads data or selects boxes; none of any other layer."""
    if layer.type == "ImageData":
        data = layer.image_data_param
        return [(images, 3, data.new_height, data.new_width), (images,)]
    kind = layer.python_param.layer
    if kind == "RoISelection":
        return [(images * json.loads(layer.python_param.param_str)["top"], 6)] * 2
    if kind == "ProposalData":
        options = json.loads(layer.python_param.param_str)
        side, boxes = side or max(options["scales"]), options.get("boxes", 0)
        return [(images, 3, side, side), (images, classes), (images * boxes, 6), (images, boxes)]
    if kind and not layer.bottom:
        raise ValueError(f'layer "{layer.name}": no shapes known of {kind} without its data')
    return []
