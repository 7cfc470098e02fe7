# SPDX-License-Identifier: Apache-2.0
"""builder.py's call sequence: networks, configurations, named dimensions, timing caches, refit, saved configurations."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from network_testing import assert_close, device, floats
from tenon import Parameter, errors, trt
from tenon import functional as F
from tenon.builder import Builder, BuilderConfig
from tenon.functional import Tensor
from tenon.network import net_guard
from tenon.runtime import Engine, Session, TensorInfo

RANGES = OrderedDict([("batch_size", [[1, 4, 8]]), ("hidden", [6])])


def linear(builder, weight, bias, ranges=RANGES, name="x"):
    network = builder.create_network()
    network.set_named_parameters([("linear.weight", weight), ("linear.bias", bias)])
    with net_guard(network):
        x = Tensor(name=name, dtype=trt.float32, shape=[-1, 6], dim_range=ranges)
        (F.matmul(x, weight.value, transb=True) + bias.value).mark_output("y", trt.float32)
    return network


def parameters(seed=0):
    return Parameter(floats(3, 6, seed=seed)), Parameter(floats(3, seed=seed + 1))


def test_the_whole_sequence(tmp_path):
    builder = Builder(device())
    weight, bias = parameters()
    network = linear(builder, weight, bias)
    config = builder.create_builder_config(name="mlp", precision="float32", timing_cache=tmp_path / "model.cache", tensor_parallel=1, use_refit=True,
                                           int8=False, fp8=False, strongly_typed=False, opt_level=1, vocab_size=320, hidden_act="gelu")
    config.trt_builder_config.activation_precision = "float32"
    assert isinstance(config, BuilderConfig) and (config.name, config.vocab_size, config.use_refit) == ("mlp", 320, True)
    assert config.trt_builder_config.get_flag(trt.BuilderFlag.REFIT) and config.trt_builder_config.builder_optimization_level == 1
    engine = builder.build_engine(network, config)
    assert isinstance(engine, trt.IHostMemory) and isinstance(engine, bytes) and engine.nbytes == len(engine) > 0
    assert config.trt_builder_config.num_optimization_profiles == 1
    x = floats(5, 6)
    assert_close(Engine.from_bytes(engine, device()).context().run({"x": x})["y"], x @ weight.raw_value.T + bias.raw_value)

    weight.value, bias.value = floats(3, 6, seed=5), floats(3, seed=6)
    refitted = builder.refit_engine(network, engine)
    assert_close(Engine.from_bytes(refitted, device()).context().run({"x": x})["y"], x @ floats(3, 6, seed=5).T + floats(3, seed=6))

    assert Builder.save_timing_cache(config, str(tmp_path / "model.cache")) is True
    assert (tmp_path / "model.cache").stat().st_size > 0
    again = builder.create_builder_config("float32", timing_cache=str(tmp_path / "model.cache"))
    assert bytes(again.trt_builder_config.get_timing_cache().serialize()) == (tmp_path / "model.cache").read_bytes()

    Builder.save_config(config, str(tmp_path / "config.json"))
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["builder_config"]["precision"] == "float32" and saved["builder_config"]["vocab_size"] == 320
    assert saved["plugin_config"]["gpt_attention_plugin"] is False and "_trt_builder_config" not in saved["builder_config"]


def test_a_build_is_repeatable_and_a_network_can_be_built_again():
    builder = Builder(device())
    weight, bias = parameters()
    networks = [linear(builder, weight, bias) for _ in range(2)]
    config = builder.create_builder_config("float32", opt_level=0)
    first = builder.build_engine(networks[0], config)
    assert builder.build_engine(networks[1], config) == first
    again, x = builder.build_engine(networks[0], config), floats(2, 6)
    run = [Engine.from_bytes(plan, device()).context().run({"x": x})["y"] for plan in (first, again)]
    assert_close(run[0], run[1])


def test_a_given_timing_cache_is_used_and_filled():
    builder = Builder(device())
    cache = trt.IBuilderConfig().create_timing_cache(b"")
    config = builder.create_builder_config("float32", timing_cache=cache, opt_level=3)
    assert config.trt_builder_config.get_timing_cache() is cache
    builder.build_engine(linear(builder, *parameters()), config)
    other = trt.ITimingCache()
    assert other.combine(cache) and other.num_measured == 0
    count = cache.num_measured
    builder.build_engine(linear(builder, *parameters()), config)
    assert cache.num_measured == count  # all times were there


def test_dimensions_of_one_name_need_one_range_in_each_profile():
    builder = Builder(device())
    network = builder.create_network()
    with net_guard(network):
        a = Tensor(name="a", dtype=trt.float32, shape=[-1, 6], dim_range=OrderedDict([("batch_size", [[1, 4, 8]]), ("hidden", [6])]))
        b = Tensor(name="b", dtype=trt.float32, shape=[-1, 6], dim_range=OrderedDict([("batch_size", [[1, 4, 9]]), ("hidden", [6])]))
        (a + b).mark_output("y")
    with pytest.raises(errors.InvalidArgumentError, match="dimension name is: batch_size") as caught:
        builder.build_engine(network, builder.create_builder_config("float32"))
    assert "(1, 4, 8) in 'a'" in str(caught.value) and "(1, 4, 9) in 'b'" in str(caught.value)


def test_two_profiles_are_built_and_chosen():
    builder = Builder(device())
    ranges = OrderedDict([("batch_size", [[1, 1, 1], [2, 4, 8]]), ("hidden", [6, 6])])
    weight, bias = parameters()
    engine = Engine.from_bytes(builder.build_engine(linear(builder, weight, bias, ranges), builder.create_builder_config("float32", opt_level=0)), device())
    for profile, rows in ((0, 1), (1, 5)):
        x = floats(rows, 6)
        assert np.abs(engine.context(profile).run({"x": x})["y"] - (x @ weight.raw_value.T + bias.raw_value)).max() < 1e-3
    with pytest.raises(errors.InvalidArgumentError, match="profile 1 allows it"):
        engine.context(0).run({"x": floats(5, 6)})


def test_every_mistake_is_told_at_once():
    builder = Builder(device("ref"))
    network = builder.create_network()
    with net_guard(network):
        Tensor(name="x", dtype=trt.float32, shape=[2, 2])
    with pytest.raises(errors.InvalidArgumentError, match="output"):
        builder.build_engine(network, builder.create_builder_config("float32"))


def test_precisions_are_flags():
    builder, flags = Builder(device()), trt.BuilderFlag
    config = builder.create_builder_config("float16", fp8=True).trt_builder_config
    assert config.get_flag(flags.FP16) and config.get_flag(flags.FP8) and config.get_flag(flags.OBEY_PRECISION_CONSTRAINTS) and not config.get_flag(flags.BF16)
    assert builder.create_builder_config("bfloat16", int8=True).trt_builder_config.get_flag(flags.INT8)
    strong = builder.create_builder_config("anything", strongly_typed=True)
    assert not strong.trt_builder_config.get_flag(flags.FP16)
    assert builder.create_network().strongly_typed
    assert builder.trt_builder.create_network(1 << 1).get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def test_a_session_infers_shapes_and_writes_into_the_outputs():
    builder = Builder(device())
    weight, bias = parameters()
    session = Session.from_serialized_engine(builder.build_engine(linear(builder, weight, bias), builder.create_builder_config("float32", opt_level=0)))
    (info,) = session.infer_shapes([TensorInfo("x", trt.float32, (4, 6))])
    assert (info.name, tuple(info.shape), info.dtype) == ("y", (4, 3), trt.float32)
    x, y = floats(4, 6), np.empty(tuple(info.shape), np.float32)
    assert session.run({"x": x}, {"y": y}, None)
    assert np.abs(y - (x @ weight.raw_value.T + bias.raw_value)).max() < 1e-3


def test_plugin_settings_are_kept_and_saved(tmp_path):
    builder = Builder(device())
    network = linear(builder, *parameters())
    network.plugin_config.set_gpt_attention_plugin(dtype="float16").enable_remove_input_padding()
    network.plugin_config.enable_paged_kv_cache(64)
    network.plugin_config.set_context_fmha(True)
    config = builder.create_builder_config("float32", opt_level=0)
    builder.build_engine(network, config)
    Builder.save_config(config, tmp_path / "config.json")
    saved = json.loads(Path(tmp_path / "config.json").read_text())["plugin_config"]
    assert saved["gpt_attention_plugin"] == "float16" and saved["remove_input_padding"] is True and saved["tokens_per_block"] == 64


def test_plans_move_between_files_and_memory(tmp_path):
    builder = Builder(device())
    weight, bias = parameters()
    plan = builder.build_engine(linear(builder, weight, bias), builder.create_builder_config("float32", opt_level=0))
    (tmp_path / "rank0.engine").write_bytes(plan)
    engine, x = Engine.load(tmp_path / "rank0.engine", device()), floats(2, 6)
    assert [info.name for info in engine.inputs + engine.outputs] == ["x", "y"] and engine.functions == ["forward"]
    assert np.abs(engine.context().run({"x": x})["y"] - (x @ weight.raw_value.T + bias.raw_value)).max() < 1e-3
    assert engine.serialize() == bytes(plan) and engine.inspect()["functions"]
