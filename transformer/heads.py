"""What is read off the last stream: a word that was hidden, or a class."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer.config import Config
from transformer.feedforward import ACTIVATIONS
from transformer.norms import make_norm
from transformer.tap import Tap


class MaskedWord(nn.Module):
    """ℓ = norm(σ(x W)) Eᵀ + b: BERT's head over the vocabulary, its last matrix the embedding table (Devlin et al. 2019).

    x [batch, token, d_model], W_E [vocab, d_embed] -> [batch, token, vocab].
    """

    def __init__(self, config: Config):
        super().__init__()
        self.W = nn.Linear(config.d_model, config.d_embed)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = make_norm(config, config.d_embed)
        self.b = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x: Tensor, W_E: Tensor, tap: Tap) -> Tensor:
        hidden = self.activation(self.W(x))
        hidden = tap("head.hidden", hidden if self.norm is None else self.norm(hidden))
        return F.linear(hidden, W_E, self.b)


class Classifier(nn.Module):
    """ℓ = x_t W_C + b at one token: the first, which is there for it, or a decoder's last. A text encoder puts
    tanh(x W + b) between, BERT's pooler; an image's does not (Dosovitskiy et al. 2021).

    x [batch, token, d_model], real [batch, token] or None -> [batch, class].
    """

    def __init__(self, config: Config):
        super().__init__()
        self.reads_last = config.kind == "decoder"
        self.W = nn.Linear(config.d_model, config.d_model) if config.kind == "encoder" else None
        self.W_C = nn.Linear(config.d_model, config.n_classes)

    def forward(self, x: Tensor, real: Tensor | None, tap: Tap) -> Tensor:
        n = x.shape[1]
        if not self.reads_last:
            at = x[:, 0]
        elif real is None:
            at = x[:, -1]
        else:  # the last token that is no padding
            last = (real * torch.arange(n, device=x.device)).argmax(-1)
            at = x[torch.arange(len(x), device=x.device), last]
        pooled = tap("pooled", at if self.W is None else self.W(at).tanh())
        return self.W_C(pooled)
