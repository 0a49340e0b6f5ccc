"""What are the templates given, and what do their agents say, in the tests that run each of them?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from quorate.messages import Message, Reply, Text, ToolCall, Usage
from quorate.models.cost import Price, cost_usd
from quorate.models.scripted import ScriptedModel, call
from quorate.models.tokens import estimate_request, estimate_text
from quorate.orchestration.workflow.spec import Workflow
from quorate.specs import Request

PRICE = Price(input=2.0, output=8.0)
Says = str | Mapping[str, object] | Callable[[Request], object]
DIFF = """diff --git a/shop/orders.py b/shop/orders.py
@@ -10,6 +10,12 @@ def find_order(db, user, number):
-    return db.one("select * from orders where id = ?", number)
+    rows = db.all("select * from orders where id = " + number)
+    for row in rows:
+        if row.owner == user.name or user.is_staff:
+            return row
+    return rows[0]
"""
CSV = "id,name,age,city\n1,Ann,31,Rome\n2,Bob,-4,Oslo\n3,,29,Rome\n3,,29,Rome\n4,Dan,abc,Bern\n" * 6
LETTER = "The lease ends on 2027-03-31. The rent is 1,200 euro a month, due on the third. " * 20


def look_up(request: Request) -> object:
    """Search, read, answer."""
    turn = sum(message.role == "assistant" for message in request.messages)
    if turn == 0:
        return call("search_files", pattern="rent", path=".")
    if turn == 1:
        return call("read_file", path="lease.txt", max_lines=20)
    return "The rent is 1,200 euro a month (lease.txt, line 1). It is due on the third (lease.txt, line 1). " * 4


GIVEN: dict[str, dict[str, object]] = {
    "research-brief": {"question": "What does the flat cost, and until when?", "folder": "."},
    "change-review": {"diff": DIFF},
    "bug-triage": {
        "report": "Since 2.3 the export button does nothing in Firefox 140. I click it, no file comes. Chrome works.",
        "components": ["export", "login", "search"],
    },
    "meeting-actions": {
        "transcript": "Ann: the export must be mended. Bob: I do it by Friday. Ann: then we ship Monday. "
        "Cid: I write the notes. Ann: and somebody should look at the logs. Bob: me, tomorrow.",
        "day": "2026-05-04",
    },
    "document-summary": {"path": "lease.txt", "words": 60},
    "data-quality": {"path": "people.csv", "purpose": "letters to customers by name"},
    "release-notes": {
        "version": "2.4.0",
        "commits": ["Remove the flag --old", "Add export to CSV", "Mend a crash on empty files", "Tidy imports"],
    },
    "customer-reply": {
        "message": "My parcel came broken for the second time! I want my money back, now.",
        "policy": "Refunds up to 100 euro are granted when a parcel came broken. Say when the money comes: five days.",
    },
    "security-review": {"diff": DIFF},
    "plan-and-estimate": {"goal": "Users export their orders as CSV, tested and told in the notes.", "people": 2},
}
"""What each template is given."""

SAID: dict[str, Says] = {
    "brief-planner": {
        "questions": ["What is the rent in a month?", "When is the rent due?", "When does the lease end?"]
    },
    "brief-reader": look_up,
    "brief-critic": {"gaps": ["What heating costs is nowhere in the files.", "Whether the lease can be renewed."]},
    "brief-writer": "The flat costs 1,200 euro a month until 2027-03-31. " * 30,
    "correctness-reviewer": "orders.py:16: an order of somebody else is returned when none is theirs, as the last line "
    "gives the first row. orders.py:16: an empty list raises IndexError instead of returning nothing. " * 3,
    "security-reviewer": "orders.py:12: `number` goes into the statement as text, so that `1 or 1=1` gives all. " * 5,
    "test-reviewer": "There is no test in which the order belongs to somebody else. None has a number with quotes. "
    * 5,
    "review-lead": {
        "summary": "The change opens orders of others to everybody, and lets callers write SQL of their own.",
        "blocking": ["orders.py:12: bind `number` as before. " * 4, "orders.py:16: return nothing at the end. " * 4],
        "minor": ["Test an order of somebody else. " * 3, "Test a number with a quote in it. " * 3],
    },
    "bug-judge": {
        "kind": "bug",
        "component": "export",
        "severity": 2,
        "is_complete": True,
        "reason": "A feature does not work at all in one browser, and there is a way around it in another.",
    },
    "bug-reproducer": "1. Open Firefox 140. 2. Sign in and open the list of orders. 3. Click Export. "
    "Expected: a file is saved. Actual: nothing happens, and no request is sent. " * 3,
    "bug-writer": "# Export does nothing in Firefox\n\nClicking Export gives no file in Firefox 140 since 2.3. " * 8,
    "minute-taker": {
        "topics": ["The export that does not work", "The release on Monday", "Who looks at the logs"],
        "decisions": ["The release is on Monday, once the export is mended."],
        "actions": ["Bob: I do it by Friday", "Cid: I write the notes", "Bob: me, tomorrow"],
    },
    "action-writer": {"task": "Mend the export of orders", "owner": "Bob", "due": "2026-05-08", "is_clear": True},
    "minutes-writer": "# Minutes of 2026-05-04\n\n| action | owner | day |\n| Mend the export | Bob | 2026-05-08 |\n"
    * 8,
    "summarizer": "The lease ends on 2027-03-31; the rent is 1,200 euro a month. " * 12,
    "summary-mender": lambda request: {
        "is_good": '"is_good":false' in request.messages[-1].text,
        "problems": ["It does not say on which day of the month the rent is due."],
        "summary": "The lease ends on 2027-03-31; the rent of 1,200 euro is due on the third. " * 12,
    },
    "data-inspector": {
        "count": 6,
        "examples": ["2,Bob,-4,Oslo", "4,Dan,abc,Bern"],
        "advice": "Ask for the age again where it is below zero or no number, and leave the rows out until then.",
    },
    "data-judge": {"score": 55, "report": "Names are missing in a third of the rows, which letters need. " * 18},
    "change-sorter": {
        "breaking": ["The flag --old is gone; leave it out."],
        "added": ["Orders can be exported as CSV from the list, with the columns that are shown."],
        "fixed": ["An empty file no longer ends the import with an error, but with a word that it is empty."],
    },
    "upgrade-guide": "Before: look for --old in your scripts, and take it out. After: nothing is left to do. " * 5,
    "notes-writer": "# 2.4.0\n\n## What breaks\n\nThe flag --old is gone: take it out of your scripts. " * 12,
    "case-reader": {
        "wish": "The money back for a parcel that came broken twice.",
        "mood": "angry",
        "promises_money": True,
    },
    "reply-writer": "Of course you get your money back: it is with you in five days. We are sorry. " * 9,
    "threat-hunter": {
        "findings": [
            "orders.py:12: a caller sends `1 or 1=1` as the number, and gets the orders of everybody.",
            "orders.py:16: a caller asks for any number, and gets the first order when none is theirs.",
        ]
    },
    "finding-doubter": {
        "confirmed": ["orders.py:12: nothing on the way to the statement checks the number. " * 4],
        "dropped": ["A race between two callers: nothing is written here. " * 3],
        "worst": 9,
    },
    "task-parter": {
        "tasks": [
            "A function writes the orders of a user as CSV, with tests for quotes and empty lists.",
            "The list of orders has a button that sends for the file and shows when it cannot be had.",
            "An end-to-end test exports the orders of a user with two thousand of them within a minute.",
            "The notes of the release tell users where the button is and what the columns mean.",
        ]
    },
    "task-estimator": {"likely": 2.0, "worst": 5.0, "risk": "Old orders have no currency, which nobody knew of."},
    "plan-writer": "| task | likely | worst |\n| CSV | 2 | 5 |\nFor two people it takes four days, at worst ten. " * 14,
}
"""What each agent says."""


def build_model(workflow: Workflow) -> ScriptedModel:
    """Build a model that answers as each of the workflow's agents, and counts and prices what it reads and writes."""

    def answer(request: Request) -> Reply:
        known = workflow.agents.items()
        name = next(name for name, own in known if own.instructions.strip() in request.instructions)
        said = SAID[name]
        found: Any = said(request) if callable(said) else said
        text, parts = "", ()
        if isinstance(found, ToolCall):
            turn = len(request.messages)
            parts = (ToolCall(id=f"call-{turn}", name=found.name, arguments=found.arguments),)
            text = found.arguments
        else:
            text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
            parts = (Text(text),)
        usage = Usage(input_tokens=estimate_request(request), output_tokens=estimate_text(text), requests=1)
        stop = "tool_calls" if isinstance(found, ToolCall) else "end"
        message = Message(role="assistant", parts=parts)
        return Reply(message=message, usage=usage, cost_usd=cost_usd(usage, PRICE), model="scripted", stop=stop)

    return ScriptedModel(answer)
