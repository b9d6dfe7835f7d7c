"""One block: attention, then the feed-forward network, each added to the residual stream."""

from torch import Tensor, nn

from transformer.attention import Attention, Geometry
from transformer.cache import KeyValues
from transformer.config import Config
from transformer.feedforward import FeedForward
from transformer.norms import make_norm
from transformer.tap import Tap


class Block(nn.Module):
    """Pre-norm:  x' = x + Attention(norm_1(x)),  x'' = x' + FFN(norm_2(x'))  (Xiong et al. 2020, arXiv:2002.04745)
    Post-norm: x' = norm_1(x + Attention(x)),  x'' = norm_2(x' + FFN(x'))  (Vaswani et al. 2017)

    x [batch, token, d_model] -> [batch, token, d_model], and the layer's keys and values when a cache is kept.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.norm_place = config.norm_place
        self.norm_1 = make_norm(config)
        self.attention = Attention(config)
        self.norm_2 = make_norm(config)
        self.ffn = FeedForward(config)

    def forward(
        self, x: Tensor, geometry: Geometry, past: KeyValues | None, tap: Tap
    ) -> tuple[Tensor, KeyValues | None]:
        pre = self.norm_place == "pre" and self.norm_1 is not None
        post = self.norm_place == "post" and self.norm_1 is not None

        x = tap("resid_pre", x)
        seen = tap("norm_1", self.norm_1(x)) if pre else x
        out, past = self.attention(seen, geometry, past, tap / "attention")
        x = x + out
        if post:
            x = tap("norm_1", self.norm_1(x))
        x = tap("resid_mid", x)

        seen = tap("norm_2", self.norm_2(x)) if pre else x
        x = x + self.ffn(seen, tap / "ffn")
        if post:
            x = tap("norm_2", self.norm_2(x))
        return tap("resid_post", x), past
