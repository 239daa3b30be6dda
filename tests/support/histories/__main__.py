"""Play thousands of histories: `python -m histories --histories 20000`.

In a history, jobs run under a simulated Lambda that does them harm at random. A seed decides all of
it. If a history breaks a promise, its seed is printed with the command that plays it again.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from histories.faults import Fault, of_text
from histories.history import figures_text, play_seed, simulated_aws
from histories.invariant_checker import Violation

_CHUNK = 50
_LINE_EVERY = 2000  # histories per line of output, without a terminal
_SHOWN = 10  # broken promises that are printed


def main() -> int:
    """Play the histories. Return 0 if every promise held in every history."""
    options = _options()
    seeds = range(options.first, options.first + options.histories)
    if options.seed is not None:
        seeds = range(options.seed, options.seed + 1)
    started = time.monotonic()
    figures: Counter[str] = Counter()
    broken: list[str] = []
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    with ProcessPoolExecutor(options.processes) as pool:
        for its_figures, its_broken in pool.map(partial(_play, faults=options.faults), chunks):
            figures += its_figures
            for violation in its_broken[: max(0, _SHOWN - len(broken))]:
                print(f"BROKEN: {violation}", file=sys.stderr, flush=True)
            broken += its_broken
            played = figures["histories"]
            if sys.stderr.isatty():
                print(f"\r{played:,} histories", end="", file=sys.stderr)
            elif played % _LINE_EVERY == 0:
                print(f"{played:,} histories", file=sys.stderr, flush=True)
    _report(figures, len(broken), time.monotonic() - started)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m histories", description=__doc__)
    parser.add_argument(
        "--histories", type=int, default=1000, help="number of histories (default 1000)"
    )
    parser.add_argument(
        "--first", type=int, default=0, help="the seed of the first history (default 0)"
    )
    parser.add_argument("--processes", type=int, default=2, help="processes to use (default 2)")
    parser.add_argument("--seed", type=int, help="play only this seed")
    parser.add_argument(
        "--faults",
        type=of_text,
        help="all, none, or some of these, separated by commas (default: the seed decides): "
        f"{', '.join(Fault)}; see simulation/faults.py",
    )
    return parser.parse_args()


def _play(seeds: Iterable[int], faults: frozenset[Fault] | None) -> tuple[Counter[str], list[str]]:
    figures: Counter[str] = Counter()
    broken = []
    with simulated_aws():
        for seed in seeds:
            try:
                figures += play_seed(seed, faults)
            except Violation as violation:
                broken.append(str(violation))
                figures += violation.figures
            figures["histories"] += 1
    return figures, broken


def _report(figures: Counter[str], broken: int, seconds: float) -> None:
    print(f"{figures.pop('histories'):,} histories in {seconds:.0f} s: {figures_text(figures)}")
    print(f"broken promises: {broken}")


if __name__ == "__main__":
    sys.exit(main())
