"""How do runs leave a store as lines of JSON, and come into another one?"""

from quorate.state.archive.export import export_runs, stream_runs
from quorate.state.archive.load import ImportReport, import_runs

__all__ = ["ImportReport", "export_runs", "import_runs", "stream_runs"]
