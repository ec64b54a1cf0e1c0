"""Layers in Python (`type: "Python"`) for any pycaffe: they need only caffe, numpy and cv2."""
