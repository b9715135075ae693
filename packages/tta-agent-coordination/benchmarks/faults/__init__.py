"""Faults: consumers that are killed, servers that restart, stand still, or are replaced.

`python -m benchmarks.faults --help`, from the folder of this package. Real processes, real servers,
real clocks. What is counted: messages whose send was confirmed and that nobody ever worked on
(lost), messages that were queued twice (doubled), and how long it takes until work goes on.
"""
