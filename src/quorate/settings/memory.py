"""How long do hives remember what, when somebody says so in the settings?"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, structs

from quorate.context.memory.kinds import MOST_ENTRIES, MOST_KB, MemoryRules, Retention

Entries = Annotated[int, Meta(gt=0, le=MOST_ENTRIES)]
Kilobytes = Annotated[int, Meta(gt=0, le=MOST_KB)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]


class MemoryKindSettings(Struct, frozen=True, kw_only=True):
    """How long one kind of memory lasts; unset means what the kind has by itself."""

    max_entries: Annotated[Entries | None, Meta(description="The most memories on one shelf.", examples=[1000])] = None
    """The most memories on one shelf: of the hive's space, or of one contributor, run or session."""
    max_kb: Annotated[
        Kilobytes | None, Meta(description="The most kilobytes of 1,000 bytes on one shelf.", examples=[2000])
    ] = None
    """The most kilobytes of 1,000 bytes on one shelf."""
    ttl_s: Annotated[
        Seconds | None,
        Meta(description="How many seconds after it was last said a memory is gone.", examples=[86_400]),
    ] = None
    """How many seconds after it was last said a memory is gone, however strong it is."""
    half_life_s: Annotated[
        Seconds | None,
        Meta(description="After how many seconds a memory that nobody touches is half as strong.", examples=[3600]),
    ] = None
    """After how many seconds a memory that nobody touches is half as strong."""

    def change(self, retention: Retention) -> Retention:
        """Return how long the kind lasts with what is set here."""
        return structs.replace(retention, **{k: v for k, v in structs.asdict(self).items() if v is not None})


class MemorySettings(Struct, frozen=True, kw_only=True):
    """How long hives remember what, by kind."""

    working: MemoryKindSettings = MemoryKindSettings()
    """What is at hand in a run or a session."""
    episodic: MemoryKindSettings = MemoryKindSettings()
    """What happened."""
    semantic: MemoryKindSettings = MemoryKindSettings()
    """What is so."""
    procedural: MemoryKindSettings = MemoryKindSettings()
    """How something is done."""
    collective: MemoryKindSettings = MemoryKindSettings()
    """What the hive agreed."""

    def build_rules(self) -> MemoryRules:
        """Build how long each kind lasts: its own numbers, and those that are set."""
        rules = MemoryRules()
        return MemoryRules(
            working=self.working.change(rules.working),
            episodic=self.episodic.change(rules.episodic),
            semantic=self.semantic.change(rules.semantic),
            procedural=self.procedural.change(rules.procedural),
            collective=self.collective.change(rules.collective),
        )
