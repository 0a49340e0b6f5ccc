"""What is Quorate told from outside: files, environment, secrets?

Precedence, the lowest first: the default · `quorate.toml` (or `[tool.quorate]` of `pyproject.toml`) · its `[env.NAME]`
table · `quorate.NAME.toml` beside it · the secrets directory · `.env` (in dev only) · the environment.
"""

from quorate.settings.load import Loaded, load_settings, read_settings
from quorate.settings.values import Settings, cap_limits

__all__ = ["Loaded", "Settings", "cap_limits", "load_settings", "read_settings"]
