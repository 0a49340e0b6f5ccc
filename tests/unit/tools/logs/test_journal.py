"""Entries of the systemd journal are read. row: B1"""

from quorate.tools.builtin.logs.journal import parse_entries
from quorate.tools.builtin.logs.report import report_records

OUTPUT = "\n".join(
    [
        '{"__REALTIME_TIMESTAMP":"1795251605000000","PRIORITY":"3","MESSAGE":"disk 7 failed"}',
        '{"__REALTIME_TIMESTAMP":"1795251606000000","PRIORITY":"6","MESSAGE":"started"}',
        '{"__REALTIME_TIMESTAMP":"1795251607000000","MESSAGE":[104,105,255]}',
        '{"__REALTIME_TIMESTAMP":"x","PRIORITY":"2","MESSAGE":null}',
        '{"cut',
    ]
)


def test_entries_are_read_and_summed_up() -> None:
    records = list(parse_entries(OUTPUT))
    assert [record.level for record in records] == ["error", "info", None, "critical"]
    assert records[2].message == "hi\N{REPLACEMENT CHARACTER}"
    assert records[3].time_s is None
    report = report_records("journal", records, most=5)
    assert (report.errors, report.records, report.first_seen) == (2, 4, "2026-11-21T09:00:05Z")
    assert report.top_errors[0].template == "disk <num> failed"


def test_a_trace_in_one_entry_is_found() -> None:
    text = 'Traceback (most recent call last):\\n  File \\"a.py\\", line 1, in f\\nValueError: no'
    report = report_records("journal", parse_entries(f'{{"MESSAGE":"{text}"}}'), most=5)
    assert report.stack_traces[0].exception == "ValueError"
