"""Which repository a dataset is published in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magpie_hub.errors import HubError, UserError
from magpie_hub.hub.client import Busy, asking
from magpie_hub.recipe.config import Recipe
from magpie_hub.recipe.names import check_repo_id

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def repo_of(api: HfApi, recipe: Recipe, named: str | None) -> str:
    """NAMESPACE/NAME: as named, as the recipe says, or magpie-NAME of whoever has the token.

    Raises:
        UserError: The name is none, or there is no token.
        HubError: The Hub does not say whose token it is.
    """
    named = named or recipe.hub.repo_id
    if named:
        try:
            return check_repo_id(named)
        except ValueError as error:
            raise UserError(f"--repo-id: {error}") from None
    name = f"magpie-{recipe.name}"
    try:
        with asking(name, "asking whose token this is, for"):
            return f"{api.whoami()['name']}/{name}"
    except Busy as busy:
        raise HubError(f"{busy}; nothing was sent, run again") from None
