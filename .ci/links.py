#!/usr/bin/env python3
"""Checks that every relative link and every file named in the Markdown pages exists.

A heading that a link points to has to be there too.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A path in backticks that begins with one of these is a file of the repository.
FOLDERS = "node|protocol|storage|scoring|rotation|testnet|docs|vectors"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def broken(page: Path) -> list[str]:
    """What the page points to that does not exist."""
    text = CODE.sub("", page.read_text())
    found = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            found.append(target)
        elif heading and heading not in map(anchor, HEADING.findall(file.read_text())):
            found.append(target)
    found += [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    return found


def main() -> int:
    names = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    wrong = [f"{name}: {what} does not exist" for name in names for what in broken(ROOT / name)]
    print("\n".join(wrong) or f"{len(names)} pages: every link and file named exists")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
