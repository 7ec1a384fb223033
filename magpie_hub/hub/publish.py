"""Publishing: one commit that makes a repository hold a release, or nothing.

    gate, scan ─► head and tree ─► one commit on that head ─► read back ─► tags ─► collection
                     ▲                    │
                     └── moved, no answer ┘   what is there is looked at, never assumed

The client does not repeat a commit whose answer was lost, and the Hub may have made it: so the tree
is read again and compared with what shall be there, which is also how a push that was killed goes
on, and how a push of what is there already finds nothing to do.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from magpie_hub.errors import HubError, StaleReleaseError, UserError
from magpie_hub.hub.client import COMMITTING, DATASET, Busy, Moved, asking, connect
from magpie_hub.hub.names import repo_of
from magpie_hub.hub.preflight import Local, check_release, scan_local
from magpie_hub.hub.push import Published, Push, State
from magpie_hub.hub.remote import CARD, MANIFEST, RemoteTree, read_manifest, read_remote, read_text
from magpie_hub.hub.retry import ATTEMPTS, Retry
from magpie_hub.hub.send import send
from magpie_hub.hub.siblings import siblings
from magpie_hub.hub.tags import check_tag, collect, tag_commit
from magpie_hub.hub.target import File, TreeChange, change
from magpie_hub.release.card.contents import card_data
from magpie_hub.release.card.merge import keep_edits
from magpie_hub.release.card.render import render_card
from magpie_hub.scan.text import kinds
from magpie_hub.shell import command

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

Say = Callable[[str], None]

SHOWN = 10
"""Findings of the scan that are shown."""


def publish(
    push: Push,
    *,
    say: Say = lambda text: None,
    api: HfApi | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Publishes a release.

    Args:
        push: What, and how.
        say: Told what is going on, a line each.
        api: The Hub's client; the environment's by default.
        sleep: Waits so many seconds.

    Raises:
        UserError: Something is refused; nothing was sent.
        HubError: The Hub failed; the message says what it holds.
    """
    with ThreadPoolExecutor(1) as beside:
        beside.submit(kinds)  # loads the scan's libraries while files are hashed
        local = check_release(push.folder)
        _check_names(local)
        if local.manifest["name"] != push.name:
            raise UserError(
                f"{push.folder}: the release of {local.manifest['name']}, not of {push.name}; name "
                "the folder with --folder"
            )
        named = push.repo_id or local.recipe.hub.repo_id
        _scan(local, push.reviewed, say)
    api = api or connect()
    repo_id = repo_of(api, local.recipe, named)
    retry = Retry(repo_id, say, sleep)
    others = retry.ask(lambda: siblings(api, repo_id, push.name))
    card = _card(local, repo_id, others)
    return _Publisher(local, push, repo_id, api, say, retry, card).run()


def _check_names(local: Local) -> None:
    """Refuses models that are folders of whoever built it, and that nobody else can name."""
    unnamed = [str(key) for key in local.manifest.get("unnamed", ())]
    if unnamed:
        keys = ", ".join(f"{key}_name" for key in unnamed)
        raise UserError(
            f"{local.folder}: {', '.join(unnamed)} is a folder of the machine that built it, and "
            f"has no name for everybody; give it one in the recipe ({keys}: NAMESPACE/NAME), and "
            "build again, which generates nothing"
        )


def _scan(local: Local, reviewed: Iterable[str], say: Say) -> None:
    report = scan_local(local, reviewed)
    if report.clean:
        say(f"scan: {report.rows:,} rows, nothing found that was not reviewed")
        return
    for finding in report.findings[:SHOWN]:
        say(f"  {finding.mark}  {finding.shown}  {finding.place}")
    number = sum(report.counts.values())
    raise UserError(
        f"{local.folder}: the scan found {number} things that may be secrets or personal data; "
        f"{command('scan', local.folder)} lists them: look at each, then name those that may be "
        "published in the recipe (hub.reviewed) or in a file given with --reviewed"
    )


def _card(local: Local, repo_id: str, others: Sequence[Mapping[str, Any]]) -> str:
    """The card as it was built, unless that was for another repository, or others stand beside."""
    if local.recipe.hub.repo_id == repo_id and not others:
        return (local.folder / CARD).read_text(encoding="utf-8")
    return render_card(card_data(local.folder, repo_id=repo_id, siblings=others))


def _addition(file: File) -> CommitOperationAdd:
    """A file for the client, which need not hash it again."""
    from huggingface_hub import CommitOperationAdd

    assert file.source is not None
    addition = CommitOperationAdd(file.path, file.source)
    addition.upload_info.sha256 = bytes.fromhex(file.sha256)
    return addition


class _Publisher:
    """One push, on its way."""

    def __init__(
        self,
        local: Local,
        push: Push,
        repo_id: str,
        api: HfApi,
        say: Say,
        retry: Retry,
        card: str,
    ) -> None:
        self._local = local
        self._push = push
        self._repo_id = repo_id
        self._api = api
        self._say = say
        self._patience = retry
        self._ours = card
        self._broken = False  # Whether a manifest of ours is there that nobody can read.
        self._tags = (local.manifest["tag"], *((push.tag,) if push.tag else ()))

    def run(self) -> Published:
        """Publishes."""
        ask = self._patience.ask
        remote = ask(lambda: read_remote(self._api, self._repo_id))
        if remote is None:
            ask(self._refuse_model)
        elif self._push.private and not remote.private:
            raise UserError(
                f"{self._repo_id}: the repository is public; make it private on its page, or leave "
                "--private out"
            )
        if self._push.dry_run:
            return self._plan(remote)
        if remote is None:
            ask(self._create)
        elif (tag := self._push.tag) is not None:
            ask(lambda: check_tag(self._api, self._repo_id, tag, self._local.files))
        if self._push.pull_request:
            return self._propose()
        done = self._commit_until_there()
        commit = done.commit
        assert commit is not None
        self._patience.holds = f"the release, at commit {commit}"
        ask(lambda: tag_commit(self._api, self._repo_id, commit, self._tags))
        if (title := self._local.recipe.hub.collection) is not None:
            ask(lambda: collect(self._api, self._repo_id, title))
        return done

    # ---- before anything is sent

    def _refuse_model(self) -> None:
        with asking(self._repo_id, "reading"):
            if self._api.repo_exists(self._repo_id, repo_type="model"):
                raise UserError(
                    f"{self._repo_id}: a model has this name; name another repository (--repo-id)"
                )

    def _create(self) -> None:
        with asking(self._repo_id, "creating"):
            self._api.create_repo(
                self._repo_id,
                repo_type=DATASET,
                private=self._push.private or self._local.recipe.hub.private,
                exist_ok=True,
            )

    def _plan(self, remote: RemoteTree | None) -> Published:
        target, found, theirs = self._patience.ask(lambda: self._compare(remote))
        ours = target[CARD].source
        assert isinstance(ours, bytes)
        diff = difflib.unified_diff(
            theirs.splitlines(), ours.decode().splitlines(), "there", "new", lineterm=""
        )
        if remote is not None and found.nothing:
            return self._outcome("unchanged", remote.head, found)
        return self._outcome("planned", None, found, card_diff="\n".join(diff))

    def _compare(self, remote: RemoteTree | None) -> tuple[dict[str, File], TreeChange, str]:
        """What shall be there, what it takes, and the card that is there now."""
        card, owned, theirs = self._ours, (), ""
        if remote is not None:
            manifest = self._manifest_there(remote)
            self._refuse_foreign(remote, manifest)
            self._refuse_stale(manifest)
            self._refuse_fewer(manifest or {})
            owned = tuple((manifest or {}).get("files", ()))
            theirs = read_text(self._api, remote, CARD) or ""
            card = keep_edits(card, theirs) if theirs else card
        target = {**self._local.files, CARD: File.of_text(CARD, card)}
        found = change(target, remote, owned)
        if remote is not None:
            self._refuse_theirs(remote, found, owned)
        if lost := [file.path for file in found.add if file.source is None]:
            raise UserError(
                f"{self._repo_id}: it does not hold {lost[0]}, which this release adds to; publish "
                "the release where it was begun, or build a whole one"
            )
        return target, found, theirs

    def _refuse_foreign(self, remote: RemoteTree, manifest: dict[str, Any] | None) -> None:
        name = self._local.manifest["name"]
        if manifest is not None and manifest.get("name") != name:
            raise UserError(
                f"{self._repo_id}: it holds the release of {manifest.get('name')}, not of {name}; "
                "name another repository (--repo-id)"
            )
        held = any(path.startswith("data/") for path in remote.files)
        if manifest is None and held and not self._broken:
            raise UserError(
                f"{self._repo_id}: it holds data that magpie-hub did not put there; name another "
                "repository (--repo-id), or empty its data folder first"
            )

    def _manifest_there(self, remote: RemoteTree) -> dict[str, Any] | None:
        """The manifest of the release that stands there; None for none, or one to be replaced.

        Raises:
            UserError: It says that it is ours, and is none that we write.
        """
        try:
            return read_manifest(self._api, remote)
        except UserError as error:
            if self._push.replace:
                self._say(f"{error}; it gives way")
                self._broken = True
                return None
            raise UserError(
                f"{error}; look at what is there, and put this release in its place with --replace"
            ) from None

    def _refuse_theirs(self, remote: RemoteTree, found: TreeChange, owned: Collection[str]) -> None:
        """Makes sure that nothing is written over but what a release of ours has put there.

        The card is joined with the one that is there.
        """
        ours = {CARD, *([MANIFEST] if owned or self._broken else []), *owned}
        theirs = [file.path for file in found.add if file.path in remote.files.keys() - ours]
        if theirs and not self._broken:
            raise UserError(
                f"{self._repo_id}: its {theirs[0]} is not of a release of magpie-hub, and this one "
                "has a file of that name; move it there, or name another repository (--repo-id)"
            )

    def _refuse_stale(self, manifest: dict[str, Any] | None) -> None:
        """A release that adds to another is published on top of just that one.

        Raises:
            Stale: Something else has been published since.
        """
        ours = self._local.manifest
        history = ours["changelog"][1:]
        if not history or ours == manifest:
            return
        if manifest is None or manifest["changelog"] != history:
            raise StaleReleaseError(
                f"{self._repo_id}: another release has been published since this one was made for "
                "it; run magpie-hub regenerate again, which goes on from what is there now"
            )

    def _refuse_fewer(self, manifest: dict[str, Any]) -> None:
        """Makes sure that whoever loads the dataset finds no fewer rows than before, unasked."""
        here, there = self._local.manifest["rows"], manifest.get("rows")
        if not isinstance(there, int) or there <= here:
            return
        if not self._push.replace:
            raise UserError(
                f"{self._repo_id}: it holds {there:,} rows, and this release has {here:,}; build "
                f"that many (--rows {there}), or publish the smaller one with --replace"
            )
        self._say(f"the {there:,} rows there give way to {here:,}")

    # ---- the commit

    def _look(self) -> tuple[RemoteTree, dict[str, File], TreeChange]:
        remote = read_remote(self._api, self._repo_id)
        if remote is None:
            raise HubError(f"{self._repo_id}: the repository is gone")
        target, found, _ = self._compare(remote)
        return remote, target, found

    def _commit_until_there(self) -> Published:
        """Commits until the tree is what it shall be, however the answers come."""
        sent: TreeChange | None = None
        for attempt in range(ATTEMPTS + 1):
            remote, target, found = self._patience.ask(self._look)
            if found.nothing:
                state: State = "published" if sent else "unchanged"
                return self._outcome(state, remote.head, sent or found)
            self._patience.holds = "what it held before"
            if attempt == ATTEMPTS:
                break
            try:
                commit = self._commit(remote, found)
            except Moved:
                self._say("somebody else committed in between; looking again")
            except Busy as busy:
                sent = found
                self._patience.wait(busy, attempt)
            else:
                self._patience.holds = f"the new release, at commit {commit}"
                self._read_back(target, commit)
                return self._outcome("published", commit, found)
        raise self._patience.give_up(f"{ATTEMPTS} commits did not go through")

    def _commit(self, remote: RemoteTree, found: TreeChange, *, pull_request: bool = False) -> str:
        """Sends what is new, then commits; returns the commit's id, or the pull request's page."""
        from huggingface_hub import CommitOperationDelete

        adds = [_addition(file) for file in found.add if file.source]
        self._say(
            f"{len(adds)} files to write ({found.bytes_new / 1e6:,.1f} MB), "
            f"{len(found.delete)} to remove, {len(found.same)} there already"
        )
        self._refuse_touched(found.add)
        self._patience.holds = "what it held before"
        send(self._api, self._repo_id, adds, self._say, pull_request=pull_request)
        self._refuse_touched(found.add)
        if not pull_request:
            self._patience.holds = "the old release or the new one, the answer was lost"
        with asking(self._repo_id, COMMITTING):
            info = self._api.create_commit(
                self._repo_id,
                [*adds, *(CommitOperationDelete(path) for path in found.delete)],
                commit_message=self._title,
                commit_description=f"Recipe {self._local.manifest['recipe_fingerprint']}",
                repo_type=DATASET,
                parent_commit=remote.head,
                create_pr=pull_request,
            )
        return info.pr_url or "" if pull_request else info.oid

    def _refuse_touched(self, files: Iterable[File]) -> None:
        """Makes sure that what is committed is what was looked at."""
        for file in files:
            if file.was_touched:
                raise UserError(
                    f"{self._local.folder / file.path}: changed while it was being published, so "
                    "nothing was; push again once nobody writes there"
                )

    @property
    def _title(self) -> str:
        manifest = self._local.manifest
        return f"{manifest['name']}: {manifest['rows']:,} rows, {manifest['tag']}"

    def _read_back(self, target: dict[str, File], commit: str) -> None:
        """Makes sure that the commit holds what was sent."""
        written = self._patience.ask(lambda: read_remote(self._api, self._repo_id, commit))
        if not change(target, written).nothing:
            raise HubError(
                f"{self._repo_id}: commit {commit} does not hold what was sent; look at it with "
                f"{command('verify', self._repo_id, '--revision', commit)}"
            )

    # ---- a pull request

    def _propose(self) -> Published:
        """Opens a pull request, unless one that holds the release is open."""
        for attempt in range(ATTEMPTS):
            remote, target, found = self._patience.ask(self._look)
            if found.nothing:
                return self._outcome("unchanged", remote.head, found)
            if url := self._patience.ask(lambda: self._open_proposal(target)):  # noqa: B023
                return self._outcome("proposed", None, found, url=url)
            try:
                url = self._commit(remote, found, pull_request=True)
            except Moved:
                self._say("somebody else committed in between; looking again")
            except Busy as busy:
                self._patience.wait(busy, attempt)
            else:
                return self._outcome("proposed", None, found, url=url)
        raise self._patience.give_up("no pull request could be opened")

    def _open_proposal(self, target: dict[str, File]) -> str | None:
        with asking(self._repo_id, "reading"):
            for found in self._api.get_repo_discussions(
                self._repo_id,
                repo_type=DATASET,
                discussion_type="pull_request",
                discussion_status="open",
            ):
                if found.title == self._title:
                    proposed = read_remote(self._api, self._repo_id, f"refs/pr/{found.num}")
                    if change(target, proposed).nothing:
                        return str(found.url)
        return None

    def _outcome(
        self,
        state: State,
        commit: str | None,
        found: TreeChange,
        *,
        url: str | None = None,
        card_diff: str = "",
    ) -> Published:
        return Published(
            state,
            self._repo_id,
            url or f"{self._api.endpoint}/datasets/{self._repo_id}",
            commit,
            self._tags,
            tuple(file.path for file in found.add),
            found.delete,
            found.bytes_new,
            found.bytes_reused,
            card_diff,
        )
