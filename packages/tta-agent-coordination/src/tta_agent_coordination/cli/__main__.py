"""`python -m tta_agent_coordination.cli`: the command where scripts are not on the path."""

from tta_agent_coordination.cli import main

main()
