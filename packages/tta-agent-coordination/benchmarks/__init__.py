"""Benchmarks of the mailboxes: every goal as a ratio to plain Redis commands, beside the peers.

`python -m benchmarks --help` and `python -m benchmarks.faults --help`, from the folder of this
package; `docs/packages/tta-agent-coordination/performance.md` shows the last output and says how
to read it. Nothing here asserts: a goal that is missed is reported.
"""
