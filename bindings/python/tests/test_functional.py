# SPDX-License-Identifier: Apache-2.0
"""Each functional, built and run on the CPU, beside NumPy; fixed shapes, and dimensions known at run time."""

import math

import numpy as np
import pytest

from network_testing import assert_close, floats, run
from tenon import functional as F
from tenon import trt

x34, y34, p34 = floats(3, 4), floats(3, 4, seed=1), floats(3, 4, seed=2, low=0.1)
v4, m45, b234 = floats(4, seed=3), floats(4, 5, seed=4), floats(2, 3, 4, seed=5)
i34 = np.array([[7, -7, 5, 2], [1, -1, 9, -9], [4, 3, -3, 8]], np.int32)
j34 = np.array([[2, 2, -3, 5], [1, 1, -2, 4], [3, 2, 2, 7]], np.int32)
flags = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])
erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x, axes, w=1.0, b=0.0, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * w + b


def conv2d(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    n, c, h, wd = x.shape
    k, cg, kh, kw = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    oh, ow = (x.shape[2] - dilation * (kh - 1) - 1) // stride + 1, (x.shape[3] - dilation * (kw - 1) - 1) // stride + 1
    y = np.zeros((n, k, oh, ow))
    for o in range(k):
        g = o // (k // groups)
        for i in range(kh):
            for j in range(kw):
                part = x[:, g * cg:(g + 1) * cg, i * dilation:i * dilation + (oh - 1) * stride + 1:stride, j * dilation:j * dilation + (ow - 1) * stride + 1:stride]
                y[:, o] += np.einsum("nchw,c->nhw", part, w[o, :, i, j])
    return y + b[None, :, None, None]


def moe():
    gate, up, down = floats(3, 6, 4, seed=20), floats(3, 6, 4, seed=21), floats(3, 4, 6, seed=22)
    y = np.zeros((3, 4))
    for t, experts in enumerate([[0, 2], [1, 0], [2, 1]]):
        for k, e in enumerate(experts):
            g = gate[e] @ x34[t]
            y[t] += p34[t, k] * (down[e] @ (g * sigmoid(g) * (up[e] @ x34[t])))
    return y


a, b = {"a": x34, "b": y34}, {"a": i34, "b": j34}
x, px, bx = {"x": x34}, {"x": p34}, {"x": b234}
CASES = {
    # elementwise
    "add": (lambda a, b: F.add(a, b), a, lambda: x34 + y34),
    "add_number": (lambda x: x + 1.5, x, lambda: x34 + 1.5),
    "number_minus": (lambda x: 2 - x, x, lambda: 2 - x34),
    "add_vector": (lambda x: x + F.constant(v4), x, lambda: x34 + v4),
    "sub": (lambda a, b: a - b, a, lambda: x34 - y34),
    "mul": (lambda a, b: a * b, a, lambda: x34 * y34),
    "div": (lambda a, b: a / b, a, lambda: x34 / y34),
    "div_integers": (lambda a, b: F.div(a, b), b, lambda: np.trunc(i34 / j34).astype(np.int32)),
    "floordiv": (lambda a, b: a // b, b, lambda: i34 // j34),
    "modulo": (lambda a, b: a % b, b, lambda: i34 % j34),
    "pow": (lambda x: x**2.0, px, lambda: p34**2),
    "minimum": (lambda a, b: F.minimum(a, b), a, lambda: np.minimum(x34, y34)),
    "maximum": (lambda a, b: F.maximum(a, b), a, lambda: np.maximum(x34, y34)),
    "gt": (lambda a, b: a > b, a, lambda: x34 > y34),
    "lt": (lambda a, b: a < b, a, lambda: x34 < y34),
    "ge": (lambda a, b: a >= b, b, lambda: i34 >= j34),
    "le": (lambda a, b: a <= b, b, lambda: i34 <= j34),
    "eq": (lambda a, b: a == b, b, lambda: i34 == j34),
    "ne": (lambda a, b: a != b, b, lambda: i34 != j34),
    "op_and": (lambda x: F.op_and(x, F.not_op(x)), {"x": flags}, lambda: flags & ~flags),
    "op_or": (lambda x: F.op_or(x, F.not_op(x)), {"x": flags}, lambda: flags | ~flags),
    "op_xor": (lambda x: F.op_xor(x, F.constant(flags.T.copy().reshape(3, 4))), {"x": flags}, lambda: flags ^ flags.T.copy().reshape(3, 4)),
    "neg": (lambda x: -x, x, lambda: -x34),
    "round": (lambda x: F.round(x), x, lambda: np.round(x34)),
    "sqrt": (lambda x: F.sqrt(x), px, lambda: np.sqrt(p34)),
    "exp": (lambda x: x.exp(), x, lambda: np.exp(x34)),
    "sin": (lambda x: F.sin(x), x, lambda: np.sin(x34)),
    "cos": (lambda x: F.cos(x), x, lambda: np.cos(x34)),
    "abs": (lambda x: F.abs(x), x, lambda: np.abs(x34)),
    "log": (lambda x: F.log(x), px, lambda: np.log(p34)),
    "unary": (lambda x: F.unary(x, trt.UnaryOperation.ERF), x, lambda: erf(x34)),
    "cast": (lambda x: F.cast(x, "int32"), x, lambda: x34.astype(np.int32)),
    "cast_bool": (lambda x: F.cast(F.cast(x, trt.int32), trt.bool), x, lambda: x34.astype(np.int32) != 0),
    "identity": (lambda x: F.identity(x), x, lambda: x34),
    "where": (lambda a, b: F.where(a > b, a, 0.0), a, lambda: np.where(x34 > y34, x34, 0)),
    # activations
    "relu": (lambda x: F.relu(x), x, lambda: np.maximum(x34, 0)),
    "tanh": (lambda x: F.tanh(x), x, lambda: np.tanh(x34)),
    "sigmoid": (lambda x: F.sigmoid(x), x, lambda: sigmoid(x34)),
    "silu": (lambda x: F.silu(x), x, lambda: x34 * sigmoid(x34)),
    "gelu": (lambda x: F.gelu(x), x, lambda: gelu(x34)),
    "quick_gelu": (lambda x: F.quick_gelu(x), x, lambda: x34 * sigmoid(1.702 * x34)),
    "softplus": (lambda x: F.softplus(x, 2.0, 3.0), x, lambda: np.where(2 * x34 > 3, x34, np.log1p(np.exp(2 * x34)) / 2)),
    "clip": (lambda x: F.clip(x, -0.5, 0.75), x, lambda: np.clip(x34, -0.5, 0.75)),
    "int_clip": (lambda x: F.int_clip(x, -2, 4), {"x": i34}, lambda: np.clip(i34, -2, 4)),
    "squared_relu": (lambda x: F.squared_relu(x), x, lambda: np.maximum(x34, 0) ** 2),
    "swiglu": (lambda x: F.swiglu(x), x, lambda: x34[:, :2] * x34[:, 2:] * sigmoid(x34[:, 2:])),
    "geglu": (lambda x: F.geglu(x), x, lambda: x34[:, :2] * gelu(x34[:, 2:])),
    "gegelu": (lambda x: F.gegelu(x, 1.0), x,
               lambda: (lambda a, b: a * sigmoid(1.702 * a) * (b + 1))(np.minimum(x34[:, ::2], 1), np.clip(x34[:, 1::2], -1, 1))),
    "activation": (lambda x: F.activation(x, trt.ActivationType.SOFTSIGN), x, lambda: x34 / (1 + np.abs(x34))),
    "act2fn": (lambda x: F.ACT2FN["silu"](x), x, lambda: x34 * sigmoid(x34)),
    # along dimensions
    "sum": (lambda x: F.sum(x, 1), x, lambda: x34.sum(1)),
    "sum_all": (lambda x: x.sum(), x, lambda: x34.sum()),
    "prod": (lambda x: F.prod(x, -1, keepdim=True), x, lambda: x34.prod(1, keepdims=True)),
    "max": (lambda x: F.max(x, 0), x, lambda: x34.max(0)),
    "min": (lambda x: F.min(x, (0, 2)), bx, lambda: b234.min((0, 2))),
    "mean": (lambda x: F.mean(x, (1, 2)), bx, lambda: b234.mean((1, 2))),
    "reduce": (lambda x: F.reduce(x, trt.ReduceOperation.SUM, [0, 1], True), bx, lambda: b234.sum((0, 1), keepdims=True)),
    "argmax": (lambda x: F.argmax(x, 1), x, lambda: x34.argmax(1).astype(np.int32)),
    "argmax_kept": (lambda x: F.argmax(x, 0, True), x, lambda: x34.argmax(0)[None].astype(np.int32)),
    "topk": (lambda x: F.topk(x, 2, 1), x, lambda: (-np.sort(-x34, 1)[:, :2], np.argsort(-x34, 1)[:, :2].astype(np.int32))),
    "topk_smallest": (lambda x: F.topk(x, 2, 0, largest=False)[0], x, lambda: np.sort(x34, 0)[:2]),
    "softmax": (lambda x: F.softmax(x), x, lambda: softmax(x34)),
    "softmax_axis": (lambda x: F.softmax(x, 1), bx, lambda: softmax(b234, 1)),
    "log_softmax": (lambda x: F.log_softmax(x, -1), x, lambda: np.log(softmax(x34))),
    "cumsum": (lambda x: F.cumsum(x, 1), x, lambda: x34.cumsum(1)),
    # shapes
    "shape": (lambda x: F.shape(x), bx, lambda: np.array([2, 3, 4])),
    "shape_of_one": (lambda x: F.shape(x, -1, "int32"), bx, lambda: np.array(4, np.int32)),
    "slice": (lambda x: F.slice(x, [0, 1], [2, 2]), x, lambda: x34[0:2, 1:3]),
    "slice_strides": (lambda x: F.slice(x, [2, 0], [3, 2], [-1, 2]), x, lambda: x34[::-1, ::2]),
    "slice_tensor": (lambda x: F.slice(x, [0, 0], [F.shape(x, 0), 2]), x, lambda: x34[:, :2]),
    "index": (lambda x: x[0, 1:], bx, lambda: b234[0, 1:]),
    "index_ellipsis": (lambda x: x[..., -1], bx, lambda: b234[..., -1]),
    "index_new": (lambda x: x[:, None, 0], bx, lambda: b234[:, None, 0]),
    "index_back": (lambda x: x[:, ::-2], x, lambda: x34[:, ::-2]),
    "view": (lambda x: F.view(x, [4, -1]), x, lambda: x34.reshape(4, 3)),
    "view_copies": (lambda x: x.view([0, 2, 2]), x, lambda: x34.reshape(3, 2, 2)),
    "view_tensor": (lambda x: F.view(x, [F.shape(x, 1), F.shape(x, 0)]), x, lambda: x34.reshape(4, 3)),
    "flatten": (lambda x: F.flatten(x, 1), bx, lambda: b234.reshape(2, 12)),
    "flatten_front": (lambda x: F.flatten(x, 0, 1), bx, lambda: b234.reshape(6, 4)),
    "permute": (lambda x: F.permute(x, (2, 0, 1)), bx, lambda: b234.transpose(2, 0, 1)),
    "transpose": (lambda x: x.transpose(0, -1), bx, lambda: b234.swapaxes(0, 2)),
    "expand_dims": (lambda x: F.expand_dims(x, [0, 2]), x, lambda: x34[None, :, None]),
    "unsqueeze": (lambda x: F.unsqueeze(x, -1), x, lambda: x34[..., None]),
    "expand_dims_like": (lambda x: F.expand_dims_like(F.constant(v4), x), bx, lambda: v4[None, None]),
    "squeeze": (lambda x: F.squeeze(F.unsqueeze(x, 1), 1), x, lambda: x34),
    "squeeze_all": (lambda x: F.squeeze(F.expand_dims(x, [0, 3])), x, lambda: x34),
    "expand": (lambda x: F.expand(F.unsqueeze(x, 1), [3, 2, 4]), x, lambda: np.broadcast_to(x34[:, None], (3, 2, 4))),
    "concat": (lambda a, b: F.concat([a, b], 1), a, lambda: np.concatenate([x34, y34], 1)),
    "concat_numbers": (lambda x: F.concat([F.shape(x, 0), 7, 9]), x, lambda: np.array([3, 7, 9])),
    "stack": (lambda a, b: F.stack([a, b], 1), a, lambda: np.stack([x34, y34], 1)),
    "split": (lambda x: F.split(x, [1, 3], 1), x, lambda: (x34[:, :1], x34[:, 1:])),
    "split_equal": (lambda x: F.split(x, 2, -1), x, lambda: (x34[:, :2], x34[:, 2:])),
    "chunk": (lambda x: F.chunk(x, 3, 0), x, lambda: (x34[:1], x34[1:2], x34[2:])),
    "unbind": (lambda x: F.unbind(x, 0), bx, lambda: (b234[0], b234[1])),
    "flip": (lambda x: F.flip(x, [0, 2]), bx, lambda: b234[::-1, :, ::-1]),
    "repeat_interleave": (lambda x: F.repeat_interleave(x, 3, 1), x, lambda: np.repeat(x34, 3, 1)),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 1), value=7.0), x, lambda: np.pad(x34, ((0, 1), (1, 2)), constant_values=7)),
    "pad_crops": (lambda x: F.pad(x, (-1, 0)), x, lambda: x34[:, 1:]),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2.0), {"x": floats(1, 2, 3, 4)}, lambda: floats(1, 2, 3, 4).repeat(2, 2).repeat(2, 3)),
    "outer": (lambda a, b: F.outer(a, b), {"a": v4, "b": x34[0, :3].copy()}, lambda: np.outer(v4, x34[0, :3])),
    # by index
    "gather": (lambda x: F.gather(x, 1, F.constant(np.array([[0, 3], [1, 1], [2, 0]], np.int32))), x,
               lambda: np.take_along_axis(x34, np.array([[0, 3], [1, 1], [2, 0]]), 1)),
    "gather_one": (lambda x: F.gather(x, 1, 2), x, lambda: x34[:, 2:3]),
    "index_select": (lambda x: F.index_select(x, 1, F.constant(np.array([3, 0], np.int32))), x, lambda: x34[:, [3, 0]]),
    "select": (lambda x: F.select(x, 0, 2), x, lambda: x34[2]),
    "gather_nd": (lambda x: F.gather_nd(x, F.constant(np.array([[1, 2], [0, 0]], np.int32)), 0), x, lambda: x34[[1, 0], [2, 0]]),
    "scatter": (lambda x: F.scatter(x, 1, F.constant(np.array([[0], [2], [3]], np.int32)), F.constant(np.full((3, 1), 9, np.float32))), x,
                lambda: np.array([[9 if j == [0, 2, 3][i] else x34[i, j] for j in range(4)] for i in range(3)])),
    "scatter_nd": (lambda x: F.scatter_nd(x, F.constant(np.array([[1]], np.int32)), F.constant(v4[None])), x,
                   lambda: np.stack([x34[0], v4, x34[2]])),
    "nonzero": (lambda x: F.nonzero(x), {"x": flags}, lambda: np.stack(flags.nonzero()).astype(np.int32)),
    "masked_select": (lambda x: F.masked_select(x, F.constant(flags)), x, lambda: x34[flags]),
    "masked_scatter": (lambda x: F.masked_scatter(x, F.constant(flags), F.constant(y34)), x,
                       lambda: (lambda z: (z.__setitem__(flags, y34.reshape(-1)[:flags.sum()]), z)[1])(x34.copy())),
    "embedding": (lambda x: F.embedding(x, F.constant(m45)), {"x": np.array([[3, 0], [1, 2]], np.int32)}, lambda: m45[[[3, 0], [1, 2]]]),
    # made values
    "arange": (lambda x: x + F.arange(0, 4, trt.float32), x, lambda: x34 + np.arange(4)),
    "arange_tensor": (lambda x: F.arange(1, F.shape(x, 1), trt.int64), x, lambda: np.arange(1, 4)),
    "constant": (lambda x: x + F.constant(x34), x, lambda: 2 * x34),
    "categorical_sample": (lambda x: F.categorical_sample(F.softmax(x), F.constant(np.array([0.0, 0.999999, 0.5], np.float32))), x,
                           lambda: np.array([(softmax(x34)[i].cumsum() < u).sum() for i, u in enumerate([0.0, 0.999999, 0.5])], np.int32)),
    # products
    "matmul": (lambda x: x @ F.constant(m45), x, lambda: x34 @ m45),
    "matmul_transposed": (lambda x: F.matmul(x, F.constant(y34), transb=True), x, lambda: x34 @ y34.T),
    "matmul_first_transposed": (lambda x: F.matmul(x, F.constant(y34), transa=True), x, lambda: x34.T @ y34),
    "matmul_batch": (lambda x: F.matmul(x, F.constant(m45)), bx, lambda: b234 @ m45),
    "matmul_batches": (lambda x: F.matmul(x, x, transb=True), bx, lambda: b234 @ b234.swapaxes(1, 2)),
    "einsum": (lambda x: F.einsum("bij,kj->bki", [x, F.constant(y34)]), bx, lambda: np.einsum("bij,kj->bki", b234, y34)),
    "conv1d": (lambda x: F.conv1d(x, F.constant(floats(2, 3, 3)), F.constant(floats(2, seed=9)), padding=1), bx,
               lambda: conv2d(b234[:, :, None], floats(2, 3, 3)[:, :, None], floats(2, seed=9), padding=0) if False else
               conv2d(np.pad(b234, ((0, 0), (0, 0), (1, 1)))[:, :, None], floats(2, 3, 3)[:, :, None], floats(2, seed=9))[:, :, 0]),
    "conv2d": (lambda x: F.conv2d(x, F.constant(floats(4, 1, 3, 3)), F.constant(v4), stride=(2, 2), padding=(1, 1), groups=2), {"x": floats(2, 2, 5, 7)},
               lambda: conv2d(floats(2, 2, 5, 7), floats(4, 1, 3, 3), v4, 2, 1, 1, 2)),
    "conv2d_dilated": (lambda x: F.conv2d(x, F.constant(floats(1, 2, 2, 2)), dilation=(2, 2)), {"x": floats(2, 2, 5, 7)},
                       lambda: conv2d(floats(2, 2, 5, 7), floats(1, 2, 2, 2), np.zeros(1), 1, 0, 2)),
    "conv_transpose2d": (lambda x: F.conv_transpose2d(x, F.constant(floats(2, 3, 2, 2)), stride=(2, 2)), {"x": floats(1, 2, 2, 3)},
                         lambda: np.einsum("nchw,ckij->nkhiwj", floats(1, 2, 2, 3), floats(2, 3, 2, 2)).reshape(1, 3, 4, 6)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, (2, 2)), {"x": floats(1, 2, 4, 6)}, lambda: floats(1, 2, 4, 6).reshape(1, 2, 2, 2, 3, 2).mean((3, 5))),
    "max_pool2d": (lambda x: F.max_pool2d(x, (2, 2)), {"x": floats(1, 2, 4, 6)}, lambda: floats(1, 2, 4, 6).reshape(1, 2, 2, 2, 3, 2).max((3, 5))),
    # normalization
    "layer_norm": (lambda x: F.layer_norm(x, 4, F.constant(v4), F.constant(m45[:, 0].copy())), bx, lambda: layer_norm(b234, (2,), v4, m45[:, 0])),
    "layer_norm_plain": (lambda x: F.layer_norm(x, (3, 4)), bx, lambda: layer_norm(b234, (1, 2))),
    "rms_norm": (lambda x: F.rms_norm(x, 4, weight=F.constant(v4)), bx, lambda: b234 / np.sqrt((b234**2).mean(-1, keepdims=True) + 1e-6) * v4),
    "group_norm": (lambda x: F.group_norm(x, 2, F.constant(v4), F.constant(v4 * 2)), {"x": floats(2, 4, 3, 2)},
                   lambda: layer_norm(floats(2, 4, 3, 2).reshape(2, 2, 12), (2,)).reshape(2, 4, 3, 2) * v4[:, None, None] + 2 * v4[:, None, None]),
    "quantize": (lambda x: F.dequantize(F.quantize(x, np.float32(0.1), "int8"), F.constant(np.array([0.1], np.float32))), x,
                 lambda: np.clip(np.round(x34 / np.float32(0.1)), -128, 127) * np.float32(0.1)),
    "moe": (lambda x, e, s: F.moe(x, e, s, F.constant(floats(3, 6, 4, seed=20)), F.constant(floats(3, 6, 4, seed=21)), F.constant(floats(3, 4, 6, seed=22))),
            {"x": x34, "e": np.array([[0, 2], [1, 0], [2, 1]], np.int32), "s": p34[:, :2].copy()}, lambda: moe()),
    # control
    "conditional": (lambda a, b: F.Conditional(F.sum(a) > F.sum(b)).add_output(a, b), a, lambda: x34 if x34.sum() > y34.sum() else y34),
    "allreduce_of_one": (lambda x: F.allreduce(x, [0]) + 0.0, x, lambda: x34),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_functional_equals_numpy(name):
    define, inputs, expected = CASES[name]
    wanted = expected()
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    got = run(define, inputs)
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted):
        assert_close(one, other)


DYNAMIC = ("add add_number add_vector where relu softmax layer_norm rms_norm sum mean max flatten_front matmul matmul_batch concat stack expand_dims "
           "index_ellipsis slice_tensor view_tensor shape cumsum transpose permute embedding repeat_interleave").split()


@pytest.mark.parametrize("name", DYNAMIC)
def test_functional_equals_numpy_with_a_first_dimension_known_at_run_time(name):
    define, inputs, expected = CASES[name]
    wanted = expected()
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    shared = name in ("add", "concat", "stack", "where")
    if shared:  # equal dimensions of two inputs: one name
        from collections import OrderedDict

        define_fixed = define

        def define(a, b):  # noqa: F811
            return define_fixed(a, b)

        from network_testing import device
        from tenon.builder import Builder
        from tenon.network import net_guard
        from tenon.runtime import Engine

        builder = Builder(device())
        network = builder.create_network()
        with net_guard(network):
            ranges = OrderedDict([("n", [[1, 3, 8]]), ("m", [4])])
            tensors = [F.Tensor(name=key, dtype=trt.float32, shape=[-1, 4], dim_range=ranges) for key in ("a", "b")]
            define(*tensors).mark_output("out0")
        config = builder.create_builder_config("float32", opt_level=0)
        got = [Engine.from_bytes(builder.build_engine(network, config), device()).context().run(inputs)["out0"]]
    else:
        got = run(define, inputs, {key: (0,) for key in inputs})
    for one, other in zip(got, wanted):
        assert_close(one, other)


def test_random_numbers_are_a_function_of_the_seed():
    def define(x):
        return F.rand([3, 4], 1.0, 2.0, seed=7), F.rand([3, 4], 1.0, 2.0, seed=7), F.rand([3, 4], seed=8), x

    first, again, other, _ = run(define, {"x": x34})
    assert (first == again).all() and (first != other).any() and first.min() >= 1 and first.max() < 2


def test_float16_and_bfloat16_compute():
    half = x34.astype(np.float16)
    (got,) = run(lambda x: F.relu(x) + 1.0, {"x": half})
    assert got.dtype == np.float16
    assert_close(got.astype(np.float32), np.maximum(half, 0).astype(np.float32) + 1, 1e-2)
    (got,) = run(lambda x: F.cast(F.cast(x, "bfloat16") + 1.5, "float32"), {"x": x34})
    assert_close(got, x34 + 1.5, 2e-2)


def test_empty_dimensions_run():
    (got,) = run(lambda x: F.relu(x) + 1.0, {"x": np.zeros((0, 4), np.float32)})
    assert got.shape == (0, 4)


# --- attention -----------------------------------------------------------------------------------------------------------------


def attention(q, k, v, causal=True, scale=None):
    """[batch, heads, length, size]; keys repeat over groups of heads."""
    k, v = (np.repeat(one, q.shape[1] // k.shape[1], 1) for one in (k, v))
    scores = q @ k.swapaxes(2, 3) * (scale or 1 / np.sqrt(q.shape[-1]))
    if causal:
        rows, keys = np.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2], np.arange(k.shape[2])[None]
        scores = np.where(keys > rows, -np.inf, scores)
    return softmax(scores) @ v


def heads(qkv, h, g, d):
    batch, length = qkv.shape[:2]
    parts = np.split(qkv, [h * d, (h + g) * d], -1)
    return [part.reshape(batch, length, -1, d).transpose(0, 2, 1, 3) for part in parts]


def merge(y):
    return y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)


def rotate(x, positions, dim, interleaved=False):
    angles = positions[:, None] / 10000.0 ** (np.arange(0, dim, 2) / dim)
    cos, sin = np.cos(angles), np.sin(angles)
    y = x.copy().astype(np.float64)
    first, second = (x[..., 0:dim:2], x[..., 1:dim:2]) if interleaved else (x[..., :dim // 2], x[..., dim // 2:dim])
    a, b = first * cos - second * sin, second * cos + first * sin
    if interleaved:
        y[..., 0:dim:2], y[..., 1:dim:2] = a, b
    else:
        y[..., :dim // 2], y[..., dim // 2:dim] = a, b
    return y


QKV = floats(2, 5, (4 + 2 * 2) * 8, seed=11, low=-1, high=1)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", ["plain", "rope", "rope_gptj", "bidirectional", "alibi", "bias"])
def test_gpt_attention_equals_numpy(kind, dynamic):
    arguments = dict(num_heads=4, num_kv_heads=2, hidden_size_per_head=8)
    q, k, v = heads(QKV, 4, 2, 8)
    slopes = F.generate_alibi_slopes(4)
    bias = floats(64, seed=12)
    if kind.startswith("rope"):
        interleaved = kind == "rope_gptj"
        arguments.update(rotary_embedding_dim=6, position_embedding_type=F.PositionEmbeddingType.rope_gptj if interleaved else F.PositionEmbeddingType.rope_gpt_neox)
        q, k = rotate(q, np.arange(5), 6, interleaved), rotate(k, np.arange(5), 6, interleaved)
    if kind == "bidirectional":
        arguments.update(mask_type=F.AttentionMaskType.bidirectional)
    if kind == "bias":
        q, k, v = heads(QKV + bias, 4, 2, 8)
    expected = attention(q, k, v, kind != "bidirectional")
    if kind == "alibi":
        kk, vv = (np.repeat(one, 2, 1) for one in (k, v))
        scores = q @ kk.swapaxes(2, 3) / np.sqrt(8) + slopes[:, None, None] * (np.arange(5)[None] - np.arange(5)[:, None])
        expected = softmax(np.where(np.arange(5)[None] > np.arange(5)[:, None], -np.inf, scores)) @ vv

    def define(x):
        more = dict(alibi_slopes=F.constant(slopes)) if kind == "alibi" else dict(qkv_bias=F.constant(bias)) if kind == "bias" else {}
        return F.gpt_attention(qkv=x, **arguments, **more)[0]

    (got,) = run(define, {"x": QKV}, {"x": (0, 1)} if dynamic else ())
    assert_close(got, merge(expected))


def test_packed_attention_equals_each_sequence_alone():
    lengths = np.array([3, 1, 6], np.int32)
    packed = floats(1, 10, 64, seed=13, low=-1, high=1)
    expected, start = [], 0
    for length in lengths:
        q, k, v = heads(packed[:, start:start + length], 4, 2, 8)
        positions = np.arange(length)
        expected.append(merge(attention(rotate(q, positions, 8), rotate(k, positions, 8), v)))
        start += length

    def define(x, lengths):
        return F.gpt_attention(qkv=x, context_lengths=lengths, num_heads=4, num_kv_heads=2, hidden_size_per_head=8, rotary_embedding_dim=8,
                               position_embedding_type=F.PositionEmbeddingType.rope_gpt_neox)[0]

    for inputs, dynamic in (({"x": packed, "lengths": lengths}, ()), ({"x": packed, "lengths": lengths}, {"x": (1,), "lengths": (0,)})):
        (got,) = run(define, inputs, dynamic)
        assert_close(got, np.concatenate(expected, 1))


def test_past_keys_and_values_come_first():
    q, k, v = heads(QKV, 4, 2, 8)

    def define(x, past):
        return F.gpt_attention(qkv=x, past_key_value=past, num_heads=4, num_kv_heads=2, hidden_size_per_head=8)

    past = np.stack([k[:, :, :3], v[:, :, :3]], 1).astype(np.float32)
    got, present = run(define, {"x": QKV[:, 3:], "past": past})
    assert_close(got, merge(attention(q, k, v))[:, 3:])
    assert_close(present, np.stack([k, v], 1))


def test_bert_attention_sees_the_lengths():
    qkv, lengths = floats(2, 5, 3 * 16, seed=14), np.array([5, 2], np.int32)

    def define(x, lengths):
        return F.bert_attention(x, lengths, 2, 8)[0]

    (got,) = run(define, {"x": qkv, "lengths": lengths})
    for i, length in enumerate(lengths):
        q, k, v = heads(qkv[i:i + 1], 2, 2, 8)
        assert_close(got[i:i + 1], merge(attention(q, k[:, :, :length], v[:, :, :length], False)))


def test_last_tokens_and_masks():
    states, ids = floats(2, 3, 4), np.array([2, 3], np.int32)
    (got,) = run(lambda x, ids: F.gather_last_token_logits(x, ids, False), {"x": states, "ids": ids})
    assert_close(got, states[[0, 1], ids - 1])
    (got,) = run(lambda x, ids: F.gather_last_token_logits(x, ids, True), {"x": states.reshape(6, 4), "ids": np.array([2, 6], np.int32)})
    assert_close(got, states.reshape(6, 4)[[1, 5]])
    (got,) = run(lambda x: F.expand_mask(x, 2), {"x": np.array([[1, 0, 1]], np.int32)})
    assert_close(got, np.broadcast_to(np.array([0, np.finfo(np.float32).min, 0], np.float32), (1, 1, 2, 3)))
    (got,) = run(lambda x: F.generate_alibi_biases(x, 3), {"x": F.generate_alibi_slopes(4)})
    assert_close(got, (F.generate_alibi_slopes(4)[:, None] * np.arange(3))[None, :, None])
    np.testing.assert_allclose(F.generate_alibi_slopes(8), 2.0 ** -np.arange(1, 9), rtol=1e-6)
    np.testing.assert_allclose(F.generate_alibi_slopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125], rtol=1e-6)


def test_a_name_that_is_not_there_says_why():
    from tenon.errors import UnsupportedError

    with pytest.raises(UnsupportedError, match="functional.mamba_conv1d is not in Tenon: state space models"):
        F.mamba_conv1d
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        F.nothing
