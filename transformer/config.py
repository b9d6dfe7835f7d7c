"""Every choice that makes one Transformer differ from another, checked when it is made."""

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from transformer import sense

Kind = Literal["decoder", "encoder", "encoder-decoder", "vision"]
AttentionPattern = Literal[
    "full", "window", "dilated", "strided", "longformer", "bigbird", "lsh", "linformer", "performer", "linear", "latent",
    "recurrent", "ssru",
]  # fmt: skip
Score = Literal["scaled_dot", "dot", "general", "additive", "cosine", "location"]
Position = Literal["none", "sinusoidal", "learned", "rope", "alibi", "t5", "shaw", "xl"]
SinusoidLayout = Literal["interleaved", "half"]
RopeScaling = Literal["none", "linear", "ntk", "yarn", "llama3"]
RopeLayout = Literal["half", "interleaved"]
QKNorm = Literal["none", "before", "after"]
NormKind = Literal["layer", "rms", "batch", "none"]
NormPlace = Literal["pre", "post", "sandwich"]
Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
Head = Literal["lm", "mlm", "classify", "none"]
Init = Literal["gpt2", "normal", "xavier"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """One Transformer, described completely.

    Fields left at ``None`` are derived from the others when the config is made, and read as plain numbers afterwards.
    Every option is a ``Literal``; a value that is not one of them, a number out of range, or a pair of choices that
    makes no sense raises ``ValueError`` with one sentence.
    """

    kind: Kind = "decoder"
    vocab_size: int = 256  # V
    d_model: int = 128  # d, the width of the residual stream
    n_layers: int = 2  # of the decoder, where there are two stacks
    n_encoder_layers: int | None = None  # encoder-decoder; default n_layers
    n_heads: int = 4  # h, query heads
    n_kv_heads: int | None = None  # h_kv; h = MHA (the default), 1 = MQA, between = GQA
    d_head: int | None = None  # d_k; default d / h
    max_len: int = 1024  # rows of the learned position table; the length that other schemes were made for
    dropout: float = 0.0

    attention: AttentionPattern = "full"
    window: int | None = None  # keys that a query sees on its side, itself included; longformer, bigbird: default 64
    dilation: int | None = None  # r: "dilated" sees every r-th key; "strided" sees r neighbours and every r-th key
    global_tokens: int | None = None  # longformer, bigbird: the first g tokens see all and are seen by all; default 1
    random_keys: int | None = None  # bigbird: keys drawn at random for each query; default 2
    chunk: int | None = None  # lsh: tokens that are sorted together and meet; default 64
    hashes: int | None = None  # lsh: rounds; default 2
    rank: int | None = None  # linformer: rows that keys and values are squeezed to (64); latent: its width (d / 4)
    q_rank: int | None = None  # latent: width of the queries' own latent; None: no squeeze
    features: int | None = None  # performer: random features a head; default d_k ln d_k, rounded up
    memory: int | None = None  # recurrent: earlier tokens that each segment still reads; default max_len
    prefix: int = 0  # decoder: the first tokens all see one another (prefix LM)
    packed: bool = False  # tokens see their own segment only: several texts in one row
    score: Score = "scaled_dot"
    qk_norm: QKNorm = "none"  # RMS-normalise q and k of each head, before RoPE or after it
    soft_cap: float | None = None  # c: scores become c · tanh(S / c)
    sinks: bool = False  # a learned score a head that takes weight and gives no value
    gate: bool = False  # each head's output times a sigmoid of the token's own vector
    qkv_bias: bool = False
    out_bias: bool = False

    position: Position = "rope"
    sinusoid_layout: SinusoidLayout = "interleaved"  # the 2017 paper's formula; "half": its code, and Marian's
    rope_base: float = 10_000.0
    rope_layout: RopeLayout = "half"
    rope_dims: int | None = None  # coordinates of a head that are turned; None: all (latent: half as many more)
    rope_scaling: RopeScaling = "none"
    rope_factor: float = 1.0
    rope_original_len: int | None = None  # yarn, llama3: the length before stretching; default max_len / factor
    rope_low_freq_factor: float = 1.0  # llama3
    rope_high_freq_factor: float = 4.0  # llama3
    max_distance: int | None = None  # t5 (default 128), shaw (default 16): farther keys count as this far
    buckets: int | None = None  # t5: rows of the bias table; default 32

    norm: NormKind = "rms"
    norm_eps: float = 1e-5
    norm_place: NormPlace = "pre"
    final_norm: bool | None = None  # default: no with post-norm, else yes
    embed_norm: bool = False  # BERT: normalise the sum of embeddings

    d_ff: int | None = None  # default 4 d; of each expert, where there are several
    activation: Activation = "gelu"
    gated: bool = False
    ffn_bias: bool = False
    experts: int = 1  # mixture of experts: how many stand side by side
    experts_per_token: int | None = None  # how many of them read a token; default 2
    shared_experts: int = 0  # read every token, beside the chosen ones
    capacity: float | None = None  # tokens an expert takes, over an even share; None: all that come

    image_size: int | None = None  # vision: pixels a side
    patch_size: int | None = None  # vision: pixels a side of a patch
    channels: int | None = None  # vision; default 3

    n_segments: int = 0  # BERT: rows of the segment (token type) table
    scale_embeddings: bool = False  # multiply token embeddings by √d
    d_embed: int | None = None  # ALBERT: width of the embedding table, widened to d by a matrix; default d
    tie_embeddings: bool = True  # the last matrix is the embedding table
    logit_bias: bool = False  # lm: a learned number for each vocabulary entry, added to its logit
    share_embeddings: bool = True  # encoder-decoder: source and target look up one table
    share_layers: bool = False  # ALBERT: one block, used n_layers times
    head: Head | None = None  # default: lm where there is a decoder, classify for vision, none for an encoder
    n_classes: int | None = None  # classify
    init: Init = "gpt2"

    def __new__(cls, *_, **options):
        """Refuse an unknown option by name, with the nearest known one (dataclasses would raise a bare TypeError)."""
        for option in options:
            if option not in cls.__dataclass_fields__:
                near = difflib.get_close_matches(option, cls.__dataclass_fields__, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                raise ValueError(f"Config has no option {option!r}{hint}")
        return super().__new__(cls)

    def __post_init__(self):
        self._check_types()
        self._derive()
        if problem := next(sense.problems(self), None):
            raise ValueError(problem)

    def to_dict(self) -> dict:
        """All fields as plain JSON values; ``Config(**d)`` gives the same config back."""
        return dataclasses.asdict(self)

    def _check_types(self) -> None:
        for field, kind in _FIELD_TYPES.items():
            value = getattr(self, field)
            options = get_args(kind)
            if value is None and type(None) in options:
                continue
            words = [o for o in options if isinstance(o, str)] or [
                w for o in options for w in get_args(o) if isinstance(w, str)
            ]
            if words:
                if value not in words:
                    raise ValueError(f"{field} is {value!r}; it must be one of {', '.join(words)}.")
            elif kind is bool or bool in options:
                if not isinstance(value, bool):
                    raise ValueError(f"{field} is {value!r}; it must be True or False.")
            elif kind is float or float in options:
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(f"{field} is {value!r}; it must be a finite number.")
            elif isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{field} is {value!r}; it must be a whole number.")
            elif value < 1 and field not in ("n_segments", "prefix", "shared_experts"):
                raise ValueError(f"{field} is {value}; it must be at least 1.")

    def _derive(self) -> None:
        def default(field: str, value) -> None:
            if getattr(self, field) is None:
                object.__setattr__(self, field, value)

        if self.d_head is None and self.d_model % self.n_heads:
            raise ValueError(
                f"d_model {self.d_model} does not divide by n_heads {self.n_heads}; choose a multiple, or give d_head."
            )
        default("d_head", self.d_model // self.n_heads)
        default("n_kv_heads", self.n_heads)
        default("d_ff", 4 * self.d_model)
        default("final_norm", self.norm_place != "post" and self.norm != "none")
        default("head", {"encoder": "none", "vision": "classify"}.get(self.kind, "lm"))
        default("d_embed", self.d_model)
        if self.kind == "encoder-decoder":
            default("n_encoder_layers", self.n_layers)
        if self.kind == "vision":
            default("channels", 3)
        if self.rope_scaling in ("yarn", "llama3"):
            default("rope_original_len", max(1, int(self.max_len / self.rope_factor)))
        if self.position in ("t5", "shaw"):
            default("max_distance", 128 if self.position == "t5" else 16)
        if self.position == "t5":
            default("buckets", 32)
        if self.experts > 1:
            default("experts_per_token", 2)
        for option, value in self._of_this_attention().items():
            default(option, value)

    def _of_this_attention(self) -> dict[str, int]:
        """What an attention's own options are when nothing is said."""
        return {
            "longformer": {"window": 64, "global_tokens": 1},
            "bigbird": {"window": 64, "global_tokens": 1, "random_keys": 2},
            "linformer": {"rank": min(64, self.max_len)},
            "latent": {"rank": max(1, self.d_model // 4)},
            "lsh": {"chunk": 64, "hashes": 2},
            "performer": {"features": math.ceil(self.d_head * math.log(self.d_head)) or 1},
            "recurrent": {"memory": self.max_len},
        }.get(self.attention, {})


_FIELD_TYPES = get_type_hints(Config)


def source_side(config: Config) -> Config:
    """The encoder within an encoder–decoder, as a config of its own. Where the decoder has an SSRU, it attends."""
    return dataclasses.replace(
        config, kind="encoder", n_layers=config.n_encoder_layers, n_encoder_layers=None, head="none", logit_bias=False,
        attention="full" if config.attention == "ssru" else config.attention,
    )  # fmt: skip


def target_side(config: Config) -> Config:
    """The decoder within an encoder–decoder; its blocks have cross-attention, which a plain decoder's have not."""
    return dataclasses.replace(config, kind="decoder", n_encoder_layers=None)
