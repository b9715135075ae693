"""Reports of a run, for people and for machines; no secret stands in any of them.

```python
print(terminal_report(results))
Path("junit.xml").write_text(junit_report(results))
run = write_report(results, "keploy")  # Keploy's own files: keploy/reports/test-run-0
```
"""

from __future__ import annotations

from keploy_framework.report.compare import RunChanges, compare_runs
from keploy_framework.report.html_page import html_report
from keploy_framework.report.junit import junit_report
from keploy_framework.report.keploy_files import write_report
from keploy_framework.report.markdown import markdown_report
from keploy_framework.report.reread import reread_results
from keploy_framework.report.risk import Assessment, Drift, Risk, assess, drift
from keploy_framework.report.safe import safe_results
from keploy_framework.report.terminal import terminal_report, wants_color
from keploy_framework.storage.reports import CaseReport, RunReport, read_report, run_names

__all__ = (
    "Assessment",
    "CaseReport",
    "Drift",
    "Risk",
    "RunChanges",
    "RunReport",
    "assess",
    "compare_runs",
    "drift",
    "html_report",
    "junit_report",
    "markdown_report",
    "read_report",
    "reread_results",
    "run_names",
    "safe_results",
    "terminal_report",
    "wants_color",
    "write_report",
)
