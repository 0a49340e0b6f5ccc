"""Which tools let an agent look into data: tables, JSON documents, SQLite files?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from quorate.tools.builtin.checks import Checked
from quorate.tools.builtin.data import schema, sqlite, tables
from quorate.tools.define import AnyTool, tool
from quorate.tools.workspace import Workspace

__all__ = ["data_tools"]

File = Annotated[str, Meta(min_length=1, max_length=4096, description="A file in the workspace.")]
Table = Annotated[
    str,
    Meta(min_length=1, max_length=4096, description="A CSV, TSV, JSON, JSON-lines or Parquet file in the workspace."),
]
MostRows = Annotated[int, Meta(ge=1, le=2_000_000, description="How many rows to look at, from the first on.")]
Shown = Annotated[int, Meta(ge=1, le=1000, description="How many rows to show.")]


def data_tools(workspace: Workspace) -> list[AnyTool]:
    """Build the tools that look into data in a workspace; nothing can be changed by any of them."""
    return [*_table_tools(workspace), *_database_tools(workspace)]


def _table_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=50)
    def profile_table(path: Table, max_rows: MostRows = 200_000) -> tables.TableProfile:
        """Profile a table: each column's type, missing and distinct values, range, percentiles, frequent values."""
        return tables.profile_table(workspace, path, most=max_rows)

    @tool(effect="idempotent", timeout_s=50)
    def compare_tables(
        path: Table, other: Table, *, key: Annotated[str, Meta(max_length=200)] = "", max_rows: MostRows = 200_000
    ) -> tables.TableComparison:
        """Compare two tables: columns that are missing or of another type, and by a key which rows differ.

        Args:
            key: The column that tells rows apart; without it only columns are compared.
        """
        return tables.compare_tables(workspace, path, other, key=key, most=max_rows)

    @tool(effect="idempotent", timeout_s=30)
    def check_json_schema(
        path: File, schema_path: File, *, max_findings: Annotated[int, Meta(ge=1, le=1000)] = 100
    ) -> Checked:
        """Hold a JSON document, or each of many, against a JSON Schema, and say where it does not fit.

        Args:
            path: A `.json` or `.jsonl` file, or a directory of them.
            schema_path: The schema's file.
        """
        return schema.check_json_schema(workspace, path, schema_path, most=max_findings)

    return [profile_table, compare_tables, check_json_schema]


def _database_tools(workspace: Workspace) -> list[AnyTool]:
    @tool(effect="idempotent", timeout_s=20)
    def describe_sqlite(path: File) -> sqlite.SqliteReport:
        """Describe an SQLite file: tables, columns, rows, indexes, free space, and what does not hold together."""
        return sqlite.describe_sqlite(workspace, path)

    @tool(effect="idempotent", timeout_s=20)
    def query_sqlite(
        path: File, sql: Annotated[str, Meta(min_length=1, max_length=20_000)], *, max_rows: Shown = 100
    ) -> sqlite.Rows:
        """Run one SQL statement that only reads over an SQLite file.

        Args:
            sql: Such as `SELECT state, count(*) FROM orders GROUP BY state`.
        """
        return sqlite.query_sqlite(workspace, path, sql, most=max_rows)

    return [describe_sqlite, query_sqlite]
