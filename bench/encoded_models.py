# SPDX-License-Identifier: Apache-2.0
#
# encoded_models.py: SmolLM2 in each of GGUF's types, for the programs beside it, kept in the cache folder. Needs numpy and PyPI's gguf.
import pathlib

from machine import ROOT, fail, run, say

TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")
OLD, NEW, HEADS, KV_HEADS, HEAD_DIM = 576, 768, 12, 4, 64


def widened(tensor):
    """Its values with 768 columns in place of 576, the others zeros: the same function, but every row is whole blocks of 256. Norms
    divide by the larger number, so their scales are smaller by the root of 576 / 768; 3 of 12 heads are zeros."""
    import gguf
    import numpy as np

    x = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    if x.ndim == 1:
        return np.pad(x * np.float32((OLD / NEW) ** 0.5), (0, NEW - OLD))
    grown = [{OLD: NEW, OLD * KV_HEADS // HEADS: KV_HEADS * HEAD_DIM}.get(size, size) for size in x.shape]
    return np.pad(x, [(0, size - was) for size, was in zip(grown, x.shape)])


def write(path, kind):
    import gguf
    import gguf_encode

    reader = gguf.GGUFReader(run([ROOT / "scripts/fetch_model.sh"]).strip())
    writer = gguf.GGUFWriter(path, "llama")
    epsilon = "llama.attention.layer_norm_rms_epsilon"
    values = {"llama.embedding_length": NEW, "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV_HEADS,
              epsilon: reader.fields[epsilon].contents() * OLD / NEW}
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            sub_type = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, values.get(name, field.contents()), field.types[0], sub_type=sub_type)
    for tensor in reader.tensors:
        x = widened(tensor)
        if x.ndim == 1:
            writer.add_tensor(tensor.name, x)
        else:
            writer.add_tensor(tensor.name, gguf_encode.encode(x, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def encoded(cache, name):
    """The file with every matrix in that type."""
    path = cache / f"models/encoded/SmolLM2-135M-wide.{name}.gguf"
    if not path.exists():
        try:
            import gguf
        except ImportError as error:
            fail(f"{error}: pip install gguf")
        path.parent.mkdir(parents=True, exist_ok=True)
        say(f"writing {path}")
        write(path.with_suffix(".new"), gguf.GGMLQuantizationType[name])
        path.with_suffix(".new").rename(path)
    return path
