"""What every weight is before training: all initialisation, in one place."""

import math

import torch
from torch import nn

from transformer import biases, scores
from transformer.attention import Attention
from transformer.embedding import Patches
from transformer.feedforward import FeedForward
from transformer.kernels import Performer, random_rows
from transformer.latent import Latent
from transformer.lowrank import Linformer


@torch.no_grad()
def initialise(model: nn.Module, seed: int | None = None) -> None:
    """Give ``model`` the weights that its config's ``init`` asks for; the same seed gives the same weights.

    gpt2    matrices N(0, 0.02²), those that write into the residual stream divided by √(2 · layers) (Radford et al. 2019, §2.3)
    normal  matrices N(0, 0.02²) (Devlin et al. 2019: BERT, there cut off at two σ)
    xavier  matrices U(±√(6 / (in + out))), embeddings N(0, 1/d) (Glorot & Bengio 2010; Vaswani et al. 2017's code)

    Biases 0, γ 1, β 0 in each. Learned scores start as plain ones: "general" at I / √d_k, "cosine" at β = √d_k.
    Linformer's E and F are N(0, 1/rank), the random projections that its theorem speaks of; Performer's features are drawn.
    """
    first = next(model.parameters())
    if first.is_meta:  # there is nothing to fill, and torch would import its compiler to find that out
        return
    config, device = model.config, first.device
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)

    def normal(tensor: torch.Tensor, std: float = 0.02) -> None:
        nn.init.normal_(tensor, std=std, generator=generator)

    for module in model.modules():
        match module:
            case nn.Linear() if config.init == "xavier":
                nn.init.xavier_uniform_(module.weight, generator=generator)
            case nn.Embedding() if config.init == "xavier":
                normal(module.weight, module.embedding_dim**-0.5)
            case nn.Linear() | nn.Embedding():
                normal(module.weight)
            case scores.General():
                module.W.copy_(torch.eye(config.d_head, device=device) / math.sqrt(config.d_head))
            case scores.Cosine():
                module.beta.fill_(math.sqrt(config.d_head))
            case scores.Additive():
                normal(module.v, config.d_head**-0.5)
                module.b.zero_()
            case scores.Location():
                normal(module.W)
            case biases.XL():
                module.u.zero_()
                module.v.zero_()
            case Patches():
                normal(module.cls)
            case Linformer():
                normal(module.E, config.rank**-0.5)
                normal(module.F, config.rank**-0.5)
            case Performer():
                module.omega.copy_(random_rows(*module.omega.shape, generator, device))
            case Attention() if module.sink is not None:
                module.sink.zero_()
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()
    if getattr(model, "b_U", None) is not None:
        model.b_U.zero_()
    if config.init == "gpt2":
        for module in model.modules():
            writer = module.W_O if isinstance(module, Attention | Latent) else module.W_2 if isinstance(module, FeedForward) else None
            if writer is not None:
                writer.weight.div_(math.sqrt(2 * config.n_layers))
