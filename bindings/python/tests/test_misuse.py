# SPDX-License-Identifier: Apache-2.0
"""Wrong uses of the network side: each raises what names its cause, and the process goes on."""

import gc
import re
from collections import OrderedDict

import numpy as np
import pytest

from network_testing import device, floats
from tenon import Parameter, errors, trt
from tenon import functional as F
from tenon.builder import Builder, BuilderConfig
from tenon.functional import Tensor, gpt_attention
from tenon.graph_rewriting import Layer, PatternAnalyzer, PatternRewriter, RewritePatternManager, record_signature
from tenon.logger import logger
from tenon.network import Network, net_guard, set_network
from tenon.runtime import Device, Engine, Session

Invalid, Unsupported, NotFound = errors.InvalidArgumentError, errors.UnsupportedError, errors.NotFoundError
f32 = trt.float32


def net():
    return trt.INetworkDefinition()


def inp(n, name="x", shape=(2, 3), dtype=f32):
    return n.add_input(name, dtype, shape)


def x(shape=(2, 3), name="x", dtype=f32):
    return Tensor(name=name, dtype=dtype, shape=shape)


def config(**more):
    return Builder(device()).create_builder_config("float32", opt_level=0, **more)


def conv(n, *arguments, **properties):
    layer = n.add_convolution_nd(inp(n, shape=(1, 4, 5, 5)), *arguments)
    for name, value in properties.items():
        setattr(layer, name, value)
    return layer.get_output(0)


_engines = []


def engine():
    if not _engines:
        n = net()
        y = n.add_unary(inp(n, shape=(-1, 3)), trt.UnaryOperation.NEG).get_output(0)
        y.name = "y"
        n.mark_output(y)
        builder = trt.Builder(None, device())
        settings, profile = builder.create_builder_config(), builder.create_optimization_profile()
        profile.set_shape("x", (1, 3), (2, 3), (4, 3))
        settings.add_optimization_profile(profile)
        settings.builder_optimization_level = 0
        _engines.append(builder.build_engine_with_config(n, settings))
    return _engines[0]


class Rewriter(PatternRewriter):
    def match_and_rewrite(self, layer):
        return self.answer

    answer = None


def rewrite(answer):
    network, manager, pattern = built(lambda: F.relu(x()).mark_output("y")), RewritePatternManager(), Rewriter("p")
    pattern.answer = answer
    manager.add("p", pattern)
    manager.rewrite(network)


def built(define):
    network = Builder(device()).create_network()
    with net_guard(network):
        define()
    return network


def plain(define):
    """A case of TensorRT's network."""
    return lambda: define(net())


def llm(define):
    """A case in a default network."""
    return lambda: built(define)


CASES = {
    # networks
    "input twice": (plain(lambda n: (inp(n), inp(n))), Invalid, "there is an input of that name already"),
    "input without a name": (plain(lambda n: inp(n, "")), Invalid, "its name is empty"),
    "input with a number as name": (plain(lambda n: inp(n, 7)), TypeError, "the name of an input is a str, not int"),
    "input with NUL in its name": (plain(lambda n: inp(n, "a\0b")), Invalid, "NUL"),
    "input of 9 dimensions": (plain(lambda n: inp(n, shape=(1,) * 9)), Invalid, "at most 8 dimensions, not 9"),
    "input of −2": (plain(lambda n: inp(n, shape=(-2,))), Invalid, "dimension 0 is -2"),
    "input with float dims": (plain(lambda n: inp(n, shape=(2.5,))), TypeError, "a dimension is an int, not float"),
    "input with a huge dim": (plain(lambda n: inp(n, shape=(1 << 64,))), OverflowError, "does not fit 64 bits"),
    "input without a type": (plain(lambda n: n.add_input("x", None, (1,))), Invalid, "is no element type"),
    "input of an unknown type": (plain(lambda n: n.add_input("x", "float33", (1,))), Invalid, "'float33' is no element type"),
    "input of objects": (plain(lambda n: n.add_input("x", np.dtype("U3"), (1,))), Invalid, "is no element type"),
    "unknown creation flags": (lambda: trt.Builder(None, device()).create_network(1 << 30), Invalid, "no network creation flag"),
    "a network named by None": (plain(lambda n: setattr(n, "name", None)), TypeError, "the name of a network is a str"),
    "output that is an input": (plain(lambda n: n.mark_output(inp(n))), Invalid, "it is an input"),
    "output twice": (plain(lambda n: (lambda y: (n.mark_output(y), n.mark_output(y)))(n.add_identity(inp(n)).get_output(0))), Invalid, "it is an output already"),
    "output of another network": (plain(lambda n: n.mark_output(net().add_identity(inp(n)).get_output(0))), Invalid, "another network"),
    "output None": (plain(lambda n: n.mark_output(None)), TypeError, "an output is an ITensor, not NoneType"),
    "a layer as a tensor": (plain(lambda n: n.add_identity(n.add_identity(inp(n)))), TypeError, "input 0 of identity is an ITensor, not IIdentityLayer"),
    "tensors of two networks": (plain(lambda n: n.add_elementwise(inp(n), inp(net()), trt.ElementWiseOperation.SUM)), Invalid, "another network"),
    "an enum of another kind": (plain(lambda n: n.add_unary(inp(n), trt.ElementWiseOperation.SUM)), TypeError, "the operation is a UnaryOperation"),
    "shapes that do not broadcast": (plain(lambda n: n.add_elementwise(inp(n), inp(n, "y", (4, 5)), trt.ElementWiseOperation.SUM)), Invalid,
                                     r"'x' is float32 \[2, 3\] and 'y' is float32 \[4, 5\]"),
    "types that differ": (plain(lambda n: n.add_elementwise(inp(n), inp(n, "y", dtype=trt.int32), trt.ElementWiseOperation.SUM)), Invalid, "the types must be equal"),
    "inner dimensions that differ": (plain(lambda n: n.add_matrix_multiply(inp(n), trt.MatrixOperation.NONE, inp(n, "y"), trt.MatrixOperation.NONE)), Invalid,
                                     "the inner dimensions 3 and 2 differ"),
    "weights of another number": (plain(lambda n: n.add_constant((2, 3), floats(5))), Invalid, "it has 5 values, its dimensions need 6"),
    "weights of texts": (plain(lambda n: n.add_constant((1,), np.array(["a"]))), Invalid, "weights cannot be of NumPy's type"),
    "weights of negative count": (lambda: trt.Weights(f32, 0, -1), Invalid, "weights of -1 elements"),
    "weights at no address": (lambda: trt.Weights(f32, 0, 5), Invalid, "weights of 5 elements at address 0"),
    "kernel of another number": (plain(lambda n: conv(n, 6, (3, 3), floats(6, 4, 3, 2))), Invalid, r"its kernel has 144 values, \(6, 4, 3, 3\) needs 216"),
    "groups that do not divide": (plain(lambda n: conv(n, 6, (3, 3), floats(6, 4, 3, 3), num_groups=3)), Invalid, "3 groups do not divide 4 channels and 6 output maps"),
    "groups that are a text": (plain(lambda n: conv(n, 6, (3, 3), floats(6, 4, 3, 3), num_groups="2")), TypeError, "num_groups|groups is of type int, not str"),
    "a window of 4 dimensions": (plain(lambda n: conv(n, 6, (1, 1, 1, 1), floats(6))), Invalid, "1 to 3 dimensions"),
    "a window of another rank": (plain(lambda n: conv(n, 6, (3,), floats(6, 4, 3))), Invalid, "a window of 1 dimensions needs 3"),
    "no output maps": (plain(lambda n: conv(n, 0, (3, 3), floats(1))), Invalid, "at least 1 output map, not 0"),
    "a stride of another rank": (plain(lambda n: conv(n, 6, (3, 3), floats(6, 4, 3, 3), stride_nd=(1, 1, 1))), Invalid, "it has 3 values, the window has 2"),
    "a kernel larger than the input": (plain(lambda n: conv(n, 6, (7, 7), floats(6, 4, 7, 7))), Invalid, "cannot add convolution"),
    "softmax over two axes": (plain(lambda n: setattr(n.add_softmax(inp(n)), "axes", 3)), Invalid, "exactly one bit"),
    "topk of too many": (plain(lambda n: n.add_topk(inp(n), trt.TopKOperation.MAX, 9, 2).get_output(0)), Invalid, "cannot take 9 elements"),
    "a permutation that is none": (plain(lambda n: (lambda s: (setattr(s, "first_transpose", (0, 0)), s.get_output(0)))(n.add_shuffle(inp(n)))), Invalid, "no permutation"),
    "a reshape of another volume": (plain(lambda n: (lambda s: (setattr(s, "reshape_dims", (4, 2)), s.get_output(0)))(n.add_shuffle(inp(n)))), Invalid, "cannot add shuffle"),
    "a slice outside": (plain(lambda n: n.add_slice(inp(n), (0, 0), (5, 5), (1, 1)).get_output(0)), Invalid, "cannot add slice"),
    "a resize without size": (plain(lambda n: n.add_resize(inp(n)).get_output(0)), Invalid, "resize"),
    "nine scales": (plain(lambda n: (lambda r: (setattr(r, "scales", [1.0] * 9), r.get_output(0)))(n.add_resize(inp(n)))), Invalid, "it has 9 scales"),
    "a depth that is no constant": (plain(lambda n: n.add_one_hot(inp(n, "i", (2,), trt.int32), inp(n), inp(n, "d", (), trt.int32), 0)), Invalid, "the depth must be a constant"),
    "an einsum that is none": (plain(lambda n: n.add_einsum([inp(n)], "ij->ijk")), Invalid, "cannot add einsum 'ij->ijk'"),
    "concatenation of nothing": (plain(lambda n: n.add_concatenation([]).get_output(0)), Invalid, "concatenation"),
    "zero points": (plain(lambda n: (lambda q: (q.set_input(2, n.add_constant((1,), np.ones(1, np.float32)).get_output(0)), q.get_output(0)))(
        n.add_quantize(inp(n), n.add_constant((), np.float32(1)).get_output(0)))), Unsupported, "quantisation is symmetric"),
    "a bad assertion": (plain(lambda n: n.add_assertion(inp(n, dtype=trt.bool, shape=(2,)), "a \"quote\"")), Invalid, "its message must be UTF-8"),
    "a plugin": (plain(lambda n: n.add_plugin_v2([], None)), Unsupported, "INetworkDefinition.add_plugin_v2 is not in Tenon"),
    "experts without weights": (plain(lambda n: n.add_moe(inp(n), inp(n, "e", (2, 1), trt.int32), inp(n, "s", (2, 1))).get_output(0)), Invalid, "set_gated_weights"),
    "two ranks of a collective": (plain(lambda n: n.add_dist_collective(inp(n), trt.CollectiveOperation.ALL_REDUCE, trt.ReduceOperation.SUM, 0, [0, 1])), Unsupported, "rank"),
    "the shape of a layer's output": (plain(lambda n: setattr(n.add_identity(inp(n)).get_output(0), "shape", (4,))), Invalid, "only inputs"),
    "an input that comes after": (plain(lambda n: (lambda a: a.set_input(0, n.add_identity(a.get_output(0)).get_output(0)))(n.add_identity(inp(n)))), Invalid, "cannot set input 0"),
    "an RNN": (plain(lambda n: n.add_rnn_v2), Unsupported, "TensorRT dropped it"),
    "an attribute that is none": (plain(lambda n: n.add_nothing), AttributeError, "no attribute 'add_nothing'"),
    "dynamic ranges": (plain(lambda n: inp(n).set_dynamic_range(-1, 1)), Unsupported, "dynamic ranges are not in Tenon"),
    "the type of a layer's output": (plain(lambda n: setattr(n.add_identity(inp(n)), "precision", trt.float16)), Unsupported, "types follow from layers"),
    "naming a dimension that is none": (plain(lambda n: inp(n).set_dimension_name(7, "a")), Invalid, "it has no such dimension"),
    "naming a layer's dimension": (plain(lambda n: n.add_identity(inp(n)).get_output(0).set_dimension_name(0, "a")), Invalid, "only dimensions of inputs have names"),
    "one name for 2 and 3": (plain(lambda n: (lambda t: (t.set_dimension_name(0, "a"), t.set_dimension_name(1, "a")))(inp(n))), Invalid, "the other dimension of that name is"),
    "removing what is read": (plain(lambda n: (lambda a: (n.add_identity(a), n.remove_tensor(a)))(n.add_identity(inp(n)).get_output(0))), Invalid, "a layer reads it"),
    "a loop without end": (plain(lambda n: (lambda l: l.add_loop_output(l.add_recurrence(inp(n)).get_output(0), trt.LoopOutput.LAST_VALUE))(n.add_loop())), Invalid, "would never stop"),
    "a loop in reverse": (plain(lambda n: n.add_loop().add_loop_output(inp(n), trt.LoopOutput.REVERSE)), Unsupported, "reverse is not in Tenon"),
    "a recurrence of another shape": (plain(lambda n: n.add_loop().add_recurrence(inp(n)).set_input(1, inp(n, "y", (5,)))), Invalid, "cannot carry 'y' to the next round"),
    "a condition that is no bool": (plain(lambda n: n.add_if_conditional().set_condition(inp(n))), Invalid, "a condition is a bool scalar"),
    "a conditional without condition": (plain(lambda n: n.add_if_conditional().add_output(inp(n), inp(n, "y"))), Invalid, "it has no condition"),
    "branches of other shapes": (plain(lambda n: (lambda c: (c.set_condition(inp(n, "c", (), trt.bool)), c.add_output(inp(n), inp(n, "y", (4,)))))(n.add_if_conditional())), Unsupported,
                                 "if_true"),
    # builder and configuration
    "a precision that is none": (lambda: Builder(device()).create_builder_config("float8"), Invalid, "precision should be one of"),
    "refit and int8": (lambda: Builder(device()).create_builder_config("float16", use_refit=True, int8=True), Invalid, "refit and int8"),
    "two ranks": (lambda: config(tensor_parallel=2), Unsupported, "one rank runs in this version"),
    "no rank": (lambda: config(tensor_parallel=0), Invalid, "at least 1"),
    "a timing cache that is a number": (lambda: config(timing_cache=5), TypeError, "an ITimingCache or a path, not int"),
    "a level below 0": (lambda: Builder(device()).create_builder_config("float32", opt_level=-1), Invalid, "0 to 5, not -1"),
    "an attribute of its own": (lambda: config(trt_builder_config=1), Invalid, "'trt_builder_config' cannot be attached"),
    "an empty configuration": (lambda: BuilderConfig().trt_builder_config, Invalid, "create_builder_config"),
    "a flag that is refused": (lambda: trt.IBuilderConfig().set_flag(trt.BuilderFlag.WEIGHT_STREAMING), Unsupported, "WEIGHT_STREAMING is not in Tenon"),
    "a flag that is a number": (lambda: trt.IBuilderConfig().set_flag(3), TypeError, "a builder flag is a BuilderFlag"),
    "a pool of DLA": (lambda: trt.IBuilderConfig().set_memory_pool_limit(trt.MemoryPoolType.DLA_LOCAL_DRAM, 1), Unsupported, "it has no DLA"),
    "a negative pool": (lambda: trt.IBuilderConfig().set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, -1), Invalid, "-1 bytes are not possible"),
    "a calibrator": (lambda: trt.IBuilderConfig().int8_calibrator, Unsupported, "int8 calibration is not in Tenon"),
    "a range that falls": (lambda: trt.IOptimizationProfile().set_shape("x", (3,), (2,), (4,)), Invalid, "dimension 0 has min 3, opt 2, max 4"),
    "a range of other ranks": (lambda: trt.IOptimizationProfile().set_shape("x", (1,), (1, 2), (4,)), Invalid, "1, 2 and 1 dimensions"),
    "a profile that is none": (lambda: trt.IBuilderConfig().add_optimization_profile(None), TypeError, "a profile is an IOptimizationProfile"),
    "a build without outputs": (lambda: Builder(device()).build_engine(built(lambda: x()), config()), Invalid, "output"),
    "a build without a range": (lambda: Builder(device()).build_engine(built(lambda: F.relu(x((-1, 3))).mark_output("y")), config()), Invalid, "input 'x' .* no dim_range"),
    "a build of nothing": (lambda: Builder(device()).build_engine(None, config()), TypeError, "build_engine takes a Network"),
    "a parameter that is not there": (lambda: (lambda n: (n.set_named_parameters([("w", Parameter(floats(3)))]), Builder(device()).build_engine(n, config())))(
        built(lambda: F.relu(x()).mark_output("y"))), NotFound, "failed to set weight: w"),
    "refit without names": (lambda: Builder(device()).refit_engine(built(lambda: x()), b""), Invalid, "set named parameters"),
    "an unknown device": (lambda: Device("tpu"), NotFound, "tpu"),
    "a device that is a number": (lambda: Builder(3), TypeError, "a device is named by a str"),
    "activations that are none": (lambda: (lambda b, c: (setattr(c.trt_builder_config, "activation_precision", "q7"), b.build_engine(built(lambda: F.relu(x()).mark_output("y")), c)))(
        Builder(device()), config()), Invalid, "activations are auto"),
    "a logger that is none": (lambda: trt.Builder(5), TypeError, "a logger has a method log"),
    "an ONNX parser": (lambda: trt.OnnxParser, Unsupported, "trt.OnnxParser is not in Tenon"),
    # tensors and functionals
    "no default network": (lambda: F.relu(5), Invalid, "there is no default network"),
    "relu of a number": (llm(lambda: F.relu(5)), TypeError, "the input is a Tensor, not int"),
    "a tensor without a name": (llm(lambda: Tensor(dtype=f32, shape=(1,))), Invalid, "a name, a dtype and a shape"),
    "a tensor without a network": (llm(lambda: F.relu(Tensor(is_network_input=False))), Invalid, "stands in no network"),
    "a range too few": (llm(lambda: Tensor(name="x", dtype=f32, shape=[-1, 3], dim_range=OrderedDict([("a", [[1, 2, 3]])]))), Invalid, "2 of them, not 1"),
    "a range of two numbers": (llm(lambda: Tensor(name="x", dtype=f32, shape=[-1], dim_range=OrderedDict([("a", [[1, 2]])]))), Invalid, r"an int or \[min, opt, max\]"),
    "a range that is not the size": (llm(lambda: Tensor(name="x", dtype=f32, shape=[4], dim_range=OrderedDict([("a", [5])]))), Invalid, "fixed at 4"),
    "ranges of other numbers": (llm(lambda: Tensor(name="x", dtype=f32, shape=[-1, -1], dim_range=OrderedDict([("a", [[1, 2, 3]]), ("b", [1, 2])]))), Invalid, "for each profile"),
    "a tensor as a bool": (llm(lambda: bool(x())), TypeError, "are known when the network runs"),
    "a tensor in an if": (llm(lambda: 1 if x() == 1.0 else 2), TypeError, "functional.where"),
    "iterating over a tensor": (llm(lambda: list(x())), TypeError, "unbind"),
    "the length of a dynamic tensor": (llm(lambda: len(x((-1, 2)))), TypeError, "is not fixed"),
    "an index outside": (llm(lambda: x()[5]), IndexError, "index 5 is outside dimension 0"),
    "an index too many": (llm(lambda: x()[0, 0, 0]), Invalid, "fewer dimensions than the index"),
    "an index that is a text": (llm(lambda: x()["a"]), TypeError, "an index is an int, a slice"),
    "adding a text": (llm(lambda: x() + "a"), TypeError, "an operand is a Tensor, a number or an array, not str"),
    "a half in integers": (llm(lambda: x(dtype=trt.int32) + 1.5), Invalid, "1.5 is no value of 'x'"),
    "a dimension that is none": (llm(lambda: F.sum(x(), 7)), Invalid, "has no dimension 7"),
    "a dimension twice": (llm(lambda: F.sum(x(), (0, -2))), Invalid, "stands twice"),
    "a dimension that is a text": (llm(lambda: F.softmax(x(), "a")), TypeError, "a dimension is an int, not str"),
    "split that does not fit": (llm(lambda: F.split(x(), 2, 1)), Invalid, "which is 3, by 2"),
    "split of a dynamic dimension": (llm(lambda: F.split(x((-1, 2)), 1, 0)), Invalid, "known at run time only"),
    "split by zero": (llm(lambda: F.split(x(), 0, 1)), Invalid, "by 0"),
    "chunks that do not fit": (llm(lambda: F.chunk(x(), 2, 1)), Invalid, "cannot take 2 chunks"),
    "permute that is none": (llm(lambda: F.permute(x(), (0, 0))), Invalid, "no permutation"),
    "expand to another size": (llm(lambda: F.expand(x(), [4, 3])), Invalid, "dimension 0 is not 1"),
    "concat of nothing": (llm(lambda: F.concat([])), Invalid, "at least one input"),
    "concat of other shapes": (llm(lambda: F.concat([x(), x((4, 4), "y")], 0)), Invalid, "concatenation"),
    "matmul of vectors": (llm(lambda: F.matmul(x((3,)), x((3,), "y"))), Invalid, "matmul needs 2 dimensions"),
    "an unknown activation": (llm(lambda: F.ACT2FN["gulu"]), KeyError, "gulu"),
    "norm of another size": (llm(lambda: F.layer_norm(x(), 4)), Invalid, r"are not \(4,\)"),
    "groups of a norm": (llm(lambda: F.rms_norm(x(), 3, num_groups=3)), Unsupported, "groups are not in Tenon"),
    "pad by reflection": (llm(lambda: F.pad(x(), (1, 1), "reflect")), Unsupported, "mode 'reflect'"),
    "interpolate by two": (llm(lambda: F.interpolate(x((1, 1, 2, 2)), size=2, scale_factor=2.0)), Invalid, "a size or a scale_factor"),
    "two ranks of allreduce": (llm(lambda: F.allreduce(x(), [0, 1])), Unsupported, "one rank runs in this version"),
    "a state space model": (lambda: F.selective_scan, Unsupported, "state space models are not built"),
    "attention of another width": (llm(lambda: gpt_attention(qkv=x((1, 2, 30)), num_heads=2, hidden_size_per_head=4)), Invalid, r"\[batch, length, 24\]"),
    "attention with a paged cache": (llm(lambda: gpt_attention(qkv=x((1, 2, 24)), num_heads=2, hidden_size_per_head=4, kv_cache_block_offsets=x((1,), "b"))), Unsupported, "kv_cache_block_offsets"),
    "attention with a wrong argument": (llm(lambda: gpt_attention(qkv=x((1, 2, 24)), num_heads=2, hidden_size_per_head=4, heads=3)), TypeError, "no argument 'heads'"),
    "heads that do not divide": (llm(lambda: gpt_attention(qkv=x((1, 2, 28)), num_heads=3, num_kv_heads=2, hidden_size_per_head=4)), Invalid, "no multiple of 2 kv heads"),
    "an assertion that never holds": (llm(lambda: F.assertion(F.constant(np.array(False)), "never")), Invalid, "it never holds: never"),
    "a parameter of another shape": (lambda: setattr(Parameter(floats(3)), "value", floats(4)), Invalid, "cannot take values of shape"),
    "a parameter of nothing": (lambda: Parameter(), Invalid, "a value or a shape"),
    "marking an output twice": (llm(lambda: (lambda y: (y.mark_output("a"), y.mark_output("b")))(F.relu(x()))), Invalid, "an output already"),
    "two outputs of one name": (llm(lambda: (F.relu(x()).mark_output("a"), F.exp(x(name="z")).mark_output("a"))), Invalid, "an output of that name already"),
    "replacing by another shape": (llm(lambda: F.relu(x()).replace_all_uses_with(x((4, 5), "y"))), Invalid, r"its users need float32 \[2, 3\], not float32 \[4, 5\]"),
    "replacing by a number": (llm(lambda: F.relu(x()).replace_all_uses_with(3)), TypeError, "takes a Tensor, not int"),
    "replacing by a cycle": (llm(lambda: (lambda a: (lambda b: a.replace_all_uses_with(F.exp(b)))(F.tanh(a)))(F.relu(x()))), Invalid, "a cycle"),
    "replacing across networks": (llm(lambda: F.relu(x()).replace_all_uses_with(built(lambda: F.relu(x()).mark_output("y")).get_outputs()[0])), Invalid, "different networks"),
    # patterns
    "a pattern without a name": (lambda: PatternRewriter(""), TypeError, "a str that is not empty"),
    "root layers that are texts": (lambda: PatternRewriter("p", {"elementwise"}), TypeError, "root_layer holds LayerType"),
    "one root layer": (lambda: PatternRewriter("p", trt.LayerType.CAST), TypeError, "root_layer is a set"),
    "a label twice": (lambda: (lambda m: (m.add("a", Rewriter("p")), m.add("a", Rewriter("q"))))(RewritePatternManager()), Invalid, "label 'a' already"),
    "a label that is not there": (lambda: RewritePatternManager().get("a"), NotFound, "no pattern with the label 'a'"),
    "an analyzer as a rewriter": (lambda: RewritePatternManager().add("a", PatternAnalyzer("p")), TypeError, "takes a PatternRewriter, not PatternAnalyzer"),
    "a benefit that is a text": (lambda: RewritePatternManager().add("a", Rewriter("p"), "high"), TypeError, "a benefit is an int"),
    "a pattern that has nothing": (lambda: (lambda m: (m.add("a", PatternRewriter("p")), m.rewrite(built(lambda: F.relu(x())))))(RewritePatternManager()), NotImplementedError, "'p' has no match_and_rewrite"),
    "an answer that is None": (lambda: rewrite(None), TypeError, "tells by a bool"),
    "an answer that never ends": (lambda: rewrite(True), Invalid, "'p' does not settle"),
    "rewriting nothing": (lambda: RewritePatternManager().rewrite(None), TypeError, "patterns run on a Network"),
    "rewriting an empty network": (lambda: RewritePatternManager().rewrite(Network()), Invalid, "the network is empty"),
    "an input that is none": (llm(lambda: F.relu(x()).get_parent().get_inputs(3)), Invalid, "has no input 3"),
    "an input by text": (llm(lambda: F.relu(x()).get_parent().get_inputs("0")), TypeError, "an index of inputs is an int"),
    "removing what an output needs": (llm(lambda: (lambda y: (y.mark_output("y"), y.get_parent().mark_as_removed()))(F.relu(x()))), Invalid, "cannot remove layer"),
    "a layer of another network": (llm(lambda: Layer((lambda n: n.add_identity(inp(n)))(net()))), Invalid, "not of the default network"),
    "a layer of nothing": (llm(lambda: Layer(None)), TypeError, "made of an ILayer"),
    "recording what is no function": (lambda: record_signature(5), TypeError, "decorates a function, not int"),
    "recording without outputs": (llm(lambda: record_signature(lambda a: None)(x())), Invalid, "it has no output"),
    "a guard of nothing": (lambda: net_guard(None).__enter__(), TypeError, "net_guard takes a Network"),
    "a default that is no network": (lambda: set_network(3), TypeError, "a default network is a Network"),
    "a network of nothing": (lambda: Network()._init(3), TypeError, "made of an INetworkDefinition"),
    # running
    "a plan that is none": (lambda: Engine.from_bytes(b"not a plan at all"), errors.InvalidDataError, "plan"),
    "a plan that is empty": (lambda: Engine.from_bytes(b""), errors.InvalidDataError, "plan"),
    "a plan that is a number": (lambda: Engine.from_bytes(5), errors.InvalidDataError, "cannot load a plan from int"),
    "a plan that is not there": (lambda: Engine.load("/no/such.plan"), NotFound, "/no/such.plan"),
    "an input that is missing": (lambda: engine()._engine.context().run({}), Invalid, "these inputs are missing: x"),
    "an input too many": (lambda: engine()._engine.context().run({"x": floats(1, 3), "z": floats(1)}), Invalid, "there is no input 'z'"),
    "inputs that are a list": (lambda: engine()._engine.context().run([floats(1, 3)]), TypeError, "inputs are a dict"),
    "an input of another type": (lambda: engine()._engine.context().run({"x": np.ones((1, 3))}), Invalid, "input 'x' is float32, the array is float64"),
    "an input of another rank": (lambda: engine()._engine.context().run({"x": floats(3)}), Invalid, "1 dimensions given, it has 2"),
    "an input outside the profile": (lambda: engine()._engine.context().run({"x": floats(9, 3)}), Invalid, r"allows \[1, 3\] to \[4, 3\]"),
    "an input of objects": (lambda: engine()._engine.context().run({"x": object()}), Invalid, "cannot make an array of object"),
    "an output that is none": (lambda: engine()._engine.context().run({"x": floats(1, 3)}, ["z"]), Invalid, "there is no output 'z'"),
    "a profile of a context that is none": (lambda: engine()._engine.context(7), Invalid, "profile"),
    "a run without addresses": (lambda: engine().create_execution_context().execute_async_v3(0), Invalid, "is not set|no address|no memory"),
    "an address that is a text": (lambda: engine().create_execution_context().set_tensor_address("x", "0x10"), TypeError, "an address is an int"),
    "an address of nothing": (lambda: engine().create_execution_context().set_tensor_address("zzz", 0), Invalid, "no input or output 'zzz'"),
    "bindings too few": (lambda: engine().create_execution_context().execute_v2([1]), Invalid, "1 bindings"),
    "a tensor name out of range": (lambda: engine().get_tensor_name(9), Invalid, "there is no tensor 9"),
    "a tensor that is not there": (lambda: engine().get_tensor_shape("q"), Invalid, "there is no input or output 'q'"),
    "a listener that is none": (lambda: engine()._engine.context().set_debug_listener(5), TypeError, "a listener is callable"),
    "a session by hand": (lambda: Session(), TypeError, "Session.from_serialized_engine"),
    "refit of nothing": (lambda: trt.Refitter(None), TypeError, "takes an ICudaEngine"),
    "a log level": (lambda: logger.set_level("loud"), ValueError, "'loud'"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_wrong_use_is_named(name):
    call, kind, message = CASES[name]
    with pytest.raises(kind) as caught:
        call()
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_network_goes_on_after_mistakes():
    n = net()
    a = inp(n)
    for _ in range(3):
        with pytest.raises(Invalid):
            n.add_elementwise(a, n.add_constant((7,), floats(7)).get_output(0), trt.ElementWiseOperation.SUM)
        with pytest.raises(Invalid):
            n.add_softmax(a).axes = 0
        with pytest.raises(Invalid):
            a.name = ""
    y = n.add_unary(a, trt.UnaryOperation.ABS).get_output(0)
    y.name = "y"
    n.mark_output(y)
    builder = trt.Builder(None, device())
    engine = builder.build_engine_with_config(n, builder.create_builder_config())
    assert (engine._engine.context().run({"x": -np.ones((2, 3), np.float32)})["y"] == 1).all()


def test_what_is_left_lying_about_is_collected_in_any_order():
    for _ in range(20):
        network = built(lambda: F.relu(x()).mark_output("y"))
        context = Engine.from_bytes(Builder(device()).build_engine(network, config()), device()).context()
        cycle = [network, context, context.engine, network.get_layers()]
        cycle.append(cycle)
        del network, context, cycle
        if _ % 5 == 0:
            gc.collect()
    gc.collect()
