"""What benchmarks of seconds ask for, and the file that they leave for a lesson: assets/measured/<name>.json."""

import argparse
import datetime
import json
import platform
from pathlib import Path

import torch

FOLDER = Path(__file__).parents[1] / "assets" / "measured"


def asked(doc: str, name: str, rounds: int) -> argparse.Namespace:
    """--out, --rounds and --machine; it measures on one thread."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / f"{name}.json")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--machine", default=f"a shared {platform.machine()} server, one thread")
    torch.set_num_threads(1)
    return parser.parse_args()


def keep(options: argparse.Namespace, command: str, unit: str, **found: object) -> None:
    """Write what was found, and how, when and on what machine."""
    about = {
        "command": command, "date": datetime.date.today().isoformat(), "machine": options.machine,
        "torch": torch.__version__, "unit": unit,
    }  # fmt: skip
    options.out.write_text(json.dumps(about | found, indent=1) + "\n", encoding="utf-8")
