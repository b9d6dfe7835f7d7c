"""Tokenizers: lossless round trips, readable pieces, and equality with independent implementations."""

import json
import re

import pytest
import regex
import tokenizers as library
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from transformer import tokenizers
from transformer.tokenizers import BytePairEncoding, Characters, Wrapped, readable

SPEECH = "to be, or not to be: that is the question: whether 'tis nobler in the mind to suffer\n" * 3
TRAINED = BytePairEncoding.train(SPEECH + "The year 1600, the year 1601. naïve café 語 語 語", 320)

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "def f(x):\n\treturn {'a': x ** 2}  # twice\n\n\n",
    "I'm 12345 years old, it's 3.14159 o'clock",
    "日本語のテキスト、そして漢字。",
    "Ελληνικά, Русский, עברית, العربية, हिन्दी, ไทย",
    "👩‍👩‍👧‍👦 🙂🙃 naïve café ½ Ⅷ ² ﬁ",
    "   leading, trailing   and    inner spaces   ",
    "\r\n\t\u00a0\u2003\u200b\ufeff",
    "<|im_start|>user\nHi<|im_end|>\n",
    "a" * 300,
    "",
]


# --- our own byte-level BPE


@given(st.text())
@example("<|end|>")
@example("\ufffd é 語 🙂 \x00\x85\u2028")
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(text):
    ids = TRAINED.encode(text)
    assert TRAINED.decode(ids) == text
    assert all(0 <= i < TRAINED.end_id for i in ids)  # a text never spells the end token
    assert b"".join(TRAINED.token_bytes(ids)) == text.encode()


def test_training_learns_the_most_frequent_pair_first():
    bpe = BytePairEncoding.train("abab abab abab cd", 260)
    words = [b"".join(bpe.token_bytes([256 + i])) for i in range(len(bpe.merges))]
    assert words[0] == b"ab"
    assert bpe.vocab_size == 257 + len(bpe.merges) and bpe.end_id == bpe.vocab_size - 1
    assert bpe.pieces([bpe.end_id]) == ["<|end|>"]


def reference_merges(text: str, n: int) -> list[tuple[int, int]]:
    """The textbook loop: count every pair anew for every merge."""
    words = [list(word.encode()) for word in tokenizers.WORD.findall(text)]
    merges = []
    for made in range(256, 256 + n):
        counts = {}
        for ids in words:
            for pair in zip(ids, ids[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]), default=None)
        if best is None or counts[best] < 2:
            break
        merges.append(best)
        for ids in words:
            i = 0
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == best:
                    ids[i : i + 2] = [made]
                i += 1
    return merges


@given(st.text("ab c1.", max_size=200), st.integers(257, 300))
@settings(max_examples=100, deadline=None)
def test_counting_only_what_changed_learns_the_same_merges(text, vocab_size):
    bpe = BytePairEncoding.train(text, vocab_size)
    assert bpe.merges == reference_merges(text, vocab_size - 257)
    assert bpe.vocab_size <= vocab_size


@pytest.mark.parametrize("text", TEXTS)
def test_same_ids_as_the_tokenizers_library_with_the_same_merges(text):
    """An implementation in Rust, given our merges and our words, must cut every text the same way."""
    letter = {byte: letter for letter, byte in tokenizers.BYTE_OF_LETTER.items()}
    spell = ["".join(letter[b] for b in word) for word in TRAINED.vocab[:-1]]
    merges = [(spell[a], spell[b]) for a, b in TRAINED.merges]
    inner = library.Tokenizer(library.models.BPE(vocab={s: i for i, s in enumerate(spell)}, merges=merges))
    inner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = tokenizers.WORD.findall(text)
    assert TRAINED.encode(text) == [i for word in words for i in inner.encode(word).ids]


def test_steps_go_from_bytes_to_the_encoding():
    steps = list(TRAINED.steps(" question"))
    assert steps[0] == list(b" question") and steps[-1] == TRAINED.encode(" question")
    assert all(len(after) < len(before) for before, after in zip(steps, steps[1:]))
    assert {b"".join(TRAINED.token_bytes(ids)) for ids in steps} == {b" question"}


def test_it_survives_its_file(tmp_path):
    for tokenizer, text in ((TRAINED, SPEECH), (Characters.train(SPEECH), SPEECH)):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(tokenizer.to_dict()))
        again = tokenizers.open_file(path)
        assert again.encode(text) == tokenizer.encode(text)
        assert (again.vocab_size, again.end_id) == (tokenizer.vocab_size, tokenizer.end_id)


def test_what_is_refused():
    with pytest.raises(ValueError, match="at least 257"):
        BytePairEncoding.train("a text", 256)
    with pytest.raises(ValueError, match="'é' is none of them"):
        Characters.train("abc").encode("abé")
    with pytest.raises(ValueError, match="surrogate pair at character 1"):
        TRAINED.encode("a\ud83d")
    with pytest.raises(ValueError, match="not int"):
        TRAINED.encode(5)


def test_characters():
    characters = Characters.train("hello\n")
    ids = characters.encode("hole")
    assert characters.vocab_size == 5 and len(ids) == 4
    assert characters.decode(ids) == "hole" and characters.pieces(ids) == ["h", "o", "l", "e"]


# --- readable pieces


@given(st.text(), st.data())
@settings(max_examples=300, deadline=None)
def test_pieces_of_any_cut_are_readable(text, data):
    """However the bytes are cut, no piece shows U+FFFD that the text does not have, and whole characters stay whole."""
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)])]
    words = readable(pieces)
    assert len(words) == len(pieces)
    if "\ufffd" not in text:
        assert "\ufffd" not in "".join(words)
    for piece, word in zip(pieces, words):
        assert bool(piece) == bool(word)
        try:
            assert piece.decode() == word
        except UnicodeDecodeError:
            assert re.search("[¹²³⁴]⁄[₂₃₄]", word)


def test_a_split_character_is_shown_with_its_part():
    assert readable(["語".encode()[:2], "語".encode()[2:]]) == ["語¹⁄₂", "語²⁄₂"]
    assert readable([b" \xe8", b"\xaa", b"\x9e!"]) == [" 語¹⁄₃", "語²⁄₃", "語³⁄₃!"]
    assert readable([b"a\xc3", b"\xa9\xc3", b"\xa9b"]) == ["aé¹⁄₂", "é²⁄₂é¹⁄₂", "é²⁄₂b"]
    assert readable([b"\xe8\xaa", b"x"]) == ["<0xE8><0xAA>", "x"]  # the rest never came
    assert readable([b"\xff", b"", b"\n"]) == ["<0xFF>", "", "\n"]


# --- SmolLM2's, rebuilt from a GGUF's metadata


@pytest.fixture(scope="module")
def smol(smollm2_folder):
    from transformer.pretrained import gguf_file

    file = gguf_file.GGUF(next(smollm2_folder.glob("*.gguf")))
    return gguf_file.tokenizer(file.metadata, file.path), file.metadata


def reference_encode(metadata: dict):
    """GPT-2's encoder as its authors wrote it, with SmolLM2's tokens: special tokens, then digits, then words, then
    merges by rank."""
    rank = {tuple(merge.split(" ")): i for i, merge in enumerate(metadata["tokenizer.ggml.merges"])}
    ids = {token: i for i, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    special = [
        t for t, kind in zip(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]) if kind == 3
    ]
    word = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    letter = {byte: letter for letter, byte in tokenizers.BYTE_OF_LETTER.items()}
    split_special = regex.compile("(" + "|".join(map(regex.escape, sorted(special, key=len, reverse=True))) + ")")

    def merge(letters: list[str]) -> list[str]:
        while len(letters) > 1:
            ranked = [(rank.get(pair, 10**9), i) for i, pair in enumerate(zip(letters, letters[1:]))]
            best, i = min(ranked)
            if best == 10**9:
                break
            letters[i : i + 2] = [letters[i] + letters[i + 1]]
        return letters

    def encode(text: str) -> list[int]:
        out = []
        for part in split_special.split(text):
            if part in special:
                out.append(ids[part])
                continue
            for run in regex.findall(r"\p{N}|\P{N}+", part):  # each digit alone
                for found in word.findall(run):
                    out += [ids[token] for token in merge([letter[b] for b in found.encode()])]
        return out

    return encode


@pytest.mark.parametrize("text", TEXTS)
def test_smollm2_ids_equal_an_independent_encoder(smol, text):
    tokenizer, metadata = smol
    ids = tokenizer.encode(text)
    assert ids == reference_encode(metadata)(text)
    assert tokenizer.decode(ids) == text


def test_smollm2_any_text(smol):
    tokenizer, metadata = smol
    reference = reference_encode(metadata)
    # SmolLM2's vocabulary has no token for a few control characters and unassigned planes: they fall away.
    spelt = {tokenizers.BYTE_OF_LETTER[token] for token in metadata["tokenizer.ggml.tokens"] if len(token) == 1}

    @given(st.text(max_size=30).filter(lambda text: set(text.encode()) <= spelt))
    @settings(max_examples=150, deadline=None)
    def check(text):
        ids = tokenizer.encode(text)
        assert ids == reference(text)
        assert tokenizer.decode(ids) == text
        assert b"".join(tokenizer.token_bytes(ids)) == text.encode()

    check()
    assert 230 < len(spelt) < 256 and tokenizer.encode("a\x06b") == tokenizer.encode("a") + tokenizer.encode("b")


def test_smollm2_facts(smol):
    tokenizer, _ = smol
    assert tokenizer.vocab_size == 49_152 and tokenizer.end_id == 2
    assert tokenizer.pieces([2]) == ["<|im_end|>"]
    assert tokenizer.pieces(tokenizer.encode("Hi, 語!\n")) == ["Hi", ",", " 語¹⁄₃", "語²⁄₃", "語³⁄₃", "!", "\n"]
    assert tokenizer.pieces([10**6]) == ["[1000000]"]  # an id beyond the vocabulary


# --- MiniLM's WordPiece


@pytest.mark.parametrize("text", [*TEXTS, "embeddings " * 200])
def test_minilm_ids_equal_hugging_face(minilm_folder, text):
    tokenizer = tokenizers.open_file(minilm_folder / "tokenizer.json")
    theirs = BertTokenizer.from_pretrained(str(minilm_folder))
    ids = tokenizer.encode(text)
    assert ids == theirs(text).input_ids  # [CLS] … [SEP], neither cut nor padded to 128 as the file asks
    assert tokenizer.decode(ids) == theirs.decode(ids)
    assert len(tokenizer.pieces(ids)) == len(ids)


def test_minilm_pieces(minilm_folder):
    tokenizer = tokenizers.open_file(minilm_folder / "tokenizer.json")
    assert tokenizer.pieces(tokenizer.encode("Embeddings!")) == ["[CLS]", "em", "##bed", "##ding", "##s", "!", "[SEP]"]
    assert tokenizer.vocab_size == 30_522 and tokenizer.end_id is None


# --- SentencePiece, as old Llama and Mistral files have it


def test_sentencepiece_marks_become_spaces_and_bytes():
    vocab = {"<unk>": 0, "<0xE8>": 1, "<0xAA>": 2, "<0x9E>": 3, "▁the": 4, "▁": 5, "x": 6}
    inner = library.Tokenizer(library.models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>"))
    inner.decoder = library.decoders.Sequence(
        [library.decoders.Replace("▁", " "), library.decoders.ByteFallback(), library.decoders.Fuse()]
    )
    assert Wrapped(inner).pieces([4, 1, 2, 3, 6]) == [" the", "語¹⁄₃", "語²⁄₃", "語³⁄₃", "x"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"type": "byte_pair_encoding"}', "\x00"])
def test_a_broken_tokenizer_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="not a tokenizer that can be read"):
        tokenizers.open_file(path)
