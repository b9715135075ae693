"""What recording and replaying cost, how true recordings are, and what replays catch.

`python -m benchmarks --help`, from the folder of this package; `docs/packages/keploy-framework/
performance.md` shows the last output and says how to read it. Nothing here asserts: a budget that
is missed is reported. `python -m benchmarks.fidelity`, `.foreign_apps` and `.mutations` print
tables of their own.
"""
