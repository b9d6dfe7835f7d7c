"""Which choices of a ``Config`` go together; each pair that does not is refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformer.config import Config

# Attention that weighs each allowed key by its own score, so that scores, biases and masks can be anything.
WEIGHED = ("full", "window", "dilated", "strided", "longformer", "bigbird", "recurrent")

# option -> the attentions that it means something to, and those that cannot do without it
BELONGS = {
    "window": (("window", "dilated", "longformer", "bigbird"), ("window",)),
    "dilation": (("dilated", "strided"), ("dilated", "strided")),
    "global_tokens": (("longformer", "bigbird"), ()),
    "random_keys": (("bigbird",), ()),
    "chunk": (("lsh",), ()),
    "hashes": (("lsh",), ()),
    "rank": (("linformer", "latent"), ()),
    "q_rank": (("latent",), ()),
    "features": (("performer",), ()),
    "memory": (("recurrent",), ()),
}
MEANING = {
    "window": "the number of keys that a query may see on its side",
    "dilation": "the step between keys",
}


def problems(config: Config) -> Iterator[str]:
    """One sentence for each choice that makes no sense: what is wrong, and what would be right."""
    yield from _numbers(config)
    yield from _attention(config)
    yield from _position(config)
    yield from _layers(config)
    yield from _kind(config)


def _numbers(config: Config) -> Iterator[str]:
    if config.n_heads % config.n_kv_heads:
        yield (
            f"n_heads {config.n_heads} does not divide by n_kv_heads {config.n_kv_heads}; "
            "each key/value head must serve the same number of query heads."
        )
    if not 0 <= config.dropout < 1:
        yield f"dropout is {config.dropout}; it must be at least 0 and below 1."
    for option in ("norm_eps", "soft_cap", "capacity"):
        value = getattr(config, option)
        if value is not None and value <= 0:
            yield f"{option} is {value}; it must be above 0."
    for option in ("n_segments", "prefix", "shared_experts"):
        if getattr(config, option) < 0:
            yield f"{option} is {getattr(config, option)}; it must be 0 or more."


def _attention(config: Config) -> Iterator[str]:
    kind = config.attention
    for option, (meant_for, needed_by) in BELONGS.items():
        given = getattr(config, option) is not None
        if given and kind not in meant_for:
            yield f"{option} has no meaning with attention={kind!r}; leave it out."
        if not given and kind in needed_by:
            yield f"attention={kind!r} needs {option}, {MEANING[option]}."
    weighed = kind in WEIGHED
    if not weighed and config.score != "scaled_dot":
        yield f"attention={kind!r} is built on the scaled dot product; score={config.score!r} has no place in it."
    if not weighed and config.position in ("alibi", "t5", "shaw", "xl"):
        yield f"attention={kind!r} has no table of scores to add {config.position!r} positions to; choose rope, learned or sinusoidal."
    for option in ("soft_cap", "sinks"):
        if getattr(config, option) and not weighed:
            yield f"attention={kind!r} has no table of scores, so {option} has no meaning; leave it out."
    if config.qk_norm != "none" and kind in ("lsh", "latent"):
        yield f"attention={kind!r} normalises by its own rule; leave qk_norm out."
    if config.qk_norm != "none" and config.score in ("additive", "location"):
        yield f"score={config.score!r} multiplies no query by a key; leave qk_norm out."
    if kind in ("lsh", "linformer", "latent", "performer", "linear") and config.n_kv_heads != config.n_heads:
        yield f"attention={kind!r} has one key head for each query head; leave n_kv_heads out."
    if kind == "linformer" and config.kind in ("decoder", "encoder-decoder"):
        yield "Linformer mixes all positions before any query looks, so it cannot hide the future; use it in an encoder."
    if kind == "recurrent" and config.kind != "decoder":
        yield "attention='recurrent' carries memory from left to right, so it needs kind='decoder'."
    if kind == "lsh" and config.qkv_bias:
        yield "Reformer's queries are its keys, without biases; leave qkv_bias out."
    if kind == "ssru":
        yield from _recurrence(config)
    if config.prefix and (config.kind != "decoder" or not weighed):
        yield "prefix lifts a decoder's mask, so it needs kind='decoder' and an attention with a mask."
    if config.packed and not weighed:
        yield f"packed hides other segments by a mask, and attention={kind!r} has none."


def _recurrence(config: Config) -> Iterator[str]:
    if config.kind not in ("decoder", "encoder-decoder"):
        yield "attention='ssru' is a recurrence from left to right, so it needs kind='decoder' or 'encoder-decoder'."
    if config.position == "rope":
        yield "attention='ssru' has no queries and keys to turn; choose position='sinusoidal', 'learned' or 'none'."
    if config.qk_norm != "none" or config.gate:
        yield "attention='ssru' has no queries, keys or heads; leave qk_norm and gate out."


def _position(config: Config) -> Iterator[str]:
    turned = config.rope_dims or config.d_head
    if config.attention == "latent" and config.rope_dims is None:
        turned = config.d_head // 4 * 2  # see ``rope.turned_dims``; below 4 it has 2
    if config.position == "rope" and config.attention != "latent":
        if turned % 2:
            yield f"RoPE turns pairs of coordinates, so d_head (or rope_dims) must be even, and it is {turned}."
        if turned > config.d_head:
            yield f"rope_dims {turned} is more than d_head {config.d_head} has."
    elif config.position == "rope" and (config.rope_dims or 0) % 2:
        yield f"RoPE turns pairs of coordinates, so rope_dims must be even, and it is {config.rope_dims}."
    elif config.position != "rope" and config.rope_dims is not None:
        yield f"rope_dims has no meaning with position={config.position!r}; leave it out."
    if config.position == "sinusoidal" and config.d_embed % 2:
        yield f"sinusoids come in sin, cos pairs, so d_model must be even, and it is {config.d_embed}."
    if config.sinusoid_layout != "interleaved" and (config.position != "sinusoidal" or config.d_embed < 4):
        yield "sinusoid_layout='half' needs position='sinusoidal' and a d_model of at least 4."
    if config.position == "xl" and config.d_model % 2:
        yield f"sinusoids come in sin, cos pairs, so d_model must be even, and it is {config.d_model}."
    if config.rope_base <= 1:
        yield f"rope_base is {config.rope_base}; it must be above 1."
    if config.rope_factor < 1:
        yield f"rope_factor is {config.rope_factor}; it stretches the context, so it must be at least 1."
    if config.rope_scaling != "none" and config.position != "rope":
        yield f"rope_scaling {config.rope_scaling!r} needs position='rope', not {config.position!r}."
    if config.rope_scaling == "ntk" and turned < 4:
        yield "NTK-aware scaling needs d_head of at least 4, or with latent attention 8, or as many rope_dims."
    for option, of in (("max_distance", ("t5", "shaw")), ("buckets", ("t5",))):
        if getattr(config, option) is not None and config.position not in of:
            yield f"{option} has no meaning with position={config.position!r}; leave it out."
    if config.position == "t5":
        exact = config.buckets // (2 if config.kind in ("decoder",) else 4)
        if config.buckets < 4 or config.buckets % 4 or config.max_distance <= exact:
            yield (
                f"T5 needs buckets in fours and a max_distance beyond the exact ones; {config.buckets} buckets and "
                f"max_distance {config.max_distance} are not."
            )


def _layers(config: Config) -> Iterator[str]:
    for option in ("final_norm", "embed_norm"):
        if getattr(config, option) and config.norm == "none":
            yield f"{option}=True needs a norm, and norm is 'none'."
    if config.norm == "none" and config.norm_place == "sandwich":
        yield "norm_place='sandwich' needs a norm, and norm is 'none'."
    if config.experts == 1:
        for option in ("experts_per_token", "capacity", "shared_experts"):
            if getattr(config, option):
                yield f"{option} has no meaning with a single expert; leave it out, or give experts."
    elif config.experts_per_token > config.experts:
        yield f"experts_per_token {config.experts_per_token} is more than there are experts, {config.experts}."


def _kind(config: Config) -> Iterator[str]:
    heads = {"decoder": ("lm", "classify"), "encoder-decoder": ("lm",), "vision": ("classify", "none")}
    allowed = heads.get(config.kind, ("mlm", "lm", "classify", "none"))
    if config.head not in allowed:
        reason = "a decoder predicts tokens, so its head must be" if config.kind == "decoder" else f"kind={config.kind!r} takes a head of"
        yield f"{reason} {' or '.join(map(repr, allowed))}."
    if (config.head == "classify") != (config.n_classes is not None):
        yield (
            "head='classify' needs n_classes, the number of classes."
            if config.head == "classify"
            else f"n_classes has no meaning with head={config.head!r}; leave it out."
        )
    if config.logit_bias and config.head != "lm":
        yield f"logit_bias has no meaning with head={config.head!r}; leave it out."
    if config.n_encoder_layers is not None and config.kind != "encoder-decoder":
        yield f"n_encoder_layers has no meaning with kind={config.kind!r}; leave it out."
    vision = ("image_size", "patch_size", "channels")
    if config.kind != "vision":
        for option in vision:
            if getattr(config, option) is not None:
                yield f"{option} has no meaning with kind={config.kind!r}; leave it out."
        return
    for option in vision:
        if getattr(config, option) is None:
            yield f"kind='vision' needs {option}."
            return
    if config.image_size % config.patch_size:
        yield f"image_size {config.image_size} does not divide by patch_size {config.patch_size}."
    patches = (config.image_size // config.patch_size) ** 2
    if (config.position == "learned" or config.attention == "linformer") and config.max_len < patches + 1:
        yield f"max_len {config.max_len} has no place for {patches} patches and the class token."
    if config.n_segments or config.packed:
        yield "an image has no segments; leave n_segments and packed out."
