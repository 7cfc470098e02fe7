# SPDX-License-Identifier: Apache-2.0
"""Graph rewriting: the worked examples with only the import changed, the tests that TensorRT-LLM has of it, and those that it lacks."""

import asyncio
import subprocess
import sys
import threading

import numpy as np
import pytest

import tenon.functional as F
from conftest import ROOT
from network_testing import assert_close, device, floats
from tenon import errors, trt
from tenon.builder import Builder
from tenon.functional import Tensor, gpt_attention
from tenon.graph_rewriting import (AnalysisPatternManager, FLayerInfoMemo, FuseAttentionWithBiasPass, Layer, PatternAnalyzer,
                                   PatternRewriter, RewritePatternManager, optimize, record_signature)
from tenon.network import Network, default_net, net_guard
from tenon.runtime import Engine

BATCH, IN_LEN, HIDDEN, HEADS = 4, 8, 32, 4


# --- the page's three examples ---------------------------------------------------------------------------------------------------


class NaivePatternRewriter_ReplaceAddWithSub(PatternRewriter):
    def __init__(self):
        super().__init__("replace_add_with_sub", root_layer={trt.LayerType.ELEMENTWISE}, separate_match_rewrite=True)

    def match(self, layer: Layer):
        return layer.as_layer().op == trt.ElementWiseOperation.SUM

    def rewrite(self, layer: Layer) -> None:
        with net_guard(layer.network):
            a, b = layer.get_inputs(0, 1)
            o = layer.get_outputs(0)[0]
            c = a - b
            o.replace_all_uses_with(c)
            layer.mark_as_removed()


class GPTAttentionPluginRemovePaddingRewritePass(PatternRewriter):
    def __init__(self):
        super().__init__("gpt_attention_plugin_remove_padding", root_layer={trt.LayerType.PLUGIN_V2})

    def match_and_rewrite(self, layer: Layer) -> bool:
        if layer.as_layer().type != trt.LayerType.PLUGIN_V2 or \
                layer.as_layer().plugin.plugin_namespace != "tensorrt_llm" or \
                layer.as_layer().plugin.plugin_type != "GPTAttention":
            return False
        flayer = FLayerInfoMemo.instance().get(layer.name)
        assert flayer
        tensor_input: Tensor = flayer.get_input("qkv")
        if tensor_input.shape[0] == 1:  # Already in remove-padding mode
            return False
        assert self.args is not None, "args should be passed in from RewritePatternManager.rewrite()"
        batch_size, in_len, hidden_size = self.args["batch_size"], self.args["in_len"], self.args["hidden_size"]
        with net_guard(layer.network):
            new_inputs = flayer.clone_inputs()
            input = Tensor(
                name="qkv",
                dtype=trt.float16,
                shape=(1, batch_size * in_len, hidden_size),
            )
            new_inputs["qkv"] = input
            new_outs = gpt_attention(**new_inputs)
            flayer.replace_outputs_uses_with(layer.network, new_outs)
            layer.mark_as_removed()
        return True


class NaivePatternAnalyzer_CountAdd(PatternAnalyzer):
    def __init__(self):
        super().__init__("count_add", root_layer={trt.LayerType.ELEMENTWISE})
        self.count = 0

    def match(self, layer: Layer):
        return layer.as_layer().op == trt.ElementWiseOperation.SUM

    def analyze(self, subgraph) -> None:
        assert isinstance(subgraph[0], Layer)
        self.count += 1


def attention_network(dtype=trt.float16, bias=False):
    """x · W → attention → · W2 → + residual"""
    network = Builder(device()).create_network()
    kind = np.float16 if dtype == trt.float16 else np.float32
    with net_guard(network):
        x = Tensor(name="tensor", dtype=dtype, shape=(BATCH, IN_LEN, HIDDEN))
        qkv = F.matmul(x, F.constant(floats(HIDDEN, 3 * HIDDEN).astype(kind)))
        if bias:
            qkv = F.constant(floats(1, 1, 3 * HIDDEN, seed=1).astype(kind)) + qkv
        y = gpt_attention(qkv=qkv, num_heads=HEADS, hidden_size_per_head=HIDDEN // HEADS, q_scaling=1.0, rotary_embedding_dim=0,
                          past_key_value=None, layer_idx=0, use_cache=False)[0]
        (F.matmul(y, F.constant(floats(HIDDEN, HIDDEN, seed=2).astype(kind))) + x).mark_output("y")
    return network


@pytest.fixture
def network():
    return attention_network()


def test_pattern_rewriter(network):
    adds = [layer for layer in network.get_layers() if is_op(layer, "SUM")]
    assert len(adds) == 1
    inputs, consumers = adds[0].get_inputs(), adds[0].get_outputs(0)[0].get_users()
    manager = RewritePatternManager()
    manager.add(label="replace_add_to_sub", pattern=NaivePatternRewriter_ReplaceAddWithSub())
    assert manager.rewrite(network) == 1
    assert manager.rewrite(network) == 0
    for layer in network.get_layers():
        assert not is_op(layer, "SUM") or not layer.get_outputs(0)[0].get_users()
    subs = [layer for layer in network.get_layers() if is_op(layer, "SUB")]
    assert len(subs) == 1 and all(a is b for a, b in zip(subs[0].get_inputs(), inputs))
    assert subs[0].get_outputs(0)[0].get_users() == consumers
    assert adds[0].is_removed() and [one.name for one in network.get_outputs()] == ["y"]


def test_pattern_analyzer(network):
    counter, manager = NaivePatternAnalyzer_CountAdd(), AnalysisPatternManager()
    manager.add(label="count_add", pattern=counter, benefit=0)
    assert manager.analyze(network) == 1 and counter.count == 1


def test_remove_padding_pass(network):
    manager = RewritePatternManager.instance()
    if "remove_padding" not in manager.patterns:
        manager.add(label="remove_padding", pattern=GPTAttentionPluginRemovePaddingRewritePass(), benefit=0)
    assert RewritePatternManager.instance() is manager
    old = next(layer for layer in network.get_layers() if layer.type == trt.LayerType.PLUGIN_V2)
    assert manager.rewrite(network, args=dict(batch_size=BATCH, in_len=IN_LEN, hidden_size=3 * HIDDEN)) == 1
    assert old.is_removed()
    new = [layer for layer in network.get_layers() if layer.type == trt.LayerType.PLUGIN_V2]
    assert len(new) == 1
    info = FLayerInfoMemo(network).get(new[0].name)
    assert info.get_input("qkv") is network._inputs["qkv"] and info.get_input("num_heads") == HEADS
    assert tuple(network.get_outputs()[0].shape) == (BATCH, IN_LEN, HIDDEN)


def test_a_worked_example_that_fails_leaves_all_as_it_was(network):
    manager = RewritePatternManager()
    manager.add("remove_padding", GPTAttentionPluginRemovePaddingRewritePass())
    text, names = network.trt_network.to_text(), list(network._inputs)
    with pytest.raises(KeyError, match="batch_size"):
        manager.rewrite(network)
    assert network.trt_network.to_text() == text and list(network._inputs) == names
    assert manager.rewrite(network, dict(batch_size=BATCH, in_len=IN_LEN, hidden_size=3 * HIDDEN)) == 1


# --- upstream's tests of the graph -------------------------------------------------------------------------------------------------


def is_op(layer, name):
    return layer.type == trt.LayerType.ELEMENTWISE and layer.as_layer().op == trt.ElementWiseOperation[name]


def test_num_inputs(network):
    assert len(network.get_inputs()) == network.trt_network.num_inputs == 1


def test_is_input(network):
    for tensor in network.get_inputs():
        assert network.is_input(tensor) and network.is_input(tensor.name) and not network.is_output(tensor)


def test_is_output(network):
    for tensor in network.get_outputs():
        assert network.is_output(tensor) and network.is_output(tensor.name) and not network.is_input(tensor)


def test_get_layer_by_name(network):
    for layer in network.get_layers():
        assert network.get_layer_by_name(layer.name) == layer
    assert network.get_layer_by_name("nothing") is None


def test_get_tensor_parent(network):
    for layer in network.get_layers():
        for tensor in layer.get_outputs():
            assert network.get_tensor_parent(tensor) == layer
    assert network.get_inputs()[0].get_parent() is None


def test_get_tensor_users(network):
    for layer in network.get_layers():
        for tensor in layer.get_inputs():
            assert layer in network.get_tensor_users(tensor)


def test_to_dot(network, tmp_path):
    assert "digraph" in network.to_dot()
    network.to_dot(str(tmp_path / "network.dot"))
    assert "digraph" in (tmp_path / "network.dot").read_text()
    with pytest.raises(errors.UnsupportedError, match="to_onnx"):
        network.to_onnx(str(tmp_path / "network.onnx"))


def test_as_layer(network):
    for layer in network.get_layers():
        assert isinstance(layer.as_layer(), trt.ILayer) and type(layer.as_layer()) is not trt.ILayer
        with net_guard(network):
            assert layer.type == trt.LayerType.PLUGIN_V2 or Layer(layer.as_layer()) == layer


def test_fuse_attention_with_bias_called_on_all_layers():
    network = attention_network(trt.float32, bias=True)
    one_pass, fired = FuseAttentionWithBiasPass(), 0
    with net_guard(network):
        for layer in network.get_layers():
            fired += one_pass.match_and_rewrite(layer)
    assert fired == 1
    assert optimize(network) == 0


def run_network(network, **inputs):
    builder = Builder(device())
    config = builder.create_builder_config("float32", opt_level=0)
    config.trt_builder_config.activation_precision = "float32"
    return Engine.from_bytes(builder.build_engine(network, config), device()).context().run(inputs)


def test_a_fused_bias_computes_the_same():
    x = floats(BATCH, IN_LEN, HIDDEN, seed=3)
    plain, fused = attention_network(trt.float32, bias=True), attention_network(trt.float32, bias=True)
    assert optimize(fused) == 1
    attention = next(layer for layer in fused.get_layers() if layer.type == trt.LayerType.PLUGIN_V2)
    info = FLayerInfoMemo(fused).get(attention.name)
    assert info.get_input("qkv_bias").shape == (1, 1, 3 * HIDDEN)
    assert not any(is_op(layer, "SUM") and layer.get_inputs(1)[0].shape[-1] == 3 * HIDDEN for layer in fused.get_layers())
    assert_close(run_network(fused, tensor=x)["y"], run_network(plain, tensor=x)["y"])


# --- what nobody tests upstream -----------------------------------------------------------------------------------------------------------


class Watch(PatternRewriter):
    """Writes down what it is shown; changes what `change` says."""

    def __init__(self, name, seen, change=None, root_layer=frozenset({trt.LayerType.ELEMENTWISE})):
        super().__init__(name, root_layer=root_layer)
        self.seen, self.change = seen, change

    def match_and_rewrite(self, layer):
        self.seen.append((self.name, layer.type.name, layer.name))
        return bool(self.change(layer)) if self.change is not None else False


def sums(count=1):
    network = Builder(device()).create_network()
    with net_guard(network):
        x = Tensor(name="x", dtype=trt.float32, shape=(2, 3))
        y = x
        for _ in range(count):
            y = y + x
        y.mark_output("y")
    return network


def replace_by(functional):
    def change(layer):
        if not is_op(layer, "SUM"):
            return False
        with net_guard(layer.network):
            a, b = layer.get_inputs(0, 1)
            layer.get_outputs(0)[0].replace_all_uses_with(functional(a, b))
        return True

    return change


def test_larger_benefit_is_first_and_ties_keep_their_order():
    seen, manager, network = [], RewritePatternManager(), sums()
    for label, benefit in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)):
        manager.add(label, Watch(label, seen), benefit)
    assert manager.rewrite(network) == 0
    assert [name for name, _, _ in seen][:5] == ["b", "d", "a", "c", "e"]
    assert manager.get("b").name == "b"


def test_a_replaced_layer_is_shown_to_no_further_pattern():
    seen, manager, network = [], RewritePatternManager(), sums()
    manager.add("first", Watch("first", seen, replace_by(lambda a, b: a * b)), 1)
    manager.add("second", Watch("second", seen))
    old = network.get_outputs()[0].get_parent().name
    assert manager.rewrite(network) == 1
    assert ("second", "ELEMENTWISE", old) not in seen


def test_outputs_are_marked_again_in_their_order():
    network = Builder(device()).create_network()
    with net_guard(network):
        x = Tensor(name="x", dtype=trt.float32, shape=(2, 3))
        for i in range(3):
            (x + float(i + 1)).mark_output(f"y{i}")
    manager = RewritePatternManager()
    manager.add("one", NaivePatternRewriter_ReplaceAddWithSub())
    assert manager.rewrite(network) == 3
    assert [one.name for one in network.get_outputs()] == ["y0", "y1", "y2"]
    got = run_network(network, x=np.zeros((2, 3), np.float32))
    assert [float(got[f"y{i}"][0, 0]) for i in range(3)] == [-1, -2, -3]


def test_patterns_that_never_settle_are_named():
    network, manager = sums(), RewritePatternManager()
    manager.add("endless", Watch("endless_pattern", [], replace_by(lambda a, b: a + b)))
    text = network.trt_network.to_text()
    with pytest.raises(errors.InvalidArgumentError, match="'endless_pattern' does not settle"):
        manager.rewrite(network)
    assert network.trt_network.to_text() == text


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3), AssertionError("no")])
@pytest.mark.parametrize("phase", ["match", "rewrite", "match_and_rewrite", "analyze"])
def test_an_exception_leaves_network_and_guard_as_they_were(phase, error):
    def fail(layer):
        with net_guard(Builder(device()).create_network()):
            raise error

    class Rewriter(PatternRewriter):
        def __init__(self):
            super().__init__("broken", separate_match_rewrite=phase != "match_and_rewrite")

        def match(self, layer):
            return True if phase != "match" else fail(layer)

        def rewrite(self, layer):
            with net_guard(layer.network):
                a = layer.get_inputs(0)[0]
                a * 3.0
                Tensor(name="more", dtype=trt.float32, shape=(2,))
            fail(layer)

        match_and_rewrite = rewrite

    class Analyzer(PatternAnalyzer):
        def __init__(self):
            super().__init__("broken")

        def match(self, layer):
            return True

        def analyze(self, subgraph):
            fail(subgraph)

    network, outer = sums(3), Network()
    manager = AnalysisPatternManager() if phase == "analyze" else RewritePatternManager()
    manager.add("broken", Analyzer() if phase == "analyze" else Rewriter())
    text = network.trt_network.to_text()
    with net_guard(outer):
        with pytest.raises(type(error)) as caught:
            (manager.analyze if phase == "analyze" else manager.rewrite)(network)
        assert caught.value is error
        assert default_net() is outer
    assert network.trt_network.to_text() == text and list(network._inputs) == ["x"]
    good = RewritePatternManager()
    good.add("good", NaivePatternRewriter_ReplaceAddWithSub())
    assert good.rewrite(network) == 3


def test_a_caught_error_of_the_library_still_ends_the_run():
    def change(layer):
        with net_guard(layer.network):
            a = layer.get_inputs(0)[0]
            with pytest.raises(errors.InvalidArgumentError):
                F.add(a, F.constant(floats(7, 7)))
        return False

    network, manager = sums(), RewritePatternManager()
    manager.add("careless", Watch("careless", [], change))
    text = network.trt_network.to_text()
    with pytest.raises(errors.TenonError):
        manager.rewrite(network)
    assert network.trt_network.to_text() == text


def test_match_and_analyze_only_look():
    class Careless(PatternRewriter):
        def __init__(self):
            super().__init__("careless", separate_match_rewrite=True)

        def match(self, layer):
            layer.get_inputs(0)[0] * 2.0
            return False

        def rewrite(self, layer):
            pass

    network, manager = sums(), RewritePatternManager()
    manager.add("careless", Careless())
    with pytest.raises(errors.InvalidArgumentError, match="pattern 'careless' is only looking at the network"):
        manager.rewrite(network)


def test_a_run_inside_a_run_is_refused_and_analysis_is_not():
    network, manager = sums(), RewritePatternManager()
    counted = []

    def change(layer):
        analysis, counter = AnalysisPatternManager(), NaivePatternAnalyzer_CountAdd()
        analysis.add("count", counter)
        analysis.analyze(layer.network)
        counted.append(counter.count)
        RewritePatternManager().rewrite(layer.network)

    manager.add("nested", Watch("nested", [], change))
    with pytest.raises(errors.UnavailableError, match="a run of its patterns is under way"):
        manager.rewrite(network)
    assert counted == [1]


def test_root_types_choose_what_a_pattern_is_shown(network):
    seen, manager = [], AnalysisPatternManager()

    class See(PatternAnalyzer):
        def match(self, layer):
            seen.append((self.name, layer.type))
            return False

        def analyze(self, subgraph):
            pass

    manager.add("all", See("all"))
    manager.add("plugins", See("plugins", {trt.LayerType.PLUGIN_V2}))
    manager.add("products", See("products", {trt.LayerType.MATRIX_MULTIPLY, trt.LayerType.CONSTANT}))
    manager.add("none", See("none", {trt.LayerType.NMS}))
    assert manager.analyze(network) == 0
    assert {kind for name, kind in seen if name == "plugins"} == {trt.LayerType.PLUGIN_V2}
    assert {kind for name, kind in seen if name == "products"} == {trt.LayerType.MATRIX_MULTIPLY, trt.LayerType.CONSTANT}
    assert sum(name == "all" for name, _ in seen) == len(network.get_layers()) and not any(name == "none" for name, _ in seen)


def test_a_pattern_may_answer_the_layers_of_a_subgraph():
    found = []

    class Chain(PatternAnalyzer):
        def match(self, layer):
            parents = [one.get_parent() for one in layer.get_inputs() if one.get_parent() is not None]
            return [layer, *parents]

        def analyze(self, subgraph):
            found.append([layer.type.name for layer in subgraph])

    manager = AnalysisPatternManager()
    manager.add("chain", Chain("chain", {trt.LayerType.ELEMENTWISE}))
    assert manager.analyze(sums(2)) == 2
    assert found == [["ELEMENTWISE"], ["ELEMENTWISE", "ELEMENTWISE"]]


# --- calls ----------------------------------------------------------------------------------------------------------------------------------


def test_calls_keep_lists_dicts_and_numbers_and_follow_replaced_tensors():
    @record_signature
    def mixed(parts, options, factor=2.0, *, name="n"):
        return F.mul(F.add(parts[0], options["bias"]), factor), F.sub(parts[1], parts[0])

    network = Builder(device()).create_network()
    with net_guard(network):
        a, b, c = (Tensor(name=name, dtype=trt.float32, shape=(2, 3)) for name in "abc")
        first, second = mixed([a, b], {"bias": F.relu(c), "on": True})
        (first + second).mark_output("y")
    call = network._calls[min(address for address, info in network._calls.items() if info.layer_kind == "mixed")]
    assert call.get_input("parts") == [a, b] or call.get_input("parts")[0] is a
    assert call.raw_inputs["options"]["on"] is True and call.get_input("factor") == 2.0 and call.get_input("name") == "n"
    assert call.signature == ("mixed", {"parts": ["T", "T"], "options": {"bias": "T", "on": True}, "factor": 2.0, "name": "n"})
    assert call.raw_outputs[0] is first and call.raw_outputs[1] is second
    relu = call.get_input("options")["bias"]
    with net_guard(network, before=relu.get_users()[0]):
        tanh = F.tanh(c)
    relu.replace_all_uses_with(tanh)
    assert call.get_input("options")["bias"] is tanh and call.clone_inputs()["options"]["bias"] is tanh
    call.replace_input_with(b, c)
    assert call.get_input("parts")[1] is c
    with pytest.raises(errors.NotFoundError, match="has no argument 'b'"):
        call.replace_input_with(b, a)
    with pytest.raises(errors.NotFoundError, match="has no input 'zzz'"):
        call.get_input("zzz")


def test_new_outputs_take_names_types_and_places():
    network = attention_network(trt.float32)
    layer = next(layer for layer in network.get_layers() if layer.type == trt.LayerType.PLUGIN_V2)
    info, old = FLayerInfoMemo(network).get(layer.name), layer.get_outputs(0)[0]
    name = old.name
    with net_guard(network, before=layer):
        new = F.cast(info.get_input("qkv")[..., :HIDDEN], "float16")
    with pytest.raises(errors.InvalidArgumentError, match="gives a tuple, the new outputs are a Tensor"):
        info.replace_outputs_uses_with(network, new)
    with pytest.raises(errors.InvalidArgumentError, match="has 1 outputs, the new ones are 2 tensors"):
        info.replace_outputs_uses_with(network, (new, new))
    info.replace_outputs_uses_with(network, (new, None))
    assert old.name == name + "_deprecated" and not old.get_users()
    assert FLayerInfoMemo(network).get(layer.name) is None or FLayerInfoMemo(network).get(layer.name).layer_kind != "gpt_attention"
    assert run_network(network, tensor=floats(BATCH, IN_LEN, HIDDEN))["y"].dtype == np.float32


def test_every_functional_is_recorded():
    network = Builder(device()).create_network()
    with net_guard(network):
        x = Tensor(name="x", dtype=trt.float32, shape=(2, 8))
        for functional in (F.relu, F.softmax, F.exp, lambda x: F.layer_norm(x, 8), lambda x: F.matmul(x, x, transb=True), F.shape):
            functional(x)
        kinds = {FLayerInfoMemo.instance().get(layer.name).layer_kind for layer in network.get_layers()}
    assert {"relu", "softmax", "exp", "layer_norm", "matmul", "shape"} <= kinds


def test_an_exception_in_a_functional_takes_its_record_back():
    network = Builder(device()).create_network()
    with net_guard(network):
        x = Tensor(name="x", dtype=trt.float32, shape=(2, 8))
        with pytest.raises(errors.InvalidArgumentError):
            F.log_softmax(x, 5)
        y = F.relu(x)
        assert FLayerInfoMemo.instance().get(y.get_parent().name).layer_kind == "relu"
        y.mark_output("y")
    assert_close(run_network(network, x=-np.ones((2, 8), np.float32))["y"], np.zeros((2, 8)))


# --- the guard --------------------------------------------------------------------------------------------------------------------------------


def test_the_default_network_is_put_back_whatever_happens():
    first, second = Builder(device()).create_network(), Builder(device()).create_network()
    with net_guard(first):
        with pytest.raises(ZeroDivisionError):
            with net_guard(second):
                1 / 0
        assert default_net() is first
    with pytest.raises(errors.InvalidArgumentError, match="there is no default network"):
        default_net()


def test_threads_and_tasks_have_default_networks_of_their_own():
    networks, seen = [Builder(device()).create_network() for _ in range(2)], {}

    def work(i):
        with net_guard(networks[i]):
            barrier.wait()
            seen[i] = default_net()
            barrier.wait()

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert seen == {0: networks[0], 1: networks[1]}

    async def task(i):
        with net_guard(networks[i]):
            await asyncio.sleep(0)
            return default_net()

    async def both():
        return await asyncio.gather(task(0), task(1))

    assert asyncio.run(both()) == networks


def test_the_example_runs():
    script = ROOT / "examples" / "graph_rewriting" / "replace_add_with_sub.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "rewrites: 1\n[[0. 0. 1.]\n [2. 3. 4.]]\n", done.stdout + done.stderr


def test_many_layers_settle():
    network = sums(2000)
    manager = RewritePatternManager()
    manager.add("one", NaivePatternRewriter_ReplaceAddWithSub())
    assert manager.rewrite(network) == 2000
