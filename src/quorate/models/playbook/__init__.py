"""Which model follows the procedure of an experienced engineer, and invents nothing?"""

from quorate.models.playbook.check import check_playbook
from quorate.models.playbook.define import Playbook, render_guidance
from quorate.models.playbook.model import PlaybookModel
from quorate.models.playbook.report import Diagnosis, Evidence, Finding

__all__ = ["Diagnosis", "Evidence", "Finding", "Playbook", "PlaybookModel", "check_playbook", "render_guidance"]
