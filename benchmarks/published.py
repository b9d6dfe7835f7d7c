"""The published layers that benchmarks/sparse.py runs beside ours: the same heads, the same work, no projections.

Each is made for one n and one direction: ``make(n, causal) -> layer``, and ``layer(x)`` is its forward pass on
x [1, n, 512], 8 heads of 64.
"""

import contextlib
import io
from collections.abc import Callable

from linformer.linformer import LinformerSelfAttention
from local_attention import LocalAttention
from performer_pytorch import FastAttention
from torch import Tensor, nn
from transformers import ReformerConfig
from transformers.models.reformer.modeling_reformer import LSHSelfAttention

from transformer.experiments.timing import Forward

HEADS, WIDTH = 8, 64


def window(n: int, causal: bool) -> Forward:
    """local-attention (Phil Wang): blocks of 128 that see their neighbours, exactly 128 keys back where causal."""
    layer = LocalAttention(window_size=128, causal=causal, exact_windowsize=causal).eval()
    return lambda x: _by_head(x, layer)


def linformer(n: int, causal: bool) -> Forward:
    """linformer (Phil Wang), k = 256; it has no causal form, and neither has ours."""
    layer = LinformerSelfAttention(HEADS * WIDTH, seq_len=n, k=256, heads=HEADS).eval()
    layer.to_q = layer.to_k = layer.to_v = layer.to_out = nn.Identity()
    return layer


def performer(n: int, causal: bool) -> Forward:
    """performer-pytorch (Phil Wang), as many features as it chooses by itself: 64 · ln 64 = 266."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that there is no CUDA
        layer = FastAttention(WIDTH, causal=causal).eval()
    return lambda x: _by_head(x, layer)


def lsh(n: int, causal: bool) -> Forward:
    """Hugging Face's Reformer: 8 hashes, chunks of 64 that see the one before."""
    layer = LSHSelfAttention(ReformerConfig(
        attn_layers=["lsh"], hidden_size=HEADS * WIDTH, num_attention_heads=HEADS, attention_head_size=WIDTH,
        num_hashes=8, lsh_attn_chunk_length=64, lsh_num_chunks_before=1, lsh_num_chunks_after=0,
        num_buckets=_buckets(n), is_decoder=causal, max_position_embeddings=n, hash_seed=0,
    ), layer_idx=0).eval()  # fmt: skip
    layer.query_key = layer.value = nn.Identity()
    return lambda x: layer(x)[0]


PUBLISHED = {
    "window 128": ("local-attention", window),
    "linformer 256": ("linformer", linformer),
    "performer": ("performer-pytorch", performer),
    "lsh, 8 hashes": ("Reformer (Hugging Face)", lsh),
}  # row of benchmarks/sparse.py -> the published layer


def _by_head(x: Tensor, layer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    each = x.unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)  # [batch, head, token, d_head]
    return layer(each, each, each).transpose(1, 2).flatten(2)


def _buckets(n: int) -> int | list[int]:
    """As many as its own rule gives, two for each chunk; in two factors where they are many."""
    count = 2 * (n // 64)
    if count <= 128:
        return count
    first = 2 ** (count.bit_length() // 2)
    return [first, count // first]
