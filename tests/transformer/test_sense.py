"""Pairs of choices: each nonsense one is refused with a sentence, and whatever is not refused works."""

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st

import transformer
from transformer import Config, names
from transformer.config import AttentionPattern, Head, Kind, NormKind, NormPlace, Position, QKNorm, RopeScaling, Score

NONSENSE = {
    "heads that do not divide": (dict(n_heads=4, n_kv_heads=3), "does not divide by n_kv_heads"),
    "dropout of one": (dict(dropout=1.0), "below 1"),
    "no epsilon": (dict(norm_eps=0.0), "norm_eps is 0.0; it must be above 0"),
    "a cap of nothing": (dict(soft_cap=-1.0), "soft_cap is -1.0; it must be above 0"),
    "a negative prefix": (dict(prefix=-1), "prefix is -1; it must be 0 or more"),
    "an option of another attention": (dict(rank=4), "rank has no meaning with attention='full'"),
    "a window without its width": (dict(attention="window"), "needs window, the number of keys"),
    "a dilation without its step": (dict(attention="dilated"), "needs dilation, the step"),
    "a kernel with another score": (dict(attention="linear", score="additive"), "built on the scaled dot product"),
    "a kernel with a bias": (dict(attention="performer", position="alibi"), "no table of scores to add 'alibi'"),
    "a cap without scores": (dict(attention="linear", soft_cap=2.0), "no table of scores, so soft_cap"),
    "latents with a norm of q and k": (dict(attention="latent", qk_norm="before"), "normalises by its own rule"),
    "a sum with a norm of q and k": (dict(score="additive", qk_norm="after"), "multiplies no query by a key"),
    "shared heads where there are none": (dict(attention="linear", n_kv_heads=1), "one key head for each query head"),
    "a Linformer that hides the future": (dict(attention="linformer"), "cannot hide the future"),
    "a memory that sees ahead": (dict(kind="encoder", attention="recurrent"), "needs kind='decoder'"),
    "a prefix in an encoder": (dict(kind="encoder", prefix=2), "prefix lifts a decoder's mask"),
    "packing without a mask": (dict(attention="linear", packed=True), "has none"),
    "odd pairs": (dict(d_model=12, n_heads=4), "must be even, and it is 3"),
    "more turned than there is": (dict(rope_dims=64), "more than d_head 32"),
    "turned without RoPE": (dict(position="none", rope_dims=4), "rope_dims has no meaning"),
    "sinusoids of odd width": (dict(d_model=15, n_heads=3, position="sinusoidal"), "sin, cos pairs"),
    "XL of odd width": (dict(d_model=15, n_heads=3, position="xl"), "sin, cos pairs"),
    "a base of one": (dict(rope_base=1.0), "rope_base is 1.0"),
    "a factor that shrinks": (dict(rope_factor=0.5), "rope_factor is 0.5"),
    "a scaling without RoPE": (dict(position="alibi", rope_scaling="yarn"), "needs position='rope'"),
    "NTK with a single pair": (dict(d_model=8, n_heads=4, rope_scaling="ntk"), "d_head of at least 4"),
    "buckets without T5": (dict(position="shaw", buckets=8), "buckets has no meaning"),
    "buckets beyond the distance": (dict(position="t5", buckets=32, max_distance=16), "max_distance beyond the exact ones"),
    "a last norm of no kind": (dict(norm="none", final_norm=True), "final_norm=True needs a norm"),
    "a sandwich of no kind": (dict(norm="none", norm_place="sandwich"), "needs a norm"),
    "a choice among one expert": (dict(experts_per_token=2), "no meaning with a single expert"),
    "more experts a token than there are": (dict(experts=2, experts_per_token=3), "more than there are experts"),
    "a decoder without a head": (dict(head="none"), "its head must be 'lm'"),
    "an image with words": (dict(kind="vision", image_size=8, patch_size=4, head="lm"), "takes a head of"),
    "a class head without classes": (dict(head="classify"), "needs n_classes"),
    "classes without a head": (dict(n_classes=3), "n_classes has no meaning"),
    "two depths in one stack": (dict(n_encoder_layers=2), "n_encoder_layers has no meaning"),
    "patches of a text": (dict(patch_size=4), "patch_size has no meaning"),
    "an image without a size": (dict(kind="vision", n_classes=2), "needs image_size"),
    "patches that do not tile": (dict(kind="vision", image_size=9, patch_size=4, n_classes=2), "does not divide"),
    "a table too short for the patches": (
        dict(kind="vision", image_size=8, patch_size=2, n_classes=2, position="learned", max_len=9), "no place for 16 patches",
    ),
    "segments of an image": (
        dict(kind="vision", image_size=8, patch_size=4, n_classes=2, n_segments=2), "an image has no segments",
    ),
}  # fmt: skip


@pytest.mark.parametrize("options, says", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_with_the_reason(options, says):
    with pytest.raises(ValueError) as refusal:
        Config(**options)
    sentence = str(refusal.value)
    assert says in sentence and sentence.endswith(".") and "\n" not in sentence


def choices(literal) -> st.SearchStrategy[str]:
    return st.sampled_from(literal.__args__)


OPTIONS = {
    "score": choices(Score), "position": choices(Position), "rope_scaling": choices(RopeScaling), "norm": choices(NormKind),
    "norm_place": choices(NormPlace), "qk_norm": choices(QKNorm), "n_kv_heads": st.sampled_from([1, 2]),
    "rank": st.just(5), "prefix": st.just(2), "packed": st.just(True), "soft_cap": st.just(4.0), "sinks": st.just(True),
    "gate": st.just(True), "experts": st.just(3), "n_segments": st.just(2), "d_embed": st.just(6),
    "share_layers": st.just(True), "embed_norm": st.just(True), "rope_dims": st.just(2), "max_distance": st.just(40),
    "tie_embeddings": st.just(False), "scale_embeddings": st.just(True), "gated": st.just(True), "features": st.just(7),
}  # fmt: skip


@st.composite
def few_choices(draw) -> dict:
    """A kind and an attention with what they need, and up to four other choices, sensible together or not."""
    options = {"kind": draw(choices(Kind)), "attention": draw(choices(AttentionPattern))}
    options |= {"window": {"window": 3}, "dilated": {"dilation": 2}, "strided": {"dilation": 2}}.get(options["attention"], {})
    if options["kind"] == "vision":
        options |= {"image_size": 8, "patch_size": 4}
    head = draw(st.none() | choices(Head)) if options["kind"] != "vision" else "classify"
    options |= {} if head is None else {"head": head}
    options |= {"n_classes": 3} if head == "classify" else {}
    return options | {name: draw(OPTIONS[name]) for name in draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=4))}


@settings(max_examples=400, deadline=None)
@given(few_choices())
def test_whatever_is_not_refused_works(options):
    try:
        config = Config(d_model=16, n_heads=4, vocab_size=11, max_len=32, **options)
    except ValueError as refusal:
        assert str(refusal).endswith(".") and "\n" not in str(refusal)
        return
    event(f"works: {config.attention}")
    model = transformer.build(config, seed=0).eval()
    if config.kind == "vision":
        run = model.run(torch.rand(2, 3, 8, 8), record="*", gradients=True)
    elif config.kind == "encoder-decoder":
        run = model.run([[1, 2, 3, 4, 5]] * 2, [[3, 2, 1]] * 2, record="*", gradients=True)
    else:
        run = model.run([[1, 2, 3, 4, 5]] * 2, record="*", gradients=True)
    assert set(run.trace) == set(names.of(config))
    run.output.square().sum().backward()
    assert run.output.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
