"""Documents: a text as sentences of words, the way hierarchical attention reads it.

    reader = Reader.train(texts)
    document = split("The king is dead. Long live the king!")   # two sentences; each word knows where it stands
    ids = reader.encode(document)                               # [[4, 90, 7, 233], [61, 12, 4, 90]]
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from transformer.config import Config
from transformer.hierarchy import Hierarchical
from transformer.pretrained.safetensors_file import read_json, read_tensors

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n\s*\n")  # of a sentence
MOST_WORDS = 30  # in a sentence; a longer one goes on as another


@dataclass(frozen=True)
class Word:
    """One word, and where it stands in its text: text[begin:end]."""

    text: str
    begin: int
    end: int


Sentence = tuple[Word, ...]


def split(text: str, most: int = MOST_WORDS) -> list[Sentence]:
    """The text's sentences, each the words in it: a sentence ends at . ! ? … or an empty line, and after ``most`` words.

    What is no word, such as commas, stands between the words and is not read. Sentences without a word are left out.
    """
    ends = [found.end() for found in END.finditer(text)] + [len(text)]
    sentences: list[Sentence] = []
    words: list[Word] = []
    for found in WORD.finditer(text):
        if found.start() >= ends[0] or len(words) == most:
            sentences += [tuple(words)] if words else []
            words = []
            while found.start() >= ends[0]:
                ends.pop(0)
        words.append(Word(found[0], found.start(), found.end()))
    return [*sentences, tuple(words)] if words else sentences


class Reader:
    """A vocabulary of whole words in small letters; 0 stands for every word that is not in it."""

    def __init__(self, words: Sequence[str]):
        self.words = ["", *words]
        self._ids = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def train(cls, texts: Iterable[str], least: int = 4) -> "Reader":
        """The words that at least ``least`` of the texts have, the most widespread first: hardly a name is among them."""
        found: Counter[str] = Counter()
        for text in texts:
            found.update({_small(word) for word in WORD.findall(text)})
        return cls(sorted((word for word, times in found.items() if times >= least), key=lambda w: (-found[w], w)))

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def encode(self, document: Iterable[Sentence]) -> list[list[int]]:
        """A list of ids for each sentence."""
        return [[self._ids.get(_small(word.text), 0) for word in sentence] for sentence in document]


def _small(word: str) -> str:
    return word.lower().replace("’", "'")


FOLDER = Path(__file__).parents[1] / "assets" / "documents"  # what ``training/documents.py`` made
FORMAT = "glassformer documents"


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of documents: ``model.run(reader.encode(split(text)))``."""

    model: Hierarchical
    reader: Reader
    classes: tuple[str, ...]
    made: Mapping[str, Any]  # command, data, seeds, scores

    def read(self, text: str) -> list[list[int]]:
        """The text's ids, a list for each sentence. ValueError, one sentence, where there is no word in it."""
        document = split(text)
        if not document:
            raise ValueError("There is no word in this text: type a sentence or two.")
        return self.reader.encode(document)


def save(classifier: Classifier, folder: Path = FOLDER) -> None:
    """Write ``folder``, which ``load`` opens: weights in float16, the vocabulary, and how they came about."""
    folder.mkdir(parents=True, exist_ok=True)
    model = classifier.model
    weights = {name: w.detach().half().contiguous() for name, w in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    about = {
        "format": FORMAT, "config": model.config.to_dict(), "n_segment_layers": len(model.segments.blocks),
        "classes": list(classifier.classes), "made": dict(classifier.made),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "words.txt").write_text("\n".join(classifier.reader.words[1:]) + "\n", encoding="utf-8")


def load(folder: Path = FOLDER) -> Classifier:
    """The classifier in a folder, in eval mode. ValueError, one sentence, for a folder that is not whole."""
    about = read_json(folder / "config.json")
    if about.get("format") != FORMAT:
        raise ValueError(f"{folder} is no document classifier; transformer.documents.save writes them.")
    reader = Reader((folder / "words.txt").read_text(encoding="utf-8").splitlines())
    model = Hierarchical(Config(**about["config"]), about["n_segment_layers"])
    weights = read_tensors(folder)
    if {name: w.shape for name, w in weights.items()} != {name: w.shape for name, w in model.state_dict().items()}:
        raise ValueError(f"{folder} has other tensors than its config says.")
    model.load_state_dict({name: w.float() for name, w in weights.items()})
    return Classifier(model.eval(), reader, tuple(about["classes"]), about["made"])


def passages(folder: Path = FOLDER) -> list[dict[str, str]]:
    """Some of the documents that the shipped classifier never read: {"play", "label", "text"} each."""
    return json.loads((folder / "passages.json").read_text(encoding="utf-8"))
