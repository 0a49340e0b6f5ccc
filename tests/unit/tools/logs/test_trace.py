"""Stack traces are found and grouped by exception and place. row: B1"""

from quorate.tools.builtin.logs.trace import Traces

PYTHON = """Traceback (most recent call last):
  File "/app/main.py", line 10, in main
    serve(7)
  File "/app/db.py", line {line}, in query
    raise KeyError(name)
KeyError: 'user {number}'"""
JAVA = """ERROR request failed: java.lang.IllegalStateException: pool {number} is closed
\tat com.example.Pool.take(Pool.java:42)
\tat com.example.Main.run(Main.java:7)
Caused by: java.io.IOException: gone
\tat com.example.Net.read(Net.java:3)
\t... 12 more"""


def _read(text: str) -> Traces:
    traces = Traces()
    for number, line in enumerate(text.split("\n"), 1):
        traces.add(line, line=number)
    traces.finish()
    return traces


def test_the_same_python_failure_is_one_group() -> None:
    traces = _read(
        "\n".join(["start", *(PYTHON.format(line=33, number=n) for n in range(3)), PYTHON.format(line=9, number=1)])
    )
    first, second = traces.top(10)
    assert (first.exception, first.message, first.place) == ("KeyError", "<quoted>", "/app/db.py:33 in query")
    assert (first.count, first.lines, traces.total) == (3, (2, 8, 14), 4)
    assert second.place == "/app/db.py:9 in query"


def test_the_same_java_failure_is_one_group() -> None:
    traces = _read("\n".join(["INFO x", JAVA.format(number=1), "INFO y", JAVA.format(number=2)]))
    (group,) = traces.top(10)
    assert (group.language, group.exception) == ("java", "java.lang.IllegalStateException")
    assert (group.message, group.place) == ("pool <num> is closed", "com.example.Pool.take(Pool.java:42)")
    assert (group.count, group.lines) == (2, (2, 9))


def test_a_trace_that_is_cut_does_no_harm() -> None:
    assert _read('Traceback (most recent call last):\n  File "x", line 1, in y').total == 0
    assert _read("\tat com.example.Pool.take(Pool.java:42)").total == 0
    assert _read("Traceback (most recent call last):\n" + "  x\n" * 2000 + "KeyError: 1").total == 0
