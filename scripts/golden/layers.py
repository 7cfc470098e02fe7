#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/layers: inputs and outputs of layers, computed by NumPy, SciPy and ONNX's reference evaluator in float64.
Needs numpy, scipy, onnx.

    python3 scripts/golden/layers.py

A case: {name, layer, params, inputs: [{dtype, dims, values, constant}], outputs: [{dtype, dims, values}], dynamic, tolerance}.
Params have the names of src/op/op_kinds.def. Values are numbers, or "nan", "inf", "-inf".
"""
import json
import math
import pathlib

import numpy as np
import onnx
import scipy.special
from onnx import helper
from onnx.reference import ReferenceEvaluator

out = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/layers"
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(81)
files = {}
TYPES = {"float32": np.float32, "float16": np.float16, "float64": np.float64, "int8": np.int8, "uint8": np.uint8,
         "int32": np.int32, "int64": np.int64, "bool": np.bool_, "bfloat16": np.float32, "int16": np.int16}


def draw(*dims, low=-2.0, high=2.0):
    return np.round(rng.uniform(low, high, dims), 2)


def ints(*dims, low=-9, high=10):
    return rng.integers(low, high, dims)


def to_bfloat16(x):
    bits = np.asarray(x, np.float32).reshape(-1).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return rounded.astype(np.uint32).view(np.float32).reshape(np.shape(x))


def stored(x, dtype):
    """The values as the type has them, in float64 or int64."""
    x = np.asarray(x)
    if dtype == "bfloat16":
        return to_bfloat16(x).astype(np.float64)
    x = x.astype(TYPES[dtype])
    return x if x.dtype.kind in "biu" else x.astype(np.float64)


def number(v):
    if isinstance(v, (bool, np.bool_)):
        return int(v)
    if isinstance(v, (int, np.integer)):
        return int(v)
    if math.isnan(v):
        return "nan"
    if math.isinf(v):
        return "inf" if v > 0 else "-inf"
    text = f"{v:.9g}"
    value = float(text)
    return int(value) if value == int(value) and abs(value) < 1e6 else value


def tensor(x, dtype, **more):
    x = stored(x, dtype)
    return {"dtype": dtype, "dims": list(x.shape), "values": [number(v) for v in x.reshape(-1).tolist()], **more}


def const(x, dtype="float32"):
    return tensor(x, dtype, constant=True)


def case(file, name, layer, inputs, outputs, params=None, **more):
    files.setdefault(file, []).append({"name": name, "layer": layer, "params": params or {}, "inputs": inputs, "outputs": outputs, **more})


def values(t):
    x = np.array([float(v) if isinstance(v, str) else v for v in t["values"]], dtype=object if t["dtype"] == "int64" else np.float64)
    return x.astype(np.int64 if t["dtype"] in ("int64", "int32", "int8", "uint8", "int16") else np.float64).reshape(t["dims"])


def onnx_run(op, inputs, attributes, num_outputs=1, opset=20):
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(num_outputs)], **attributes)
    kinds = {"f": onnx.TensorProto.DOUBLE, "i": onnx.TensorProto.INT64, "b": onnx.TensorProto.BOOL}
    given = {n: np.asarray(x) for n, x in zip(names, inputs) if x is not None}
    infos = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT if x.dtype == np.float32 else kinds[x.dtype.kind], list(x.shape)) for n, x in given.items()]
    outs = [helper.make_tensor_value_info(f"y{i}", onnx.TensorProto.DOUBLE, None) for i in range(num_outputs)]
    graph = helper.make_graph([node], "g", infos, outs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model).run(None, given)


# --- pointwise ---------------------------------------------------------------------------------------------------------------

UNARY = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "recip": lambda x: 1 / x, "abs": np.abs, "neg": np.negative, "sin": np.sin,
    "cos": np.cos, "erf": scipy.special.erf, "floor": np.floor, "ceil": np.ceil, "round": np.rint, "tan": np.tan, "sinh": np.sinh,
    "cosh": np.cosh, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "sign": np.sign, "isinf": np.isinf, "isnan": np.isnan,
}
ACTIVATIONS = {
    "relu": lambda x, a, b: np.maximum(x, 0), "sigmoid": lambda x, a, b: scipy.special.expit(x), "tanh": lambda x, a, b: np.tanh(x),
    "silu": lambda x, a, b: x * scipy.special.expit(x), "gelu_erf": lambda x, a, b: 0.5 * x * (1 + scipy.special.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x, a, b: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_quick": lambda x, a, b: x * scipy.special.expit(1.702 * x),
    "leaky_relu": lambda x, a, b: np.where(x < 0, a * x, x), "elu": lambda x, a, b: np.where(x < 0, a * (np.exp(x) - 1), x),
    "selu": lambda x, a, b: b * np.where(x < 0, a * (np.exp(x) - 1), x), "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "softplus": lambda x, a, b: a * np.log(1 + np.exp(b * x)), "clip": lambda x, a, b: np.maximum(a, np.minimum(b, x)),
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1), "scaled_tanh": lambda x, a, b: a * np.tanh(b * x),
    "thresholded_relu": lambda x, a, b: np.where(x > a, x, 0),
}
ELEMENTWISE = {
    "sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum, "sub": np.subtract, "div": np.divide, "pow": np.power,
    "floor_div": np.floor_divide, "mod": np.mod, "equal": np.equal, "greater": np.greater, "less": np.less,
}
with np.errstate(all="ignore"):
    for op, f in UNARY.items():
        for dtype in ("float32", "float16", "bfloat16", "float64"):
            x = draw(3, 7, low=-1.5, high=1.5)
            if op in ("isinf", "isnan", "sign", "abs", "neg", "floor"):
                x[0, :3] = [np.inf, -np.inf, np.nan]
            x = tensor(x, dtype)
            y = f(values(x))
            case("pointwise", f"{op} {dtype}", "unary", [x], [tensor(y, "bool" if op.startswith("is") else dtype)], {"op": op})
    for op in ("abs", "neg", "sign"):
        for dtype in ("int32", "int64", "int8"):
            x = tensor(ints(5, 3), dtype)
            case("pointwise", f"{op} {dtype}", "unary", [x], [tensor(UNARY[op](values(x)), dtype)], {"op": op})
    x = tensor(ints(2, 5, low=0, high=2), "bool")
    case("pointwise", "not", "unary", [x], [tensor(values(x) == 0, "bool")], {"op": "not"})
    for type_, f in ACTIVATIONS.items():
        for i, (alpha, beta) in enumerate(((0.3, 1.4), (-0.5, 0.75), (1.2, -0.25))):
            dtype = ("float32", "float16", "bfloat16")[i]
            x = tensor(draw(2, 3, 5, low=-6, high=6), dtype)
            case("pointwise", f"{type_} {dtype} {alpha} {beta}", "activation", [x], [tensor(f(values(x), alpha, beta), dtype)],
                 {"type": type_, "alpha": alpha, "beta": beta})
    for dtype in ("int32", "int64"):
        x = tensor(ints(4, 3), dtype)
        case("pointwise", f"relu {dtype}", "activation", [x], [tensor(np.maximum(values(x), 0), dtype)], {"type": "relu"})
    DEFAULTS = {"leaky_relu": (0.01, 0), "elu": (1, 0), "selu": (1.67326324235437728482, 1.05070098735548049342), "softplus": (1, 1),
                "clip": (-3.4028234663852886e38, 3.4028234663852886e38), "hard_sigmoid": (0.2, 0.5), "scaled_tanh": (1, 1),
                "thresholded_relu": (1, 0)}
    for type_, (alpha, beta) in DEFAULTS.items():
        x = tensor(draw(9, low=-6, high=6), "float32")
        case("pointwise", f"{type_} defaults", "activation", [x], [tensor(ACTIVATIONS[type_](values(x), alpha, beta), "float32")], {"type": type_})
    for op, f in ELEMENTWISE.items():
        for dtype, da, db in (("float32", (3, 1, 5), (1, 4, 5)), ("float16", (2, 3), (2, 3)), ("int32", (3, 4), (1, 4)), ("int64", (5,), (1,)),
                              ("float32", (0, 3), (1, 3)), ("bfloat16", (7,), (7,)), ("float64", (2, 1), (1, 2))):
            is_int = dtype.startswith("int")
            a = tensor(ints(*da) if is_int else draw(*da), dtype)
            b = ints(*db, low=1, high=5) if is_int else draw(*db, low=0.5)
            if is_int and op in ("div", "floor_div", "mod"):
                b = b * rng.choice([-1, 1], db)
            if op in ("equal", "greater", "less"):
                b = np.broadcast_to(values(a).reshape(-1)[:1], db).copy() if values(a).size else b
            if op == "pow" and not is_int:
                a = tensor(np.abs(values(a)) + 0.25, dtype)
            b = tensor(b, dtype)
            va, vb = values(a), values(b)
            y = np.trunc(va / vb).astype(np.int64) if op == "div" and is_int else f(va, vb)
            case("pointwise", f"{op} {dtype} {da} {db}", "elementwise", [a, b],
                 [tensor(y, "bool" if op in ("equal", "greater", "less") else dtype)], {"op": op}, tolerance=4e-3 if dtype == "float16" else None)
    for op, f in (("and", np.logical_and), ("or", np.logical_or), ("xor", np.logical_xor)):
        a, b = tensor(ints(3, 4, low=0, high=2), "bool"), tensor(ints(3, 1, low=0, high=2), "bool")
        case("pointwise", op, "elementwise", [a, b], [tensor(f(values(a), values(b)), "bool")], {"op": op})
for dtype in ("float32", "int64", "bool", "float16"):
    c, a, b = tensor(ints(2, 1, 3, low=0, high=2), "bool"), tensor(ints(2, 4, 1, low=0, high=2), dtype), tensor(ints(1, 1, 3, low=0, high=2), dtype)
    case("pointwise", f"select {dtype}", "select", [c, a, b], [tensor(np.where(values(c) != 0, values(a), values(b)), dtype)])
c, a, b = tensor(np.zeros((0, 1)), "bool"), tensor(draw(1, 3), "float32"), tensor(draw(1, 3), "float32")
case("pointwise", "select empty", "select", [c, a, b], [tensor(np.zeros((0, 3)), "float32")])
for dtype, slope in (("float32", (1, 3, 1)), ("float16", (2, 3, 4)), ("float32", (1, 1, 1))):
    x, s = tensor(draw(2, 3, 4), dtype), tensor(draw(*slope), dtype)
    v = values(x)
    case("pointwise", f"parametric_relu {dtype} {slope}", "parametric_relu", [x, s], [tensor(np.where(v < 0, v * values(s), v), dtype)])
for mode, dims, axis in (("uniform", (), 0), ("channel", (3,), 1), ("elementwise", (3, 2, 5), 1), ("channel", (5,), 3)):
    for which in (7, 1, 2, 6):
        x = tensor(draw(2, 3, 2, 5, low=0.2, high=3), "float32")
        w = [const(draw(*dims, low=0.5, high=1.5)) if which >> i & 1 else None for i in range(3)]
        shape = {"uniform": (), "channel": tuple(3 if i == axis and axis == 1 else 5 if i == axis else 1 for i in range(4)), "elementwise": (1, 3, 2, 5)}[mode]
        g = [values(t).reshape(shape) if t else d for t, d in zip(w, (0.0, 1.0, 1.0))]
        case("pointwise", f"scale {mode} {axis} {which}", "scale", [x] + w, [tensor((values(x) * g[1] + g[0]) ** g[2], "float32")], {"mode": mode, "axis": axis})
for to in ("float32", "float16", "int32", "int64", "int8", "bool", "float64", "uint8", "bfloat16"):
    for dtype in ("float32", "int32", "bool", "float16", "int64"):
        x = tensor(ints(3, 5, low=0, high=2) if dtype == "bool" else ints(3, 5, low=0, high=100) if dtype.startswith("int") else draw(3, 5, low=0 if to == "uint8" else -90, high=90), dtype)
        y = values(x) != 0 if to == "bool" else np.trunc(values(x)) if to.startswith(("int", "uint")) else values(x)
        case("pointwise", f"cast {dtype} {to}", "cast", [x], [tensor(y, to)], {"to": to})

# --- reduce and along axes -----------------------------------------------------------------------------------------------------

REDUCE = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min, "avg": np.mean}
for op, f in REDUCE.items():
    for axes in ((0,), (1,), (0, 2), (0, 1, 2), (2,)):
        for dtype, keep in (("float32", True), ("int32", False), ("float16", False)):
            if op == "avg" and dtype == "int32":
                continue
            x = tensor(ints(3, 4, 2, low=-4, high=5) if dtype == "int32" else draw(3, 4, 2), dtype)
            y = f(values(x), axis=axes, keepdims=keep)
            case("axes", f"reduce {op} {axes} {dtype}", "reduce", [x], [tensor(y, dtype)], {"op": op, "axes": sum(1 << a for a in axes), "keep_dims": keep})
for op, y in (("sum", np.zeros((3,))), ("prod", np.ones((3,)))):
    case("axes", f"reduce {op} of nothing", "reduce", [tensor(np.zeros((3, 0)), "float32")], [tensor(y, "float32")], {"op": op, "axes": 2})
for dims in ((4,), (2, 3, 5), (1, 1), (0, 3)):
    for axis in range(len(dims)):
        for dtype in ("float32", "float16"):
            x = tensor(draw(*dims, low=-5, high=5), dtype)
            case("axes", f"softmax {dims} {axis} {dtype}", "softmax", [x], [tensor(scipy.special.softmax(values(x), axis=axis) if values(x).size else values(x), dtype)], {"axis": axis})
for op in ("max", "min"):
    for axis, k, dtype in ((0, 2, "float32"), (1, 4, "float32"), (2, 1, "int32"), (1, 0, "float32"), (-1, 3, "int64"), (1, 3, "float16")):
        for tensor_k in (False, True):
            x = tensor(ints(3, 4, 3) if dtype.startswith("int") else np.round(draw(3, 4, 3), 1), dtype)
            v = values(x)
            order = np.argsort(-v if op == "max" else v, axis=axis, kind="stable")
            at = np.take(order, range(k), axis=axis)
            case("axes", f"topk {op} {axis} {k} {dtype} {tensor_k}", "topk", [x] + ([const(np.array(k), "int64")] if tensor_k else []),
                 [tensor(np.take_along_axis(v, at, axis), dtype), tensor(at, "int32")], {"op": op, "axis": axis, "k": k})
x = tensor([1.0, np.nan, 3.0, -np.inf, np.inf], "float32")
case("axes", "topk nan", "topk", [x], [tensor([np.nan, np.inf, 3], "float32"), tensor([1, 4, 2], "int64")], {"op": "max", "axis": 0, "k": 3, "indices": "int64"})
for dims, axis in (((5,), 0), ((2, 3, 4), 1), ((2, 3, 4), -1), ((0, 3), 1), ((3, 0), 1)):
    for exclusive in (False, True):
        for reverse in (False, True):
            dtype = "int32" if exclusive else "float32"
            x = tensor(ints(*dims), dtype)
            v = values(x)
            f = np.flip(v, axis) if reverse else v
            y = np.cumsum(f, axis=axis)
            y = y - f if exclusive else y
            case("axes", f"cumulative {dims} {axis} {exclusive} {reverse}", "cumulative", [x], [tensor(np.flip(y, axis) if reverse else y, dtype)],
                 {"op": "sum", "axis": axis, "exclusive": exclusive, "reverse": reverse})
x, bounds = tensor(draw(2, 3, 5), "float32"), tensor(np.array([[[5], [1], [0]], [[3], [9], [2]]]), "int32")
y = np.zeros((2, 3, 5))
for i in range(2):
    for j in range(3):
        n = min(5, int(values(bounds)[i, j, 0]))
        if n:
            y[i, j, :n] = scipy.special.softmax(values(x)[i, j, :n])
case("axes", "ragged_softmax", "ragged_softmax", [x, bounds], [tensor(y, "float32")])


def normalize(v, axes, rms, eps):
    mean = 0 if rms else v.mean(axis=axes, keepdims=True)
    return (v - mean) / np.sqrt(((v - mean) ** 2).mean(axis=axes, keepdims=True) + eps)


for name, dims, axes, groups, scale in (("instance", (2, 3, 4, 5), (2, 3), 1, (1, 3, 1, 1)), ("layer", (2, 3, 4), (1, 2), 1, (1, 3, 4)),
                                        ("group", (2, 6, 3, 2), (2, 3), 3, (1, 6, 1, 1)), ("group scales", (2, 6, 3, 2), (2, 3), 2, (1, 2, 1, 1)),
                                        ("batch", (3, 4), (0,), 1, (1, 4)), ("last", (3, 7), (1,), 1, (1, 7)), ("instance 3D", (1, 2, 2, 3, 2), (2, 3, 4), 1, (1, 2, 1, 1, 1)),
                                        ("empty", (0, 3, 4), (2,), 1, (1, 3, 1))):
    for type_ in ("layer", "rms"):
        for with_bias in (True, False):
            dtype = "float32" if with_bias else "float16"
            x, s = tensor(draw(*dims), dtype), const(draw(*scale), dtype)
            b = const(draw(*scale), dtype) if with_bias else None
            v = values(x)
            if groups > 1:
                y = normalize(v.reshape(dims[0], groups, -1), (2,), type_ == "rms", 1e-5).reshape(dims)
                spread = lambda t: np.repeat(values(t), dims[1] // groups, axis=1) if scale[1] == groups else values(t)
            else:
                y = normalize(v, axes, type_ == "rms", 1e-5) if v.size else v
                spread = values
            y = y * spread(s) + (spread(b) if b else 0)
            case("axes", f"normalization_nd {name} {type_} {with_bias}", "normalization_nd", [x, s] + ([b] if b else []), [tensor(y, dtype)],
                 {"type": type_, "axes": sum(1 << a for a in axes), "groups": groups, "epsilon": 1e-5}, static_axes=[1] if groups > 1 else None)
for type_ in ("layer", "rms"):
    x, s, b = tensor(draw(3, 9), "float32"), const(draw(9)), const(draw(9))
    y = normalize(values(x), (1,), type_ == "rms", 1e-6) * values(s) + values(b)
    case("axes", f"normalization {type_}", "normalization", [x, s, b], [tensor(y, "float32")], {"type": type_, "epsilon": 1e-6})
for window, dims in ((3, (2, 5, 2, 3)), (5, (1, 4, 3)), (1, (1, 3, 2, 2)), (9, (1, 3, 2))):
    x = tensor(draw(*dims), "float32")
    v, half = values(x), window // 2
    around = [(v[:, max(0, c - half):c + half + 1] ** 2).sum(axis=1) for c in range(dims[1])]
    y = v / (1.5 + 0.5 / window * np.stack(around, 1)) ** 0.75
    case("axes", f"lrn {window} {dims}", "lrn", [x], [tensor(y, "float32")], {"window": window, "alpha": 0.5, "beta": 0.75, "k": 1.5}, tolerance=2e-6)

# --- moving --------------------------------------------------------------------------------------------------------------------

for dtype in ("float32", "int64", "bool", "float16", "int8"):
    x = tensor(ints(2, 3, 4, low=0, high=2), dtype)
    v = values(x)
    case("move", f"shuffle {dtype}", "shuffle", [x], [tensor(v.transpose(2, 0, 1).reshape(8, 3).T, dtype)], {"first": [2, 0, 1], "reshape": [8, -1], "second": [1, 0]})
    case("move", f"squeeze {dtype}", "squeeze", [tensor(v.reshape(2, 1, 12, 1), dtype)], [tensor(v.reshape(2, 12), dtype)], {"axes": [1, -1]}, static_axes=[1, 3])
    case("move", f"unsqueeze {dtype}", "unsqueeze", [x], [tensor(v.reshape(1, 2, 3, 1, 4), dtype)], {"axes": [0, 3]})
    case("move", f"concatenation {dtype}", "concatenation", [x, tensor(v[:, :1], dtype), tensor(v[:, :0], dtype)], [tensor(np.concatenate([v, v[:, :1]], 1), dtype)], {"axis": 1})
    case("move", f"identity {dtype}", "identity", [x], [x])
case("move", "shuffle zero", "shuffle", [tensor(np.zeros((0, 3)), "float32")], [tensor(np.zeros((3, 0)), "float32")], {"reshape": [3, 0], "zero_is_zero": True})
case("move", "shuffle copies", "shuffle", [tensor(np.arange(6).reshape(2, 3), "float32")], [tensor(np.arange(6).reshape(2, 3, 1), "float32")], {"reshape": [0, 0, -1]})
case("move", "shape", "shape", [tensor(draw(2, 3, 1), "float32")], [tensor(np.array([2, 3, 1]), "int64")])


def reach(i, n, mode):
    if mode == "clamp":
        return min(max(i, 0), n - 1)
    if mode == "wrap":
        return i % n
    if mode == "reflect":
        if n == 1:
            return 0
        i = i % (2 * n - 2)
        return i if i < n else 2 * n - 2 - i
    return i if 0 <= i < n else None


def slice_mode(v, start, size, stride, mode, fill=0):
    y = np.full(size, fill, dtype=v.dtype)
    for at in np.ndindex(*size):
        from_ = [reach(s + a * t, n, mode) for s, a, t, n in zip(start, at, stride, v.shape)]
        if None not in from_:
            y[at] = v[tuple(from_)]
    return y


for start, size, stride in (([1, 0], [2, 3], [1, 2]), ([3, 4], [4, 2], [-1, -3]), ([0, 2], [3, 4], [0, 0]), ([2, 0], [0, 5], [1, 1])):
    x = tensor(draw(4, 5), "float32")
    y = slice_mode(values(x), start, size, stride, "strict")
    case("move", f"slice {start} {size} {stride}", "slice", [x], [tensor(y, "float32")], {"start": start, "size": size, "stride": stride})
    case("move", f"slice tensors {start} {size} {stride}", "slice", [x, const(np.array(start), "int64"), const(np.array(size), "int32"), const(np.array(stride), "int64")],
         [tensor(y, "float32")], {"tensors": True})
for mode in ("fill", "clamp", "wrap", "reflect"):
    for dtype in ("float32", "int32", "bool", "float16", "int64"):
        start, size, stride = [-3, 2], [9, 8], [1, -1] if dtype == "int32" else [1, 2]
        x = tensor(ints(3, 4, low=0, high=2) if dtype == "bool" else ints(3, 4), dtype)
        fill = 1 if dtype in ("bool", "int32") and mode == "fill" else 0
        inputs = [x, None, None, None, const(np.array(fill), dtype)] if fill else [x]
        case("move", f"slice {mode} {dtype}", "slice", inputs, [tensor(slice_mode(values(x), start, size, stride, mode, fill), dtype)],
             {"start": start, "size": size, "stride": stride, "mode": mode})
case("move", "slice fill of nothing", "slice", [tensor(np.zeros((0, 2)), "float32")], [tensor(np.zeros((2, 2)), "float32")],
     {"start": [-1, 0], "size": [2, 2], "stride": [1, 1], "mode": "fill"})
x = tensor(draw(3, 4, 5), "float32")
case("move", "slice axes", "slice", [x], [tensor(values(x)[1:3, :, 4:0:-2], "float32")], {"axes": [-1, 0], "start": [4, 1], "size": [2, 2], "stride": [-2, 1]})
case("move", "slice to the end", "slice", [x], [tensor(values(x)[1:, :, ::2], "float32")], {"start": [1, 0, 0], "size": [-1, -1, -1], "stride": [1, 1, 2]})
for pre, post in (([1, 2], [0, 3]), ([-1, 0], [0, -2]), ([0, 1], [-1, 1])):
    x = tensor(draw(1, 2, 3, 4), "float32")
    y = np.pad(values(x), [(0, 0), (0, 0)] + [(max(a, 0), max(b, 0)) for a, b in zip(pre, post)])
    y = y[:, :, max(-pre[0], 0):y.shape[2] - max(-post[0], 0), max(-pre[1], 0):y.shape[3] - max(-post[1], 0)]
    case("move", f"padding {pre} {post}", "padding", [x], [tensor(y, "float32")], {"pre": pre, "post": post})
for dtype in ("float32", "int64", "bool", "float16"):
    d = tensor(ints(4, 3, 5, low=0, high=2) if dtype == "bool" else ints(4, 3, 5), dtype)
    v = values(d)
    for axis in range(3):
        i = tensor(ints(2, 3, low=-1, high=v.shape[axis] + 1), "int32" if axis else "int64")
        at = values(i)
        y = np.where(np.expand_dims((at >= 0) & (at < v.shape[axis]), tuple(range(axis)) + tuple(range(axis + 2, 4))), np.take(v, np.clip(at, 0, v.shape[axis] - 1), axis=axis), 0)
        case("move", f"gather {axis} {dtype}", "gather", [d, i], [tensor(y, dtype)], {"axis": axis})
    i = tensor(ints(2, 3, 2, low=0, high=3), "int32")
    y = onnx_run("GatherElements", [v.astype(np.float64), values(i)], {"axis": 1})[0] if False else np.take_along_axis(v[:2, :, :2], values(i), axis=1)
    case("move", f"gather element {dtype}", "gather", [d, i], [tensor(y, dtype)], {"mode": "element", "axis": 1})
    i = tensor(np.stack([ints(5, low=0, high=4), ints(5, low=0, high=3)], -1), "int64")
    case("move", f"gather nd {dtype}", "gather", [d, i], [tensor(v[tuple(values(i).T)], dtype)], {"mode": "nd"})
    i = tensor(ints(4, 2, low=0, high=5), "int32")
    y = np.stack([np.take(v[b], values(i)[b], axis=1) for b in range(4)])
    case("move", f"gather batched {dtype}", "gather", [d, i], [tensor(y, dtype)], {"axis": 2, "batch_dims": 1})
    i = tensor(ints(4, 3, 2, 1, low=0, high=5), "int32")
    y = onnx_run("GatherND", [v.astype(np.float64), values(i)], {"batch_dims": 2})[0]
    case("move", f"gather nd batched {dtype}", "gather", [d, i], [tensor(y, dtype)], {"mode": "nd", "batch_dims": 2})
    for axis in (0, 2):
        i = tensor(np.stack([rng.permutation(4 if axis == 0 else 5)[:2] for _ in range(6)]).reshape(3, 2, 2).transpose(2, 0, 1) if axis == 0 else
                   np.stack([rng.permutation(5)[:2] for _ in range(6)]).reshape(2, 3, 2), "int64" if axis else "int32")
        u = tensor(ints(*values(i).shape, low=0, high=2), dtype)
        y = v.copy()
        for at in np.ndindex(*values(i).shape):
            to = list(at)
            to[axis] = values(i)[at]
            y[tuple(to)] = values(u)[at]
        case("move", f"scatter element {axis} {dtype}", "scatter", [d, i, u], [tensor(y, dtype)], {"mode": "element", "axis": axis})
    i = tensor(np.array([[0, 1], [3, 2], [9, 0]]), "int32")
    u = tensor(ints(3, 5, low=0, high=2), dtype)
    y = v.copy()
    y[0, 1], y[3, 2] = values(u)[0], values(u)[1]
    case("move", f"scatter nd {dtype}", "scatter", [d, i, u], [tensor(y, dtype)], {"mode": "nd"})
    i, w = tensor(np.array([[0, 2, -1], [5, -4, 3]]), "int32"), tensor(np.array([0, 1]), dtype)
    for axis in (0, 1, -1):
        hot = np.zeros((2, 3, 4))
        for at in np.ndindex(2, 3):
            index = values(i)[at] + (4 if values(i)[at] < 0 else 0)
            if 0 <= index < 4:
                hot[at + (index,)] = 1
        case("move", f"one_hot {axis} {dtype}", "one_hot", [i, w], [tensor(np.moveaxis(hot, -1, axis), dtype)], {"depth": 4, "axis": axis})
    x, n = tensor(ints(3, 4, 2, low=0, high=2), dtype), tensor(np.array([2, 4, 0]), "int32")
    y = values(x).copy()
    for b in range(3):
        y[b, :values(n)[b]] = y[b, :values(n)[b]][::-1]
    case("move", f"reverse_sequence {dtype}", "reverse_sequence", [x, n], [tensor(y, dtype)], {"batch_axis": 0, "sequence_axis": 1})
    z = tensor(ints(3, 4, low=0, high=2), dtype)
    at = np.array(np.nonzero(values(z)))
    case("move", f"non_zero {dtype}", "non_zero", [z], [tensor(at, "int64"), tensor(np.array(at.shape[1]), "int64")])
    case("move", f"non_zero int32 {dtype}", "non_zero", [z], [tensor(at, "int32"), tensor(np.array(at.shape[1]), "int64")], {"indices": "int32"})
case("move", "non_zero of zeros", "non_zero", [tensor(np.zeros((2, 2)), "float32")], [tensor(np.zeros((2, 0)), "int64"), tensor(np.array(0), "int64")])
x, n = tensor(draw(4, 3), "float32"), tensor(np.array([1, 3, 4]), "int64")
y = values(x).copy()
for b in range(3):
    y[:values(n)[b], b] = y[:values(n)[b], b][::-1]
case("move", "reverse_sequence time major", "reverse_sequence", [x, n], [tensor(y, "float32")], {"batch_axis": 1, "sequence_axis": 0})

# --- windows -------------------------------------------------------------------------------------------------------------------


def windows(v, size, stride, dilation, pre, outs, fill):
    """Every window of the spatial axes as [n, c, *outs, *size], padded with `fill`."""
    k = len(size)
    y = np.full(v.shape[:2] + tuple(outs) + tuple(size), fill)
    for o in np.ndindex(*outs):
        for j in np.ndindex(*size):
            at = [a * s - p + b * d for a, s, p, b, d in zip(o, stride, pre, j, dilation)]
            if all(0 <= a < n for a, n in zip(at, v.shape[2:])):
                y[(slice(None), slice(None)) + o + j] = v[(slice(None), slice(None)) + tuple(at)]
    return y


def geometry(n, size, stride, dilation, pre, post, mode):
    outs, before = [], []
    for i in range(len(size)):
        span = (size[i] - 1) * dilation[i] + 1
        if mode.startswith("same"):
            o = -(-n[i] // stride[i])
            total = max(0, (o - 1) * stride[i] + span - n[i])
            before.append(total // 2 if mode == "same_upper" else total - total // 2)
        else:
            room = n[i] + pre[i] + post[i] - span
            o = (-(-room // stride[i]) if mode == "explicit_round_up" else room // stride[i]) + 1
            before.append(pre[i])
        outs.append(o)
    return outs, before


def convolve(v, w, b, groups, stride, dilation, pre, post, mode):
    size = w.shape[2:]
    outs, before = geometry(v.shape[2:], size, stride, dilation, pre, post, mode)
    p = windows(v, size, stride, dilation, before, outs, 0.0)
    c, k = v.shape[1] // groups, w.shape[0] // groups
    s = len(size)
    ys = [np.tensordot(p[:, g * c:(g + 1) * c], w[g * k:(g + 1) * k], axes=([1] + list(range(2 + s, 2 + 2 * s)), list(range(1, 2 + s)))) for g in range(groups)]
    y = np.moveaxis(np.concatenate(ys, -1), -1, 1)
    return y + (b.reshape((1, -1) + (1,) * s) if b is not None else 0)


CONV = [  # dims, filters, groups, size, stride, dilation, pre, post, mode
    ((2, 3, 5, 6), 4, 1, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), "explicit_round_down"),
    ((1, 4, 7, 5), 6, 2, (3, 2), (2, 1), (1, 2), (0, 1), (2, 0), "explicit_round_down"),
    ((1, 3, 6, 6), 3, 3, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), "explicit_round_up"),
    ((1, 2, 7, 8), 2, 1, (3, 4), (2, 3), (1, 1), (0, 0), (0, 0), "same_upper"),
    ((1, 2, 7, 8), 2, 1, (4, 3), (3, 2), (1, 2), (0, 0), (0, 0), "same_lower"),
    ((1, 2, 4, 3, 5), 3, 1, (2, 2, 3), (1, 1, 2), (2, 1, 1), (1, 0, 1), (0, 1, 1), "explicit_round_down"),
    ((2, 2, 9), 4, 2, (3,), (2,), (2,), (1,), (2,), "explicit_round_down"),
    ((0, 3, 4, 4), 2, 1, (2, 2), (1, 1), (1, 1), (0, 0), (0, 0), "explicit_round_down"),
    ((1, 3, 2, 2), 2, 1, (1, 1), (1, 1), (1, 1), (0, 0), (0, 0), "explicit_round_down"),
]
for n, (dims, filters, groups, size, stride, dilation, pre, post, mode) in enumerate(CONV):
    for dtype in ("float32", "float16"):
        x, w = tensor(draw(*dims), dtype), const(draw(filters, dims[1] // groups, *size), dtype)
        b = const(draw(filters), dtype) if n % 2 == 0 else None
        y = convolve(values(x), values(w), values(b) if b else None, groups, stride, dilation, pre, post, mode)
        if mode == "explicit_round_down" and dims[0] > 0:
            check = onnx_run("Conv", [values(x), values(w)] + ([values(b)] if b else []), {"group": groups, "strides": stride, "dilations": dilation, "pads": list(pre) + list(post)})[0]
            assert np.allclose(check, y), (n, "Conv")
        params = {"groups": groups, "stride": stride, "dilation": dilation, "pre_padding": pre, "post_padding": post, "padding_mode": mode}
        case("window", f"convolution {n} {dtype}", "convolution", [x, w] + ([b] if b else []), [tensor(y, dtype)], params, static_axes=[1], tolerance=2e-3 if dtype == "float16" else None)
DECONV = [
    ((2, 3, 4, 3), 2, 1, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), "explicit_round_down"),
    ((1, 4, 3, 5), 3, 2, (2, 3), (1, 3), (2, 1), (0, 2), (1, 0), "explicit_round_down"),
    ((1, 2, 3, 4), 2, 1, (3, 4), (2, 3), (1, 1), (0, 0), (0, 0), "same_upper"),
    ((1, 2, 3, 4), 2, 1, (4, 3), (3, 2), (1, 1), (0, 0), (0, 0), "same_lower"),
    ((1, 2, 2, 3, 2), 2, 1, (2, 2, 2), (2, 1, 2), (1, 1, 1), (0, 0, 1), (0, 1, 0), "explicit_round_down"),
    ((1, 2, 5), 3, 1, (3,), (2,), (2,), (1,), (0,), "explicit_round_down"),
]
for n, (dims, filters, groups, size, stride, dilation, pre, post, mode) in enumerate(DECONV):
    x, w = tensor(draw(*dims), "float32"), const(draw(dims[1], filters, *size))
    b = const(draw(filters * groups)) if n % 2 == 0 else None
    v, k = values(x), values(w)
    spans = [(s - 1) * d + 1 for s, d in zip(size, dilation)]
    full = [(i - 1) * s + p for i, s, p in zip(dims[2:], stride, spans)]
    y = np.zeros((dims[0], filters * groups) + tuple(full))
    c = dims[1] // groups
    for g in range(groups):
        for at in np.ndindex(*dims[2:]):
            for j in np.ndindex(*size):
                to = tuple(a * s + b_ * d for a, s, b_, d in zip(at, stride, j, dilation))
                y[(slice(None), slice(g * filters, (g + 1) * filters)) + to] += v[(slice(None), slice(g * c, (g + 1) * c)) + at] @ k[(slice(g * c, (g + 1) * c), slice(None)) + j]
    crop = []
    for i in range(len(size)):
        if mode.startswith("same"):
            total = full[i] - dims[2 + i] * stride[i]
            before = total // 2 if mode == "same_upper" else total - total // 2
            # a window that is shorter than the stride leaves zeros behind
            crop.append(slice(max(before, 0), max(before, 0) + dims[2 + i] * stride[i]))
        else:
            crop.append(slice(pre[i], full[i] - post[i]))
    y = y[(slice(None), slice(None)) + tuple(crop)]
    if mode == "explicit_round_down" and groups == 1 and len(size) < 3 and all(d == 1 for d in dilation):
        check = onnx_run("ConvTranspose", [v, k], {"strides": stride, "dilations": dilation, "pads": list(pre) + list(post)})[0]
        assert np.allclose(check, y), (n, "ConvTranspose")
    y = y + (values(b).reshape((1, -1) + (1,) * len(size)) if b else 0)
    params = {"groups": groups, "stride": stride, "dilation": dilation, "pre_padding": pre, "post_padding": post, "padding_mode": mode}
    case("window", f"deconvolution {n}", "deconvolution", [x, w] + ([b] if b else []), [tensor(y, "float32")], params, static_axes=[1])
POOL = [  # dims, window, stride, pre, post, mode
    ((2, 3, 5, 6), (2, 3), (2, 2), (0, 0), (0, 0), "explicit_round_down"),
    ((1, 2, 5, 5), (3, 3), (2, 2), (1, 1), (1, 1), "explicit_round_down"),
    ((1, 2, 6, 5), (3, 2), (2, 2), (1, 0), (1, 0), "explicit_round_up"),
    ((1, 2, 7, 8), (3, 4), (2, 3), (0, 0), (0, 0), "same_upper"),
    ((1, 1, 7, 8), (4, 3), (3, 2), (0, 0), (0, 0), "same_lower"),
    ((1, 2, 4, 3, 5), (2, 2, 3), (1, 1, 2), (1, 0, 1), (0, 1, 1), "explicit_round_down"),
    ((1, 3, 9), (4,), (3,), (2,), (1,), "explicit_round_up"),
    ((0, 3, 4, 4), (2, 2), (2, 2), (0, 0), (0, 0), "explicit_round_down"),
]
for n, (dims, window, stride, pre, post, mode) in enumerate(POOL):
    for type_ in ("max", "average", "max_average_blend"):
        for counts in ((False, True) if type_ == "average" else (False,)):
            dtype = "float16" if n == 0 else "float32"
            x = tensor(draw(*dims), dtype)
            one = (1,) * len(window)
            outs, before = geometry(dims[2:], window, stride, one, pre, post, mode)
            p = windows(values(x), window, stride, one, before, outs, np.nan)
            axes = tuple(range(2 + len(window), 2 + 2 * len(window)))
            if counts:
                padded = np.pad(np.ones(dims[2:]), [(b, 1000 if mode.startswith("same") else q) for b, q in zip(before, post)], constant_values=1)
                share = windows(padded[None, None], window, stride, one, (0,) * len(window), outs, 0.0).sum(axis=axes)
                y = np.nansum(p, axis=axes) / share
            else:
                largest, average = (np.nanmax(p, axis=axes), np.nanmean(p, axis=axes)) if p.size else (p[..., 0, 0], p[..., 0, 0])
                y = {"max": largest, "average": average, "max_average_blend": 0.25 * average + 0.75 * largest}[type_]
            params = {"type": type_, "window": window, "stride": stride, "pre_padding": pre, "post_padding": post, "padding_mode": mode, "blend": 0.25, "counts_padding": counts}
            case("window", f"pooling {n} {type_} {counts}", "pooling", [x], [tensor(y, dtype)], params)

# --- sampling --------------------------------------------------------------------------------------------------------------------

TRANSFORM = {"asymmetric": "asymmetric", "align_corners": "align_corners", "half_pixel": "half_pixel"}
ROUNDING = {"floor": "floor", "ceil": "ceil", "half_up": "round_prefer_ceil", "half_down": "round_prefer_floor"}
for mode in ("nearest", "linear", "cubic"):
    for transform in TRANSFORM:
        for dims, size in (((1, 2, 4, 5), (1, 2, 7, 3)), ((2, 1, 3, 3), (2, 1, 6, 9)), ((1, 1, 5, 6), (1, 1, 2, 4))):
            for extra in (ROUNDING if mode == "nearest" else (True, False) if mode == "cubic" else (None,)):
                if mode == "nearest" and transform != "asymmetric" and extra in ("ceil",):
                    continue
                x = tensor(draw(*dims), "float32")
                attributes = {"mode": mode, "coordinate_transformation_mode": TRANSFORM[transform]}
                params = {"size": size, "mode": mode, "transform": transform}
                if mode == "nearest":
                    attributes["nearest_mode"] = ROUNDING[extra]
                    params["rounding"] = extra
                if mode == "cubic":
                    attributes["exclude_outside"] = int(extra)
                    attributes["cubic_coeff_a"] = -0.75
                    params["exclude_outside"] = bool(extra)
                y = onnx_run("Resize", [values(x), None, None, np.array(size)], attributes)[0]
                case("sample", f"resize {mode} {transform} {dims} {size} {extra}", "resize", [x], [tensor(y, "float32")], params, tolerance=3e-6)
x = tensor(draw(1, 1, 5, 4), "float32")
y = onnx_run("Resize", [values(x), None, np.array([1, 1, 0.6, 1.5], np.float32), None], {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})[0]
case("sample", "resize by scales", "resize", [x], [tensor(y, "float32")], {"scales": [1, 1, 0.6, 1.5], "mode": "nearest"})
y = onnx_run("Resize", [values(x), None, np.array([1, 1, 2, 2], np.float32), None], {"mode": "linear", "coordinate_transformation_mode": "half_pixel"})[0]
case("sample", "resize by scales linear", "resize", [x], [tensor(y, "float32")], {"scales": [1, 1, 2, 2], "mode": "linear", "transform": "half_pixel"})
case("sample", "resize by tensor", "resize", [x, const(np.array([1, 1, 10, 8]), "int64")], [tensor(y, "float32")], {"mode": "linear", "transform": "half_pixel"})
case("sample", "resize to one by formula", "resize", [tensor(np.arange(6.0), "float32")], [tensor(np.array([2.5]), "float32")], {"size": [1], "mode": "linear", "transform": "half_pixel"})
case("sample", "resize to one upper", "resize", [tensor(np.arange(6.0), "float32")], [tensor(np.array([0.0]), "float32")], {"size": [1], "mode": "linear", "transform": "half_pixel", "selector": "upper"})
x = tensor(ints(2, 3), "int32")
case("sample", "resize of integers", "resize", [x], [tensor(np.repeat(np.repeat(values(x), 2, 0), 3, 1), "int32")], {"size": [4, 9], "mode": "nearest"})
case("sample", "resize of nothing", "resize", [tensor(np.zeros((0, 3)), "float32")], [tensor(np.zeros((0, 6)), "float32")], {"size": [0, 6], "mode": "linear"})


def border_cubic(v, g, align):
    """Each of the 4 x 4 neighbours is brought inside (as PyTorch does; ONNX's evaluator moves the place before)."""
    y = np.zeros(v.shape[:2] + g.shape[1:3])
    kernel = lambda d: (1.25 * d - 2.25) * d * d + 1 if d <= 1 else ((-0.75 * d + 3.75) * d - 6) * d + 3
    for n, i, j in np.ndindex(*g.shape[:3]):
        size = v.shape[3], v.shape[2]
        at = [(p + 1) / 2 * (s - 1) if align else ((p + 1) * s - 1) / 2 for p, s in zip(g[n, i, j], size)]
        for r in range(-1, 3):
            for c in range(-1, 3):
                cell = math.floor(at[0]) + c, math.floor(at[1]) + r
                weight = kernel(abs(at[0] - cell[0])) * kernel(abs(at[1] - cell[1]))
                inside = [min(max(p, 0), s - 1) for p, s in zip(cell, size)]
                y[n, :, i, j] += weight * v[n, :, inside[1], inside[0]]
    return y


for mode in ("nearest", "linear", "cubic"):
    for outside, onnx_outside in (("fill", "zeros"), ("clamp", "border"), ("reflect", "reflection")):
        for align in (False, True):
            x, g = tensor(draw(2, 2, 4, 3), "float32"), tensor(draw(2, 3, 5, 2, low=-1.6, high=1.6), "float32")
            y = border_cubic(values(x), values(g), align) if (mode, outside) == ("cubic", "clamp") else onnx_run("GridSample", [values(x), values(g)], {"mode": mode, "padding_mode": onnx_outside, "align_corners": int(align)})[0]
            case("sample", f"grid_sample {mode} {outside} {align}", "grid_sample", [x, g], [tensor(y, "float32")], {"mode": mode, "outside": outside, "align_corners": align}, tolerance=5e-6)
for n, (boxes_of, format_) in enumerate((("shared", "corner_pairs"), ("classes", "corner_pairs"), ("shared", "center_sizes"))):
    for most, iou, threshold in ((2, 0.3, 0.2), (10, None, None), (3, 0.5, None)):
        corner = draw(2, 6, 2, low=0, high=3)
        boxes = np.concatenate([corner, corner + draw(2, 6, 2, low=0.5, high=2)], -1)
        scores = np.round(rng.permutation(np.linspace(0.05, 0.95, 2 * 6 * 3)), 3).reshape(2, 6, 3)
        shown = boxes if format_ == "corner_pairs" else np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)
        if boxes_of == "classes":
            shown = np.stack([shown, shown[:, ::-1], shown + 0.25], 2)
        b, s = tensor(shown, "float32"), tensor(scores, "float32")
        found = []
        for image in range(2):
            for c in range(3):
                v = values(b)[image] if boxes_of == "shared" else values(b)[image][:, c]
                if format_ == "center_sizes":
                    v = np.concatenate([v[:, :2] - v[:, 2:] / 2, v[:, :2] + v[:, 2:] / 2], -1)
                kept = []
                for i in np.argsort(-values(s)[image, :, c], kind="stable"):
                    if threshold is not None and not values(s)[image, i, c] > threshold:
                        break
                    if len(kept) == most:
                        break
                    ok = True
                    for k in kept:
                        w = np.maximum(0, np.minimum(v[i, 2:], v[k, 2:]) - np.maximum(v[i, :2], v[k, :2]))
                        area = lambda r: (r[2] - r[0]) * (r[3] - r[1])
                        common = w[0] * w[1]
                        ok = ok and not common / (area(v[i]) + area(v[k]) - common) > (iou or 0.0)
                    if ok:
                        kept.append(i)
                        found.append([image, c, i])
        inputs = [b, s, const(np.array(most), "int64")] + [const(np.array(t)) if t is not None else None for t in (iou, threshold)]
        case("sample", f"nms {n} {most}", "nms", inputs, [tensor(np.array(found), "int32"), tensor(np.array(len(found)), "int64")], {"format": format_})

# --- products --------------------------------------------------------------------------------------------------------------------

for a, op_a, b, op_b in (((3, 4), "none", (4, 5), "none"), ((4, 3), "transpose", (5, 4), "transpose"), ((2, 3, 4), "none", (1, 4, 2), "none"),
                         ((2, 1, 3, 4), "none", (1, 3, 4, 2), "none"), ((4,), "vector", (4, 3), "none"), ((3, 4), "none", (4,), "vector"),
                         ((4,), "vector", (4,), "vector"), ((2, 4), "vector", (2, 4, 3), "none"), ((2, 3, 4), "none", (2, 4), "vector"),
                         ((0, 4), "none", (4, 3), "none"), ((3, 0), "none", (0, 2), "none")):
    for dtype in ("float32", "float16"):
        x, y = tensor(draw(*a), dtype), tensor(draw(*b), dtype)
        m = values(x)[..., None, :] if op_a == "vector" else np.swapaxes(values(x), -1, -2) if op_a == "transpose" else values(x)
        n = values(y)[..., None] if op_b == "vector" else np.swapaxes(values(y), -1, -2) if op_b == "transpose" else values(y)
        z = m @ n
        z = z[..., 0, :] if op_a == "vector" else z
        z = z[..., 0] if op_b == "vector" else z
        case("product", f"matrix_multiply {a} {op_a} {b} {op_b} {dtype}", "matrix_multiply", [x, y], [tensor(z, dtype)], {"op_a": op_a, "op_b": op_b}, tolerance=2e-3 if dtype == "float16" else None)
for equation, shapes in (("ij,jk->ik", ((3, 4), (4, 2))), ("ij->ji", ((3, 4),)), ("ii->i", ((4, 4),)), ("ii", ((3, 3),)), ("ij,ij->", ((2, 3), (2, 3))),
                         ("...ij,...jk->...ik", ((2, 1, 3, 4), (5, 4, 2))), ("bhid,bhjd->bhij", ((2, 3, 4, 5), (2, 3, 2, 5))), ("i,j,k->kji", ((2,), (3,), (4,))),
                         ("ab,bc", ((2, 3), (3, 4))), ("...a->a...", ((2, 3, 4),)), ("ij,j->i", ((0, 3), (3,))), ("ij,j->i", ((2, 0), (0,))), ("a b , b->a", ((2, 3), (3,)))):
    for dtype in ("float32", "int32"):
        xs = [tensor(ints(*s, low=-4, high=5) if dtype == "int32" else draw(*s), dtype) for s in shapes]
        y = np.einsum(equation.replace(" ", ""), *[values(x) for x in xs])
        case("product", f"einsum {equation} {shapes} {dtype}", "einsum", xs, [tensor(y, dtype)], {"equation": equation}, dynamic=not equation.startswith("ii") and ",..." not in equation)
x, w, b = tensor(draw(3, 2, 2, 2), "float32"), const(draw(5, 8)), const(draw(5))
y = values(x).reshape(3, 8) @ values(w).T
case("product", "fully_connected", "fully_connected", [x, w, b], [tensor((y + values(b)).reshape(3, 5, 1, 1), "float32")], static_axes=[1, 2, 3])
case("product", "fully_connected without bias", "fully_connected", [x, w], [tensor(y.reshape(3, 5, 1, 1), "float32")], static_axes=[1, 2, 3])

for n, (heads, kv, queries, keys, kind) in enumerate(((4, 4, 3, 5, "none"), (4, 2, 3, 3, "upper_left"), (4, 1, 2, 5, "lower_right"), (2, 2, 5, 3, "upper_left"),
                                                        (4, 2, 3, 4, "bool"), (2, 2, 3, 4, "float"), (4, 2, 3, 4, "heads"))):
    q, k, v = tensor(draw(2, heads, queries, 6), "float32"), tensor(draw(2, kv, keys, 6), "float32"), tensor(draw(2, kv, keys, 5), "float32")
    spread = lambda t: np.repeat(values(t), heads // kv, axis=1)
    s = values(q) @ spread(k).transpose(0, 1, 3, 2)
    extra = []
    if kind in ("upper_left", "lower_right"):
        s = np.where(np.tril(np.ones((queries, keys)), keys - queries if kind == "lower_right" else 0) > 0, s, -np.inf)
    elif kind == "bool":
        seen = ints(2, 1, queries, keys, low=0, high=2)
        seen[..., 0] = 1
        extra = [tensor(seen, "bool")]
        s = np.where(seen > 0, s, -np.inf)
    elif kind in ("float", "heads"):
        extra = [tensor(draw(1, heads if kind == "heads" else 1, queries, keys), "float32")]
        s = s + values(extra[0])
    y = scipy.special.softmax(s, axis=-1) @ spread(v)
    case("product", f"attention {n} {kind}", "attention", [q, k, v] + extra, [tensor(y, "float32")], {"causal": kind if "_" in kind else "none"}, static_axes=[1, 3] if not extra else None,
         dynamic=not extra, tolerance=3e-6)
for interleaved in (False, True):
    for rotary, ids in ((6, True), (4, True), (4, False)):
        x = tensor(draw(2, 3, 4, 6), "float32")
        angle = draw(9, rotary // 2) if ids else draw(2, 4, rotary // 2)
        c, s = tensor(np.cos(angle), "float32"), tensor(np.sin(angle), "float32")
        p = tensor(ints(2, 4, low=0, high=9), "int32")
        at = lambda t: (values(t)[values(p)] if ids else values(t))[:, None]
        v = values(x)[..., :rotary]
        a, b = (v[..., ::2], v[..., 1::2]) if interleaved else (v[..., :rotary // 2], v[..., rotary // 2:])
        y = [a * at(c) - b * at(s), b * at(c) + a * at(s)]
        y = np.stack(y, -1).reshape(v.shape) if interleaved else np.concatenate(y, -1)
        case("product", f"rotary_embedding {interleaved} {rotary} {ids}", "rotary_embedding", [x, c, s] + ([p] if ids else []),
             [tensor(np.concatenate([y, values(x)[..., rotary:]], -1), "float32")], {"interleaved": interleaved, "dim": rotary if rotary < 6 else 0}, dynamic=False)

# --- quantisation, values ----------------------------------------------------------------------------------------------------------

for axis, dims in ((None, ()), (0, (3,)), (1, (4,))):
    x, s = tensor(draw(3, 4, low=-3, high=3), "float32"), const(draw(*dims, low=0.01, high=0.03))
    v = values(s).reshape((-1, 1) if axis == 0 else (1, -1) if axis == 1 else ())
    q = np.clip(np.rint(values(x) / v), -128, 127)
    case("quantize", f"quantize {axis}", "quantize", [x, s], [tensor(q, "int8")], {"to": "int8", "axis": axis or 0})
    case("quantize", f"dequantize {axis}", "dequantize", [tensor(q, "int8"), s], [tensor(q * v, "float32")], {"to": "float32", "axis": axis or 0})
x, s = tensor(draw(3, 5), "float32"), const(draw(2, 3, low=0.02, high=0.04))
v = np.repeat(np.repeat(values(s), 2, 0)[:3], 2, 1)[:, :5]
q = np.clip(np.rint(values(x) / v), -128, 127)
case("quantize", "quantize blocks", "quantize", [x, s], [tensor(q, "int8")], {"to": "int8", "block": [2, 2]}, dynamic=False)
case("quantize", "dequantize blocks", "dequantize", [tensor(q, "int8"), s], [tensor(q * v, "float32")], {"to": "float32", "block": [2, 2]}, dynamic=False)
for block in ([1, 4], [2, 3], [4, 5]):
    x = tensor(draw(4, 5), "float32")
    v = values(x).copy()
    v[0, :4] = 0
    x = tensor(v, "float32")
    v = values(x)
    rows, columns = -(-4 // block[0]), -(-5 // block[1])
    scale, q = np.zeros((rows, columns)), np.zeros((4, 5))
    for i in range(rows):
        for j in range(columns):
            at = (slice(i * block[0], (i + 1) * block[0]), slice(j * block[1], (j + 1) * block[1]))
            scale[i, j] = np.float32(np.abs(v[at]).max() / 127)
            q[at] = np.rint(v[at] / scale[i, j]) if scale[i, j] > 0 else 0
    case("quantize", f"dynamic_quantize {block}", "dynamic_quantize", [x], [tensor(q, "int8"), tensor(scale, "float32")], {"to": "int8", "scale_type": "float32", "block": block})
M = (1 << 32) - 1


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & M, (p0 >> 32) ^ c[3] ^ k[1], p0 & M]
        k = [(k[0] + 0x9E3779B9) & M, (k[1] + 0xBB67AE85) & M]
    return c


assert philox([0, 0, 0, 0], [0, 0]) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]  # the published vector
for seed in (0, 7, (5 << 32) + 3):
    words = [philox([i, 0, 0, 0], [seed & M, seed >> 32]) for i in range(12)]
    u = np.array([((w[0] << 32 | w[1]) >> 11) * 2.0**-53 for w in words])
    t = np.array([((w[2] << 32 | w[3]) >> 11) * 2.0**-53 for w in words])
    normal = np.sqrt(-2 * np.log(u + 2.0**-53)) * np.cos(2 * math.pi * t)
    case("quantize", f"fill uniform {seed}", "fill", [], [tensor((-1 + 4 * u).reshape(3, 4), "float32")], {"dims": [3, 4], "op": "random_uniform", "dtype": "float32", "alpha": -1, "beta": 3, "seed": seed})
    case("quantize", f"fill normal {seed}", "fill", [], [tensor((0.5 + 2 * normal).reshape(2, 6), "float32")], {"dims": [2, 6], "op": "random_normal", "dtype": "float32", "alpha": 0.5, "beta": 2, "seed": seed})
case("quantize", "fill linspace", "fill", [], [tensor(np.tile(2 - 0.5 * np.arange(4), (3, 1)), "float32")], {"dims": [3, 4], "op": "linspace", "dtype": "float32", "alpha": 2, "beta": -0.5})
case("quantize", "fill linspace by axes", "fill", [const(np.array([10, -1]), "int64")], [tensor(3 + 10 * np.arange(3)[:, None] - np.arange(4), "int64")], {"dims": [3, 4], "op": "linspace", "dtype": "int64", "alpha": 3})
case("quantize", "fill scalar", "fill", [], [tensor(np.array(2.5), "float32")], {"dims": [], "op": "linspace", "dtype": "float32", "alpha": 2.5, "beta": 1})
case("quantize", "fill nothing", "fill", [], [tensor(np.zeros((2, 0)), "float32")], {"dims": [2, 0], "op": "linspace", "dtype": "float32", "alpha": 2.5, "beta": 1})
case("quantize", "assertion that holds", "assertion", [tensor(np.array([1, 1]), "bool")], [tensor(np.array([1, 1]), "bool")], {"message": "sizes agree"}, dynamic=False)

# --- language models, collectives ---------------------------------------------------------------------------------------------------

for dtype, lengths in (("int32", None), ("int64", None), ("int32", [2, 0, 3])):
    cache, update = tensor(draw(3, 2, 5, 4), "float32"), tensor(draw(3, 2, 3, 4), "float32")
    start = tensor(np.array([0, 2, 3]), dtype)  # the last row's third token falls outside
    y = values(cache).copy()
    for b in range(3):
        for t in range(3 if lengths is None else lengths[b]):
            if int(values(start)[b]) + t < 5:
                y[b, :, int(values(start)[b]) + t] = values(update)[b, :, t]
    more = [] if lengths is None else [tensor(np.array(lengths), "int32")]
    case("model", f"kv_cache_update {dtype} {lengths is not None}", "kv_cache_update_padded", [cache, update, start] + more, [tensor(y, "float32")], static_axes=[1, 3], dynamic=not more)
cache, update = tensor(draw(1, 1, 3, 2), "float32"), tensor(draw(1, 1, 2, 2), "float32")
case("model", "kv_cache_update outside", "kv_cache_update_padded", [cache, update, tensor(np.array([-1]), "int64")],
     [tensor(np.concatenate([values(update)[:, :, 1:], values(cache)[:, :, 1:]], 2), "float32")], dynamic=False)


def moe(x, experts, scores, gate, up, down, biases=None, act="silu", limit=np.inf, alpha=1.0, beta=0.0):
    y = np.zeros(x.shape[:-1] + (down.shape[1],))
    for at in np.ndindex(x.shape[:-1]):
        for e, score in zip(experts[at].astype(int), scores[at]):
            g, u = gate[e] @ x[at], up[e] @ x[at]
            if biases is not None:
                g, u = g + biases[0][e], u + biases[1][e]
            g, u = np.minimum(g, limit), np.clip(u, -limit, limit)
            a = g / (1 + np.exp(-alpha * g)) if act == "silu" else np.maximum(g, 0)
            d = down[e] @ (a * (u + beta))
            y[at] += score * (d + biases[2][e] if biases is not None else d)
    return y


for n, (dims, k, biased, act, limits) in enumerate([((5,), 2, False, "silu", {}), ((2, 3), 3, True, "silu", {"limit": 1.5, "alpha": 1.702, "beta": 1.0}),
                                                    ((4,), 1, False, "relu", {}), ((1, 1), 2, True, "relu", {})]):
    E, H, I = 4, 6, 8
    x = tensor(draw(*dims, H), "float32")
    chosen = tensor(np.stack([rng.permutation(E)[:k] for _ in range(int(np.prod(dims)))]).reshape(*dims, k), "int32")
    scores = tensor(draw(*dims, k, low=-0.5, high=1.0), "float32")
    weights = [const(draw(E, I, H)), const(draw(E, I, H)), const(draw(E, H, I))]
    biases = [const(draw(E, I)), const(draw(E, I)), const(draw(E, H))] if biased else []
    y = moe(values(x), values(chosen), values(scores), *map(values, weights), biases=[values(b) for b in biases] or None, act=act, **limits)
    case("model", f"moe {n}", "moe", [x, chosen, scores] + weights + biases, [tensor(y, "float32")], {"activation": act, **limits}, tolerance=2e-6, dynamic=False)
for kind in ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce", "all_to_all", "gather", "scatter"):
    x = tensor(draw(2, 3), "float32")
    case("model", f"collective of one rank: {kind}", "collective", [x], [x], {"type": kind})

for file, cases in files.items():
    for c in cases:
        for key in [k for k, v in c.items() if v is None]:
            del c[key]
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    (out / f"{file}.json").write_text("{\"cases\":[\n" + lines + "\n]}\n")
    print(file, len(cases), "cases", (out / f"{file}.json").stat().st_size, "bytes")
