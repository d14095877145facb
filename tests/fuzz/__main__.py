"""`python -m tests.fuzz --minutes 60 [TARGET …]`: every target in turn, over and over, until the time is over.

Prints what it found, and at the end how many inputs each target was given. Ends with status 1 where there is a finding.
"""

import argparse
import sys
import time
import traceback

from tests.fuzz.targets import TARGETS

#: How many inputs a target is given at once: hypothesis grows bolder within one run.
_ROUND = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("targets", nargs="*", choices=[[], *(target.name for target in TARGETS)])
    chosen = parser.parse_args()
    targets = [target for target in TARGETS if not chosen.targets or target.name in chosen.targets]
    began = time.monotonic()
    tried = dict.fromkeys((target.name for target in targets), 0)
    findings: dict[str, set[str]] = {target.name: set() for target in targets}
    while time.monotonic() < began + chosen.minutes * 60:
        for target in targets:
            try:
                tried[target.name] += target.run(_ROUND, keeps=False)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                finding = f"{type(error).__name__} at {where.filename}:{where.lineno}"
                if finding not in findings[target.name]:
                    findings[target.name].add(finding)
                    print(f"\n{target.name}: {finding}")
                    traceback.print_exc(file=sys.stdout)
        minutes = (time.monotonic() - began) / 60
        print(f"{minutes:.1f} min", *(f"{name} {count}" for name, count in tried.items()), sep="  ", flush=True)
    for name, count in tried.items():
        print(f"{name}: {count} inputs, {len(findings[name])} findings")
    return 1 if any(findings.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
