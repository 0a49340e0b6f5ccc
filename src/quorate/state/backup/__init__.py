"""How is everything a store keeps put into one file, checked there, and brought back?"""

from quorate.state.backup.create import create_backup
from quorate.state.backup.format import Manifest
from quorate.state.backup.restore import RestoreReport, restore_backup
from quorate.state.backup.verify import BackupReport, verify_backup

__all__ = ["BackupReport", "Manifest", "RestoreReport", "create_backup", "restore_backup", "verify_backup"]
