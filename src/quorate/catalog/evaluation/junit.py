"""How is an evaluation told to what shows tests, such as a CI server?"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from quorate.catalog.evaluation.report import Record, Report

_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


def write_junit(report: Report) -> str:
    """Write a report as JUnit XML: a suite for each kind of case, a test for each run of a case."""
    figures = report.figures
    root = ElementTree.Element(
        "testsuites",
        {
            "name": _clean(f"quorate eval {report.id}"),
            "tests": str(len(report.records)),
            "failures": str(figures.failed),
            "errors": str(figures.errors),
            "skipped": str(figures.skipped),
            "time": f"{sum(record.seconds for record in report.records):.3f}",
        },
    )
    for kind in dict.fromkeys(record.kind for record in report.records):
        records = [record for record in report.records if record.kind == kind]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            {
                "name": kind,
                "tests": str(len(records)),
                "failures": str(sum(record.outcome == "failed" for record in records)),
                "errors": str(sum(record.outcome == "error" for record in records)),
                "skipped": str(sum(record.outcome == "skipped" for record in records)),
                "time": f"{sum(record.seconds for record in records):.3f}",
            },
        )
        for record in records:
            _add(suite, record)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add(suite: ElementTree.Element, record: Record) -> None:
    name = record.case if record.repeat == 1 else f"{record.case} #{record.repeat}"
    test = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "classname": _clean(f"{record.kind}.{record.agent}" if record.agent else record.kind),
            "name": _clean(name),
            "time": f"{record.seconds:.3f}",
        },
    )
    properties = ElementTree.SubElement(test, "properties")
    facts = {"run": record.run, "score": f"{record.score:.4f}", "tokens": str(record.tokens)}
    facts |= {} if record.cost_usd is None else {"cost_usd": f"{record.cost_usd:.6f}"}
    for key, value in facts.items():
        ElementTree.SubElement(properties, "property", {"name": key, "value": _clean(value)})
    if record.outcome == "skipped":
        ElementTree.SubElement(test, "skipped", {"message": _clean(record.why)})
    elif record.outcome != "passed":
        kind = "failure" if record.outcome == "failed" else "error"
        told = ElementTree.SubElement(test, kind, {"message": _clean(record.why)})
        lines = [f"{grade.grader}: {grade.why}" for grade in record.grades if not grade.passed]
        told.text = _clean("\n".join([*lines, f"quorate runs show {record.run}"] if record.run else lines))


def _clean(text: str) -> str:
    return _UNFIT.sub("?", text)
