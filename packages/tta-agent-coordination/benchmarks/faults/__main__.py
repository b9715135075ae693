"""Entry point of `python -m benchmarks.faults`."""

import sys

from .main import main

sys.exit(main())
