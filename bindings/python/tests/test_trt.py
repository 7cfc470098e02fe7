# SPDX-License-Identifier: Apache-2.0
"""TensorRT's names: every adder of INetworkDefinition with its properties, built and run beside NumPy; builder, runtime, refit."""

import json

import numpy as np
import pytest

from network_testing import assert_close, device, floats
from tenon import errors, trt
from test_functional import attention, conv2d, layer_norm, rotate, softmax

I, O = trt.ITensor, trt.NetworkDefinitionCreationFlag


def plan_of(network, profiles=(), **settings):
    builder = trt.Builder(None, device())
    config = builder.create_builder_config()
    config.builder_optimization_level, config.activation_precision = 0, "float32"
    for name, value in settings.items():
        setattr(config, name, value)
    for ranges in profiles:
        profile = builder.create_optimization_profile()
        for name, (low, best, high) in ranges.items():
            profile.set_shape(name, low, best, high)
        config.add_optimization_profile(profile)
    return builder.build_serialized_network(network, config)


def run(network, inputs, profiles=()):
    engine = trt.Runtime(None, device()).deserialize_cuda_engine(plan_of(network, profiles))
    return engine._engine.context().run(inputs)


def make(define, inputs):
    network = trt.INetworkDefinition(1 << int(O.STRONGLY_TYPED))
    tensors = [network.add_input(name, trt.DataType.FLOAT if array.dtype == np.float32 else trt._types.to_dtype(array.dtype), array.shape)
               for name, array in inputs.items()]
    results = define(network, *tensors)
    results = results if isinstance(results, tuple) else (results,)
    for i, result in enumerate(results):
        output = network.add_identity(result if isinstance(result, trt.ITensor) else result.get_output(0)).get_output(0)
        output.name = f"out{i}"
        network.mark_output(output)
    return network


def with_(layer, **properties):
    for name, value in properties.items():
        setattr(layer, name, value)
    return layer


def const(n, values, dtype=np.float32):
    array = np.asarray(values, dtype)
    return n.add_constant(array.shape, array).get_output(0)


def fed(layer, **inputs):
    for index, tensor in inputs.items():
        layer.set_input(int(index[1:]), tensor)
    return layer


img, vec, mat = floats(2, 4, 5, 6), floats(3, 4), floats(2, 3, 4, seed=1)
w4 = floats(6, 4, 3, 3, seed=2)
bias6 = floats(6, seed=3)
T = trt
CASES = {
    "convolution": (lambda n, x: with_(n.add_convolution_nd(x, 6, (3, 3), w4, bias6), stride_nd=(2, 2), padding_nd=(1, 1)), [img],
                    lambda: conv2d(img, w4, bias6, 2, 1)),
    "convolution_groups": (lambda n, x: with_(n.add_convolution_nd(x, 6, T.DimsHW(3, 3), T.Weights(w4[:, :2].copy()), T.Weights()), num_groups=2, dilation_nd=(2, 2),
                                              pre_padding=(1, 1), post_padding=(1, 1)), [img],
                           lambda: conv2d(img, w4[:, :2], np.zeros(6), 1, 1, 2, 2)),
    "convolution_same": (lambda n, x: with_(n.add_convolution(x, 6, (3, 3), w4, bias6), padding_mode=T.PaddingMode.SAME_UPPER), [img],
                         lambda: conv2d(img, w4, bias6, 1, 1)),
    "convolution_by_tensor": (lambda n, x, w: fed(n.add_convolution_nd(x, 6, (3, 3), T.Weights()), _1=w), [img, w4], lambda: conv2d(img, w4, np.zeros(6))),
    "deconvolution": (lambda n, x: with_(n.add_deconvolution_nd(x, 3, (2, 2), floats(4, 3, 2, 2)), stride_nd=(2, 2)), [img],
                      lambda: np.einsum("nchw,ckij->nkhiwj", img, floats(4, 3, 2, 2)).reshape(2, 3, 10, 12)),
    "pooling": (lambda n, x: with_(n.add_pooling_nd(x, T.PoolingType.MAX, (1, 2)), stride_nd=T.Dims2(1, 2)), [img], lambda: img.reshape(2, 4, 5, 3, 2).max(-1)),
    "pooling_average": (lambda n, x: with_(n.add_pooling(x, T.PoolingType.AVERAGE, (1, 2)), stride=(1, 2)), [img], lambda: img.reshape(2, 4, 5, 3, 2).mean(-1)),
    "pooling_padding_counts": (lambda n, x: with_(n.add_pooling_nd(x, T.PoolingType.AVERAGE, (1, 3)), padding_nd=(0, 1), average_count_excludes_padding=False), [img],
                               lambda: (lambda p: (p[..., :-2] + p[..., 1:-1] + p[..., 2:]) / 3)(np.pad(img, ((0, 0),) * 3 + ((1, 1),)))),
    "activation": (lambda n, x: n.add_activation(x, T.ActivationType.LEAKY_RELU), [vec], lambda: np.where(vec < 0, 0.01 * vec, vec)),
    "lrn": (lambda n, x: n.add_lrn(x, 3, 0.5, 0.75, 1.0), [img], lambda: img / (1 + 0.5 / 3 * (lambda p: p[:, :-2] + p[:, 1:-1] + p[:, 2:])(
        np.pad(img**2, ((0, 0), (1, 1), (0, 0), (0, 0))))) ** 0.75),
    "scale_uniform": (lambda n, x: n.add_scale(x, T.ScaleMode.UNIFORM, np.array([1.0], np.float32), np.array([2.0], np.float32)), [img], lambda: img * 2 + 1),
    "scale_channel": (lambda n, x: n.add_scale(x, T.ScaleMode.CHANNEL, floats(4), floats(4, seed=1), T.Weights()), [img],
                      lambda: img * floats(4, seed=1)[:, None, None] + floats(4)[:, None, None]),
    "scale_elementwise": (lambda n, x: n.add_scale_nd(x, T.ScaleMode.ELEMENTWISE, None, floats(3, 4), None, 1), [mat], lambda: mat * floats(3, 4)),
    "softmax_default_axis": (lambda n, x: n.add_softmax(x), [mat], lambda: softmax(mat, 0)),
    "softmax": (lambda n, x: with_(n.add_softmax(x), axes=1 << 2), [mat], lambda: softmax(mat, 2)),
    "ragged_softmax": (lambda n, x, b: n.add_ragged_softmax(x, b), [mat, np.array([[[1], [2], [4]], [[3], [1], [2]]], np.int32)],
                       lambda: np.stack([[np.concatenate([softmax(mat[i, j, :m]), np.zeros(4 - m)]) for j, m in enumerate(row)] for i, row in enumerate([[1, 2, 4], [3, 1, 2]])])),
    "concatenation": (lambda n, x, y: with_(n.add_concatenation([x, y]), axis=1), [vec, floats(3, 2)], lambda: np.concatenate([vec, floats(3, 2)], 1)),
    "elementwise": (lambda n, x, y: n.add_elementwise(x, y, T.ElementWiseOperation.MAX), [vec, floats(3, 4, seed=9)], lambda: np.maximum(vec, floats(3, 4, seed=9))),
    "unary": (lambda n, x: n.add_unary(x, T.UnaryOperation.CEIL), [vec], lambda: np.ceil(vec)),
    "select": (lambda n, x, y: n.add_select(n.add_elementwise(x, y, T.ElementWiseOperation.LESS).get_output(0), x, y), [vec, floats(3, 4, seed=9)],
               lambda: np.minimum(vec, floats(3, 4, seed=9))),
    "reduce": (lambda n, x: n.add_reduce(x, T.ReduceOperation.PROD, 1 << 1, True), [vec], lambda: vec.prod(1, keepdims=True)),
    "topk": (lambda n, x: (lambda k: (k.get_output(0), k.get_output(1)))(n.add_topk(x, T.TopKOperation.MIN, 2, 1 << 1)), [vec],
             lambda: (np.sort(vec, 1)[:, :2], np.argsort(vec, 1)[:, :2].astype(np.int32))),
    "topk_by_tensor": (lambda n, x: fed(n.add_topk(x, T.TopKOperation.MAX, 0, 1 << 0), _1=const(n, 2, np.int32)), [vec], lambda: -np.sort(-vec, 0)[:2]),
    "cumulative": (lambda n, x: n.add_cumulative(x, const(n, 1, np.int32), T.CumulativeOperation.SUM, True, False), [vec], lambda: vec.cumsum(1) - vec),
    "normalization": (lambda n, x: n.add_normalization(x, const(n, np.ones((1, 1, 4))), const(n, np.zeros((1, 1, 4))), 1 << 2), [mat], lambda: layer_norm(mat, (2,))),
    "normalization_groups": (lambda n, x: with_(n.add_normalization(x, const(n, floats(1, 4, 1, 1)), const(n, np.zeros((1, 4, 1, 1))), 0b1100), num_groups=2, epsilon=1e-3), [img],
                             lambda: layer_norm(img.reshape(2, 2, 60), (2,), eps=1e-3).reshape(img.shape) * floats(1, 4, 1, 1)),
    "shuffle": (lambda n, x: with_(n.add_shuffle(x), first_transpose=(1, 0), reshape_dims=(2, -1), second_transpose=(1, 0)), [vec], lambda: vec.T.reshape(2, 6).T),
    "shuffle_by_tensor": (lambda n, x: fed(n.add_shuffle(x), _1=const(n, [2, 6], np.int64)), [vec], lambda: vec.reshape(2, 6)),
    "squeeze": (lambda n, x: n.add_squeeze(x, const(n, [0, 2], np.int64)), [floats(1, 3, 1, 4)], lambda: floats(1, 3, 1, 4).reshape(3, 4)),
    "unsqueeze": (lambda n, x: n.add_unsqueeze(x, const(n, [1], np.int64)), [vec], lambda: vec[:, None]),
    "slice": (lambda n, x: n.add_slice(x, (2, 1), (2, 2), (-1, 2)), [vec], lambda: vec[2:0:-1, 1:4:2]),
    "slice_fill": (lambda n, x: fed(with_(n.add_slice(x, (-1, 0), (4, 5), (1, 1)), mode=T.SampleMode.FILL), _4=const(n, 7.0)), [vec],
                   lambda: np.pad(vec, ((1, 0), (0, 1)), constant_values=7)),
    "slice_by_tensors": (lambda n, x: fed(n.add_slice(x, (0, 0), (0, 0), (1, 1)), _1=const(n, [1, 0], np.int64), _2=const(n, [2, 3], np.int64)), [vec], lambda: vec[1:, :3]),
    "slice_wrap": (lambda n, x: with_(n.add_slice(x, (0, 0), (3, 9), (1, 1)), mode=T.SampleMode.WRAP), [vec], lambda: np.tile(vec, 3)[:, :9]),
    "padding": (lambda n, x: n.add_padding_nd(x, (1, 0), (0, -1)), [img], lambda: np.pad(img, ((0, 0), (0, 0), (1, 0), (0, 0)))[..., :-1]),
    "shape": (lambda n, x: n.add_shape(x), [img], lambda: np.array([2, 4, 5, 6])),
    "gather": (lambda n, x: n.add_gather(x, const(n, [[1, 0]], np.int32), 1), [vec], lambda: vec[:, [[1, 0]]]),
    "gather_element": (lambda n, x: with_(n.add_gather_v2(x, const(n, [[1, 0], [3, 3], [2, 1]], np.int32), T.GatherMode.ELEMENT), axis=1), [vec],
                       lambda: np.take_along_axis(vec, np.array([[1, 0], [3, 3], [2, 1]]), 1)),
    "gather_nd": (lambda n, x: with_(n.add_gather_v2(x, const(n, [[[0]], [[2]]], np.int32), T.GatherMode.ND), num_elementwise_dims=1), [mat],
                  lambda: np.stack([mat[0, [0]], mat[1, [2]]])),
    "scatter": (lambda n, x: with_(n.add_scatter(x, const(n, [[0, 1]], np.int32), const(n, [[5.0, 6.0]]), T.ScatterMode.ELEMENT), axis=0), [vec],
                lambda: (lambda z: (z.__setitem__((0, 0), 5), z.__setitem__((1, 1), 6), z)[2])(vec.copy())),
    "one_hot": (lambda n, i: n.add_one_hot(i, const(n, [0.0, 9.0]), const(n, 3, np.int32), -1), [np.array([2, 0], np.int32)], lambda: 9 * np.eye(3)[[2, 0]]),
    "reverse_sequence": (lambda n, x: with_(n.add_reverse_sequence(x, const(n, [1, 3, 2], np.int32)), batch_axis=0, sequence_axis=1), [vec],
                         lambda: np.stack([np.concatenate([vec[i, :m][::-1], vec[i, m:]]) for i, m in enumerate([1, 3, 2])])),
    "non_zero": (lambda n, x: n.add_non_zero(x), [np.array([[0, 5, 0], [7, 0, 1]], np.float32)], lambda: np.array([[0, 1, 1], [1, 0, 2]], np.int32)),
    "nms": (lambda n, b, s: (lambda m: m.get_output(0))(fed(n.add_nms(b, s, const(n, 2, np.int32)), _3=const(n, 0.5))),
            [np.array([[[0, 0, 1, 1], [0, 0, 1, 1.1], [3, 3, 4, 4]]], np.float32), np.array([[[0.9], [0.8], [0.7]]], np.float32)],
            lambda: np.array([[0, 0, 0], [0, 0, 2]], np.int32)),
    "resize_scales": (lambda n, x: with_(n.add_resize(x), scales=[1, 1, 2, 2]), [img], lambda: img.repeat(2, 2).repeat(2, 3)),
    "resize_shape": (lambda n, x: with_(n.add_resize(x), shape=(2, 4, 10, 12), resize_mode=T.InterpolationMode.NEAREST), [img], lambda: img.repeat(2, 2).repeat(2, 3)),
    "resize_by_tensor": (lambda n, x: fed(n.add_resize(x), _1=const(n, [2, 4, 10, 6], np.int64)), [img], lambda: img.repeat(2, 2)),
    "resize_linear": (lambda n, x: with_(n.add_resize(x), shape=(1, 1, 1, 3), resize_mode=T.ResizeMode.LINEAR,
                                         coordinate_transformation=T.ResizeCoordinateTransformation.ALIGN_CORNERS), [np.array([[[[2.0, 4.0]]]], np.float32)], lambda: np.array([[[[2, 3, 4]]]])),
    "grid_sample": (lambda n, x, g: with_(n.add_grid_sample(x, g), interpolation_mode=T.InterpolationMode.NEAREST, align_corners=True),
                    [img[:1, :1], np.array([[[[-1, -1], [1, 1], [1, -1]]]], np.float32)], lambda: np.array([[[[img[0, 0, 0, 0], img[0, 0, -1, -1], img[0, 0, 0, -1]]]]])),
    "matrix_multiply": (lambda n, x: n.add_matrix_multiply(x, T.MatrixOperation.NONE, const(n, floats(5, 4)), T.MatrixOperation.TRANSPOSE), [vec], lambda: vec @ floats(5, 4).T),
    "matrix_vector": (lambda n, x: n.add_matrix_multiply(x, T.MatrixOperation.NONE, const(n, floats(4)), T.MatrixOperation.VECTOR), [vec], lambda: vec @ floats(4)),
    "einsum": (lambda n, x, y: n.add_einsum([x, y], "bij,ij->b"), [mat, vec], lambda: np.einsum("bij,ij->b", mat, vec)),
    "fully_connected": (lambda n, x: n.add_fully_connected(x, 3, floats(3, 120), floats(3)), [img], lambda: (img.reshape(2, -1) @ floats(3, 120).T + floats(3)).reshape(2, 3, 1, 1)),
    "attention": (lambda n, q, k: n.add_attention(q, k, k, T.AttentionNormalizationOp.SOFTMAX, True), [floats(1, 4, 3, 8), floats(1, 2, 3, 8, seed=4)],
                  lambda: attention(floats(1, 4, 3, 8), floats(1, 2, 3, 8, seed=4), floats(1, 2, 3, 8, seed=4), True, 1.0)),
    "attention_masked": (lambda n, q, m: n.add_attention(q, q, q, mask=m), [floats(1, 2, 3, 8), np.array([[[[1, 0, 1], [1, 1, 0], [1, 1, 1]]]], bool)],
                         lambda: softmax(np.where(np.array([[1, 0, 1], [1, 1, 0], [1, 1, 1]], bool), floats(1, 2, 3, 8) @ floats(1, 2, 3, 8).swapaxes(2, 3), -np.inf)) @ floats(1, 2, 3, 8)),
    "rotary_embedding": (lambda n, x: n.add_rotary_embedding(x, const(n, np.cos(np.arange(3)[:, None] / 10000.0 ** (np.arange(0, 8, 2) / 8))[None]),
                                                             const(n, np.sin(np.arange(3)[:, None] / 10000.0 ** (np.arange(0, 8, 2) / 8))[None]), False, 0), [floats(1, 2, 3, 8)],
                         lambda: rotate(floats(1, 2, 3, 8), np.arange(3), 8)),
    "quantize": (lambda n, x: with_(n.add_dequantize(with_(n.add_quantize(x, const(n, [0.1, 0.2, 0.3])), axis=0).get_output(0), const(n, [0.1, 0.2, 0.3])), axis=0), [vec],
                 lambda: np.round(vec / np.array([[0.1], [0.2], [0.3]], np.float32)) * np.array([[0.1], [0.2], [0.3]], np.float32)),
    "dynamic_quantize": (lambda n, x: n.add_dynamic_quantize_v2(x, (3, 4), T.int8, T.float32).get_output(1), [vec], lambda: np.abs(vec).max()[None, None] / 127),
    "constant": (lambda n, x: n.add_elementwise(x, n.add_constant((3, 1), floats(3)).get_output(0), T.ElementWiseOperation.SUM), [vec], lambda: vec + floats(3)[:, None]),
    "identity": (lambda n, x: n.add_identity(x), [vec], lambda: vec),
    "cast": (lambda n, x: n.add_cast(x, T.int32), [vec], lambda: vec.astype(np.int32)),
    "fill": (lambda n, x: with_(n.add_fill((4,), T.FillOperation.LINSPACE), alpha=1.0, beta=0.5), [vec], lambda: np.array([1, 1.5, 2, 2.5])),
    "fill_by_tensors": (lambda n, x: fed(n.add_fill((0,), T.FillOperation.LINSPACE, T.int32), _0=const(n, [2, 3], np.int64), _1=const(n, 1, np.int32), _2=const(n, [10, 1], np.int32)), [vec],
                        lambda: np.array([[1, 2, 3], [11, 12, 13]], np.int32)),
    "parametric_relu": (lambda n, x: n.add_parametric_relu(x, const(n, [[0.5]])), [vec], lambda: np.where(vec < 0, 0.5 * vec, vec)),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_layer_equals_numpy(name):
    define, arrays, expected = CASES[name]
    inputs = {f"in{i}": array for i, array in enumerate(arrays)}
    wanted = expected()
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    got = run(make(define, inputs), inputs)
    assert len(got) == len(wanted)
    for i, one in enumerate(wanted):
        assert_close(got[f"out{i}"], one, 1e-4)


def test_an_assertion_stops_the_run_with_its_message():
    def define(n, x):
        n.add_assertion(n.add_cast(x, T.bool).get_output(0), "all must be there")
        return n.add_identity(x)

    engine = trt.Runtime(None, device()).deserialize_cuda_engine(plan_of(make(define, {"x": np.ones(2, np.int32)})))
    context = engine._engine.context()
    assert list(context.run({"x": np.ones(2, np.int32)})["out0"]) == [1, 1]
    with pytest.raises(errors.TenonError, match="all must be there"):
        context.run({"x": np.array([1, 0], np.int32)})
    assert list(context.run({"x": np.array([1, 5], np.int32)})["out0"]) == [1, 5]


def test_a_loop_counts_and_collects():
    def define(n, x, count):
        loop = n.add_loop()
        loop.add_trip_limit(count, T.TripLimit.COUNT)
        value = loop.add_recurrence(x)
        after = n.add_elementwise(value.get_output(0), value.get_output(0), T.ElementWiseOperation.SUM).get_output(0)
        value.set_input(1, after)
        last = loop.add_loop_output(value.get_output(0), T.LoopOutput.LAST_VALUE)
        all_of_them = loop.add_loop_output(after, T.LoopOutput.CONCATENATE, 0)
        return last.get_output(0), all_of_them.get_output(0)

    inputs = {"x": np.array([1.0, 3.0], np.float32), "count": np.array(3, np.int32)}
    got = run(make(define, inputs), inputs)
    assert_close(got["out0"], [8, 24])
    assert_close(got["out1"], [[2, 6], [4, 12], [8, 24]])


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("form", ["as TensorRT", "with branches"])
def test_a_conditional_takes_one_branch(form, value):
    def define(n, x, c):
        conditional = n.add_if_conditional()
        conditional.set_condition(c)
        if form == "as TensorRT":
            x = conditional.add_input(x).get_output(0)
            a = n.add_unary(x, T.UnaryOperation.NEG).get_output(0)
            b = n.add_unary(x, T.UnaryOperation.EXP).get_output(0)
        else:
            with conditional.if_true():
                a = n.add_unary(x, T.UnaryOperation.NEG).get_output(0)
            with conditional.if_false():
                b = n.add_unary(x, T.UnaryOperation.EXP).get_output(0)
        return conditional.add_output(a, b)

    inputs = {"x": vec, "c": np.array(value)}
    assert_close(run(make(define, inputs), inputs)["out0"], -vec if value else np.exp(vec))


# --- tensors, layers, the network ----------------------------------------------------------------------------------------------------


def test_tensors_and_layers_answer_as_tensorrts_do():
    n = trt.Builder(None, device()).create_network(1 << int(O.EXPLICIT_BATCH) | 1 << int(O.STRONGLY_TYPED))
    assert n.get_flag(O.STRONGLY_TYPED) and not n.get_flag(O.PREFER_JIT_PYTHON_PLUGINS) and not n.has_implicit_batch_dimension
    x = n.add_input("x", trt.float32, (-1, 4))
    x.set_dimension_name(0, "batch")
    assert (x.name, x.shape, x.dtype, x.get_dimension_name(0), x.get_dimension_name(1)) == ("x", (-1, 4), trt.float32, "batch", None)
    assert x.is_network_input and not x.is_network_output and not x.is_shape_tensor
    relu = n.add_activation(x, trt.ActivationType.RELU)
    relu.name, relu.metadata = "first", "free text"
    assert (relu.name, relu.metadata, relu.type, relu.num_inputs, relu.num_outputs) == ("first", "free text", trt.ActivationType.RELU, 1, 1)
    assert relu.get_input(0) is x and relu.get_input(1) is None and relu.get_output(1) is None
    assert relu.precision == trt.float32 and relu.get_output_type(0) == trt.float32
    relu.precision = trt.float32
    y = relu.get_output(0)
    y.name = "y"
    n.mark_output(y)
    assert n.num_outputs == 1 and n.get_output(0) is y and n.get_output(1) is None and n.get_input(0) is x
    n.unmark_output(y)
    n.mark_debug(y)
    assert n.num_outputs == 0 and n.is_debug_tensor(y)
    n.unmark_debug(y)
    view = n.get_layer(0)
    assert type(view) is trt.ILayer and view.type == trt.LayerType.ACTIVATION and view == relu and hash(view) == hash(relu)
    view.__class__ = trt.IActivationLayer
    assert view.type == trt.ActivationType.RELU and view.layer_type == trt.LayerType.ACTIVATION and n[0] == view and n[-1] == view and n.get_layer(1) is None and len(n) == 1
    assert [layer.name for layer in n] == ["first"]
    n.remove_tensor(y)
    assert n.num_layers == 0
    with pytest.raises(IndexError):
        n[0]


def test_properties_have_tensorrts_defaults():
    n = trt.INetworkDefinition()
    x = n.add_input("x", trt.float32, (1, 4, 5, 6))
    c = n.add_convolution_nd(x, 6, (3, 3), w4, bias6)
    assert (c.stride_nd, c.dilation_nd, c.pre_padding, c.padding_nd, c.num_groups) == ((1, 1), (1, 1), (0, 0), (0, 0), 1)
    assert c.kernel_size_nd == (3, 3) and c.num_output_maps == 6 and c.padding_mode == trt.PaddingMode.EXPLICIT_ROUND_DOWN
    assert c.kernel.size == w4.size and (c.bias.numpy() == bias6).all()
    assert c.get_output(0).shape == (1, 6, 3, 4)
    assert (c.stride_nd, c.num_groups, c.kernel_size_nd, c.num_output_maps) == ((1, 1), 1, (3, 3), 6)
    p = n.add_pooling_nd(x, trt.PoolingType.AVERAGE, (2, 2))
    assert p.type == trt.PoolingType.AVERAGE and p.average_count_excludes_padding and p.stride_nd == (1, 1) and p.blend_factor == 0
    s = n.add_slice(x, (0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 1, 1))
    assert s.mode == trt.SampleMode.STRICT_BOUNDS and s.shape == (1, 1, 1, 1)
    r = n.add_resize(x)
    assert (r.resize_mode, r.coordinate_transformation) == (trt.InterpolationMode.NEAREST, trt.ResizeCoordinateTransformation.ASYMMETRIC)
    assert (r.selector_for_single_pixel, r.nearest_rounding, r.cubic_coeff, r.exclude_outside) == (trt.ResizeSelector.FORMULA, trt.ResizeRoundMode.FLOOR, -0.75, False)
    r.scales = [1, 1, 1, 1]
    k = n.add_topk(x, trt.TopKOperation.MAX, 2, 1 << 3)
    assert (k.k, k.axes, k.op, k.indices_type) == (2, 8, trt.TopKOperation.MAX, trt.int32) and k.get_output(1).dtype == trt.int32
    g = n.add_gather(x, const(n, [0], np.int32), 2)
    assert (g.axis, g.num_elementwise_dims, g.mode) == (2, 0, trt.GatherMode.DEFAULT)
    q = n.add_quantize(x, const(n, 0.5))
    assert q.axis == -1 and q.to_type == trt.int8 and q.block_shape == ()
    m = n.add_normalization(x, const(n, np.ones((1, 4, 1, 1))), const(n, np.zeros((1, 4, 1, 1))), 0b1100)
    assert (m.epsilon, m.num_groups, m.axes) == (1e-5, 1, 12)
    assert n.add_softmax(x).axes == 1 << 1
    f = n.add_fill((2,), trt.FillOperation.LINSPACE)
    assert (f.alpha, f.beta, f.operation, f.shape) == (0, 1, trt.FillOperation.LINSPACE, (2,))
    sh = n.add_shuffle(x)
    assert sh.zero_is_placeholder
    assert n.add_non_zero(x).get_output(0).dtype == trt.int32 and n.add_non_zero(x).num_outputs == 1
    assert n.add_shape(x).get_output(0).is_shape_tensor


def test_properties_and_inputs_may_change_after_the_layer_is_read():
    n = trt.INetworkDefinition()
    x = n.add_input("x", trt.float32, (1, 4, 6, 6))
    conv = n.add_convolution_nd(x, 6, (3, 3), w4, bias6)
    op = n.add_unary(conv.get_output(0), trt.UnaryOperation.EXP)
    flat = n.add_shuffle(op.get_output(0))
    flat.reshape_dims = (6, -1)
    soft = n.add_softmax(flat.get_output(0))
    soft.axes = 1 << 1
    y = n.add_elementwise(soft.get_output(0), soft.get_output(0), trt.ElementWiseOperation.SUM)
    n.mark_output(y.get_output(0))
    assert y.get_output(0).shape == (6, 16)
    conv.padding_nd = (1, 1)
    assert conv.padding_nd == (1, 1) and y.get_output(0).shape == (6, 36)
    conv.stride_nd = (2, 2)
    assert y.get_output(0).shape == (6, 9)
    op.op, soft.axes, y.op = trt.UnaryOperation.NEG, 1 << 0, trt.ElementWiseOperation.PROD
    assert (op.op, soft.axes, y.op) == (trt.UnaryOperation.NEG, 1, trt.ElementWiseOperation.PROD)
    flat.second_transpose, flat.zero_is_placeholder = (1, 0), True
    flat.reshape_dims = (2, -1)
    assert flat.reshape_dims == (2, -1) and y.get_output(0).shape == (27, 2)
    with pytest.raises(errors.InvalidArgumentError):
        flat.reshape_dims = (7, -1)
    with pytest.raises(errors.InvalidArgumentError):
        conv.num_groups = 3
    assert flat.reshape_dims == (2, -1) and conv.num_groups == 1
    with pytest.raises(errors.InvalidArgumentError, match="is made after the layer"):
        soft.set_input(0, n.add_identity(flat.get_output(0)).get_output(0))
    soft.set_input(0, flat.get_output(0))
    x.shape = (2, 4, 6, 6)
    assert y.get_output(0).shape == (54, 2)
    x.shape = (1, 4, 6, 6)
    n.name = "renamed"
    assert n.name == "renamed"
    data = floats(1, 4, 6, 6)
    expected = softmax((-conv2d(data, w4, bias6, 2, 1)).reshape(2, 27).T, 0) ** 2
    (got,) = run(n, {"x": data}).values()
    assert_close(got, expected)


def test_a_cache_is_updated_and_collectives_of_one_rank_are_the_input():
    def define(n, cache, update, at):
        y = n.add_kv_cache_update(cache, update, at).get_output(0)
        return n.add_dist_collective(y, T.CollectiveOperation.ALL_REDUCE, T.ReduceOperation.SUM).get_output(0)

    inputs = {"cache": floats(2, 1, 5, 3), "update": floats(2, 1, 2, 3, seed=1), "at": np.array([0, 4], np.int32)}
    expected = inputs["cache"].copy()
    expected[0, :, 0:2], expected[1, :, 4:5] = inputs["update"][0], inputs["update"][1, :, :1]
    assert_close(run(make(define, inputs), inputs)["out0"], expected)


def test_dims_weights_and_types():
    assert trt.Dims((1, 2)) == (1, 2) and trt.Dims4() == (0, 0, 0, 0) and trt.DimsHW(3, 4).w == 4 and trt.volume((2, 3)) == 6 and trt.volume((2, -1)) == -1
    assert trt.Weights().size == 0 and trt.Weights(trt.float16).dtype == trt.float16 and len(trt.Weights(vec)) == 12 and trt.Weights(vec).nbytes == 48
    w = trt.Weights(trt.float32, vec.ctypes.data, 12)
    assert (w.numpy() == vec.reshape(-1)).all()
    assert trt.nptype(trt.float16) == np.float16 and trt.float32.itemsize == 4
    assert int(trt.LayerType.PLUGIN_V2) == 21 and int(trt.DataType.FP4) == 10 and int(trt.LayerType.DIST_COLLECTIVE) == 56
    assert 1 << int(trt.BuilderFlag.FP8) == 1 << 15 and trt.DataType.FLOAT != 0


# --- builder, engine, context ------------------------------------------------------------------------------------------------------------


def dynamic_network():
    n = trt.INetworkDefinition()
    x = n.add_input("x", trt.float32, (-1, 4))
    w = n.add_constant((5, 4), floats(5, 4))
    y = n.add_matrix_multiply(x, trt.MatrixOperation.NONE, w.get_output(0), trt.MatrixOperation.TRANSPOSE).get_output(0)
    y.name = "y"
    n.mark_output(y)
    assert n.set_weights_name(w.weights, "w") and not n.set_weights_name(floats(2), "other")
    return n


PROFILE = {"x": ((1, 4), (2, 4), (8, 4))}


def test_a_context_runs_by_addresses():
    engine = trt.Runtime(trt.Logger(), device()).deserialize_cuda_engine(plan_of(dynamic_network(), [PROFILE]))
    assert [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)] == ["x", "y"] == list(engine)
    assert engine.get_tensor_shape("x") == (-1, 4) and engine.get_tensor_dtype("y") == trt.float32
    assert engine.get_tensor_mode("x") == trt.TensorIOMode.INPUT and engine.get_tensor_mode("y") == trt.TensorIOMode.OUTPUT
    context = engine.create_execution_context()
    assert context.infer_shapes() == ["x"] and not context.all_binding_shapes_specified
    x, y = floats(3, 4), np.zeros((3, 5), np.float32)
    assert context.set_input_shape("x", x.shape) and context.all_binding_shapes_specified and context.get_tensor_shape("y") == (3, 5) and context.get_max_output_size("y") == 60
    context.set_tensor_address("x", x.ctypes.data)
    context.set_tensor_address("y", y.ctypes.data)
    assert context.get_tensor_address("y") == y.ctypes.data
    times = []

    class Profiler(trt.IProfiler):
        def report_layer_time(self, layer_name, ms):
            times.append((layer_name, ms))

    context.profiler = Profiler()
    assert context.execute_async_v3(0)
    context.profiler = None
    assert_close(y, x @ floats(5, 4).T)
    assert times and all(ms >= 0 for _, ms in times)
    y[:] = 0
    assert context.execute_v2([x.ctypes.data, y.ctypes.data])
    assert_close(y, x @ floats(5, 4).T)
    assert "functions" in json.loads(engine.create_engine_inspector().get_engine_information())


def test_profiles_are_chosen_by_number():
    other = {"x": ((16, 4), (16, 4), (32, 4))}
    context = trt.Runtime(None, device()).deserialize_cuda_engine(plan_of(dynamic_network(), [PROFILE, other])).create_execution_context()
    with pytest.raises(errors.InvalidArgumentError, match="profile 1 allows it"):
        context.set_input_shape("x", (20, 4))
    assert context.set_optimization_profile_async(1, 0) and context.active_optimization_profile == 1
    assert context.set_input_shape("x", (20, 4))


def test_shape_inputs_have_ranges_of_values():
    n = trt.INetworkDefinition()
    x, dims = n.add_input("x", trt.float32, (3, 4)), n.add_input("dims", trt.int64, (2,))
    shuffle = n.add_shuffle(x)
    shuffle.set_input(1, dims)
    y = shuffle.get_output(0)
    y.name = "y"
    n.mark_output(y)
    builder = trt.Builder(None, device())
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape_input("dims", (1, 1), (2, 6), (12, 12))
    assert profile.get_shape_input("dims") == [(1, 1), (2, 6), (12, 12)] and profile.get_shape_input("x") == []
    config.add_optimization_profile(profile)
    context = builder.build_engine_with_config(n, config)._engine.context()
    for shape in ((2, 6), (12, 1), (3, 4)):
        assert_close(context.run({"x": vec, "dims": np.array(shape)})["y"], vec.reshape(shape))
    with pytest.raises(errors.TenonError):
        context.run({"x": vec, "dims": np.array((5, 5))})
    profile.set_shape_input("dims", (1, 1, 1), (2, 6, 1), (12, 12, 12))
    with pytest.raises(errors.InvalidArgumentError, match="dims"):
        builder.build_serialized_network(n, config)


def test_refit_swaps_named_weights():
    engine = trt.Runtime(None, device()).deserialize_cuda_engine(plan_of(dynamic_network(), [PROFILE]))
    refitter, x = trt.Refitter(engine, None), floats(2, 4)
    assert refitter.get_missing_weights() == []
    assert refitter.set_named_weights("w", floats(5, 4, seed=7)) and refitter.refit_cuda_engine()
    assert_close(engine._engine.context().run({"x": x})["y"], x @ floats(5, 4, seed=7).T)
    again = trt.Runtime(None, device()).deserialize_cuda_engine(engine.serialize())
    assert_close(again._engine.context().run({"x": x})["y"], x @ floats(5, 4, seed=7).T)
    with pytest.raises(errors.NotFoundError, match="nothing"):
        refitter.set_named_weights("nothing", floats(5, 4))


def test_a_stripped_plan_misses_its_weights_until_it_is_refitted():
    n, builder = dynamic_network(), trt.Builder(None, device())
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.STRIP_PLAN)
    config.builder_optimization_level = 0
    config.activation_precision = "float32"
    profile = builder.create_optimization_profile()
    profile.set_shape("x", *PROFILE["x"])
    config.add_optimization_profile(profile)
    engine = trt.Runtime(None, device()).deserialize_cuda_engine(builder.build_serialized_network(n, config))
    refitter = trt.Refitter(engine)
    assert refitter.get_missing_weights() == ["w"]
    refitter.set_named_weights("w", floats(5, 4))
    refitter.refit_cuda_engine()
    assert_close(engine._engine.context().run({"x": vec})["y"], vec @ floats(5, 4).T)


def test_debug_tensors_are_shown():
    n = trt.INetworkDefinition()
    x = n.add_input("x", trt.float32, (3, 4))
    middle = n.add_unary(x, trt.UnaryOperation.NEG).get_output(0)
    middle.name = "middle"
    n.mark_debug(middle)
    n.mark_output(n.add_activation(middle, trt.ActivationType.RELU).get_output(0))
    context = trt.Runtime(None, device()).deserialize_cuda_engine(plan_of(n))._engine.context()
    seen = {}
    context.set_debug_listener(lambda name, array: seen.update({name: array}))
    context.run({"x": vec})
    assert_close(seen["middle"], -vec)

    def fail(name, array):
        raise RuntimeError("from the listener")

    context.set_debug_listener(fail)
    with pytest.raises(RuntimeError, match="from the listener"):
        context.run({"x": vec})
    context.set_debug_listener(None)
    context.run({"x": vec})


def test_dlpack_and_torch_tensors_go_in():
    context = trt.Runtime(None, device()).deserialize_cuda_engine(plan_of(dynamic_network(), [PROFILE]))._engine.context()

    class Capsule:
        def __dlpack__(self, **more):
            return vec.__dlpack__()

        def __dlpack_device__(self):
            return vec.__dlpack_device__()

    assert_close(context.run({"x": Capsule()})["y"], vec @ floats(5, 4).T)
    assert_close(context.run({"x": np.asfortranarray(vec)})["y"], vec @ floats(5, 4).T)
    torch = pytest.importorskip("torch")
    y = context.run({"x": torch.from_numpy(vec)})["y"]
    assert isinstance(y, torch.Tensor)


def test_runs_release_the_gil_and_contexts_are_independent():
    import threading

    engine = trt.Runtime(None, device()).deserialize_cuda_engine(plan_of(dynamic_network(), [PROFILE]))._engine
    results = {}

    def work(i):
        context, x = engine.context(), floats(1 + i, 4, seed=i)
        for _ in range(20):
            results[i] = np.abs(context.run({"x": x})["y"] - x @ floats(5, 4).T).max()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(results) == 4 and max(results.values()) < 1e-4
