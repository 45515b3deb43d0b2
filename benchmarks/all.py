"""Every table, one script after the other; rows that stand in results/ are not measured again.

CHARLOOM_DATA=… python benchmarks/all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "startup",
    "throughput",
    "training",
    "runtime",
    "insight",
    "web",
    "server",
    "nothing_lost",
    "conditions",
    "automatic",
    "quality",
)  # the longest last


def main() -> int:
    """Run them; the number of those that failed."""
    failed = []
    for name in SCRIPTS:
        print(f"\n## {name}\n", flush=True)
        if subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py")]).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
