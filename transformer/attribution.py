"""Direct logit attribution: a logit taken apart into what each head and each FFN wrote towards it."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transformer.models import Model
from transformer.norms import BatchNorm, RMSNorm
from transformer.tap import OFF


class Attribution(NamedTuple):
    """The shares of one logit, or of the difference of two, at every position; together they are all of it."""

    embed: Tensor  # [batch, token]
    heads: Tensor  # [layer, head, batch, token]
    cross: Tensor | None  # [layer, head, batch, token], of cross-attention where there is one
    ffn: Tensor  # [layer, batch, token]
    constant: Tensor  # [batch, token]: biases of W_O and shifts β of norms, which no input moves

    @property
    def total(self) -> Tensor:
        """[batch, token]: the logit."""
        parts = self.embed + self.heads.sum((0, 1)) + self.ffn.sum(0) + self.constant
        return parts if self.cross is None else parts + self.cross.sum((0, 1))


def needed(model: Model) -> list[str]:
    """What a run must record for ``direct``."""
    names = ["embed", "*.resid_*", "*.attention.z", "*.attention.out", "*.ffn.out"]
    config = model.stack.config
    if config.gate:
        names += ["*.attention.gate"]
    if config.norm_place == "sandwich":
        names += ["*.raw"]
    if model.stack.blocks[0].cross is not None:
        names += ["*.cross.z", "*.cross.out"] + (["*.cross.gate"] if config.gate else [])
    return names


@torch.no_grad()
def direct(model: Model, trace: Mapping[str, Tensor], target: int, against: int | None = None) -> Attribution:
    """ℓ_target (− ℓ_against) = Σ_components (what it wrote) · (the direction that the head reads)

    The stream is a sum, and the head is linear; a norm is too, once its scale is taken as it was (Elhage et al. 2021,
    "A Mathematical Framework for Transformer Circuits"). So the direction u = W_U[target] is carried back through every
    norm on the way, as  u ↦ γ ⊙ u / σ  (LayerNorm: less its mean), and each component is multiplied by the direction
    where it wrote: for head h that is  z_h W_O^h · u.  Post-norm and sandwich blocks are carried through alike. It is
    the direct path only: what a head does by changing what later layers read is not in it.

    trace: of a run with record=needed(model). Raises ValueError for a head that is no matrix over the vocabulary.
    """
    config = model.stack.config
    if config.head != "lm":
        raise ValueError(f"a head of {config.head!r} is no matrix over the vocabulary; attribution needs head='lm'.")
    last = trace[f"layers.{config.n_layers - 1}.resid_post"]  # [batch, token, model]
    u = read_direction(model, target, against).expand_as(last)
    constant = last.new_zeros(last.shape[:-1])
    if model.final_norm is not None:
        u, shift = carried_back(model.final_norm, last, u)
        constant = constant + shift
    heads, cross, ffn = [], [], []
    for i in reversed(range(config.n_layers)):
        block, here = model.stack.blocks[i % len(model.stack.blocks)], f"layers.{i}."
        sublayers = [("ffn", "norm_2", "resid_mid", block.after_2)]
        if block.cross is not None:
            sublayers.append(("cross", "norm_cross", "resid_self", block.after_cross))
        sublayers.append(("attention", "norm_1", "resid_pre", block.after_1))
        for name, norm, before, after in sublayers:
            out = trace[f"{here}{name}.out"]
            if block.norm_last:
                u, shift = carried_back(getattr(block, norm), trace[here + before] + out, u)
                constant = constant + shift
            if name == "ffn":
                ffn.append((out * u).sum(-1))
                continue
            into = u
            if after is not None:
                into, shift = carried_back(after, trace[f"{here}{name}.raw"], u)
                constant = constant + shift
            shares, shift = _by_head(getattr(block, name), f"{here}{name}.", trace, into)
            constant = constant + shift
            (heads if name == "attention" else cross).append(shares)
    embed = (trace["embed"] * u).sum(-1)
    in_order = [torch.stack(shares[::-1]) if shares else None for shares in (heads, cross, ffn)]
    return Attribution(embed, *in_order, constant)


def carried_back(norm: nn.Module, x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The direction that means before a norm what u means after it, its scale as x set it; and what the norm adds.

    norm(x) · u = x · u' + shift.   x, u [batch, token, model] -> u' [batch, token, model], shift [batch, token]
    """
    u_scaled = u * norm.gamma
    if isinstance(norm, RMSNorm):
        return u_scaled * (x.square().mean(-1, keepdim=True) + norm.eps).rsqrt(), u.new_zeros(u.shape[:-1])
    if isinstance(norm, BatchNorm):  # outside training a fixed map
        u_scaled = u_scaled * (norm.variance + norm.eps).rsqrt()
        return u_scaled, (norm.beta * u).sum(-1) - (norm.mean * u_scaled).sum(-1)
    u_scaled = u_scaled * (x.var(-1, correction=0, keepdim=True) + norm.eps).rsqrt()
    return u_scaled - u_scaled.mean(-1, keepdim=True), (norm.beta * u).sum(-1)


def _by_head(attention: nn.Module, here: str, trace: Mapping[str, Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    """z_h W_O^h · u for each head [head, batch, token], and b_O · u [batch, token]."""
    z = trace[here + "z"]  # [batch, head, query, d_head]
    if here + "gate" in trace:
        z = z * trace[here + "gate"][..., None]
    wanted = (u @ attention.W_O.weight).unflatten(-1, (z.shape[1], -1)).transpose(1, 2)  # [batch, head, query, d_head]
    bias = attention.W_O.bias
    return (z * wanted).sum(-1).transpose(0, 1), u.new_zeros(u.shape[:-1]) if bias is None else (u * bias).sum(-1)


def read_direction(model: Model, target: int, against: int | None) -> Tensor:
    """W_U[target] (− W_U[against]) [model], however the matrix is made up: the gradient of a linear function."""
    with torch.enable_grad():
        x = next(model.stack.parameters()).new_zeros(1, 1, model.stack.config.d_model, requires_grad=True)
        logits = model.read_off(x, None, OFF)[0, 0]  # [vocab]
        (u,) = torch.autograd.grad(logits[target] if against is None else logits[target] - logits[against], x)
    return u[0, 0]
