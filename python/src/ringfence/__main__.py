"""``python -m ringfence`` is the command line of ``ringfence``."""

import os
import sys

from ._binary import NAME, find_binary
from ._errors import SandboxError


def main() -> None:
    """Becomes the program."""
    try:
        # What commands may write stands in arguments that only the program reads.
        program = find_binary()
    except SandboxError as error:
        sys.exit(f"error: {error}")
    os.execv(program, [NAME, *sys.argv[1:]])


if __name__ == "__main__":
    main()
