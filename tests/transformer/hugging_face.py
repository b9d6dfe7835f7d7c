"""Hugging Face's own forward pass, its tensors under our names, and the comparison layer by layer."""

import torch
from torch import Tensor, nn

from transformer import names
from transformer.models import Model

# Our name below "layers.<i>." -> the module whose output it is, below Hugging Face's layer <i>.
LLAMA = {
    "norm_1": "input_layernorm",
    "attention.Q_unrotated": "self_attn.q_proj",
    "attention.K_unrotated": "self_attn.k_proj",
    "attention.V": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "norm_2": "post_attention_layernorm",
    "ffn.gate": "mlp.gate_proj",
    "ffn.pre": "mlp.up_proj",
    "ffn.out": "mlp.down_proj",
}
MIXTRAL = {name: module for name, module in LLAMA.items() if not name.startswith("ffn.")} | {
    "ffn.router": "mlp.gate",
    "ffn.out": "mlp",
}
GPT2 = {
    "norm_1": "ln_1",
    "attention.QKV": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "norm_2": "ln_2",
    "ffn.pre": "mlp.c_fc",
    "ffn.out": "mlp.c_proj",
}
BERT = {
    "attention.Q": "attention.self.query",
    "attention.K": "attention.self.key",
    "attention.V": "attention.self.value",
    "attention.out": "attention.output.dense",
    "norm_1": "attention.output.LayerNorm",
    "ffn.pre": "intermediate.dense",
    "ffn.out": "output.dense",
    "norm_2": "output.LayerNorm",
}
# model_type: (our names, the embedding's last module, the layers, the final norm)
PLACES = {
    "llama": (LLAMA, "model.embed_tokens", "model.layers", "model.norm"),
    "mistral": (LLAMA, "model.embed_tokens", "model.layers", "model.norm"),
    "mixtral": (MIXTRAL, "model.embed_tokens", "model.layers", "model.norm"),
    "qwen2": (LLAMA, "model.embed_tokens", "model.layers", "model.norm"),
    "gpt2": (GPT2, "transformer.drop", "transformer.h", "transformer.ln_f"),
    "bert": (BERT, "embeddings", "encoder.layer", None),
}


def their_tensors(theirs: nn.Module, **inputs: Tensor) -> dict[str, Tensor]:
    """One forward pass of a Hugging Face model: {our name: tensor}, in the order in which they were computed."""
    inside, embed, layers, final_norm = PLACES[theirs.config.model_type]
    found: dict[str, Tensor] = {}
    hooks = []

    def keep(name: str, module: nn.Module) -> None:
        def hook(_module, _inputs, output):
            found[name] = (output[0] if isinstance(output, tuple) else output).detach()

        hooks.append(module.register_forward_hook(hook))

    keep("embed", theirs.get_submodule(embed))
    for i, layer in enumerate(theirs.get_submodule(layers)):
        for ours, their in inside.items():
            keep(f"layers.{i}.{ours}", layer.get_submodule(their))
        keep(f"layers.{i}.resid_post", layer)
    if final_norm:
        keep("final_norm", theirs.get_submodule(final_norm))
    with torch.no_grad():
        output = theirs(**inputs, output_attentions=theirs.config._attn_implementation == "eager")
    for hook in hooks:
        hook.remove()
    for i, A in enumerate(output.attentions or ()):
        found[f"layers.{i}.attention.A"] = A
    if "logits" in output:
        found["logits"] = output.logits
    batch = len(found["embed"])
    return {name: split for whole, tensor in found.items() for name, split in _in_heads(whole, tensor, theirs.config, batch)}


def _in_heads(name: str, tensor: Tensor, config, batch: int) -> list[tuple[str, Tensor]]:
    """[batch, token, head · d_head] -> [batch, head, token, d_head]; GPT-2's three in one, parted; a router's rows."""
    before, _, last = name.rpartition(".")
    if last == "QKV":
        return [_in_heads(f"{before}.{part}", w, config, batch)[0] for part, w in zip("QKV", tensor.chunk(3, -1))]
    if last == "router":  # they lay the batch's tokens end to end
        return [(name, tensor.unflatten(0, (batch, -1)))]
    if last not in ("Q", "K", "V", "Q_unrotated", "K_unrotated"):
        return [(name, tensor)]
    d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return [(name, tensor.unflatten(-1, (-1, d_head)).transpose(1, 2))]


def assert_same(
    ours: Model, theirs: dict[str, Tensor], ids: Tensor, *, tolerance: float, at_least: int, **inputs
) -> None:
    """Our run against their tensors, in the order of computation: the first that differs fails, by name.

    ``at_least``: how many tensors must have been compared, so that a hook that caught nothing is noticed.
    """
    wanted = [name for name in names.of(ours.config) if name in theirs]
    assert len(wanted) == len(theirs) >= at_least, sorted(set(theirs) - set(wanted))
    run = ours.run(ids, record=wanted, **inputs)
    for name in wanted:
        mine, their = run.trace[name], theirs[name]
        assert mine.shape == their.shape, f"{name}: {list(mine.shape)} against {list(their.shape)}"
        assert mine.dtype == their.dtype, f"{name}: {mine.dtype} against {their.dtype}"
        difference = (mine - their).abs().max().item()
        assert difference <= tolerance, (
            f"{name} is the first that differs: by {difference:.3g}, allowed {tolerance:.0e}"
        )
    plain = ours(ids, **inputs)
    last = theirs.get("logits", theirs.get(f"layers.{ours.config.n_layers - 1}.resid_post"))
    assert (plain - last).abs().max() <= tolerance, "the output without a tap differs"
