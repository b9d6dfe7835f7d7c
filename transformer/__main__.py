"""python -m transformer fetch NAME    fetch real weights into the cache folder
python -m transformer models        list them: size, licence, whether they are there
"""

import argparse
import sys
import threading

from transformer.pretrained.archives import ARCHIVES
from transformer.pretrained.errors import FetchError
from transformer.pretrained.fetch import cache_folder, fetch, is_fetched

WIDTH = 40


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m transformer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch real weights").add_argument(
        "name", metavar="NAME", help=", ".join(ARCHIVES)
    )
    commands.add_parser("models", help="list what can be fetched")
    chosen = parser.parse_args(arguments)
    if chosen.command == "models":
        return list_models()
    return fetch_one(chosen.name)


def fetch_one(name: str) -> int:
    cancel = threading.Event()
    try:
        folder = fetch(name, bar(name), cancel)
    except (FetchError, ValueError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the next fetch goes on from here.", file=sys.stderr)
        return 130
    print(f"\n{folder}")
    return 0


def bar(name: str):
    """A progress callback: one line that fills; where the output is no terminal, a line each tenth."""
    shown = -1

    def draw(done: int, total: int) -> None:
        nonlocal shown
        step = int((WIDTH if sys.stdout.isatty() else 10) * done / total)
        if step == shown:
            return
        shown = step
        mega = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
        if sys.stdout.isatty():
            print(f"\r{name}  {'█' * step}{'░' * (WIDTH - step)}  {mega}", end="", flush=True)
        else:
            print(f"{name}  {mega}", flush=True)

    return draw


def list_models() -> int:
    for archive in ARCHIVES.values():
        there = "fetched" if is_fetched(archive.name) else "not fetched"
        size = f"{archive.size / 1e6:.0f} MB"
        parameters = f"{archive.parameters / 1e6:.1f} M" if archive.parameters else ""
        print(f"{archive.name:14} {archive.title:26} {parameters:>8} {size:>6}  {there:12} {archive.licence}")
        print(f"{'':14} {archive.credit}")
    print(f"\nCache folder: {cache_folder()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
