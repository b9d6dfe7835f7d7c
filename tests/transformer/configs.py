"""Random valid configs, small enough to run by the hundred."""

from hypothesis import strategies as st

from transformer import Config


@st.composite
def configs(draw, kind: str | None = None) -> Config:
    """Any mix of the options that makes sense."""
    kind = kind or draw(st.sampled_from(["decoder", "encoder"]))
    heads, kv = draw(st.sampled_from([(1, 1), (2, 1), (4, 4), (4, 2), (6, 3)]))
    d_head = draw(st.sampled_from([4, 8]))
    attention = draw(st.sampled_from(["full", "window", "dilated", "strided"]))
    position = draw(st.sampled_from(["none", "sinusoidal", "learned", "rope"]))
    scaling = draw(st.sampled_from(["none", "linear", "ntk", "yarn", "llama3"])) if position == "rope" else "none"
    norm = draw(st.sampled_from(["layer", "rms", "none"]))
    window = st.integers(1, 5) if attention == "window" else st.none() | st.integers(1, 3)
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
        window=draw(window) if attention in ("window", "dilated") else None,
        dilation=draw(st.integers(1, 4)) if attention in ("dilated", "strided") else None,
        score=draw(st.sampled_from(["scaled_dot", "dot"])),
        qkv_bias=draw(st.booleans()),
        out_bias=draw(st.booleans()),
        ffn_bias=draw(st.booleans()),
        position=position,
        rope_layout=draw(st.sampled_from(["half", "interleaved"])),
        rope_scaling=scaling,
        rope_factor=draw(st.sampled_from([1.0, 2.0, 4.0])),
        norm=norm,
        norm_place=draw(st.sampled_from(["pre", "post"])),
        final_norm=draw(st.none() | st.booleans()) if norm != "none" else None,
        embed_norm=norm != "none" and draw(st.booleans()),
        activation=draw(st.sampled_from(["relu", "gelu", "gelu_tanh", "silu"])),
        gated=draw(st.booleans()),
        n_segments=draw(st.sampled_from([0, 2])),
        scale_embeddings=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        share_layers=draw(st.booleans()),
        head="lm" if kind == "decoder" else draw(st.sampled_from(["lm", "none"])),
    )
