"""One block: attention, then the feed-forward network, each added to the residual stream."""

import torch.nn.functional as F
from torch import Tensor, nn

from transformer.attention import Attention
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.experts import make_ffn
from transformer.geometry import Across, Geometry
from transformer.norms import make_norm
from transformer.tap import Tap

ATTENTIONS = {}  # those that are more than a mask on ``Attention``


class Block(nn.Module):
    """Pre-norm:  x' = x + Attention(norm_1(x)),  x'' = x' + FFN(norm_2(x'))  (Xiong et al. 2020, arXiv:2002.04745)
    Post-norm: x' = norm_1(x + Attention(x)),  x'' = norm_2(x' + FFN(x'))  (Vaswani et al. 2017)
    Sandwich:  x' = x + after_1(Attention(norm_1(x))), …  (Ding et al. 2021, arXiv:2105.13290; Gemma 2)

    A decoder that reads a source has cross-attention between the two, with a norm of its own.

    x [batch, token, d_model] -> [batch, token, d_model], and the layer's keys and values when a cache is kept.
    """

    def __init__(self, config: Config, cross: bool = False):
        super().__init__()
        self.norm_place = config.norm_place if config.norm != "none" else "none"
        self.dropout = config.dropout
        sandwich = self.norm_place == "sandwich"
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
        out, past = self.attention(self.before("norm_1", x, tap), geometry, past, tap / "attention")
        x = self.add("norm_1", x, out, self.after_1, tap / "attention", tap)
        if self.cross is not None:
            seen = self.before("norm_cross", tap("resid_self", x), tap)
            out, past_across = self.cross(seen, across, past_across, tap / "cross", source)
            x = self.add("norm_cross", x, out, self.after_cross, tap / "cross", tap)
        x = tap("resid_mid", x)
        out = self.ffn(self.before("norm_2", x, tap), tap / "ffn")
        x = self.add("norm_2", x, out, self.after_2, tap / "ffn", tap)
        return tap("resid_post", x), past, past_across

    def before(self, norm: str, x: Tensor, tap: Tap) -> Tensor:
        """What a sublayer reads: the normalised stream, or with post-norm the stream itself."""
        return tap(norm, getattr(self, norm)(x)) if self.norm_place in ("pre", "sandwich") else x

    def add(self, norm: str, x: Tensor, out: Tensor, after: nn.Module | None, sublayer: Tap, tap: Tap) -> Tensor:
        """The stream with a sublayer's output in it; "out" is what is really added."""
        if after is not None:
            out = after(sublayer("raw", out))
        x = x + sublayer("out", F.dropout(out, self.dropout, self.training))
        return tap(norm, getattr(self, norm)(x)) if self.norm_place == "post" else x
