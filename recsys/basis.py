"""What events are folded against: items, model, settings, and the words that can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from recsys.bundle import Bundle
from recsys.catalog import Catalog
from recsys.events import NO_TEXT, UNKNOWN_ITEM, UNKNOWN_TEXT, says
from recsys.interest.model import InterestModel, ItemTable
from recsys.interest.prepared import KindCodes
from recsys.schema import Event
from recsys.settings import Settings
from recsys.words import Words, weighs


@dataclass(frozen=True)
class Basis:
    """What events are folded against."""

    catalog: Catalog
    """N items; events of others are no evidence."""
    items: ItemTable
    """Their vectors."""
    model: InterestModel
    settings: Settings
    """Sections data, interest (which also names the kinds that count for trend) and trend."""
    words: Words | None = None
    """The texts whose vectors are known; None = none is."""

    @cached_property
    def spoken(self) -> Words | None:
        """``words``; None = the model passes words over, so nothing waits for them."""
        if not self.model.reads_text:
            return None
        return Words.none(self.model) if self.words is None else self.words

    @cached_property
    def codes(self) -> KindCodes:
        """The kinds of the settings by number, as every table has them."""
        data = self.settings.data
        return KindCodes(
            data.kinds, data.passive_kinds, data.itemless_kinds, self.settings.interest
        )

    @property
    def text_index(self) -> Mapping[str, int] | None:
        """Text -> row of what is known; None = texts are not read."""
        return None if self.spoken is None else self.spoken.index

    def item_row(self, item_id: str | None) -> int:
        """Row of an item in the catalog; ``UNKNOWN_ITEM`` where there is none."""
        return UNKNOWN_ITEM if item_id is None else self.catalog.index.get(item_id, UNKNOWN_ITEM)

    def text_row(self, event: Event) -> int:
        """``FoldBatch.text`` of one event."""
        if self.text_index is None or event.text is None or not says(event.text):
            return NO_TEXT
        if event.item_id is not None and self.item_row(event.item_id) == UNKNOWN_ITEM:
            return UNKNOWN_TEXT
        return self.text_index.get(event.text, UNKNOWN_TEXT)

    def is_pending(self, event: Event) -> bool:
        """Whether an event lacks its item, or words that would be evidence."""
        if event.item_id is not None and event.item_id not in self.catalog.index:
            return True
        if event.text is None:
            return False
        speaks = self.text_row(event) == UNKNOWN_TEXT
        return speaks and weighs(event.kind, self.settings.interest)

    @classmethod
    def of(cls, bundle: Bundle, process: Settings | None = None) -> Basis:
        """What a bundle folds against, within the settings of a process."""
        settings = bundle.settings if process is None else bundle.settings_within(process)
        return cls(bundle.catalog, bundle.items, bundle.model, settings)
