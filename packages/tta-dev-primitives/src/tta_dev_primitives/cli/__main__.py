"""`python -m tta_dev_primitives.cli`: the command where scripts are not on the path."""

from tta_dev_primitives.cli import main

main()
