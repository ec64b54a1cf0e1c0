"""A training net without its data: Input layers that give blobs of the same shapes.

What a net's memory and time are counted or measured with, where there are no images.
"""

import json


def with_inputs(net, images, side=None):
    """A copy of the NetParameter for mini-batches of so many images, with Input layers in place of
    ProposalData, ImageData, RoISelection and AllRoIs, whose rows are as many as ever.

    side: of the teacher's images; the largest of the data layer's `scales` without it. Labels are
    as many as the last fully connected layer has outputs.
    Raises ValueError for another data layer.
    """
    out = type(net)()
    out.CopyFrom(net)
    counts = [la.inner_product_param.num_output for la in net.layer if la.type == "InnerProduct"]
    classes = counts[-1] if counts else 1  # without any, nothing reads the labels
    read = [la.python_param for la in net.layer if la.python_param.layer == "ProposalData"]
    boxes = json.loads(read[0].param_str).get("boxes", 0) if read else 0
    for layer in out.layer:
        shapes = _shapes(layer, images, side, classes, boxes)
        if shapes:
            name, tops = layer.name, list(layer.top)
            layer.Clear()
            layer.name, layer.type = name, "Input"
            layer.top.extend(tops)
            for _, shape in zip(tops, shapes):
                layer.input_param.shape.add(dim=shape)
    return out


def _shapes(layer, images, side, classes, boxes):
    """Of the tops of a layer that reads data or selects boxes; none of any other layer."""
    if layer.type == "ImageData":
        data = layer.image_data_param
        return [(images, 3, data.new_height, data.new_width), (images,)]
    kind = layer.python_param.layer
    if kind == "AllRoIs":
        return [(images * boxes, 6)] * 2
    if kind == "RoISelection":
        return [(images * json.loads(layer.python_param.param_str)["top"], 6)] * 2
    if kind == "ProposalData":
        side = side or max(json.loads(layer.python_param.param_str)["scales"])
        return [(images, 3, side, side), (images, classes), (images * boxes, 6), (images, boxes)]
    if kind and not layer.bottom:
        raise ValueError(f'layer "{layer.name}": no shapes known of {kind} without its data')
    return []
