"""What is submitted again and again, at which moments, and by whom?"""

from quorate.runtime.schedules.book import Schedules
from quorate.runtime.schedules.moments import Cron, Every
from quorate.runtime.schedules.records import Record
from quorate.runtime.schedules.schedule import Policy, Schedule, Work
from quorate.runtime.schedules.scheduler import Happened, Scheduler, run_beside

__all__ = ["Cron", "Every", "Happened", "Policy", "Record", "Schedule", "Scheduler", "Schedules", "Work", "run_beside"]
