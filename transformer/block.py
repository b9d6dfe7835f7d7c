"""One block: attention, then the feed-forward network, each added to the residual stream."""

import torch.nn.functional as F
from torch import Tensor, nn

from transformer.attention import Attention
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.experts import make_ffn
from transformer.geometry import Across, Geometry
from transformer.hashing import LSH
from transformer.kernels import LinearAttention, Performer
from transformer.latent import Latent
from transformer.lowrank import Linformer
from transformer.norms import make_norm
from transformer.ssru import SSRU
from transformer.tap import Tap

ATTENTIONS = {  # those that are more than a mask on ``Attention``
    "latent": Latent, "linformer": Linformer, "performer": Performer, "linear": LinearAttention,
    "lsh": LSH, "ssru": SSRU,
}  # fmt: skip


class Block(nn.Module):
    """Pre-norm:  x' = x + Attention(norm_1(x)),  x'' = x' + FFN(norm_2(x'))  (Xiong et al. 2020, arXiv:2002.04745)
    Post-norm: x' = norm_1(x + Attention(x)),  x'' = norm_2(x' + FFN(x'))  (Vaswani et al. 2017)
    Sandwich:  x' = x + after_1(Attention(norm_1(x))), …  (Ding et al. 2021, arXiv:2105.13290; Gemma 2)

    A decoder that reads a source has cross-attention between the two, with a norm of its own.

    x [batch, token, d_model] -> [batch, token, d_model], and the layer's keys and values when a cache is kept.
    """

    def __init__(self, config: Config, cross: bool = False):
        super().__init__()
        normed, sandwich = config.norm != "none", config.norm_place == "sandwich"
        self.norm_first = normed and config.norm_place in ("pre", "sandwich")
        self.norm_last = normed and config.norm_place == "post"
        self.dropout = config.dropout
        self.norm_1 = make_norm(config)
        self.attention = ATTENTIONS.get(config.attention, Attention)(config)
        self.after_1 = make_norm(config) if sandwich else None
        self.norm_cross = make_norm(config) if cross else None
        self.cross = Attention(config, cross=True) if cross else None
        self.after_cross = make_norm(config) if sandwich and cross else None
        self.norm_2 = make_norm(config)
        self.ffn = make_ffn(config)
        self.after_2 = make_norm(config) if sandwich else None

    def forward(
        self,
        x: Tensor,
        geometry: Geometry,
        past: KeyValues | None,
        tap: Tap,
        source: Tensor | None = None,
        across: Across | None = None,
        past_across: KeyValues | None = None,
    ) -> tuple[Tensor, KeyValues | None, KeyValues | None]:
        x = tap("resid_pre", x)
        seen = tap("norm_1", self.norm_1(x)) if self.norm_first else x
        out, past = self.attention(seen, geometry, past, tap / "attention")
        x = x + self.written(out, self.after_1, tap / "attention")
        if self.norm_last:
            x = tap("norm_1", self.norm_1(x))

        if self.cross is not None:
            x = tap("resid_self", x)
            seen = tap("norm_cross", self.norm_cross(x)) if self.norm_first else x
            out, past_across = self.cross(seen, across, past_across, tap / "cross", source)
            x = x + self.written(out, self.after_cross, tap / "cross")
            if self.norm_last:
                x = tap("norm_cross", self.norm_cross(x))

        x = tap("resid_mid", x)
        seen = tap("norm_2", self.norm_2(x)) if self.norm_first else x
        out = self.ffn(seen, tap / "ffn")
        x = x + self.written(out, self.after_2, tap / "ffn")
        if self.norm_last:
            x = tap("norm_2", self.norm_2(x))
        return tap("resid_post", x), past, past_across

    def written(self, out: Tensor, after: nn.Module | None, tap: Tap) -> Tensor:
        """What a sublayer really adds to the stream: its output, in a sandwich normalised, and with dropout."""
        if after is not None:
            out = after(tap("raw", out))
        return tap("out", F.dropout(out, self.dropout) if self.training else out)
