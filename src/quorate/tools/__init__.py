"""What can an agent do, and within which bounds?"""

from quorate.ports import RunContext
from quorate.tools.define import Tool, tool

__all__ = ["RunContext", "Tool", "tool"]
