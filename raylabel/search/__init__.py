"""Look-ups in a campaign's index: the items most like some, and the pool's near-duplicates; with contact sheets."""

from raylabel.search.groups import find_duplicates
from raylabel.search.nearest import look_up

__all__ = ["find_duplicates", "look_up"]
