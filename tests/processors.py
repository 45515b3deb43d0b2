"""Run the tests of the runtime and of the exports on processors emulated by QEMU.

    python tests/processors.py [haswell] [arm64] [-- arguments of pytest]

Haswell (AVX2 without AVX-512 and VNNI) runs this environment's own Python. ARM64 runs Debian's Python, with
its libraries and the wheels for it, unpacked below build/processors and kept there. Only QEMU itself is
installed on the machine, where it is missing. Needs Debian or Ubuntu on x86. ONNX is not tested on ARM64.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "processors"
TESTS = ["tests/runtime", "tests/export"]
NO_ONNX = "--ignore=tests/export/test_onnx.py"  # importing onnxruntime for ARM64 crashes in QEMU 7.2

Run = tuple[str, list[str], dict[str, str]]
"""What it is called, the command of its Python, and its environment."""


def main() -> int:
    """Run what is asked for, by default all, and return how many runs failed."""
    asked, _, given = " ".join(sys.argv[1:]).partition("-- ")
    names, options = asked.split() or ["haswell", "arm64"], given.split()
    failed = []
    for name in names:
        for title, command, environment in {"haswell": haswell, "arm64": arm64}[name]():
            print(f"== {title}", flush=True)
            begin = time.monotonic()
            command += ["-m", "pytest", "-q", *TESTS, *([NO_ONNX] if name == "arm64" else []), *options]
            code = subprocess.run(command, cwd=ROOT, env=environment).returncode
            print(
                f"== {title}: exit code {code} after {(time.monotonic() - begin) / 60:.1f} minutes",
                flush=True,
            )
            if code:
                failed.append(title)
    return len(failed)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what chooses code for a processor."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "NUMBA_", "CHARLOOM_"))}
    return {**kept, "TMPDIR": str(folder(PLACE / "tmp")), **more}


def haswell() -> list[Run]:
    """AVX2, on this environment's own Python."""
    emulator = installed("qemu-x86_64", "qemu-user")
    return [("Haswell", [emulator, "-cpu", "Haswell-v4", sys.executable], environment())]


def arm64() -> list[Run]:
    """NEON alone, then with the dot products that numba does not see by itself."""
    python = arm64_python()
    return [
        (
            "ARM64 with dot products",
            [str(python)],
            environment(NUMBA_CPU_NAME="neoverse-n1", NUMBA_CPU_FEATURES="+neon,+dotprod"),
        ),
        ("ARM64", [str(python)], environment(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="+neon")),
    ]


def arm64_python() -> Path:
    """A script that starts Debian's Python for ARM64 with all that the tests import; made once."""
    emulator = installed("qemu-aarch64-static", "qemu-user-static")
    root, packages, script = PLACE / "arm64", PLACE / "arm64-packages", PLACE / "arm64-python"
    if script.exists():
        return script
    for deb in debian("arm64", ["python3", "libgomp1", "libstdc++6"]):
        subprocess.run(["dpkg", "-x", deb, folder(root)], check=True)
    python = (root / "usr/bin/python3").resolve()
    described = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*described["dependencies"], "pytest", "hypothesis"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", packages, "--only-binary=:all:"]
    pip += ["--constraint", ROOT / "constraints.txt", "--python-version", python.name.removeprefix("python")]
    pip += [
        f"--platform=manylinux{of}_aarch64"
        for of in ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_34")
    ]
    subprocess.run([*pip, *wanted], check=True)
    # a process that Python starts runs on the machine itself: the script starts the emulator again
    (packages / "sitecustomize.py").write_text(f"import sys\nsys.executable = {str(script)!r}\n", "utf-8")
    path = os.pathsep.join(map(str, (ROOT / "src", packages)))
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec {emulator} -L {root} {python} "$@"\n', "utf-8")
    script.chmod(0o755)
    return script


def debian(architecture: str, packages: list[str]) -> list[Path]:
    """Files of these packages and of all that they need, for another architecture than this machine's.

    apt works on lists of its own, so that it needs no rights and changes nothing.
    """
    place = folder(PLACE / f"apt-{architecture}")
    folder(place / "state/lists/partial"), folder(place / "cache/archives/partial")
    (place / "status").touch()
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Dir::State": place / "state",
        "Dir::State::status": place / "status",
        "Dir::Cache": place / "cache",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run(
        [*apt, "--yes", "--no-install-recommends", "--download-only", "install", *packages], check=True
    )
    return sorted((place / "cache/archives").glob("*.deb"))


def installed(program: str, package: str) -> str:
    """The path of a program, which is installed if it is missing."""
    if shutil.which(program) is None:
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(["apt-get", "-qq", "--yes", "--no-install-recommends", "install", package], check=True)
    return str(shutil.which(program))


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
