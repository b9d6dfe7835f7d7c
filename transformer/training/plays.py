"""Shakespeare's plays as plain text: the words we train on."""

import re

from transformer.pretrained.archives import archive_named
from transformer.pretrained.fetch import fetch

HEADING = re.compile(r"^#.*$", re.MULTILINE)
SPEAKER = re.compile(r"^\*\*(.+?)\*\* *$", re.MULTILINE)
DIRECTION = re.compile(
    r"^[^_\n]+_+ *$"  # the last line of a longer one
    r"|_+[^_\n]*(?:_+|$)"  # _Exit HAMLET_, __\[Reads]_
    r"|\*[^*]+\*"  # *Exeunt.*
    r"|\[[^]\n]*\]",
    re.MULTILINE,
)


def plays() -> dict[str, str]:
    """Title -> text of the 38 plays, fetched once (2 MB). Raises FetchError without a network."""
    files = sorted(fetch("plays").rglob("*.md"), key=lambda file: file.stem)
    return {file.stem: spoken(file.read_text(encoding="utf-8")) for file in files}


def source() -> dict[str, str]:
    """What a model that learnt from the plays says of its data."""
    archive = archive_named("plays")
    return {
        "data": f"Shakespeare's plays from the package {archive.package} {archive.version}",
        "data_sha256": archive.sha256,
    }


def spoken(markdown: str) -> str:
    """What is said, with who says it: "Hamlet:" on a line of its own, the speech, an empty line.

    Headings and stage directions go. Speakers are written as they are in speeches, not in capitals, so that a name's
    two uses share their tokens.
    """
    text = SPEAKER.sub(lambda found: f"{_name(found[1])}:", HEADING.sub("", markdown))
    text = DIRECTION.sub("", text).replace("\\", "")
    text = "\n".join(line.strip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _name(capitals: str) -> str:
    """KING HENRY VI -> King Henry VI."""
    return " ".join(word if set(word) <= set("IVX") else word.capitalize() for word in capitals.split())
