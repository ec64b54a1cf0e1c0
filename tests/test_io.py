"""caffe.io: images, Transformer, oversampling and conversions of messages."""

import io

import cv2
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2

RNG = np.random.default_rng(11)


def bilinear(im, rows, cols, outside):
    """Bilinear by areas of pixels, one output at a time; `outside` is around the image."""
    height, width, channels = im.shape
    framed = np.full((height + 2, width + 2, channels), outside, np.float64)
    framed[1:-1, 1:-1] = im
    out = np.empty((rows, cols, channels))
    for i in range(rows):
        for j in range(cols):
            y, x = (i + 0.5) * height / rows + 0.5, (j + 0.5) * width / cols + 0.5
            y0, x0 = int(y), int(x)
            left, right = framed[y0 : y0 + 2, x0], framed[y0 : y0 + 2, x0 + 1]
            column = left * (1 - x + x0) + right * (x - x0)
            out[i, j] = column[0] * (1 - y + y0) + column[1] * (y - y0)
    return out


# -- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"num": 1, "channels": 2, "height": 5, "width": 7}, (1, 2, 5, 7)),
        ({"shape": {"dim": [7, 10]}}, (7, 10)),
    ],
)
def test_blobproto_to_array_takes_both_kinds_of_shape(fields, shape):
    numbers = np.arange(70)
    blob = caffe_pb2.BlobProto(data=numbers, diff=-numbers, **fields)
    array = caffe.io.blobproto_to_array(blob)
    assert (array.shape, array.ravel().tolist()) == (shape, numbers.tolist())
    diff = caffe.io.blobproto_to_array(blob, return_diff=True)
    assert (diff.shape, diff.ravel().tolist()) == (shape, (-numbers).tolist())


def test_blobproto_to_array_of_a_scalar_and_of_doubles():
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])) == 123
    double = caffe_pb2.BlobProto(double_data=[0.1, 0.2], shape={"dim": [2]})
    assert caffe.io.blobproto_to_array(double).tolist() == [0.1, 0.2]


@pytest.mark.parametrize("error", [ValueError, caffe.CaffeError])
def test_numbers_that_do_not_fit_the_shape_are_a_value_error(error):
    with pytest.raises(error, match=r"BlobProto of shape \(\): got 3 numbers of data"):
        caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[1, 2, 3]))
    blob = caffe_pb2.BlobProto(data=[1], shape={"dim": [1]})
    with pytest.raises(error, match=r"shape \(1,\): got 0 numbers of diff"):
        caffe.io.blobproto_to_array(blob, return_diff=True)
    datum = caffe_pb2.Datum(channels=3, height=5, width=7, data=b"abc")
    with pytest.raises(error, match=r"Datum of shape \(C, H, W\) \(3, 5, 7\): got 3 numbers"):
        caffe.io.datum_to_array(datum)
    with pytest.raises(error, match=r"expected an array \(C, H, W\), got \(5, 7\)"):
        caffe.io.array_to_datum(np.ones((5, 7)))


def test_array_to_blobproto_and_back():
    data, diff = RNG.random((2, 3, 5)), RNG.random((2, 3, 5)).astype(np.float32)
    blob = caffe.io.array_to_blobproto(data, diff)
    assert list(blob.shape.dim) == [2, 3, 5]
    assert np.array_equal(caffe.io.blobproto_to_array(blob), data.astype(np.float32))
    assert np.array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), diff)
    assert not caffe.io.array_to_blobproto(data).diff


def test_lists_of_arrays_as_one_string_and_back():
    arrays = [RNG.random((2, 3)).astype(np.float32), np.arange(5, dtype=np.float32)]
    text = caffe.io.arraylist_to_blobprotovector_str(arrays)
    assert isinstance(text, bytes)
    back = caffe.io.blobprotovector_str_to_arraylist(text)
    assert [array.tolist() for array in back] == [array.tolist() for array in arrays]


def test_array_to_datum_and_back():
    pixels = RNG.integers(0, 256, (3, 5, 7), np.uint8)
    datum = caffe.io.array_to_datum(pixels, label=4)
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 5, 7, 4)
    assert (datum.data, len(datum.float_data)) == (pixels.tobytes(), 0)
    back = caffe.io.datum_to_array(datum)
    back += 1  # it is the caller's own
    assert np.array_equal(back, pixels + np.uint8(1))
    floats = RNG.random((3, 5, 7)).astype(np.float32)
    datum = caffe.io.array_to_datum(floats)
    assert (datum.data, datum.HasField("label")) == (b"", False)
    assert np.array_equal(caffe.io.datum_to_array(datum), floats)


def test_an_encoded_datum_is_decoded():
    pixels = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    datum = caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", pixels)[1].tobytes())
    assert np.array_equal(caffe.io.datum_to_array(datum), pixels.transpose(2, 0, 1))


# -- images ----------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path):
    def write(pixels, name="image.png"):
        path = tmp_path / name
        assert cv2.imwrite(str(path), pixels)
        return str(path)

    return write


def test_load_image_gives_red_green_blue_in_0_to_1(write):
    bgr = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    image = caffe.io.load_image(write(bgr))
    assert (image.shape, image.dtype) == ((5, 7, 3), np.float32)
    assert np.array_equal(image, (bgr[:, :, ::-1] / 255).astype(np.float32))


def test_load_image_drops_transparency(write):
    bgra = RNG.integers(0, 256, (5, 7, 4), np.uint8)
    expected = (bgra[:, :, 2::-1] / 255).astype(np.float32)
    assert np.array_equal(caffe.io.load_image(write(bgra)), expected)


def test_load_image_of_grey(write):
    grey = RNG.integers(0, 256, (5, 7), np.uint8)
    path, expected = write(grey), (grey / 255).astype(np.float32)
    image = caffe.io.load_image(path, color=False)
    assert (image.shape, image.dtype) == ((5, 7, 1), np.float32)
    assert np.array_equal(image[:, :, 0], expected)
    image = caffe.io.load_image(path)
    assert image.shape == (5, 7, 3)
    image[0, 0] = (1, 2, 3)  # three channels of their own
    assert image[0, 0].tolist() == [1, 2, 3]
    assert all(np.array_equal(image[1:, :, c], expected[1:]) for c in range(3))


def test_load_image_makes_colours_grey_by_their_luminance(write):
    bgr = np.zeros((1, 3, 3), np.uint8)
    bgr[0, 0, 2], bgr[0, 1, 1], bgr[0, 2, 0] = 255, 255, 255
    image = caffe.io.load_image(write(bgr), color=False)
    assert image.shape == (1, 3, 1)
    assert np.allclose(image.ravel(), [0.2125, 0.7154, 0.0721])


def test_load_image_of_16_bits(write):
    grey = np.array([[0, 13107], [32768, 65535]], np.uint16)
    image = caffe.io.load_image(write(grey), color=False)
    assert np.allclose(image[:, :, 0], [[0, 0.2], [32768 / 65535, 1]])


def test_load_image_of_an_open_file(write):
    bgr = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    path = write(bgr)
    with open(path, "rb") as file:
        content = file.read()
    assert np.array_equal(caffe.io.load_image(io.BytesIO(content)), caffe.io.load_image(path))


@pytest.mark.parametrize("error", [IOError, caffe.CaffeError])
def test_files_that_are_no_images_are_an_io_error(tmp_path, error):
    with pytest.raises(error, match=r"nowhere\.png: cannot read: No such file"):
        caffe.io.load_image(str(tmp_path / "nowhere.png"))
    for content in (b"", b"no image"):
        (tmp_path / "text.png").write_bytes(content)
        with pytest.raises(error, match=rf"text\.png: expected an image, got {len(content)} bytes"):
            caffe.io.load_image(str(tmp_path / "text.png"))


def test_resize_image_by_hand():
    row = np.array([0, 4, 8], np.float32).reshape(1, 3, 1)
    # Six half pixels, centres at -1/4, 1/4, 3/4 ... of the old ones; around the image is its least.
    assert caffe.io.resize_image(row, (1, 6))[0, :, 0].tolist() == [0, 1, 3, 5, 7, 6]
    # Shrinking takes what lies at the new centres: no blur before.
    row = np.array([0, 0, 6, 0, 0, 6, 6, 6], np.float32).reshape(1, 8, 1)
    assert caffe.io.resize_image(row, (1, 2))[0, :, 0].tolist() == [3, 6]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(11, 13), (4, 3), (3, 9), (7, 5)])
def test_resize_image_is_bilinear(channels, size):
    im = RNG.standard_normal((7, 5, channels)) * 50
    before = im.copy()
    out = caffe.io.resize_image(im, size)
    assert (out.shape, out.dtype) == ((*size, channels), np.float32)
    assert np.allclose(out, bilinear(im, *size, im.min()), rtol=1e-5, atol=1e-4)
    assert np.array_equal(im, before)


def test_resize_image_of_one_value_keeps_it():
    out = caffe.io.resize_image(np.full((7, 5, 3), 4, np.uint8), (3, 2))
    assert out.tolist() == np.full((3, 2, 3), 4.0).tolist()


def test_resize_image_with_other_channels_keeps_the_corners():
    im = RNG.random((7, 5, 4)).astype(np.float32)
    out = caffe.io.resize_image(im, (13, 9))
    assert (out.shape, out.dtype) == ((13, 9, 4), np.float32)
    assert np.allclose(out[::2, ::2], im, atol=1e-6)
    assert np.allclose(out[1::2, ::2], (im[:-1] + im[1:]) / 2, atol=1e-6)


def test_resize_image_of_other_orders():
    im = RNG.random((4, 3, 3)).astype(np.float32)
    doubled = caffe.io.resize_image(im, (8, 6), interp_order=0)
    assert np.allclose(doubled, im.repeat(2, axis=0).repeat(2, axis=1), atol=1e-6)
    cubic = caffe.io.resize_image(im, (8, 6), interp_order=3)
    assert im.min() <= cubic.min() < cubic.max() <= im.max()
    assert np.abs(cubic - caffe.io.resize_image(im, (8, 6))).max() > 0.01


def test_resize_image_agrees_with_scikit_image():
    transform = pytest.importorskip("skimage.transform")
    im = RNG.random((37, 23, 3))
    unit = (im - im.min()) / (im.max() - im.min())
    for order in (0, 1, 3):
        want = transform.resize(unit, (17, 29), order=order, mode="constant", anti_aliasing=False)
        want = want * (im.max() - im.min()) + im.min()
        assert np.allclose(caffe.io.resize_image(im, (17, 29), order), want, atol=1e-6)


def test_oversample_gives_corners_and_centre_and_their_mirrors():
    images = RNG.random((2, 7, 8, 3)).astype(np.float32)
    crops = caffe.io.oversample(images, (4, 5))
    assert (crops.shape, crops.dtype) == ((20, 4, 5, 3), np.float32)
    for i, im in enumerate(images):
        ten = crops[10 * i : 10 * i + 10]
        five = [im[:4, :5], im[:4, 3:], im[3:, :5], im[3:, 3:], im[1:5, 1:6]]
        for crop, mirrored, want in zip(ten[:5], ten[5:], five, strict=True):
            assert np.array_equal(crop, want)
            assert np.array_equal(mirrored, want[:, ::-1])
    with pytest.raises(ValueError, match=r"expected crops of at most \(7, 8\), got \(4, 9\)"):
        caffe.io.oversample(images, np.array([4, 9]))


# -- Transformer -----------------------------------------------------------------------------------


@pytest.fixture
def transformer():
    return caffe.io.Transformer({"data": (2, 3, 7, 5)})


def set_all(transformer, mean):
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", mean)
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (1, 2, 0))
    transformer.set_input_scale("data", 0.5)


def test_preprocess_does_nothing_until_told(transformer):
    image = RNG.random((7, 5, 3)).astype(np.float32)
    out = transformer.preprocess("data", image)
    assert np.array_equal(out, image)
    assert not np.shares_memory(out, image)


def test_preprocess_in_caffe_s_order_and_back(transformer):
    image = RNG.random((7, 5, 3)).astype(np.float32)
    before, mean = image.copy(), np.array([10.0, 20.0, 40.0])
    set_all(transformer, mean)
    out = transformer.preprocess("data", image)
    assert (out.shape, out.dtype) == ((3, 7, 5), np.float32)
    for channel, (source, less) in enumerate(zip((1, 2, 0), mean, strict=True)):
        want = (image[:, :, source] * 255 - less) * 0.5
        assert np.allclose(out[channel], want, atol=1e-4)
    assert np.array_equal(image, before)
    for data in (out, out[np.newaxis]):
        assert np.allclose(transformer.deprocess("data", data), image, atol=1e-6)
    assert np.allclose(transformer.preprocess("data", image), out)  # deprocess changed nothing


def test_preprocess_resizes_first(transformer):
    image = RNG.integers(0, 256, (9, 8, 3), np.uint8)
    set_all(transformer, np.array([10.0, 20.0, 40.0]))
    resized = caffe.io.resize_image(image.astype(np.float32), (7, 5))
    want = transformer.preprocess("data", resized)
    assert np.allclose(transformer.preprocess("data", image), want)


def test_an_order_that_is_not_its_own_inverse_is_undone(transformer):
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (1, 2, 0))
    image = np.broadcast_to(np.array([1, 2, 3], np.float32), (7, 5, 3))
    out = transformer.preprocess("data", image)
    assert out[:, 0, 0].tolist() == [2, 3, 1]
    assert transformer.deprocess("data", out)[0, 0].tolist() == [1, 2, 3]


def test_deprocess_of_grey():
    transformer = caffe.io.Transformer({"data": (2, 1, 7, 5)})
    transformer.set_input_scale("data", 0.5)
    data = RNG.random((1, 7, 5)).astype(np.float32)
    assert np.array_equal(transformer.deprocess("data", data), data[0] * 2)  # fit for imshow
    transformer.set_transpose("data", (2, 0, 1))
    assert np.array_equal(transformer.deprocess("data", data), data[0, :, :, np.newaxis] * 2)


def test_means_of_pixels(transformer):
    transformer.set_transpose("data", (2, 0, 1))
    image = RNG.random((7, 5, 3)).astype(np.float32)
    mean = RNG.random((3, 7, 5))
    transformer.set_mean("data", mean)
    want = image.transpose(2, 0, 1) - mean
    assert np.allclose(transformer.preprocess("data", image), want, atol=1e-6)
    larger = RNG.random((3, 9, 8))
    transformer.set_mean("data", larger)
    resized = caffe.io.resize_image(larger.transpose(1, 2, 0), (7, 5)).transpose(2, 0, 1)
    want = image.transpose(2, 0, 1) - resized
    assert np.allclose(transformer.preprocess("data", image), want, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 5), (9, 8)])
def test_a_mean_without_channels_is_for_grey_nets(shape):
    transformer = caffe.io.Transformer({"data": [2, 1, 7, 5]})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", np.full(shape, 3.0))
    image = RNG.random((7, 5, 1)).astype(np.float32)
    want = image.transpose(2, 0, 1) - 3
    assert np.allclose(transformer.preprocess("data", image), want, atol=1e-6)


def test_mistakes_name_the_input_and_its_shape(transformer):
    image = np.zeros((7, 5, 3), np.float32)
    for call in (
        lambda: transformer.preprocess("image", image),
        lambda: transformer.deprocess("image", image),
        lambda: transformer.set_transpose("image", (2, 0, 1)),
        lambda: transformer.set_channel_swap("image", (2, 1, 0)),
        lambda: transformer.set_raw_scale("image", 255),
        lambda: transformer.set_mean("image", np.zeros(3)),
        lambda: transformer.set_input_scale("image", 2),
    ):
        with pytest.raises(caffe.CaffeError, match='no input "image"; inputs: data'):
            call()
    named = r'input "data" of shape \(2, 3, 7, 5\): expected '
    with pytest.raises(caffe.CaffeError, match=named + r"an order of 3 axes, got \(1, 0\)"):
        transformer.set_transpose("data", (1, 0))
    with pytest.raises(caffe.CaffeError, match=named + r"an order of 3 channels, got \(1, 0\)"):
        transformer.set_channel_swap("data", (1, 0))
    for shape in ((4,), (1, 7, 5), (7, 5), (1, 3, 7, 5)):
        with pytest.raises(ValueError, match=named + r"a mean \(3,\) or \(3, 7, 5\), got"):
            transformer.set_mean("data", np.zeros(shape))
