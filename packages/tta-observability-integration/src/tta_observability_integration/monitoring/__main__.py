"""`python -m tta_observability_integration.monitoring FOLDER` writes the files into a folder."""

from __future__ import annotations

import argparse
import sys

from tta_observability_integration.monitoring import FILES, write_files


def main() -> int:
    """Write the files; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tta_observability_integration.monitoring",
        description=f"Write {', '.join(FILES)}: dashboards for Grafana, rules for Prometheus.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", help="where to; made if there is none")
    parser.add_argument("--force", action="store_true", help="replace files that are there already")
    arguments = parser.parse_args()
    try:
        paths = write_files(arguments.folder, overwrite=arguments.force)
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        sys.stderr.write(f"{_line(error, arguments.folder)}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in paths)
    return 0


def _line(error: OSError | ValueError, folder: str) -> str:
    if not isinstance(error, OSError):
        return f"cannot write to {folder!r}: {error}"
    path, reason = error.filename, error.strerror
    if isinstance(error, FileExistsError) and str(path) != folder:
        return f"{str(path)!r} {reason}; nothing was written; --force replaces {', '.join(FILES)}"
    return f"cannot write to {str(path)!r}: {reason}"


if __name__ == "__main__":
    sys.exit(main())
