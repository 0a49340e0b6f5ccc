"""How is everything of a run, a session or a principal deleted, and proven to be gone?"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec import structs

from quorate.clock import Clock
from quorate.errors import Conflict, CorruptState, NotFound
from quorate.ids import check_id, new_id
from quorate.ports import Store
from quorate.state.archive.lines import Advance, ignore_progress
from quorate.state.audit import AuditTrail
from quorate.state.erasure.certificate import FORMAT, ErasureCertificate, Subject, hash_all, hash_id
from quorate.state.erasure.inventory import ENDED, Inventory, Surveyor
from quorate.state.erasure.notices import drop_notices
from quorate.state.leaks import HIDDEN, is_like_key

ROUNDS = 3
"""How often what is still there is deleted again before it is given up."""


class Eraser:
    """Deletes for good in one tenant's part of a store, and writes down that it did.

    What is kept is the audit trail: rows that were written before may name ids of what is gone.
    """

    def __init__(
        self, store: Store, *, tenant: str, clock: Clock, audit: AuditTrail, progress: Advance = ignore_progress
    ) -> None:
        """Open the tenant's part of a store.

        Args:
            store: Where to delete.
            tenant: Whose.
            clock: What certificates are dated by.
            audit: Where it is written down.
            progress: Is told what was deleted.
        """
        self.tenant = check_id(tenant, "tenant")
        self._store = store
        self._clock = clock
        self._audit = audit
        self._progress = progress
        self._survey = Surveyor(store, tenant=tenant, clock=clock)

    async def erase_run(self, run: str, *, by: str, reason: str = "") -> ErasureCertificate:
        """Erase a run: its log, its artifacts, its values, and the memory of its submission.

        Raises:
            NotFound: There is no such run.
            Conflict: It has not ended: cancel it first.
            CorruptState: Something could not be deleted.
        """
        return await self._erase("run", run, self._survey.find_run, by=by, reason=reason)

    async def erase_session(self, session: str, *, by: str, reason: str = "") -> ErasureCertificate:
        """Erase a session: its record, its runs and artifacts, its values, and what was shared with it.

        Raises:
            NotFound: There is no such session.
            Conflict: A run of it has not ended, or another session goes on from it.
            CorruptState: Something could not be deleted.
        """
        return await self._erase("session", session, self._survey.find_session, by=by, reason=reason)

    async def erase_principal(self, principal: str, *, by: str, reason: str = "") -> ErasureCertificate:
        """Erase a principal: their runs, the sessions they own with all runs of those, artifacts, values and shares.

        Raises:
            NotFound: There is nothing of them.
            Conflict: A run has not ended, or another's session goes on from one of theirs.
            CorruptState: Something could not be deleted.
        """
        return await self._erase("principal", principal, self._survey.find_principal, by=by, reason=reason)

    async def preview(self, subject: Subject, name: str) -> Inventory:
        """Find what would be erased, and delete nothing; raises what erasing it raises."""
        find = {
            "run": self._survey.find_run,
            "session": self._survey.find_session,
            "principal": self._survey.find_principal,
        }[subject]
        found = await find(name)
        await self._check(found)
        return found

    async def _erase(
        self, subject: Subject, name: str, find: Callable[[str], Awaitable[Inventory]], *, by: str, reason: str
    ) -> ErasureCertificate:
        reason = HIDDEN if is_like_key(reason) else reason
        began, identity, salt = self._clock.now(), new_id("erasure"), secrets.token_hex(16)
        subject_hash = hash_id(salt, subject, name)
        place = f"erasure/{identity}"
        try:
            found = await find(name)
            await self._check(found)
        except (Conflict, NotFound) as refusal:
            await self._audit.append(
                f"{subject}.erase", principal=by, object=place, outcome="refused", reason=refusal.code
            )
            raise
        kept = await self._delete_all(subject, name, found, find)
        gone = tuple(blob for blob in found.blobs if blob not in kept)
        found = structs.replace(found, blobs=gone)
        names = {
            "run": [summary.run for summary in found.runs],
            "session": found.sessions,
            "artifact": [info.id for info in found.artifacts],
            "value": found.values,
            "blob": gone,
        }
        certificate = ErasureCertificate(
            format=FORMAT,
            id=identity,
            tenant=self.tenant,
            subject=subject,
            subject_hash=subject_hash,
            by=by,
            reason=reason,
            began=began,
            finished=self._clock.now(),
            salt=salt,
            counts={kind: len(ids) for kind, ids in names.items()},
            events=sum(summary.events for summary in found.runs),
            hashes=hash_all(salt, names),
            kept_blobs=len(kept),
        )
        await self._audit.append(
            f"{subject}.erase",
            principal=by,
            object=place,
            reason=reason,
            facts={
                **certificate.counts,
                "events": certificate.events,
                "certificate": certificate.digest,
                "subject": subject_hash,
            },
        )
        return certificate

    async def _check(self, found: Inventory) -> None:
        """Raise `Conflict` when something is under way, or others need it."""
        open_runs = [summary.run for summary in found.runs if summary.status not in ENDED]
        if open_runs:
            raise Conflict(
                f"Runs have not ended ({', '.join(open_runs[:3])}): stop them with `quorate runs cancel`, then erase "
                "them.",
                run=open_runs[0],
            )
        sessions = set(found.sessions)
        async for name, record in self._survey.records.scan(self.tenant):
            if record is None or record.parent is None or name in sessions:
                continue
            if record.parent.session in sessions:
                raise Conflict(
                    f"Session {name!r} goes on from session {record.parent.session!r} and would lose what was said: "
                    "erase it first.",
                    session=name,
                )

    async def _delete_all(
        self, subject: Subject, name: str, found: Inventory, find: Callable[[str], Awaitable[Inventory]]
    ) -> set[str]:
        """Delete until nothing is found any more; return the blobs that stay because others have the same bytes."""
        left = found
        for _ in range(ROUNDS):
            await self._delete(left)
            await self._forget_mentions(subject, name, left)
            try:
                left = await find(name)
            except NotFound:
                break
            await self._check(left)
        else:
            raise CorruptState(
                f"{left.count()} things of the {subject} are still there after deleting them: try again."
            )
        return await self._find_left(found)

    async def _delete(self, found: Inventory) -> None:
        done, total = 0, found.count()

        def advance() -> None:
            nonlocal done
            done += 1
            self._progress("things erased", done, total)

        for info in found.artifacts:
            await self._survey.delete_artifact(info)
            advance()
        for key in (*found.values, *found.traces):
            await self._store.values.delete(key)
            advance()
        # The logs go last: whoever is cut off before finds everything again by them.
        for summary in found.runs:
            await self._store.log.delete(summary.run)
            advance()
        for session in found.sessions:
            await self._survey.records.delete(self.tenant, session)
            advance()
        await drop_notices(self._store.outbox, {summary.run for summary in found.runs})

    async def _forget_mentions(self, subject: Subject, name: str, found: Inventory) -> None:
        """Take what was erased out of the records of sessions that stay."""
        runs = {summary.run for summary in found.runs}
        gone = {name} if subject == "principal" else set[str]()
        async for session, record in self._survey.records.scan(self.tenant):
            if record is None or not (record.last_run in runs or gone & set(record.shared_with)):
                continue
            with suppress(NotFound):
                await self._survey.records.change(
                    self.tenant,
                    session,
                    lambda fresh: structs.replace(
                        fresh,
                        last_run="" if fresh.last_run in runs else fresh.last_run,
                        shared_with=tuple(who for who in fresh.shared_with if who not in gone),
                    ),
                )

    async def _find_left(self, found: Inventory) -> set[str]:
        """Look for each thing under its own id; return the blobs that others need.

        Raises:
            CorruptState: Something is there.
        """
        left = [summary.run for summary in found.runs if await self._store.log.last(summary.run)]
        left += [key for key in (*found.values, *found.traces) if await self._store.values.get(key) is not None]
        root = f"artifact/{self.tenant}/id/"
        left += [info.id for info in found.artifacts if await self._store.values.get(root + info.id) is not None]
        blobs = set[str]()
        for blob in found.blobs:
            there = await self._store.blobs.list_blobs(blob, limit=1)
            if there and there[0].name == blob:
                blobs.add(blob)
        if left:
            raise CorruptState(
                f"{len(left)} things are still there after deleting them, such as {left[0]!r}: try again."
            )
        return blobs
