"""What the README says is so."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from transformer.config import Config, Head
from transformer.pretrained.archives import ARCHIVES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_notebook_snippets_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        space: dict = {}
        exec(block, space)
        assert space["A"].shape[1:] == (4, len(space["ids"]), len(space["ids"]))
        assert not space["silenced"].output.equal(space["run"].output)
    assert capsys.readouterr().out


def test_every_file_it_shows_or_links_is_there():
    named = re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\"]+)\"", README)
    paths = [path for pair in named for path in pair if path]
    assert paths and [path for path in paths if not (ROOT / path).exists()] == []
    for path in re.findall(r"^\| `([\w./]+)` \|", README, flags=re.MULTILINE):
        assert "/" not in path and path != "app.py" or (ROOT / path).exists(), path


def test_its_table_of_variants_is_the_configs():
    choices = {field: get_args(kind) for field, kind in get_type_hints(Config).items() if get_origin(kind) is Literal}
    choices["head"] = get_args(Head)
    section = README.split("## Variants")[1].split("\n## ")[0]
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    assert {field: tuple(row.split("|")[2].strip().split(", ")) for field, row in rows.items()} == choices
    files = {name for row in rows.values() for name in re.findall(r"`(\w+\.py)`", row)}
    assert [name for name in files if not (ROOT / "transformer" / name).exists()] == []
    told = set(re.findall(r"`(\w+)`", section))
    assert [field.name for field in dataclasses.fields(Config) if field.name not in told] == []


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=lambda archive: archive.name)
def test_it_credits_everything_that_can_be_fetched(archive):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{archive.name}` |"))
    assert archive.licence in row and archive.credit in row and f"{round(archive.size / 1e6)} MB" in row


def test_it_names_every_environment_variable_of_ours():
    used = {name for layer in ("transformer", "pages", "charts") for file in (ROOT / layer).rglob("*.py")
            for name in re.findall(r"GLASSFORMER_[A-Z_]+", file.read_text("utf-8"))}
    assert used == set(re.findall(r"GLASSFORMER_[A-Z_]+", README))


def test_its_two_commands_are_those_of_the_check():
    check = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "    python -m pip install -r requirements-dev.txt && python -m pytest" in README
    assert "python -m pip install -r requirements-dev.txt && python -m pytest" in check
    assert "    python -m pip install -r requirements.txt && streamlit run app.py" in README
    assert os.path.exists(ROOT / "requirements.txt") and os.path.exists(ROOT / "requirements-dev.txt")
