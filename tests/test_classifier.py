"""Classifier: its preprocessing and crops against numpy, and the programs people have."""

import cv2
import numpy as np
import pytest

import caffe

DEPLOY = """
name: "tiny"
input: "data" input_dim: 10 input_dim: 3 input_dim: 5 input_dim: 4
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 6 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
MEAN = np.array([104.0, 117.0, 123.0])
SETTINGS = {"mean": MEAN, "raw_scale": 255, "channel_swap": (2, 1, 0), "input_scale": 0.5}


@pytest.fixture
def files(tmp_path):
    """(deploy.prototxt, weights, an image file): all that a user has."""
    model, weights = tmp_path / "deploy.prototxt", tmp_path / "tiny.caffemodel"
    model.write_text(DEPLOY, encoding="utf-8")
    caffe.set_random_seed(5)
    caffe.Net(str(model), caffe.TEST).save(str(weights))
    pixels = np.random.default_rng(2).integers(0, 256, (9, 8, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "cat.png"), pixels)
    return str(model), str(weights), str(tmp_path / "cat.png")


def probabilities(net, crop):
    """The tiny net on one crop (5, 4, 3) of red, green, blue in 0..1, by numpy."""
    x = (crop[:, :, ::-1].transpose(2, 0, 1) * 255 - MEAN[:, None, None]) * 0.5
    weight, bias = (blob.data for blob in net.params["fc"])
    scores = weight.astype(np.float64) @ x.ravel() + bias
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def test_predict_averages_ten_crops(files):
    net = caffe.Classifier(*files[:2], image_dims=(7, 8), **SETTINGS)
    assert isinstance(net, caffe.Net)
    assert net.phase == caffe.TEST
    images = [caffe.io.load_image(files[2]), np.full((5, 6, 3), 0.25, np.float32)]
    got = net.predict(images)
    assert got.shape == (2, 6)
    for row, image in zip(got, images, strict=True):
        im = caffe.io.resize_image(image, (7, 8))
        five = [im[:5, :4], im[:5, 4:], im[2:, :4], im[2:, 4:], im[1:6, 2:6]]
        ten = five + [crop[:, ::-1] for crop in five]
        assert np.allclose(row, np.mean([probabilities(net, crop) for crop in ten], 0), atol=1e-5)


def test_predict_of_the_centre(files):
    net = caffe.Classifier(*files[:2], image_dims=[8, 9], **SETTINGS)
    image = caffe.io.load_image(files[2])
    got = net.predict([image], False)
    centre = caffe.io.resize_image(image, (8, 9))[1:6, 2:6]
    assert np.allclose(got, probabilities(net, centre)[np.newaxis], atol=1e-5)


def test_by_default_images_are_resized_to_the_net_s_size(files):
    net = caffe.Classifier(*files[:2], **SETTINGS)
    image = caffe.io.load_image(files[2])
    want = probabilities(net, caffe.io.resize_image(image, (5, 4)))
    assert np.allclose(net.predict([image], oversample=False)[0], want, atol=1e-5)


def test_without_settings_the_net_sees_the_image(files):
    net = caffe.Classifier(*files[:2])
    image = np.random.default_rng(3).random((5, 4, 3)).astype(np.float32)
    net.predict([image], oversample=False)
    assert np.allclose(net.blobs["data"].data[0], image.transpose(2, 0, 1))


def test_any_number_of_images(files):
    net = caffe.Classifier(*files[:2], **SETTINGS)
    images = list(np.random.default_rng(4).random((13, 5, 4, 3)).astype(np.float32))
    got = net.predict(images, oversample=False)
    assert got.shape == (13, 6)
    assert np.allclose(got[12], probabilities(net, images[12]), atol=1e-5)


def test_mistakes(files, tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"image_dims: .* the net's \(5, 4\), got \(4, 9\)"):
        caffe.Classifier(*files[:2], image_dims=(4, 9))
    with pytest.raises(caffe.CaffeError, match=r'input "data" .* a mean \(3,\)'):
        caffe.Classifier(*files[:2], mean=np.zeros(2))
    flat = tmp_path / "flat.prototxt"
    flat.write_text('input: "x" input_shape { dim: 2 dim: 3 }', encoding="utf-8")
    with pytest.raises(caffe.CaffeError, match=r"expected an input \(N, C, H, W\).*\(2, 3\)"):
        caffe.Classifier(str(flat), None)


def test_the_classification_notebook(files):
    """Its steps: one image through Transformer and forward, what is in the net, and back."""
    net = caffe.Net(files[0], files[1], caffe.TEST)
    mu = np.ones((3, 9, 9)) * MEAN[:, np.newaxis, np.newaxis]
    mu = mu.mean(1).mean(1)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", mu)
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    net.blobs["data"].reshape(3, 3, 5, 4)
    image = caffe.io.load_image(files[2])
    transformed_image = transformer.preprocess("data", image)
    net.blobs["data"].data[...] = transformed_image
    output = net.forward()
    output_prob = output["prob"][0]
    assert output["prob"].shape == (3, 6)
    assert output_prob.argmax() == probabilities(net, caffe.io.resize_image(image, (5, 4))).argmax()
    assert [blob.data.shape for _, blob in net.blobs.items()] == [(3, 3, 5, 4), (3, 6), (3, 6)]
    assert {name: param[0].data.shape for name, param in net.params.items()} == {"fc": (6, 60)}
    shown = transformer.deprocess("data", net.blobs["data"].data[0])
    assert np.allclose(shown, caffe.io.resize_image(image, (5, 4)), atol=1e-5)
