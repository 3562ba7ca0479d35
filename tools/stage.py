"""Copy the working tree to .build/stage/ansible_collections/tradeops/runbook, where Ansible's tools accept it.

Takes what git tracks or would track, also uncommitted; what vanished from the tree vanishes from the copy.
"""
from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / ".build/stage/ansible_collections/tradeops/runbook"
KEPT = (".git", "tests/output")  # results and caches of ansible-test live inside the copy


def wanted() -> set[str]:
    """Every file of the working tree, relative to its root."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"], check=True, capture_output=True
    ).stdout
    names = (os.fsdecode(name) for name in listing.split(b"\0") if name)
    return {name for name in names if (ROOT / name).is_file() or (ROOT / name).is_symlink()}


def same(source: Path, copy: Path) -> bool:
    """Whether the copy is current: content by size and time, and the mode."""
    if not copy.exists() or source.is_symlink() or copy.is_symlink():
        return False
    one, two = source.stat(), copy.stat()
    return (one.st_size, one.st_mtime_ns, one.st_mode) == (two.st_size, two.st_mtime_ns, two.st_mode)


def copy_file(name: str) -> None:
    """Copy one file or link over whatever stands in its place."""
    source, copy = ROOT / name, STAGE / name
    if same(source, copy):
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    shutil.copy2(source, copy, follow_symlinks=False)


def remove_vanished(names: set[str]) -> None:
    """Remove what the working tree no longer has, and folders that became empty."""
    for folder, subfolders, files in os.walk(STAGE, topdown=False):
        inside = Path(folder).relative_to(STAGE).as_posix()
        if any(inside == kept or inside.startswith(f"{kept}/") for kept in KEPT):
            continue
        for name in [*files, *(sub for sub in subfolders if (Path(folder) / sub).is_symlink())]:
            if (Path(inside) / name).as_posix() not in names:
                (Path(folder) / name).unlink()
        if folder != str(STAGE) and not os.listdir(folder):
            os.rmdir(folder)


def main() -> int:
    """Bring the copy up to date."""
    STAGE.mkdir(parents=True, exist_ok=True)
    lock = os.open(STAGE.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # two targets started side by side; the lock ends with this process
    names = wanted()
    if not (STAGE / ".git").exists():
        # An empty repository: else the tools ask the surrounding one, which ignores this folder, and see no files.
        subprocess.run(["git", "init", "--quiet", str(STAGE)], check=True)
    remove_vanished(names)
    for name in sorted(names):
        copy_file(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
