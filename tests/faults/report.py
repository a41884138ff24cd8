"""The tables of docs/reliability.md: what was injected into runs, and what became of their pages.

    python -m tests.faults.report --kills 200 --seed 1

Exits with 1 when a page was lost, doubled or wrong, or anything else was not as promised.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from .campaign import Result, run_campaign
from .injections import IN_A_FOLDER, SIDES, schedule


def main() -> int:
    """Run a campaign and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="injections in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2, help="runs at once")
    arguments = parser.parse_args()
    started = time.monotonic()
    result = run_campaign(arguments.kills, schedule(arguments.seed), lanes=arguments.lanes)
    print("\n".join(table(result)))
    print(f"\n{time.monotonic() - started:.0f} s, seed {arguments.seed}.", *result.faults, sep="\n")
    return 1 if result.faults else 0


def table(result: Result) -> Iterator[str]:
    """Yield the lines of two Markdown tables and what they add up to."""
    yield "| SIGKILL when the run passes this point | before it | after it |"
    yield "|---|---:|---:|"
    for name in IN_A_FOLDER:
        before, after = (result.injected[f"SIGKILL {side}: {name}"] for side in SIDES)
        yield f"| {name} | {before} | {after} |"
    yield ""
    yield "| Signal at a random moment | times |"
    yield "|---|---:|"
    yield from (f"| {kind} | {times} |" for kind, times in sorted(result.injected.items()) if ": " not in kind)
    yield ""
    yield from _sums(result)


def _sums(result: Result) -> Iterator[str]:
    injected = result.injected.total()
    kinds = {kind: sum(fault.startswith(kind) for fault in result.faults) for kind in ("lost", "double", "wrong")}
    yield (
        f"{injected} injections in {result.runs} runs, over {result.inputs} inputs with {result.pages:,} pages in all: "
        f"{kinds['lost']} pages lost, {kinds['double']} doubled, {kinds['wrong']} wrong, "
        f"{len(result.faults) - sum(kinds.values())} other faults; "
        f"{result.read_again / max(injected, 1):.2f} pages read again per injection."
    )


if __name__ == "__main__":
    sys.exit(main())
