"""Every check and every test of the workspace: `./scripts/test [STAGE ...]`.

All stages run even after one has failed, so that one run shows everything there is to repair. What
a check prints is shown only if it fails. The last line adds up what pytest reported, over all its
runs.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pythons
from pythons import UV
from workspace import ROOT, Package, select

LOWEST_PYTHON = "3.11"
"""Where the lowest versions are tested: the oldest releases have wheels for no newer Python."""

# Two processes more than there are cores, as many tests wait; there is little to gain from many. A
# file goes to one of them whole, since costly fixtures serve a file; in the order of collection,
# since packages/conftest.py puts what takes long first.
PROCESSES = str(min((os.cpu_count() or 1) + 2, 8))
PARALLEL = ("-n", PROCESSES, "--dist", "loadfile", "--no-loadscope-reorder")

LIMIT = 20 * 60
"""A check that is not over after so many seconds has failed: pytest-xdist can wait for ever for a
process that has crashed."""

# Where a suite is run once more in another environment, what takes long is not repeated.
AGAIN = (*PARALLEL, "-m", "not slow", "--hypothesis-profile", "again")


@dataclass(slots=True)
class Counts:
    """What pytest runs came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: "Counts") -> None:
        """Add the counts of another run."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        """Return the counts in the form of pytest's closing line."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def read_counts(report: Path) -> Counts:
    """Read a JUnit report; an error, in a test or in importing one, counts as failed."""
    counts = Counts()
    for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314 - pytest has just written it
        tests, failed, skipped = (
            int(suite.get(key, 0)) for key in ("tests", "failures", "skipped")
        )
        failed += int(suite.get("errors", 0))
        counts.add(Counts(max(tests - failed - skipped, 0), failed, skipped))
    return counts


def failed_tests(report: Path) -> list[str]:
    """Return the tests that failed by a JUnit report, or could not be imported."""
    return [
        "::".join(filter(None, (case.get("classname"), case.get("name"))))
        for case in ET.parse(report).getroot().iter("testcase")  # noqa: S314 - as above
        if case.find("failure") is not None or case.find("error") is not None
    ]


def files_with_skips(report: Path) -> list[Path]:
    """Return the files of which a JUnit report says that a test in them, or all, was skipped."""
    found: set[Path] = set()
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - as above
        if case.find("skipped") is None:
            continue
        # A file that is skipped as a whole is the name; else the class may follow the file.
        names = (case.get("classname") or case.get("name") or "").split(".")
        paths = (ROOT.joinpath(*names[:end]).with_suffix(".py") for end in range(len(names), 0, -1))
        found.update(path for path in [next(filter(Path.is_file, paths), None)] if path)
    return sorted(found)


@dataclass(slots=True)
class Session:
    """One run of this script: what to look at, and what came of it.

    Attributes:
        packages: The packages to look at.
        python: Minor version that the packages are tested on alone; the workspace's own by default.
        failures: What failed, in order; below a run of pytest, its tests that did.
        tested: Sum over all runs of pytest.
        ran_tests: Whether pytest ran at all.
    """

    packages: tuple[Package, ...]
    python: str | None = None
    failures: list[str] = field(default_factory=list[str])
    tested: Counts = field(default_factory=Counts)
    ran_tests: bool = False

    def fail(self, label: str, reason: str) -> None:
        """Note a failure and show it."""
        self.failures.append(label)
        print(f"  FAILED  {label}\n{reason.rstrip()}", flush=True)

    def run(self, label: str, *command: str | Path, cwd: Path = ROOT) -> bool:
        """Run a check; its output is shown only if it fails."""
        started = time.monotonic()
        with subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that all of it can be ended
        ) as process:
            try:
                output, over = process.communicate(timeout=LIMIT)[0], True
            except subprocess.TimeoutExpired:
                output, over = end(process), False
            except BaseException:
                end(process)
                raise
        took = f"{time.monotonic() - started:.1f} s"
        if not over or process.returncode:
            how = f"exit {process.returncode}" if over else "ended, since it was not over"
            self.fail(f"{label} ({how}, {took})", output)
            return False

        print(f"  ok      {label} ({took})", flush=True)
        return True

    def pytest(
        self, label: str, *arguments: str | Path, through: Sequence[str | Path]
    ) -> list[Path]:
        """Run pytest and count its tests.

        Args:
            label: What this run shows.
            arguments: Handed to pytest.
            through: The command that runs pytest in the environment that is meant.

        Returns:
            The files in which something was skipped.
        """
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.xml")
            settings = ("-c", ROOT / "pyproject.toml", f"--rootdir={ROOT}", f"--junitxml={report}")
            self.ran_tests = True
            ok = self.run(label, *through, "pytest", "-q", *settings, *arguments)
            if report.is_file():
                counts = read_counts(report)
                self.tested.add(counts)
                print(f"          {counts}", flush=True)
                # Once more at the end, where a log that was cut short still shows them.
                self.failures += [f"    {name}" for name in failed_tests(report)]
                return files_with_skips(report)
            if ok:
                self.fail(label, "pytest wrote no report")
        return []


def end(process: subprocess.Popen[str]) -> str:
    """Interrupt a command and all that it has started; kill what resists. Return what it said."""
    for number, patience in ((signal.SIGINT, 30), (signal.SIGKILL, 30)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=patience)[0]
    return "(what it said cannot be read)"


def isolated(package: Package, *options: str) -> list[str]:
    """Return the command that runs something where only this package is installed."""
    only = ("--package", package.name, "--no-default-groups", "--group", "test")
    return [UV, "run", "--isolated", "--quiet", *only, *options]


def lint(session: Session) -> None:
    """Lock, format, rules, words, directions of imports, dependencies, scripts, workflows."""
    session.run("the lock fits the packages", UV, "lock", "--check")
    check_lock(session)
    session.run("format", "ruff", "format", "--check")
    session.run("rules", "ruff", "check")
    session.run("words", "codespell")
    session.run("direction of imports", "lint-imports")
    for package in session.packages:
        session.run(f"dependencies of {package.name}", "deptry", "src", cwd=package.folder)
    shell = [
        ROOT / "scripts/demo",
        ROOT / "scripts/test",
        ROOT / "scripts/lib/uv.sh",
        ROOT / ".ci/run",
    ]
    session.run("shell scripts", "shellcheck", "--external-sources", *shell)
    session.run(
        "workflows",
        "zizmor",
        "--offline",
        "--no-progress",
        "--persona=pedantic",
        "--strict-collection",
        ".github",
    )


def check_lock(session: Session) -> None:
    """Hold that the lock names one index and its files: no mirror, no path of one machine."""
    label = "the lock names one public index only"
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    addresses = set(re.findall(r"([a-z]+://[^/\"]+)", text))
    # A public host is reached by https and has a name: no address, port or password.
    foreign = {one for one in addresses if not re.fullmatch(r"https://([a-z-]+\.)+[a-z]{2,}", one)}
    if len(addresses) > 2:  # noqa: PLR2004 - the index, and where its files are
        foreign |= addresses
    # The packages of the workspace are "editable", by their place in it; any other path is a stray.
    strays = re.findall(r"\b(?:path|directory|file) = \"[^\"]*\"|file://\S*", text)
    if foreign or strays:
        session.fail(label, "\n".join(sorted(foreign | set(strays))))
    else:
        print(f"  ok      {label}", flush=True)


def types(session: Session) -> None:
    """Pyright and mypy in their strict modes, and the completeness of the public types."""
    session.run("pyright", "pyright")
    session.run("mypy", "mypy")
    session.run("public types are complete", sys.executable, ROOT / "scripts/completeness.py")


def docs(session: Session) -> None:
    """The site, built strictly: a broken link or reference is an error."""
    tools = (UV, "run", "--isolated", "--locked", "--quiet", "--only-group", "docs")
    build = ("zensical", "build", "--clean", "--strict", "--config-file", "docs/zensical.toml")
    session.run("the site, into docs/.site", *tools, *build)


def unit(session: Session) -> None:
    """The whole suite, in the workspace's own environment."""
    folders = [*(package.tests for package in session.packages), ROOT / "scripts/tests"]
    label = f"all packages together, Python {pythons.CURRENT}"
    session.pytest(label, *PARALLEL, *folders, through=())


def newest(session: Session) -> None:
    """The whole suite on the newest supported Python that this machine has."""
    if found := other_pythons():
        together(session, *found[-1])


def between(session: Session) -> None:
    """The whole suite on the supported Pythons between the workspace's own and the newest.

    Only by name, or with `all`: what works on the oldest and on the newest seldom fails between
    them, and the workflows run every Python at every change.
    """
    for version, interpreter in other_pythons()[:-1]:
        together(session, version, interpreter)


def other_pythons() -> list[tuple[str, str]]:
    """Return the other supported versions and their interpreters; say which are absent."""
    found: list[tuple[str, str]] = []
    for version in pythons.SUPPORTED:
        if version == pythons.CURRENT:
            continue
        if there := pythons.find(version):
            found.append((version, there))
        else:
            print(
                f"  absent  Python {version}: no interpreter here that runs, not tested", flush=True
            )
    return found


def together(session: Session, version: str, interpreter: str) -> None:
    """Run the suites of all packages on another Python."""
    through = (UV, "run", "--isolated", "--locked", "--quiet", "--python", interpreter)
    folders = [package.tests for package in session.packages]
    session.pytest(f"all packages together, Python {version}", *AGAIN, *folders, through=through)


def alone(session: Session) -> None:
    """Each package without its neighbors, bare and with all its extras, on locked versions.

    With the extras, those files are run that had to skip something without them. Only by name, or
    with `all`: each package also stands alone in `lowest` and `wheels`, which always run.
    """
    on = interpreter_options(session, session.python)
    if on is None:
        return
    for package in session.packages:
        run = isolated(package, "--locked", *on)
        check_neighbors(session, package, [*run, "python"])
        skipped = session.pytest(f"{package.name} alone", *AGAIN, package.tests, through=run)
        if package.extras and skipped:
            with_extras = isolated(package, "--locked", "--all-extras", *on)
            label = f"{package.name} with all extras"
            session.pytest(label, *AGAIN, *skipped, through=with_extras)


def check_neighbors(session: Session, package: Package, python: Sequence[str | Path]) -> None:
    """Hold that no neighbor is installed: an environment that leaks one would prove nothing."""
    neighbors = [one.module for one in select([]) if one != package]
    code = f"from importlib.util import find_spec; assert not any(map(find_spec, {neighbors}))"
    session.run(f"{package.name}: no neighbor is installed", *python, "-I", "-c", code)


def lowest(session: Session) -> None:
    """Each package alone, on the lowest versions that its dependencies admit."""
    on = interpreter_options(session, session.python or LOWEST_PYTHON)
    if on is None:
        return
    for package in session.packages:
        with tempfile.TemporaryDirectory() as folder:
            if interpreter := lowest_environment(session, package, Path(folder, ".venv"), on):
                check_neighbors(session, package, [interpreter])
                label = f"{package.name} on its lowest versions"
                session.pytest(label, *AGAIN, package.tests, through=[interpreter, "-m"])


def lowest_environment(
    session: Session, package: Package, folder: Path, on: Sequence[str]
) -> Path | None:
    """Install a package, in place, with the lowest versions; return the interpreter if that works.

    Not by `uv run`, which resolves the whole workspace for it, all that benchmarks want included.
    """
    interpreter = interpreter_in(folder)
    new: list[str | Path] = [UV, "venv", "--quiet", "--no-project", *on, folder]
    which = ("--resolution", "lowest-direct", "--editable", package.folder)
    tests = ("--group", f"{package.folder / 'pyproject.toml'}:test")
    into = (UV, "pip", "install", "--quiet", "--python", interpreter, *which, *tests)
    ok = session.run(f"{package.name}: environment", *new) and session.run(
        f"{package.name}: lowest versions", *into
    )
    return interpreter if ok else None


def interpreter_in(environment: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return environment / ("Scripts" if os.name == "nt" else "bin") / "python"


def interpreter_options(session: Session, version: str | None) -> list[str] | None:
    """Return uv's options for a Python version, or None, told to the reader, where it is absent.

    A version that was asked for by name must be there.
    """
    if version is None or version == pythons.CURRENT:
        return ["--python", sys.executable]
    if interpreter := pythons.find(version):
        return ["--python", interpreter]
    if session.python is not None:
        session.fail(f"Python {version}", "no interpreter here that runs")
    else:
        print(f"  absent  Python {version}: no interpreter here that runs, not tested", flush=True)
    return None


def wheels(session: Session) -> None:
    """What users get: wheels, installed outside the workspace, one by one and together."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dist = folder / "dist"
        build = ("build", "--all-packages", "--no-sources", "--quiet", "--out-dir", dist)
        if not session.run("build all packages", UV, *build):
            return
        constraints = folder / "constraints.txt"
        whole = (
            "export",
            "--locked",
            "--quiet",
            "--all-packages",
            "--all-extras",
            "--group",
            "test",
        )
        plain = ("--no-hashes", "--no-annotate", "--no-header", "--no-emit-workspace")
        output = ("--output-file", constraints)
        if not session.run("locked versions as constraints", UV, *whole, *plain, *output):
            return
        # An extra that names a neighbor must get its wheel, not a release from the index; a range
        # that the neighbor's version has left is then an error.
        with constraints.open("a", encoding="utf-8") as file:
            file.writelines(f"{wheel(package, dist)}\n" for package in select([]))

        for package in session.packages:
            alone_there = [wheel(package, dist)]
            install(session, folder / package.name, alone_there, constraints, [package])

        everything = [
            line
            for package in session.packages
            for line in (wheel(package, dist, extras=True), *package.test_requirements)
        ]
        there = folder / "together"
        if interpreter := install(session, there, everything, constraints, session.packages):
            # What a wheel can lack shows where it is used as a whole, and in what it declares.
            folders = [
                part
                for package in session.packages
                for part in (
                    package.tests / "integration",
                    *package.tests.glob("test_packaging.py"),
                    *package.tests.glob("**/test_spec_*.py"),
                    *package.tests.glob("**/test_cli*.py"),
                )
                if part.exists()
            ]
            label = "programs, specifications and packaging, against the wheels"
            session.pytest(label, *AGAIN, *folders, through=[interpreter, "-m"])


def wheel(package: Package, dist: Path, *, extras: bool = False) -> str:
    """Return the requirement of a package's wheel in a folder, if wanted with all its extras."""
    (built,) = dist.glob(f"{package.module}-{package.version}-*.whl")
    names = f"[{','.join(package.extras)}]" if extras and package.extras else ""
    return f"{package.name}{names} @ {built.as_uri()}"


def install(
    session: Session,
    project: Path,
    requirements: Sequence[str],
    constraints: Path,
    packages: Sequence[Package],
) -> Path | None:
    """Install requirements into a project of their own and use the packages there.

    Args:
        session: This run.
        project: Folder to make for it.
        requirements: What to install.
        constraints: File with the versions of everything else.
        packages: The packages to use.

    Returns:
        The project's interpreter, or None if something failed.
    """
    project.mkdir()
    wanted = project / "requirements.txt"
    wanted.write_text("\n".join(requirements), encoding="utf-8")
    interpreter = interpreter_in(project / ".venv")

    new = (UV, "venv", "--quiet", "--no-project", "--python", sys.executable)
    files = ("--requirement", wanted, "--constraint", constraints)
    into = (UV, "pip", "install", "--quiet", "--python", interpreter)
    smoke = [f"{package.name}={package.version}" for package in packages]
    use = (str(interpreter), "-I", str(ROOT / "scripts/smoke.py"), *smoke)
    ok = (
        session.run(f"foreign project {project.name}: environment", *new, cwd=project)
        and session.run(f"foreign project {project.name}: install", *into, *files, cwd=project)
        and session.run(f"foreign project {project.name}: use", *use, cwd=project)
    )
    return interpreter if ok else None


STAGES: dict[str, Callable[[Session], None]] = {
    "lint": lint,
    "types": types,
    "docs": docs,
    "unit": unit,
    "newest": newest,
    "between": between,
    "alone": alone,
    "lowest": lowest,
    "wheels": wheels,
}


ALWAYS = tuple(name for name in STAGES if name not in {"between", "alone"})


@contextmanager
def heading(name: str, stage: Callable[[Session], None]) -> Generator[None]:
    """Name a stage before it runs, and its duration after."""
    started = time.monotonic()
    print(f"{name}: {(stage.__doc__ or '').splitlines()[0]}", flush=True)
    yield
    print(f"{name} took {time.monotonic() - started:.0f} s\n", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the stages that are named."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background by a shell; the programs that the tests interrupt inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Else each process of a new environment would compile all that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(
        prog="./scripts/test",
        description="Runs every check and every test, or only the stages that are named.",
        epilog="\n".join(
            f"  {name:<8} {(stage.__doc__ or '').splitlines()[0]}" for name, stage in STAGES.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help="see below; all but between and alone by default"
    )
    parser.add_argument("--package", action="append", default=[], help="only this package")
    parser.add_argument("--python", help="minor version for the stages `alone` and `lowest`")
    options = parser.parse_args(arguments)

    stages = list(options.stages or ALWAYS)
    if "all" in stages:
        stages = list(STAGES)
    if unknown := [stage for stage in stages if stage not in STAGES]:
        parser.error(f"no such stage: {', '.join(unknown)}")
    try:
        session = Session(packages=select(options.package), python=options.python)
    except LookupError as error:
        parser.error(str(error))

    for name in stages:
        with heading(name, STAGES[name]):
            STAGES[name](session)

    if session.failures:
        print("failed:")
        for failure in session.failures:
            print(f"  {failure}")
    if session.ran_tests:
        print(session.tested)
    elif not session.failures:
        print("all checks passed")
    return 1 if session.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
