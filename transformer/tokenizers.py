"""Text into tokens and back: characters, byte-level BPE of our own, and the tokenizers of real checkpoints.

Every tokenizer is a ``Tokenizer``: encode, decode, pieces, vocab_size, end_id.
"""

import json
import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import tokenizers

Ids = Sequence[int]

# A word takes the space before it along; letters, digits and signs never share a word (after GPT-2's pattern).
WORD = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


class Tokenizer(ABC):
    """What every tokenizer can do. ``end_id`` is the token that ends a text, ``start_id`` the one that the target of an
    encoder–decoder begins with, or None."""

    end_id: int | None = None
    start_id: int | None = None

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many different tokens there are; ids run from 0 to vocab_size − 1."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The text's token ids, special tokens as the model was trained with. ValueError if it isn't text."""

    @abstractmethod
    def token_bytes(self, ids: Ids) -> list[bytes]:
        """The UTF-8 bytes that each token stands for; a character may be split between tokens."""

    def decode(self, ids: Ids) -> str:
        """The text of the ids, special tokens included; bytes that are no whole character become U+FFFD."""
        return b"".join(self.token_bytes(ids)).decode("utf-8", errors="replace")

    def pieces(self, ids: Ids) -> list[str]:
        """What each token says, readable: " fox", "\\n", and for part k of m of a split character "語¹⁄₂".

        Bytes that belong to no whole character are shown as "<0xE8>"; U+FFFD never appears unless the text has it.
        """
        return readable(self.token_bytes(ids))


def readable(pieces: Sequence[bytes]) -> list[str]:
    """Each piece as text; see ``Tokenizer.pieces``."""
    words = ["" for _ in pieces]
    bounds = []  # (begin, end, which piece) of each piece that has bytes
    at = 0
    for i, piece in enumerate(pieces):
        if piece:
            bounds.append((at, at + len(piece), i))
            at += len(piece)
    first = 0  # the first piece that reaches into the character at hand
    for begin, end, character in _characters(b"".join(pieces)):
        while bounds[first][1] <= begin:
            first += 1
        parts = [i for a, _, i in bounds[first : first + 4] if a < end]  # a character has at most four bytes
        for k, i in enumerate(parts, 1):
            words[i] += character if len(parts) == 1 else character + _fraction(k, len(parts))
    return words


def _characters(data: bytes) -> Iterator[tuple[int, int, str]]:
    """(begin, end, text) of each character, or of each byte that is part of none."""
    begin = 0
    while begin < len(data):
        lead = data[begin]
        end = begin + (1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
        try:
            yield begin, end, data[begin:end].decode("utf-8")
        except UnicodeDecodeError:
            end = begin + 1
            yield begin, end, f"<0x{lead:02X}>"
        begin = end


def _fraction(k: int, m: int) -> str:
    return "⁰¹²³⁴"[k] + "⁄" + "₀₁₂₃₄"[m]


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f"encode takes a text, not {type(text).__name__}.")
    if (half := re.search("[\ud800-\udfff]", text)) is not None:
        raise ValueError(
            f"the text has half a surrogate pair at character {half.start()}, which no tokenizer can read."
        )
    return text


class Characters(Tokenizer):
    """One token a character of the training text; a text with any other character is refused. ``start``: the character
    of the alphabet that a target begins with, which no text may hold."""

    def __init__(self, alphabet: str, start: str | None = None):
        self.alphabet, self.start = alphabet, start
        self._ids = {character: i for i, character in enumerate(alphabet) if character != start}
        self.start_id = None if start is None else alphabet.index(start)

    @classmethod
    def train(cls, text: str) -> "Characters":
        return cls("".join(sorted(set(_checked(text)))))

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        strange = sorted(set(_checked(text)) - self._ids.keys())
        if strange:
            raise ValueError(
                f"this tokenizer knows {len(self._ids)} characters, and {strange[0]!r} is none of them."
            )
        return [self._ids[character] for character in text]

    def token_bytes(self, ids: Ids) -> list[bytes]:
        return [self.alphabet[i].encode() for i in ids]

    def to_dict(self) -> dict:
        return {"type": "characters", "alphabet": self.alphabet} | ({"start": self.start} if self.start else {})


class BytePairEncoding(Tokenizer):
    """Byte-level BPE: start from bytes, and keep joining the pair that was most frequent in the training text.

    Sennrich et al. 2016, arXiv:1508.07909; on bytes, so that every text has an encoding, Radford et al. 2019.
    Ids 0–255 are the bytes, 256 + i is what merge i made, and the last id is ``end``.
    """

    def __init__(self, merges: Sequence[tuple[int, int]], end: str = "<|end|>"):
        self.merges = [(a, b) for a, b in merges]  # in the order they were learnt
        self.end = end
        self.vocab = [bytes([i]) for i in range(256)]  # id -> bytes
        for a, b in self.merges:
            self.vocab.append(self.vocab[a] + self.vocab[b])
        self.end_id = len(self.vocab)
        self.vocab.append(end.encode())
        self._made = {pair: 256 + i for i, pair in enumerate(self.merges)}  # pair -> the id that it becomes

    @classmethod
    def train(cls, text: str, vocab_size: int, end: str = "<|end|>") -> "BytePairEncoding":
        """Learn merges until there are ``vocab_size`` tokens, or until no pair occurs twice.

        Raises ValueError below 257: 256 bytes and the end.
        """
        if vocab_size < 257:
            raise ValueError(f"vocab_size is {vocab_size}; it must be at least 257: the 256 bytes and the end token.")
        counted = Counter(WORD.findall(_checked(text)))
        words = [list(word.encode()) for word in counted]
        times = list(counted.values())
        count: Counter[tuple[int, int]] = Counter()
        where: defaultdict[tuple[int, int], set[int]] = defaultdict(set)  # pair -> words that have (had) it
        for w, ids in enumerate(words):
            for pair in zip(ids, ids[1:]):
                count[pair] += times[w]
                where[pair].add(w)
        merges: list[tuple[int, int]] = []
        while len(merges) < vocab_size - 257 and count:
            best = max(count, key=lambda pair: (count[pair], -pair[0], -pair[1]))  # ties: the smaller ids
            if count[best] < 2:
                break
            made = 256 + len(merges)
            merges.append(best)
            for w in where.pop(best):  # only these words change; all their pairs are counted anew
                for pair in zip(words[w], words[w][1:]):
                    count[pair] -= times[w]
                words[w] = _join(words[w], best, made)
                for pair in zip(words[w], words[w][1:]):
                    count[pair] += times[w]
                    where[pair].add(w)
            del count[best]
        return cls(merges, end)

    @property
    def vocab_size(self) -> int:
        return len(self.vocab)

    def encode(self, text: str) -> list[int]:
        return [i for word in WORD.findall(_checked(text)) for i in list(self.steps(word))[-1]]

    def steps(self, word: str) -> Iterator[list[int]]:
        """The ids of one word as its bytes, then after each merge, the earliest learnt first, down to its encoding."""
        ids = list(word.encode())
        yield ids
        while True:
            known = [self._made[pair] for pair in zip(ids, ids[1:]) if pair in self._made]
            if not known:
                return
            made = min(known)
            ids = _join(ids, self.merges[made - 256], made)
            yield ids

    def token_bytes(self, ids: Ids) -> list[bytes]:
        return [self.vocab[i] for i in ids]

    def to_dict(self) -> dict:
        return {"type": "byte_pair_encoding", "end": self.end, "merges": [list(pair) for pair in self.merges]}


def _join(ids: list[int], pair: tuple[int, int], made: int) -> list[int]:
    """ids with each ``pair``, from the left, replaced by ``made``."""
    joined, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            joined.append(made)
            i += 2
        else:
            joined.append(ids[i])
            i += 1
    return joined


class Wrapped(Tokenizer):
    """A real checkpoint's tokenizer, run by the ``tokenizers`` library, with that checkpoint's own special tokens."""

    def __init__(self, inner: tokenizers.Tokenizer, end_id: int | None = None):
        self.inner = inner
        self.inner.no_truncation()  # some files cut texts to the length their authors trained with, or pad them to it
        self.inner.no_padding()
        self.end_id = end_id
        self._literal = {token.content for token in inner.get_added_tokens_decoder().values()}
        spelling = json.loads(inner.to_str())
        self._bytes_as_letters = '"ByteLevel"' in json.dumps(spelling["decoder"])
        self._marks_space = "▁" in json.dumps(spelling["decoder"], ensure_ascii=False)

    @property
    def vocab_size(self) -> int:
        return self.inner.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return self.inner.encode(_checked(text)).ids

    def decode(self, ids: Ids) -> str:
        return self.inner.decode(list(ids), skip_special_tokens=False)

    def token_bytes(self, ids: Ids) -> list[bytes]:
        return [self._bytes(i) for i in ids]

    def _bytes(self, i: int) -> bytes:
        token = self.inner.id_to_token(i)
        if token is None:  # embedding matrices are often padded beyond the vocabulary
            return f"[{i}]".encode()
        if token in self._literal:
            return token.encode()
        if self._bytes_as_letters and all(letter in BYTE_OF_LETTER for letter in token):
            return bytes(BYTE_OF_LETTER[letter] for letter in token)
        if self._marks_space:  # SentencePiece
            if re.fullmatch("<0x[0-9A-F]{2}>", token):
                return bytes([int(token[3:5], 16)])
            return token.replace("▁", " ").encode()
        return token.encode()  # WordPiece: "play", "##ing"


def _byte_letters() -> dict[str, int]:
    """GPT-2's alphabet: each byte written as one visible letter; those that have none are moved up from 256."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


BYTE_OF_LETTER = _byte_letters()


def open_file(path: Path, end_id: int | None = None) -> Tokenizer:
    """The tokenizer in a tokenizer.json, ours or the ``tokenizers`` library's. ValueError when it is neither."""
    try:
        spelling = json.loads(Path(path).read_text(encoding="utf-8"))
        match spelling.get("type"):
            case "byte_pair_encoding":
                return BytePairEncoding(spelling["merges"], spelling["end"])
            case "characters":
                return Characters(spelling["alphabet"], spelling.get("start"))
        return Wrapped(tokenizers.Tokenizer.from_file(str(path)), end_id)
    except OSError:
        raise
    except Exception as error:  # the library raises bare Exception for what it cannot read
        raise ValueError(f"{path} is not a tokenizer that can be read: {error}") from error
