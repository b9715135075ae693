"""`setup`: the files that a project needs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from keploy_framework.cli.telling import say
from keploy_framework.config import create_default_config
from keploy_framework.storage.documents import replace_file

if TYPE_CHECKING:
    import argparse

__all__ = ("set_up",)


def set_up(options: argparse.Namespace) -> int:
    """Write the files that were asked for; those that are there stay, unless `--force` is given."""
    kept = False
    config = Path("keploy.yml")
    if config.is_file() and not options.force and not options.command:
        say("keploy.yml is there already")
    else:
        name = options.name or Path.cwd().name
        create_default_config(name, options.command, options.app_port, config)
        say("keploy.yml written")
    wanted = {
        Path(".github/workflows/keploy.yml"): ("workflow.yml", options.ci),
        Path(".pre-commit-config.yaml"): ("pre-commit.yaml", options.pre_commit),
    }
    for path, (template, asked) in wanted.items():
        if not asked:
            continue
        text = (files("keploy_framework.cli") / "templates" / template).read_text(encoding="utf-8")
        if path.exists() and not options.force:
            kept = True
            say(f"{path} is there already; add to it, or give --force:\n{text}")
        else:
            replace_file(path, text.encode())
            say(f"{path} written")
    return 1 if kept else 0
