"""Every choice that makes one Transformer differ from another, checked when it is made."""

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

Kind = Literal["decoder", "encoder"]
AttentionPattern = Literal["full", "window", "dilated", "strided"]
Score = Literal["scaled_dot", "dot"]
Position = Literal["none", "sinusoidal", "learned", "rope"]
RopeScaling = Literal["none", "linear", "ntk", "yarn", "llama3"]
RopeLayout = Literal["half", "interleaved"]
NormKind = Literal["layer", "rms", "none"]
NormPlace = Literal["pre", "post"]
Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
Head = Literal["lm", "none"]


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
    n_layers: int = 2
    n_heads: int = 4  # h, query heads
    n_kv_heads: int | None = None  # h_kv; h = MHA (the default), 1 = MQA, between = GQA
    d_head: int | None = None  # d_k; default d / h
    max_len: int = 1024  # rows of the learned position table; the length that other schemes were made for
    dropout: float = 0.0

    attention: AttentionPattern = "full"
    window: int | None = None  # keys that a query of "window" or "dilated" sees on its side, itself included
    dilation: int | None = None  # r: "dilated" sees every r-th key; "strided" sees r neighbours and every r-th key
    score: Score = "scaled_dot"
    qkv_bias: bool = False
    out_bias: bool = False

    position: Position = "rope"
    rope_base: float = 10_000.0
    rope_layout: RopeLayout = "half"
    rope_scaling: RopeScaling = "none"
    rope_factor: float = 1.0
    rope_original_len: int | None = None  # yarn, llama3: the length before stretching; default max_len / factor
    rope_low_freq_factor: float = 1.0  # llama3
    rope_high_freq_factor: float = 4.0  # llama3

    norm: NormKind = "rms"
    norm_eps: float = 1e-5
    norm_place: NormPlace = "pre"
    final_norm: bool | None = None  # default: yes with pre-norm, no with post-norm
    embed_norm: bool = False  # BERT: normalise the sum of embeddings

    d_ff: int | None = None  # default 4 d
    activation: Activation = "gelu"
    gated: bool = False
    ffn_bias: bool = False

    n_segments: int = 0  # BERT: rows of the segment (token type) table
    scale_embeddings: bool = False  # multiply token embeddings by √d
    tie_embeddings: bool = True
    share_layers: bool = False  # ALBERT: one block, used n_layers times
    head: Head | None = None  # default: a language-model head for a decoder, none for an encoder

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
        self._check_sense()

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
            elif kind is float:
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(f"{field} is {value!r}; it must be a finite number.")
            elif isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{field} is {value!r}; it must be a whole number.")
            elif value < 1 and field != "n_segments":
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
        default("final_norm", self.norm_place == "pre" and self.norm != "none")
        default("head", "lm" if self.kind == "decoder" else "none")
        if self.rope_scaling in ("yarn", "llama3"):
            default("rope_original_len", max(1, int(self.max_len / self.rope_factor)))

    def _check_sense(self) -> None:
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads {self.n_heads} does not divide by n_kv_heads {self.n_kv_heads}; "
                "each key/value head must serve the same number of query heads."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1.")
        if self.norm_eps <= 0:
            raise ValueError(f"norm_eps is {self.norm_eps}; it must be above 0.")
        if self.n_segments < 0:
            raise ValueError(f"n_segments is {self.n_segments}; it must be 0 or more.")
        if self.position == "rope" and self.d_head % 2:
            raise ValueError(f"RoPE turns pairs of coordinates, so d_head must be even, and it is {self.d_head}.")
        if self.position == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sinusoids come in sin, cos pairs, so d_model must be even, and it is {self.d_model}.")
        if self.rope_base <= 1:
            raise ValueError(f"rope_base is {self.rope_base}; it must be above 1.")
        if self.rope_factor < 1:
            raise ValueError(f"rope_factor is {self.rope_factor}; it stretches the context, so it must be at least 1.")
        if self.rope_scaling != "none" and self.position != "rope":
            raise ValueError(f"rope_scaling {self.rope_scaling!r} needs position='rope', not {self.position!r}.")
        if self.rope_scaling == "ntk" and self.d_head < 4:
            raise ValueError("NTK-aware scaling needs d_head of at least 4.")
        if self.attention == "window" and self.window is None:
            raise ValueError("attention='window' needs window, the number of keys that a query may see.")
        if self.attention in ("dilated", "strided") and self.dilation is None:
            raise ValueError(f"attention={self.attention!r} needs dilation, the step between keys.")
        if self.window is not None and self.attention not in ("window", "dilated"):
            raise ValueError(f"window has no meaning with attention={self.attention!r}; leave it out.")
        if self.dilation is not None and self.attention not in ("dilated", "strided"):
            raise ValueError(f"dilation has no meaning with attention={self.attention!r}; leave it out.")
        if self.final_norm and self.norm == "none":
            raise ValueError("final_norm=True needs a norm, and norm is 'none'.")
        if self.embed_norm and self.norm == "none":
            raise ValueError("embed_norm=True needs a norm, and norm is 'none'.")
        if self.kind == "decoder" and self.head == "none":
            raise ValueError("a decoder predicts tokens, so its head must be 'lm'.")


_FIELD_TYPES = get_type_hints(Config)
