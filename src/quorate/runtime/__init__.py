"""What can be done with runs while everything is open: submit, follow, resume, replay, cancel, answer?"""

from quorate.runtime.handle import RunHandle
from quorate.runtime.questions import find_questions
from quorate.runtime.runtime import Runtime
from quorate.runtime.worker import Worker

__all__ = ["RunHandle", "Runtime", "Worker", "find_questions"]
