"""How a benchmark says what it measured: words on stderr, one JSON object on stdout."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

Figure = dict[str, Any]


def figure(name: str, value: float, unit: str, target: float, better: str = "lower") -> Figure:
    """A figure, and whether its aim holds."""
    holds = value <= target if better == "lower" else value >= target
    return {"name": name, "value": value, "unit": unit, "target": target, "better": better, "holds": holds}


def report(
    benchmark: str,
    description: str | None,
    measure: Callable[[argparse.Namespace], Sequence[Figure]],
    *options: dict[str, Any],
) -> int:
    """Parse the arguments, measure, print.

    Args:
        benchmark: Its name.
        description: Its help.
        measure: Measures, given the arguments.
        options: Further options, as keyword arguments of `add_argument` with their `name`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    for option in options:
        parser.add_argument(option.pop("name"), **option)
    arguments = parser.parse_args()
    figures = list(measure(arguments))
    for found in figures:
        mark = "holds" if found["holds"] else "MISSED"
        print(f"{mark:7} {found['name']}: {found['value']} {found['unit']} (aim {found['target']})", file=sys.stderr)
    if arguments.json:
        machine = {"machine": platform.machine(), "system": platform.platform(), "processors": os.cpu_count()}
        print(json.dumps({"benchmark": benchmark, "machine": machine, "figures": figures}))
    return 0
