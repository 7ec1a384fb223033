"""Publishing: one commit that makes a repository hold a release, or none.

    preflight, scan ─► head and tree ─► one commit on that head ─► read back ─► tags ─► collection
                           ▲                      │
                           └─── moved, no answer ─┘   the tree is read again, nothing is assumed

The client does not repeat a commit whose answer was lost, and the Hub may have made it. So the tree
is read again and compared with what shall be there. That is also how a push that was killed goes
on, and how a push of what is published already finds nothing to do.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from magpie_hub.errors import HubError, UserError
from magpie_hub.hub.card import published_card
from magpie_hub.hub.client import (
    ATTEMPTS,
    COMMITTING,
    DATASET,
    Busy,
    Moved,
    Retry,
    Say,
    Sleep,
    ask,
    hub_api,
    repo_of,
)
from magpie_hub.hub.conflicts import PublishPlan, plan_change
from magpie_hub.hub.preflight import LocalRelease, check_publishable, check_release
from magpie_hub.hub.tags import check_tag, collect, tag_commit
from magpie_hub.hub.tree import LocalFile, RemoteTree, TreeChange, compare, read_tree
from magpie_hub.hub.upload import additions, upload
from magpie_hub.scan.text import kinds
from magpie_hub.text import command

if TYPE_CHECKING:
    from huggingface_hub import HfApi

State = Literal["published", "unchanged", "proposed", "planned"]


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """What is published, and how.

    Attributes:
        folder: The release.
        name: Name of the recipe that it should be of.
        repo_id: NAMESPACE/NAME; None for the recipe's, or magpie-NAME of the token's owner.
        private: Make the repository private if it is not there yet.
        pull_request: Propose the release as a pull request.
        dry_run: Only say what would be done.
        tag: A tag of the user's own, beside the one that names the data.
        reviewed: Findings of the scan that the user lets pass.
        replace: Publish it even where a release of more rows is published.
    """

    folder: Path
    name: str
    repo_id: str | None = None
    private: bool = False
    pull_request: bool = False
    dry_run: bool = False
    tag: str | None = None
    reviewed: tuple[str, ...] = ()
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What came of it.

    Attributes:
        state: "published", "unchanged", "proposed" (as a pull request) or "planned" (a dry run).
        repo_id: The repository.
        url: Its page, or the pull request's.
        commit: The commit that holds the release; None in a dry run.
        tags: Tags by which it is found.
        added: Paths written, or that would be.
        deleted: Paths removed, or that would be.
        bytes_new: Bytes of the files written; what is sent may be less.
        bytes_reused: Bytes of the files that were there already.
        card_diff: What changes in the card, as a unified diff; for a dry run.
    """

    state: State
    repo_id: str
    url: str
    commit: str | None
    tags: tuple[str, ...]
    added: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    bytes_new: int = 0
    bytes_reused: int = 0
    card_diff: str = ""


def publish(
    options: PublishOptions,
    *,
    say: Say = lambda text: None,
    api: HfApi | None = None,
    sleep: Sleep = time.sleep,
) -> Published:
    """Publishes a release.

    Args:
        options: What, and how.
        say: Takes lines for the user.
        api: The Hub's client; the environment's by default.
        sleep: Waits so many seconds.

    Raises:
        UserError: Something is refused; nothing was sent.
        HubError: The Hub failed; the message says what it holds.
    """
    with ThreadPoolExecutor(1) as beside:
        beside.submit(kinds)  # loads the scan's libraries while files are hashed
        local = check_release(options.folder)
        check_publishable(local, options.name, options.reviewed, say)
    api = api or hub_api()
    repo_id = repo_of(api, local.recipe, options.repo_id)
    retry = Retry(repo_id, say, sleep)
    card = retry.ask(lambda: published_card(api, local, repo_id))
    return _Publisher(options, local, card, repo_id, api, say, retry).run()


@dataclass(frozen=True, slots=True)
class _Publisher:
    """Publishes one release."""

    options: PublishOptions
    local: LocalRelease
    card: str
    repo_id: str
    api: HfApi
    say: Say
    retry: Retry

    def run(self) -> Published:
        tree = self.retry.ask(lambda: read_tree(self.api, self.repo_id))
        if tree is None:
            self.retry.ask(self._refuse_model)
        elif self.options.private and not tree.private:
            raise UserError(
                f"{self.repo_id}: the repository is public; make it private on its page, or leave "
                "--private out"
            )
        if self.options.dry_run:
            return self._dry_run(tree)
        if tree is None:
            self.retry.ask(self._create)
        elif (tag := self.options.tag) is not None:
            self.retry.ask(lambda: check_tag(self.api, self.repo_id, tag, self.local.files))
        if self.options.pull_request:
            return self._propose()
        change, commit, is_new = self._commit_until_there()
        self.retry.holds = f"the release, at commit {commit}"
        self.retry.ask(lambda: tag_commit(self.api, self.repo_id, commit, self._tags))
        if (title := self.local.recipe.hub.collection) is not None:
            self.retry.ask(lambda: collect(self.api, self.repo_id, title))
        return self._published("published" if is_new else "unchanged", change, commit)

    # ---- before anything is sent

    def _refuse_model(self) -> None:
        if ask(
            self.repo_id,
            "reading",
            lambda: self.api.repo_exists(self.repo_id, repo_type="model"),
        ):
            raise UserError(
                f"{self.repo_id}: a model has this name; name another repository (--repo-id)"
            )

    def _dry_run(self, tree: RemoteTree | None) -> Published:
        found = self.retry.ask(lambda: self._plan(tree))
        if tree is not None and found.change.is_empty:
            return self._published("unchanged", found.change, tree.head)
        old, new = found.old_card.splitlines(), found.new_card.splitlines()
        diff = difflib.unified_diff(old, new, "there", "new", lineterm="")
        return self._published("planned", found.change, card_diff="\n".join(diff))

    def _create(self) -> None:
        private = self.options.private or self.local.recipe.hub.private

        def create() -> None:
            self.api.create_repo(self.repo_id, repo_type=DATASET, private=private, exist_ok=True)

        ask(self.repo_id, "creating", create)

    # ---- the commit

    def _commit_until_there(self) -> tuple[TreeChange, str, bool]:
        """Commits until the repository holds the release, however the answers come.

        Returns:
            The change, the commit that holds it, and whether it was made now.
        """
        sent: TreeChange | None = None
        for attempt in range(ATTEMPTS + 1):
            tree, found = self.retry.ask(self._look)
            if found.change.is_empty:
                return sent or found.change, tree.head, sent is not None
            self.retry.holds = "what it held before"
            if attempt == ATTEMPTS:
                break
            try:
                commit = self._commit(tree, found.change)
            except Moved:
                self.say("somebody else committed in between; looking again")
            except Busy as busy:
                sent = found.change
                self.retry.wait(busy, attempt)
            else:
                self.retry.holds = f"the new release, at commit {commit}"
                self._read_back(found.target, commit)
                return found.change, commit, True
        raise self.retry.give_up(f"{ATTEMPTS} commits did not go through")

    def _look(self) -> tuple[RemoteTree, PublishPlan]:
        """What the repository holds now, and what is to be done."""
        tree = read_tree(self.api, self.repo_id)
        if tree is None:
            raise HubError(f"{self.repo_id}: the repository is gone")
        return tree, self._plan(tree)

    def _plan(self, tree: RemoteTree | None) -> PublishPlan:
        return plan_change(
            self.local,
            self.card,
            self.repo_id,
            tree,
            replace=self.options.replace,
            say=self.say,
        )

    def _commit(self, tree: RemoteTree, change: TreeChange, *, pull_request: bool = False) -> str:
        """Sends what is new, then commits; returns the commit's id, or the pull request's page."""
        from huggingface_hub import CommitOperationDelete

        adds = additions(change.add)
        self.say(
            f"{len(adds)} files to write ({change.bytes_new / 1e6:,.1f} MB), "
            f"{len(change.delete)} to remove, {len(change.same)} there already"
        )
        self._refuse_changed(change.add)
        upload(self.api, self.repo_id, adds, self.say, pull_request=pull_request)
        self._refuse_changed(change.add)
        if not pull_request:
            self.retry.holds = "the old release or the new one, the answer was lost"
        made = ask(
            self.repo_id,
            COMMITTING,
            lambda: self.api.create_commit(
                self.repo_id,
                [*adds, *map(CommitOperationDelete, change.delete)],
                commit_message=self._title,
                commit_description=f"Recipe {self.local.manifest['recipe_fingerprint']}",
                repo_type=DATASET,
                parent_commit=tree.head,
                create_pr=pull_request,
            ),
        )
        return made.pr_url or "" if pull_request else made.oid

    def _refuse_changed(self, files: Iterable[LocalFile]) -> None:
        """Makes sure that what is committed is what was checked."""
        for file in files:
            if file.has_changed:
                raise UserError(
                    f"{self.local.folder / file.path}: changed while it was being published, so "
                    "nothing was; push again when no process writes to it"
                )

    def _read_back(self, target: Mapping[str, LocalFile], commit: str) -> None:
        """Makes sure that the commit holds what was sent."""
        written = self.retry.ask(lambda: read_tree(self.api, self.repo_id, commit))
        if not compare(target, written).is_empty:
            raise HubError(
                f"{self.repo_id}: commit {commit} does not hold what was sent; look at it with "
                f"{command('verify', self.repo_id, '--revision', commit)}"
            )

    # ---- a pull request

    def _propose(self) -> Published:
        """Opens a pull request, unless one that holds the release is open."""
        for attempt in range(ATTEMPTS):
            tree, found = self.retry.ask(self._look)
            if found.change.is_empty:
                return self._published("unchanged", found.change, tree.head)
            if url := self.retry.ask(lambda: self._open_proposal(found.target)):  # noqa: B023
                return self._published("proposed", found.change, url=url)
            try:
                url = self._commit(tree, found.change, pull_request=True)
            except Moved:
                self.say("somebody else committed in between; looking again")
            except Busy as busy:
                self.retry.wait(busy, attempt)
            else:
                return self._published("proposed", found.change, url=url)
        raise self.retry.give_up("no pull request could be opened")

    def _open_proposal(self, target: Mapping[str, LocalFile]) -> str | None:
        """The page of an open pull request that holds the release."""
        opened = ask(
            self.repo_id,
            "reading",
            lambda: list(
                self.api.get_repo_discussions(
                    self.repo_id,
                    repo_type=DATASET,
                    discussion_type="pull_request",
                    discussion_status="open",
                )
            ),
        )
        for one in opened:
            if one.title == self._title:
                proposed = read_tree(self.api, self.repo_id, f"refs/pr/{one.num}")
                if compare(target, proposed).is_empty:
                    return str(one.url)
        return None

    # ---- words

    @property
    def _title(self) -> str:
        manifest = self.local.manifest
        return f"{manifest['name']}: {manifest['rows']:,} rows, {manifest['tag']}"

    @property
    def _tags(self) -> tuple[str, ...]:
        own = self.options.tag
        return (self.local.manifest["tag"], *((own,) if own else ()))

    def _published(
        self,
        state: State,
        change: TreeChange,
        commit: str | None = None,
        *,
        url: str | None = None,
        card_diff: str = "",
    ) -> Published:
        return Published(
            state,
            self.repo_id,
            url or f"{self.api.endpoint}/datasets/{self.repo_id}",
            commit,
            self._tags,
            tuple(file.path for file in change.add),
            change.delete,
            change.bytes_new,
            change.bytes_reused,
            card_diff,
        )
