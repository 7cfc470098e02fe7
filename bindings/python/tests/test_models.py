# SPDX-License-Identifier: Apache-2.0
"""A LeNet-shaped CNN and a GPT-2 block defined through Python, built, run, and compared with NumPy."""

from collections import OrderedDict

import numpy as np
import pytest

from network_testing import assert_close, device, floats
from tenon import Parameter, trt
from tenon import functional as F
from tenon.builder import Builder
from tenon.functional import Tensor
from tenon.network import net_guard
from tenon.runtime import Engine
from test_functional import attention, conv2d, gelu, heads, layer_norm, merge, softmax

LENET = {
    "conv1.weight": floats(6, 1, 5, 5, seed=1, low=-0.3, high=0.3), "conv1.bias": floats(6, seed=2),
    "conv2.weight": floats(16, 6, 5, 5, seed=3, low=-0.1, high=0.1), "conv2.bias": floats(16, seed=4),
    "fc1.weight": floats(120, 400, seed=5, low=-0.1, high=0.1), "fc1.bias": floats(120, seed=6),
    "fc2.weight": floats(84, 120, seed=7, low=-0.1, high=0.1), "fc2.bias": floats(84, seed=8),
    "fc3.weight": floats(10, 84, seed=9, low=-0.1, high=0.1), "fc3.bias": floats(10, seed=10),
}


def max_pool(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def lenet_numpy(x):
    w = LENET
    x = max_pool(np.maximum(conv2d(x, w["conv1.weight"], w["conv1.bias"], 1, 2), 0))
    x = max_pool(np.maximum(conv2d(x, w["conv2.weight"], w["conv2.bias"]), 0)).reshape(len(x), -1)
    x = np.maximum(x @ w["fc1.weight"].T + w["fc1.bias"], 0)
    x = np.maximum(x @ w["fc2.weight"].T + w["fc2.bias"], 0)
    return softmax(x @ w["fc3.weight"].T + w["fc3.bias"])


def lenet_as_tensorrt():
    """As TensorRT's sample has it."""
    builder = trt.Builder(trt.Logger(), device())
    network, w = builder.create_network(), LENET
    x = network.add_input(name="data", dtype=trt.float32, shape=(-1, 1, 28, 28))
    conv1 = network.add_convolution_nd(input=x, num_output_maps=6, kernel_shape=(5, 5), kernel=w["conv1.weight"], bias=w["conv1.bias"])
    conv1.stride_nd, conv1.padding_nd = (1, 1), (2, 2)
    relu1 = network.add_activation(input=conv1.get_output(0), type=trt.ActivationType.RELU)
    pool1 = network.add_pooling_nd(input=relu1.get_output(0), type=trt.PoolingType.MAX, window_size=(2, 2))
    pool1.stride_nd = trt.Dims2(2, 2)
    conv2 = network.add_convolution_nd(pool1.get_output(0), 16, (5, 5), trt.Weights(w["conv2.weight"]), trt.Weights(w["conv2.bias"]))
    pool2 = network.add_pooling_nd(network.add_activation(conv2.get_output(0), trt.ActivationType.RELU).get_output(0), trt.PoolingType.MAX, (2, 2))
    pool2.stride_nd = (2, 2)
    x = pool2.get_output(0)
    for i, outputs in ((1, 120), (2, 84), (3, 10)):
        layer = network.add_fully_connected(x, outputs, w[f"fc{i}.weight"], w[f"fc{i}.bias"])
        x = layer.get_output(0)
        if i < 3:
            x = network.add_activation(x, trt.ActivationType.RELU).get_output(0)
    shuffle = network.add_shuffle(x)
    shuffle.reshape_dims = (0, 10)
    prob = network.add_softmax(shuffle.get_output(0))
    prob.axes = 1 << 1
    prob.get_output(0).name = "prob"
    network.mark_output(tensor=prob.get_output(0))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 30)
    config.builder_optimization_level, config.activation_precision = 1, "float32"
    profile = builder.create_optimization_profile()
    profile.set_shape("data", (1, 1, 28, 28), (2, 1, 28, 28), (4, 1, 28, 28))
    config.add_optimization_profile(profile)
    return builder.build_serialized_network(network, config)


def lenet_as_tensorrt_llm():
    builder = Builder(device())
    network, w = builder.create_network(), {name: Parameter(value) for name, value in LENET.items()}
    network.set_named_parameters(w.items())
    with net_guard(network):
        x = Tensor(name="data", dtype=trt.float32, shape=[-1, 1, 28, 28],
                   dim_range=OrderedDict([("batch", [[1, 2, 4]]), ("channels", [1]), ("height", [28]), ("width", [28])]))
        x = F.max_pool2d(F.relu(F.conv2d(x, w["conv1.weight"].value, w["conv1.bias"].value, padding=(2, 2))), (2, 2))
        x = F.flatten(F.max_pool2d(F.relu(F.conv2d(x, w["conv2.weight"].value, w["conv2.bias"].value)), (2, 2)), 1)
        for i in (1, 2, 3):
            x = F.matmul(x, w[f"fc{i}.weight"].value, transb=True) + w[f"fc{i}.bias"].value
            x = F.relu(x) if i < 3 else F.softmax(x, -1)
        x.mark_output("prob")
    config = builder.create_builder_config("float32")
    config.trt_builder_config.activation_precision = "float32"
    return builder.build_engine(network, config)


@pytest.mark.parametrize("define", [lenet_as_tensorrt, lenet_as_tensorrt_llm])
def test_lenet_equals_numpy(define):
    context = Engine.from_bytes(define(), device()).context()
    for rows in (1, 3, 4):
        x = floats(rows, 1, 28, 28, seed=rows)
        assert_close(context.run({"data": x})["prob"], lenet_numpy(x), 1e-5)


HIDDEN, HEADS = 48, 4
GPT2 = {
    "ln_1.weight": floats(HIDDEN, seed=1), "ln_1.bias": floats(HIDDEN, seed=2),
    "attn.c_attn.weight": floats(3 * HIDDEN, HIDDEN, seed=3, low=-0.2, high=0.2), "attn.c_attn.bias": floats(3 * HIDDEN, seed=4),
    "attn.c_proj.weight": floats(HIDDEN, HIDDEN, seed=5, low=-0.2, high=0.2), "attn.c_proj.bias": floats(HIDDEN, seed=6),
    "ln_2.weight": floats(HIDDEN, seed=7), "ln_2.bias": floats(HIDDEN, seed=8),
    "mlp.c_fc.weight": floats(4 * HIDDEN, HIDDEN, seed=9, low=-0.2, high=0.2), "mlp.c_fc.bias": floats(4 * HIDDEN, seed=10),
    "mlp.c_proj.weight": floats(HIDDEN, 4 * HIDDEN, seed=11, low=-0.2, high=0.2), "mlp.c_proj.bias": floats(HIDDEN, seed=12),
}


def gpt2_numpy(x):
    w = GPT2
    y = layer_norm(x, (2,), w["ln_1.weight"], w["ln_1.bias"]) @ w["attn.c_attn.weight"].T + w["attn.c_attn.bias"]
    x = x + merge(attention(*heads(y, HEADS, HEADS, HIDDEN // HEADS))) @ w["attn.c_proj.weight"].T + w["attn.c_proj.bias"]
    y = layer_norm(x, (2,), w["ln_2.weight"], w["ln_2.bias"]) @ w["mlp.c_fc.weight"].T + w["mlp.c_fc.bias"]
    return x + gelu(y) @ w["mlp.c_proj.weight"].T + w["mlp.c_proj.bias"]


def gpt2_network(builder):
    network, w = builder.create_network(), {name: Parameter(value) for name, value in GPT2.items()}
    network.set_named_parameters(w.items())

    def linear(x, name):
        return F.matmul(x, w[name + ".weight"].value, transb=True) + w[name + ".bias"].value

    with net_guard(network):
        x = Tensor(name="hidden_states", dtype=trt.float32, shape=[-1, -1, HIDDEN],
                   dim_range=OrderedDict([("batch_size", [[1, 2, 4]]), ("input_len", [[1, 8, 16]]), ("hidden_size", [HIDDEN])]))
        qkv = linear(F.layer_norm(x, HIDDEN, w["ln_1.weight"].value, w["ln_1.bias"].value), "attn.c_attn")
        y, _ = F.gpt_attention(qkv=qkv, num_heads=HEADS, hidden_size_per_head=HIDDEN // HEADS)
        x = x + linear(y, "attn.c_proj")
        x = x + linear(F.gelu(linear(F.layer_norm(x, HIDDEN, w["ln_2.weight"].value, w["ln_2.bias"].value), "mlp.c_fc")), "mlp.c_proj")
        x.mark_output("output")
    return network


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_gpt2_block_equals_numpy(precision):
    builder = Builder(device())
    config = builder.create_builder_config("float32")
    config.trt_builder_config.activation_precision = precision
    context = Engine.from_bytes(builder.build_engine(gpt2_network(builder), config), device()).context()
    for shape in ((1, 1), (2, 7), (3, 16)):
        x = floats(*shape, HIDDEN, seed=sum(shape))
        assert_close(context.run({"hidden_states": x})["output"], gpt2_numpy(x), 1e-4 if precision == "float32" else 5e-3)


def test_a_gpt2_block_is_refitted_by_the_names_of_its_parameters():
    builder = Builder(device())
    network = gpt2_network(builder)
    config = builder.create_builder_config("float32", use_refit=True, opt_level=0)
    config.trt_builder_config.activation_precision = "float32"
    plan = builder.build_engine(network, config)
    for _, parameter in network.named_parameters:
        parameter.value = np.zeros(parameter.shape, np.float32)
    x = floats(1, 4, HIDDEN)
    assert_close(Engine.from_bytes(builder.refit_engine(network, plan), device()).context().run({"hidden_states": x})["output"], x)
