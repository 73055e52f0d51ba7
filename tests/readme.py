#!/usr/bin/env python3
"""Pastes the console blocks of README.md's "By hand" into a shell and compares what they print.

usage: tests/readme.py ENV_FILE   (the demo's env file; its server must be up, grpcurl and jq in PATH)

A line that begins with `$ ` is a command, `> ` goes on with it; the lines after it are what it prints, in order, where
`…` stands for anything and a line of only `…` for any lines.
"""

import re
import subprocess
import sys
from pathlib import Path

MARK = "--- end of command "


def commands(text):
    """Pairs of a command and the lines it should print, from all console blocks of a text."""
    found = []
    for line in "".join(re.findall(r"```console\n(.*?)```", text, re.S)).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> "):
            found[-1] = (found[-1][0] + "\n" + line[2:], [])
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


def paste(todo):
    """Runs the commands in one shell, says which do not print what they should, and gives their number."""
    script = []
    for number, (command, _) in enumerate(todo):
        # On both streams, so that an error is known by its command.
        script += [command, f"echo '{MARK}{number}' | tee /dev/stderr"]
    run = subprocess.run(["bash", "-s"], input="\n".join(script), capture_output=True, text=True, timeout=580)
    printed, errors = (
        [part.splitlines() for part in re.split(rf"^{MARK}\d+\n", stream, flags=re.M)] for stream in (run.stdout, run.stderr)
    )
    failed = 0
    for number, (command, expected) in enumerate(todo):
        lines = printed[number] if number < len(printed) else ["the shell ended before it"]
        lines += errors[number] if number < len(errors) else []
        gone = missing(expected, lines)
        if gone is not None:
            failed += 1
            print(f"FAILED  $ {command}\n  no line like: {gone}\n  printed:", *lines[:20], sep="\n    ")
    return failed


def main():
    env_file = sys.argv[1]
    text = Path(__file__).parent.parent.joinpath("README.md").read_text()
    section = text.split("## By hand", 1)[1].split("\n## ", 1)[0]
    todo = [(command.replace("source .demo/env", f"source {env_file}"), expected) for command, expected in commands(section)]
    assert len(todo) > 10, "the README has lost its examples"
    failed = paste(todo)
    print(f"README: {len(todo) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
