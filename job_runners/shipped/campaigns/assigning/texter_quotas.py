"""Deal contacts to texters: the next contact always goes to the texter with the fewest."""

import math
from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace


class TexterQuotas:
    """The numbers of contacts that each texter has: `kept` from before, and `dealt` in this run.

    A texter is identified by its place in these lists. `limits` has the most contacts that each
    texter may have, `kept` and `dealt` together, or None for no limit.
    """

    def __init__(self, limits: Sequence[int | None], kept: list[int], dealt: list[int]) -> None:
        self._limits = [math.inf if each is None else each for each in limits]
        self.kept, self.dealt = list(kept), list(dealt)
        # Each count may be outdated. `deal` corrects it when its texter is at the front.
        self._order = [(self._count(place), place) for place in range(len(self._limits))]
        heapify(self._order)

    def deal(self) -> int | None:
        """Give the next contact to the first texter with the fewest. Return the texter's place.

        Return None if all texters have their maximum.
        """
        while self._order:
            seen, place = self._order[0]
            count = self._count(place)
            if count >= self._limits[place]:
                heappop(self._order)
            elif count != seen:
                heapreplace(self._order, (count, place))
            else:
                self.dealt[place] += 1
                return place
        return None

    def take_back(self, place: int) -> None:
        """Undo the deal of a contact that already has a texter."""
        self.dealt[place] -= 1
        heappush(self._order, (self._count(place), place))

    def _count(self, place: int) -> int:
        return self.kept[place] + self.dealt[place]
