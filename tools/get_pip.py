"""Put pip into a new virtual environment with the interpreter's own ensurepip.

Stands where ansible-test keeps its download of the bootstrap script, so that it needs no download.
"""
from __future__ import annotations

import ensurepip
import os
import subprocess
import sys


def main() -> None:
    """Bring pip, then install what ansible-test asked for with it."""
    environment = {name: value for name, value in os.environ.items() if name != "GET_PIP"}
    ensurepip.bootstrap(default_pip=True)  # hides the user's pip.conf from this process, hence the copy above
    packages = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
    subprocess.run([sys.executable, "-m", "pip", "install", *packages], env=environment, check=True)


main()
