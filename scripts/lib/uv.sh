# shellcheck shell=sh
# Sourced by the commands of scripts/: sets UV to a uv that runs, and installs one where there is none.
# The caller has changed into the workspace first, so that `required-version` of pyproject.toml is seen.

# The checks must not depend on what surrounds them: an activated environment or a foreign module path
# would leak into ours.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME
# A missing Python is reported at once; without this, uv would try to download a build of it.
: "${UV_PYTHON_DOWNLOADS:=never}"
export UV_PYTHON_DOWNLOADS

# A uv that is found may still be a shim that cannot run, or be too old for this workspace. Both show
# in any command that reads the settings.
uv_works() {
    [ -x "$1" ] && "$1" cache dir >/dev/null 2>&1
}

# Prints the first uv on PATH that works; a broken one does not hide a good one behind it.
uv_on_path() {
    rest=$PATH:
    while [ -n "$rest" ]; do
        folder=${rest%%:*}
        rest=${rest#*:}
        if uv_works "${folder:-.}/uv"; then
            printf '%s\n' "${folder:-.}/uv"
            return 0
        fi
    done
    return 1
}

# Prints a Python that runs and is new enough for the packages.
python_for_uv() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    return 1
}

# Makes an environment of its own for uv in folder $1: a system Python that is externally managed
# refuses a plain `pip install`, and nobody's own environment is touched.
install_uv() {
    python=$(python_for_uv) || {
        echo "error: no Python 3.11 or newer was found; install one, for example: apt-get install python3 python3-venv" >&2
        return 1
    }
    echo "no usable uv was found: installing one into $1" >&2
    if "$python" -m venv --clear "$1" >/dev/null 2>&1; then
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<0.14' >&2
    elif "$python" -m venv --clear --without-pip "$1" >/dev/null 2>&1 && "$python" -m pip --version >/dev/null 2>&1; then
        # Debian ships `ensurepip` apart from Python; a system pip can still fill the environment.
        "$python" -m pip --python "$1/bin/python" install --quiet --disable-pip-version-check 'uv>=0.13,<0.14' >&2
    else
        echo "error: $python can make no virtual environment; install what is missing: apt-get install python3-venv" >&2
        return 1
    fi
}

if ! UV=$(uv_on_path); then
    own=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/tta-dev/uv
    UV=$own/bin/uv
    uv_works "$UV" || install_uv "$own" || exit 1
    uv_works "$UV" || {
        echo "error: uv was installed into $own, but does not run there" >&2
        exit 1
    }
    # The Python scripts of the checks call uv by name.
    PATH=$own/bin:$PATH
    export PATH
fi
