#!/usr/bin/env python3
"""Pastes the console blocks of README.md's "By hand" into a shell and compares what they print.

usage: tests/readme.py ENV_FILE   (the demo's env file; its server must be up, grpcurl and jq in PATH)

A line that begins with `$ ` is a command; the lines after it are what it prints, in order, where `…` stands for
anything and a line of only `…` for any lines.
"""

import re
import subprocess
import sys
from pathlib import Path

MARK = "--- end of command "


def blocks(text):
    section = text.split("## By hand", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```console\n(.*?)```", section, re.S)


def commands(text):
    """Pairs of a command and the lines it should print."""
    found = []
    for line in "".join(blocks(text)).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def pattern(line):
    return re.compile(r"\s*" + r".*".join(re.escape(part.strip()).replace(r"\ ", r"\s+") for part in line.split("…")) + r"\s*$")


def missing(expected, printed):
    """The first expected line that does not come, in order; None: all came."""
    rest = iter(printed)
    for line in expected:
        if line.strip() == "…":
            continue
        wanted = pattern(line)
        if not any(wanted.match(one) for one in rest):
            return line
    return None


def main():
    env_file = sys.argv[1]
    todo = commands(Path(__file__).parent.parent.joinpath("README.md").read_text())
    assert len(todo) > 10, "the README has lost its examples"
    script = []
    for number, (command, _) in enumerate(todo):
        command = command.replace("source .demo/env", f"source {env_file}")
        script += [command, f"echo '{MARK}{number}'"]
    run = subprocess.run(["bash", "-s"], input="\n".join(script), capture_output=True, text=True, timeout=300)
    # Errors belong between the other lines of their command; only the last command prints some.
    printed = [part.splitlines() for part in re.split(rf"^{MARK}\d+\n", run.stdout, flags=re.M)]
    failed = 0
    for (command, expected), lines in zip(todo, printed):
        gone = missing(expected, lines + (run.stderr.splitlines() if "ERROR:" in expected else []))
        if gone is not None:
            failed += 1
            print(f"FAILED  $ {command}\n  no line like: {gone}\n  printed:", *lines[:12], sep="\n    ")
    if failed:
        print(run.stderr[-2000:])
    print(f"README: {len(todo) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
