# SPDX-License-Identifier: Apache-2.0
"""What the tests of the network side share: a network from functionals, built and run, beside NumPy."""

from collections import OrderedDict

import numpy as np

from tenon import functional as F
from tenon.builder import Builder
from tenon.network import net_guard
from tenon.runtime import Device, Engine
from tenon.trt._types import to_dtype

_devices = {}


def device(name="cpu"):
    """One for all tests: each has threads of its own."""
    if name not in _devices:
        _devices[name] = Device(name, num_threads=1)
    return _devices[name]


def make_inputs(inputs, dynamic=()):
    """Tensors in the default network like these arrays; axes named in `dynamic` (input → axes) are known at run time."""
    tensors = {}
    for name, array in inputs.items():
        shape, ranges = list(array.shape), OrderedDict()
        for axis, size in enumerate(array.shape):
            free = axis in dict(dynamic).get(name, ())
            ranges[f"{name}_{axis}"] = [[min(1, size), max(size, 1), max(2 * size, 1)]] if free else [size]
            shape[axis] = -1 if free else size
        tensors[name] = F.Tensor(name=name, dtype=to_dtype(array.dtype), shape=shape, dim_range=ranges if dynamic else None)
    return tensors


def build(define, inputs, dynamic=(), backend="cpu"):
    """define(**tensors) → tensors, as an engine with outputs out0, out1 …"""
    builder = Builder(device(backend))
    network = builder.create_network()
    with net_guard(network):
        results = define(**make_inputs(inputs, dynamic))
        for i, result in enumerate(results if isinstance(results, (tuple, list)) else (results,)):
            result = F.identity(result)
            result.mark_output(f"out{i}")
    config = builder.create_builder_config("float32", opt_level=0)
    config.trt_builder_config.activation_precision = "float32"
    return Engine.from_bytes(builder.build_engine(network, config), device(backend))


def run(define, inputs, dynamic=(), backend="cpu"):
    results = build(define, inputs, dynamic, backend).context().run(inputs)
    return [results[f"out{i}"] for i in range(len(results))]


def assert_close(got, expected, tolerance=1e-5):
    expected = np.asarray(expected)
    assert got.shape == expected.shape, (got.shape, expected.shape)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def floats(*shape, seed=0, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)
