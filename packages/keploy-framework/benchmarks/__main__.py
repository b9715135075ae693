"""Entry point of `python -m benchmarks`."""

import sys

from .main import main

if __name__ == "__main__":  # processes that a benchmark starts import this again
    sys.exit(main())
