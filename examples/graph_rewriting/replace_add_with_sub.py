#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# A network from functionals, changed by a pattern, built and run: sums become differences.
from collections import OrderedDict

import numpy

from tenon import Builder, Tensor, functional, net_guard, trt
from tenon.graph_rewriting import PatternRewriter, RewritePatternManager
from tenon.runtime import Engine


class ReplaceAddWithSub(PatternRewriter):
    def __init__(self):
        super().__init__("replace_add_with_sub", root_layer={trt.LayerType.ELEMENTWISE}, separate_match_rewrite=True)

    def match(self, layer):
        return layer.as_layer().op == trt.ElementWiseOperation.SUM

    def rewrite(self, layer):
        with net_guard(layer.network):
            a, b = layer.get_inputs(0, 1)
            layer.get_outputs(0)[0].replace_all_uses_with(a - b)
            layer.mark_as_removed()


builder = Builder()
network = builder.create_network()
with net_guard(network):
    sizes = OrderedDict([("batch", [[1, 2, 8]]), ("hidden", [3])])
    a, b = (Tensor(name=name, dtype=trt.float32, shape=[-1, 3], dim_range=sizes) for name in "ab")
    functional.relu(a + b).mark_output("y")

manager = RewritePatternManager()
manager.add("add_to_sub", ReplaceAddWithSub())
print("rewrites:", manager.rewrite(network))

engine = Engine.from_bytes(builder.build_engine(network, builder.create_builder_config("float32")))
x = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
print(engine.context().run({"a": x, "b": numpy.ones_like(x)})["y"])
