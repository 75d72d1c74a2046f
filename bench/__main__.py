"""Runs benchmarks and prints what they find: `python -m bench [name ...]`, all without a name."""

import argparse

from bench import up

_BENCHMARKS = {"up": up.compare}


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    names = ", ".join(_BENCHMARKS)
    parser.add_argument("names", nargs="*", choices=[*_BENCHMARKS, []], metavar="name", help=names)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    arguments = parser.parse_args()
    for name in arguments.names or _BENCHMARKS:
        comparisons = _BENCHMARKS[name](arguments.rounds)
        print(f"\n{name}: medians of {arguments.rounds} rounds, and the ratio's range")
        for comparison in comparisons:
            print(comparison)


if __name__ == "__main__":
    main()
