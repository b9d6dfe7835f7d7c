"""Random valid configs, small enough to run by the hundred."""

import dataclasses

from hypothesis import strategies as st

from transformer import Config
from transformer.sense import BELONGS, WEIGHED


def attentions(kind: str) -> st.SearchStrategy[str]:
    """The attentions that a model of this kind can have."""
    patterns = ["full", "window", "dilated", "strided", "longformer", "bigbird"]
    others = ["latent", "performer", "linear", "lsh", "linformer" if kind == "encoder" else "recurrent"]
    return st.sampled_from(patterns + others)


@st.composite
def configs(draw, kind: str | None = None) -> Config:
    """Any mix of the options that makes sense."""
    kind = kind or draw(st.sampled_from(["decoder", "encoder"]))
    heads, kv = draw(st.sampled_from([(1, 1), (2, 1), (4, 4), (4, 2), (6, 3)]))
    d_head = draw(st.sampled_from([4, 8]))
    attention = draw(attentions(kind))
    weighed = attention in WEIGHED
    kv = kv if weighed else heads
    added = ["none", "sinusoidal", "learned", "rope"]
    position = draw(st.sampled_from(added + ["alibi", "t5", "shaw", "xl"] * weighed))
    scores = ["scaled_dot"] + ["dot", "general", "additive", "cosine", "location"] * weighed
    score = draw(st.sampled_from(scores))
    product = score not in ("additive", "location")
    scalings = ["none", "linear", "yarn", "llama3"] + ["ntk"] * (attention != "latent" or d_head == 8)
    scaling = draw(st.sampled_from(scalings)) if position == "rope" else "none"
    norm = draw(st.sampled_from(["layer", "rms", "batch", "none"]))
    window = st.integers(1, 5) if attention == "window" else st.none() | st.integers(1, 3)
    sparse = attention in ("longformer", "bigbird")
    experts = draw(st.sampled_from([1, 1, 1, 3]))
    return Config(
        kind=kind,
        vocab_size=draw(st.integers(5, 40)),
        d_model=heads * draw(st.sampled_from([4, 8])),
        n_layers=draw(st.integers(1, 3)),
        n_heads=heads,
        n_kv_heads=kv,
        d_head=d_head,
        max_len=32,
        d_ff=draw(st.none() | st.integers(1, 24)),
        attention=attention,
        window=draw(window) if attention in ("window", "dilated") or sparse else None,
        dilation=draw(st.integers(1, 4)) if attention in ("dilated", "strided") else None,
        global_tokens=draw(st.none() | st.integers(1, 3)) if sparse else None,
        random_keys=draw(st.none() | st.integers(1, 3)) if attention == "bigbird" else None,
        rank=draw(st.none() | st.integers(1, 9)) if attention in ("linformer", "latent") else None,
        q_rank=draw(st.none() | st.integers(1, 9)) if attention == "latent" else None,
        features=draw(st.none() | st.integers(1, 9)) if attention == "performer" else None,
        chunk=draw(st.sampled_from([None, 2, 4])) if attention == "lsh" else None,
        hashes=draw(st.none() | st.integers(1, 3)) if attention == "lsh" else None,
        prefix=draw(st.sampled_from([0, 0, 3])) if kind == "decoder" and weighed else 0,
        score=score,
        qk_norm=draw(st.sampled_from(["none", "before", "after"])) if product and attention not in ("latent", "lsh") else "none",
        soft_cap=draw(st.sampled_from([None, None, 2.0])) if weighed else None,
        sinks=weighed and draw(st.booleans()),
        gate=draw(st.booleans()),
        qkv_bias=draw(st.booleans()) and attention != "lsh",
        out_bias=draw(st.booleans()),
        ffn_bias=draw(st.booleans()),
        position=position,
        rope_layout=draw(st.sampled_from(["half", "interleaved"])),
        rope_dims=draw(st.sampled_from([None, None, 4])) if position == "rope" else None,
        rope_scaling=scaling,
        rope_factor=draw(st.sampled_from([1.0, 2.0, 4.0])),
        norm=norm,
        norm_place=draw(st.sampled_from(["pre", "post"] + ["sandwich"] * (norm != "none"))),
        final_norm=draw(st.none() | st.booleans()) if norm != "none" else None,
        embed_norm=norm != "none" and draw(st.booleans()),
        activation=draw(st.sampled_from(["relu", "gelu", "gelu_tanh", "silu"])),
        gated=draw(st.booleans()),
        experts=experts,
        experts_per_token=draw(st.sampled_from([None, 1, 3])) if experts > 1 else None,
        shared_experts=draw(st.sampled_from([0, 1])) if experts > 1 else 0,
        max_distance=draw(st.sampled_from([None, 20])) if position in ("t5", "shaw") else None,
        buckets=draw(st.sampled_from([None, 8])) if position == "t5" else None,
        n_segments=draw(st.sampled_from([0, 2])),
        scale_embeddings=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        share_layers=draw(st.booleans()),
        init=draw(st.sampled_from(["gpt2", "normal", "xavier"])),
        head="lm" if kind == "decoder" else draw(st.sampled_from(["lm", "none"])),
    )


def in_one_chunk(config: Config) -> Config:
    """The same, with room for a whole text in one chunk of LSH. Elsewhere a later token takes a place in the order by
    which tokens meet, so that LSH keeps no law that holds what came later against what was read before."""
    return dataclasses.replace(config, chunk=64) if config.attention == "lsh" else config


def placeless(config: Config) -> Config:
    """The same, blind to where a token stands: every query sees every key that its kind allows."""
    blind = config.attention in ("latent", "performer", "linear")
    return dataclasses.replace(
        config, position="none", rope_dims=None, rope_scaling="none", max_distance=None, buckets=None,
        attention=config.attention if blind else "full", rank=config.rank if blind else None,
        window=None, dilation=None, global_tokens=None, random_keys=None, chunk=None, hashes=None, memory=None, prefix=0,
        score="dot" if config.score == "location" else config.score,
    )  # fmt: skip
