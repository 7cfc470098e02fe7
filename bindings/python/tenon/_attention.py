# SPDX-License-Identifier: Apache-2.0
"""Attention and what belongs to it, made of the functions of ``tenon.functional``."""

from __future__ import annotations

import enum
import math
from typing import Any, Optional, Tuple

import numpy as np

from . import errors, trt
from . import functional as fn
from .network import default_trtnet
from .trt._enums import DataType


class AttentionMaskType(enum.IntEnum):
    """Which keys a query sees."""

    padding = 0
    causal = 1
    bidirectional = 2


class PositionEmbeddingType(enum.IntEnum):
    """Where positions come from."""

    learned_absolute = 0
    rope_gptj = 1
    rope_gpt_neox = 2
    long_rope = 3
    alibi = 4
    alibi_with_scale = 5
    relative = 6
    chatglm = 7

    def is_rope(self) -> bool:
        return self in (self.rope_gptj, self.rope_gpt_neox)

    def is_alibi(self) -> bool:
        return self in (self.alibi, self.alibi_with_scale)


class RotaryScalingType(enum.IntEnum):
    """How rotary frequencies are stretched."""

    none = 0
    linear = 1
    dynamic = 2
    longrope = 3
    llama3 = 4
    mrope = 5


class RopeEmbeddingUtils:
    """Tables of rotary embedding as NumPy arrays."""

    @staticmethod
    def create_inverse_frequencies(dim: int, theta: float = 10000.0, scale: float = 1.0) -> np.ndarray:
        """[dim / 2]"""
        if dim < 2 or dim % 2:
            raise errors.InvalidArgumentError(f"a rotary dimension is even and at least 2, not {dim}")
        return (scale / theta ** (np.arange(0, dim, 2, dtype=np.float64) / dim)).astype(np.float32)

    @staticmethod
    def create_sinusoidal_positions(num_pos: int, dim: int, theta: float = 10000.0, dtype: Any = np.float32) -> np.ndarray:
        """[num_pos, dim]: sin, then cos of position · frequency."""
        angles = np.outer(np.arange(num_pos, dtype=np.float64), 1.0 / theta ** (np.arange(0, dim, 2, dtype=np.float64) / dim))
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(dtype)


def generate_alibi_slopes(num_heads: int, tp_size: int = 1, tp_rank: int = 0, alibi_scale: float = 1.0, alibi_bias_max: int = 8) -> np.ndarray:
    """[num_heads] float32 (arXiv 2108.12409): powers of 2^(−8 / n) for the power of two n below, the rest between."""
    if num_heads < 1 or tp_size != 1 or tp_rank != 0:
        raise errors.InvalidArgumentError(f"slopes of {num_heads} heads on rank {tp_rank} of {tp_size}: at least 1 head, one rank")
    closest = 1 << (num_heads.bit_length() - 1)
    slopes = [2.0 ** (-alibi_bias_max * (i + 1) / closest) for i in range(closest)]
    slopes += [2.0 ** (-alibi_bias_max * (2 * i + 1) / (2 * closest)) for i in range(num_heads - closest)]
    return (np.array(slopes) * alibi_scale).astype(np.float32)


def generate_alibi_biases(slopes: fn.Tensor, key_length: Any) -> fn.Tensor:
    """slopes [heads] → [1, heads, 1, key_length]: slope · key."""
    keys = fn.cast(fn.arange(0, key_length, DataType.INT64), slopes.dtype)
    return fn.mul(fn.view(slopes, [1, -1, 1, 1]), fn.view(keys, [1, 1, 1, -1]))


def expand_mask(mask: fn.Tensor, tgt_len: Optional[Any] = None) -> fn.Tensor:
    """mask [batch, keys] of 0 and 1 → [batch, 1, queries, keys]: 0 where it is 1, else float32's smallest."""
    length = mask.shape[1] if tgt_len is None and mask.shape[1] >= 0 else fn.shape(mask, 1) if tgt_len is None else tgt_len
    batch = mask.shape[0] if mask.shape[0] >= 0 else fn.shape(mask, 0)
    keys = mask.shape[1] if mask.shape[1] >= 0 else fn.shape(mask, 1)
    wide = fn.expand(fn.view(fn.cast(mask, DataType.FLOAT), [0, 1, 1, -1] if mask.shape[1] < 0 else [0, 1, 1, mask.shape[1]]), [batch, 1, length, keys])
    return fn.where(fn.eq(wide, 0.0), fn.constant(np.float32(np.finfo(np.float32).min)), 0.0)


def gather_last_token_logits(hidden_states: fn.Tensor, last_token_ids: fn.Tensor, remove_input_padding: bool) -> fn.Tensor:
    """Hidden states of each sequence's last token: packed [tokens, hidden] by running ends, padded [batch, length, hidden] by lengths."""
    if remove_input_padding:
        states = fn.squeeze(hidden_states, 0) if hidden_states.ndim() == 3 else hidden_states
        return fn.index_select(states, 0, fn.sub(last_token_ids, 1))
    places = fn.expand_dims(fn.sub(fn.view(last_token_ids, [-1]), 1), 1)
    return fn.gather_nd(hidden_states, places, 1)


def rotary_embedding(x: fn.Tensor, cos: fn.Tensor, sin: fn.Tensor, interleaved: bool = False, rotary_dim: int = 0,
                     position_ids: Optional[fn.Tensor] = None) -> fn.Tensor:
    """x [batch, heads, length, size]; cos and sin [batch, length, dim / 2], or [positions, dim / 2] with position ids [batch, length].

    Pairs are (i, i + dim / 2), or neighbours if interleaved.
    """
    layer = default_trtnet().add_rotary_embedding(x.trt_tensor, cos.trt_tensor, sin.trt_tensor, interleaved, rotary_dim,
                                                  position_ids.trt_tensor if position_ids is not None else None)
    return fn._out(layer)


# --- attention -------------------------------------------------------------------------------------------------------------------------------


def _length(x: fn.Tensor, axis: int) -> Any:
    return x.shape[axis] if x.shape[axis] >= 0 else fn.shape(x, axis)


def _attend(q: fn.Tensor, k: fn.Tensor, v: fn.Tensor, scale: float, mask: Optional[fn.Tensor], causal: str) -> fn.Tensor:
    kind = trt.CausalMaskKind[causal] if mask is None else trt.CausalMaskKind.NONE
    if mask is not None and mask.shape[1] != 1 and k.shape[1] != q.shape[1] and mask.is_dynamic():  # the layer groups fixed masks only
        k, v = (fn.repeat_interleave(one, q.shape[1] // k.shape[1], 1) for one in (k, v))
    layer = default_trtnet().add_attention(fn.mul(q, scale).trt_tensor, k.trt_tensor, v.trt_tensor, trt.AttentionNormalizationOp.SOFTMAX, kind,
                                           mask.trt_tensor if mask is not None else None)
    return fn._out(layer)


def _heads(x: fn.Tensor, count: int, size: int) -> fn.Tensor:
    """[batch, length, heads · size] → [batch, heads, length, size]"""
    return fn.permute(fn.view(x, [0, 0, count, size]), (0, 2, 1, 3))


def _sequence_of_token(lengths: fn.Tensor, positions: fn.Tensor) -> Tuple[fn.Tensor, fn.Tensor]:
    """Packed tokens by lengths [sequences]: each token's sequence, and its position in it; both int64 [tokens]."""
    ends = fn.cumsum(fn.cast(lengths, DataType.INT64), 0)
    is_behind = fn.cast(fn.not_op(fn.lt(fn.expand_dims(positions, 1), fn.expand_dims(ends, 0))), DataType.INT64)  # [tokens, sequences]
    sequence = fn.sum(is_behind, 1)
    start = fn.sum(fn.mul(is_behind, fn.expand_dims(fn.cast(lengths, DataType.INT64), 0)), 1)
    return sequence, fn.sub(positions, start)


_IGNORED = frozenset(
    # what TensorRT-LLM's kernels need, and layers made of tensors do not
    "sequence_length host_past_key_value_lengths host_max_attention_window_sizes host_sink_token_length cache_indirection host_request_types "
    "layer_idx max_context_length host_context_lengths host_kv_cache_block_offsets host_kv_cache_pool_pointers host_kv_cache_pool_mapping "
    "use_cache tp_size tp_rank host_runtime_perf_knobs host_context_progress vision_start vision_length skip_attn multi_block_mode "
    "use_context_fmha_for_generation attn_processing_unit neox_rotary_style max_input_length".split())
_REFUSED = frozenset(
    "kv_orig_quant_scale kv_quant_orig_scale attention_output_orig_quant_scale kv_cache_quant_mode kv_cache_block_offsets "
    "spec_decoding_generation_lengths spec_decoding_position_offsets spec_decoding_packed_mask cross_kv cross_kv_length encoder_input_lengths "
    "relative_attention_bias max_distance host_relative_attention_bias rotary_embedding_scale_type rotary_inv_freq rotary_cos_sin "
    "rotary_embedding_short_m_scale rotary_embedding_long_m_scale context_fmha_custom_mask long_rope_rotary_inv_freq "
    "long_rope_rotary_cos_sin mrope_rotary_cos_sin logn_scaling qk_nope_head_dim q_lora_rank kv_lora_rank qk_rope_head_dim v_head_dim "
    "fused_q_proj q_b_proj kv_b_proj paged_kv_cache_pool block_sparse_block_size is_mla_enabled_flag do_cross_attention "
    "attention_mask attention_packed_mask kv_cache_params attention_params".split())


def gpt_attention(*, qkv: Any, past_key_value: Optional[fn.Tensor] = None, context_lengths: Optional[fn.Tensor] = None, num_heads: int,
                  num_kv_heads: Optional[int] = None, hidden_size_per_head: int, q_scaling: float = 1.0, qk_tanh_scale: float = 0.0,
                  rotary_embedding_dim: int = 0, rotary_embedding_base: float = 10000.0, rotary_embedding_scale: float = 1.0,
                  rotary_embedding_max_positions: int = 1024,
                  position_embedding_type: PositionEmbeddingType = PositionEmbeddingType.learned_absolute,
                  mask_type: AttentionMaskType = AttentionMaskType.causal, alibi_slopes: Optional[fn.Tensor] = None,
                  qkv_bias: Optional[fn.Tensor] = None, **more: Any) -> Tuple[fn.Tensor, Optional[fn.Tensor]]:
    """Attention of a decoder, under TensorRT-LLM's arguments. Patterns see it as one layer: PLUGIN_V2, namespace ``tensorrt_llm``, type
    ``GPTAttention``.

    qkv [batch, length, (heads + 2 · kv heads) · size]; or packed, [1, tokens, …] or [tokens, …] with ``context_lengths`` [sequences]: then
    tokens see their own sequence only. ``past_key_value`` [batch, 2, kv heads, past, size] is put in front of keys and values (padded form).
    Gives (context like qkv with heads · size, the new ``past_key_value`` or None).

    UnsupportedError: paged or quantised caches, cross attention, relative bias, soft caps, scaled rotary frequencies by name.
    """
    for name, value in more.items():
        if name not in _IGNORED and name not in _REFUSED:
            raise TypeError(f"gpt_attention has no argument '{name}'")
        if name in _REFUSED and value is not None and value is not False and not (isinstance(value, (int, float)) and int(value) == 0):
            raise errors.UnsupportedError(f"gpt_attention: {name} is not in Tenon's Python yet; the executor's decoders have paged caches")
    if qk_tanh_scale:
        raise errors.UnsupportedError("gpt_attention: qk_tanh_scale is not in Tenon's Python yet")
    fn._check_tensor(qkv, "qkv")
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    size, width = hidden_size_per_head, (num_heads + 2 * kv_heads) * hidden_size_per_head
    if qkv.ndim() not in (2, 3) or qkv.shape[-1] != width:
        raise errors.InvalidArgumentError(
            f"qkv is [batch, length, {width}] or [tokens, {width}] for {num_heads} heads, {kv_heads} kv heads of {size}; '{qkv.name}' is {tuple(qkv.shape)}")
    if kv_heads < 1 or num_heads % kv_heads:
        raise errors.InvalidArgumentError(f"{num_heads} heads are no multiple of {kv_heads} kv heads")
    if qkv_bias is not None:
        qkv = fn.add(qkv, qkv_bias)
    is_flat = qkv.ndim() == 2
    x = fn.expand_dims(qkv, 0) if is_flat else qkv
    is_packed = x.shape[0] == 1 and context_lengths is not None
    if is_packed and past_key_value is not None:
        raise errors.UnsupportedError("gpt_attention: packed tokens with a contiguous cache are not in Tenon; pad, or take the executor's decoders")
    parts = fn.split(x, [num_heads * size, kv_heads * size, kv_heads * size], -1)
    q, k, v = (_heads(part, count, size) for part, count in zip(parts, (num_heads, kv_heads, kv_heads)))
    past = _length(past_key_value, 3) if past_key_value is not None else 0
    rows = fn.arange(0, _length(x, 1), DataType.INT64)  # [length]
    sequence, positions = _sequence_of_token(context_lengths, rows) if is_packed else (None, rows)
    if past_key_value is not None:
        positions = fn.add(positions, past)
    position_type = PositionEmbeddingType(position_embedding_type)
    if position_type.is_rope() and rotary_embedding_dim > 0:
        table = RopeEmbeddingUtils.create_sinusoidal_positions(rotary_embedding_max_positions, rotary_embedding_dim, rotary_embedding_base)
        half = rotary_embedding_dim // 2
        cos, sin = (fn.expand_dims(fn.index_select(fn.constant(np.ascontiguousarray(one), x.dtype), 0, positions), 0)
                    for one in (table[:, half:], table[:, :half]))
        batch = _length(x, 0)
        if x.shape[0] != 1:
            cos, sin = (fn.expand(one, [batch, _length(x, 1), half]) for one in (cos, sin))
        q, k = (rotary_embedding(one, cos, sin, position_type == PositionEmbeddingType.rope_gptj, rotary_embedding_dim) for one in (q, k))
    elif position_type in (PositionEmbeddingType.long_rope, PositionEmbeddingType.relative, PositionEmbeddingType.chatglm):
        raise errors.UnsupportedError(f"gpt_attention: position_embedding_type {position_type.name} is not in Tenon's Python yet")
    present = None
    if past_key_value is not None:
        old_k, old_v = fn.unbind(past_key_value, 1)
        k, v = fn.concat([old_k, k], 2), fn.concat([old_v, v], 2)
        present = fn.stack([k, v], 1)
    is_causal = mask_type == AttentionMaskType.causal
    mask = _mask(sequence, positions, rows, k, is_causal, alibi_slopes, x.dtype) if is_packed or alibi_slopes is not None else None
    y = _attend(q, k, v, 1.0 / (math.sqrt(size) * q_scaling), mask, "LOWER_RIGHT" if is_causal else "NONE")
    y = fn.flatten(fn.permute(y, (0, 2, 1, 3)), 2, 3)
    # the call ends with a layer of its own, which stands for it
    return fn.identity(fn.squeeze(y, 0) if is_flat else y), present


def _mask(sequence: Optional[fn.Tensor], positions: fn.Tensor, rows: fn.Tensor, k: fn.Tensor, is_causal: bool, slopes: Optional[fn.Tensor],
          dtype: DataType) -> fn.Tensor:
    """Added to the scores: [1, 1 or heads, queries, keys]."""
    keys = fn.arange(0, _length(k, 2), DataType.INT64) if sequence is None else positions
    query, key = fn.expand_dims(positions, 1), fn.expand_dims(keys, 0)
    hidden = fn.gt(key, query) if is_causal else None
    if sequence is not None:
        other = fn.not_op(fn.eq(fn.expand_dims(sequence, 1), fn.expand_dims(sequence, 0)))
        hidden = other if hidden is None else fn.op_or(hidden, other)
    distance = fn.cast(fn.sub(key, query), dtype)
    bias = fn.mul(fn.view(fn.cast(slopes, dtype), [1, -1, 1, 1]), fn.expand_dims(distance, [0, 1])) if slopes is not None else None
    if hidden is None:
        assert bias is not None
        return bias
    closed = fn.expand_dims(hidden, [0, 1])
    lowest = fn._constant(np.array(-3e4 if dtype == DataType.HALF else -1e30, np.float32), dtype)
    return fn.where(closed, lowest, bias if bias is not None else fn._constant(np.zeros((1, 1, 1, 1), np.float32), dtype))


def bert_attention(tensor: fn.Tensor, input_lengths: Optional[fn.Tensor], num_heads: int, head_size: int, q_scaling: float = 1.0,
                   relative_attention: bool = False, max_distance: int = 0, max_input_length: Any = None, relative_attention_bias: Any = None,
                   **more: Any) -> Tuple[fn.Tensor]:
    """Attention of an encoder: qkv [batch, length, 3 · heads · size], tokens see the first ``input_lengths`` [batch] ones of theirs."""
    if relative_attention or relative_attention_bias is not None or any(more.values()):
        raise errors.UnsupportedError("bert_attention: relative attention is not in Tenon's Python yet")
    fn._check_tensor(tensor, "qkv")
    if tensor.ndim() != 3 or tensor.shape[-1] != 3 * num_heads * head_size:
        raise errors.InvalidArgumentError(f"qkv is [batch, length, {3 * num_heads * head_size}]; '{tensor.name}' is {tuple(tensor.shape)}")
    q, k, v = (_heads(part, num_heads, head_size) for part in fn.chunk(tensor, 3, -1))
    mask = None
    if input_lengths is not None:
        keys = fn.view(fn.arange(0, _length(tensor, 1), DataType.INT64), [1, 1, 1, -1])
        closed = fn.not_op(fn.lt(keys, fn.view(fn.cast(input_lengths, DataType.INT64), [-1, 1, 1, 1])))
        lowest = fn._constant(np.array(-3e4 if tensor.dtype == DataType.HALF else -1e30, np.float32), tensor.dtype)
        mask = fn.where(closed, lowest, fn._constant(np.zeros((1, 1, 1, 1), np.float32), tensor.dtype))
        wide = [_length(tensor, 0), 1, _length(tensor, 1), _length(tensor, 1)]
        mask = fn.expand(mask, wide)
    y = _attend(q, k, v, 1.0 / (math.sqrt(head_size) * q_scaling), mask, "NONE")
    return (fn.identity(fn.flatten(fn.permute(y, (0, 2, 1, 3)), 2, 3)),)
