"""Benchmarks of the engine: every budget as a ratio to bare `await`s, measured in one run.

`python -m benchmarks --help`, from the folder of this package; `docs/performance.md` shows the
last output and says how to read it. Nothing here asserts: a budget that is missed is reported.
"""
