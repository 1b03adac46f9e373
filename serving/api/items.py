"""The routes of single items: told, written while they are served, and taken away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import Depends, Request

from recsys.errors import EventError, NotFoundError, UnavailableError
from recsys.item_writing import Change, Item, gone
from serving.api.body import read_json
from serving.api.checks import check_id, check_text, parse_time
from serving.api.errors import DOCUMENTED
from serving.api.item_schemas import (
    MAX_ATTRIBUTES,
    ItemIn,
    ItemReply,
    ItemsIn,
    ItemsReply,
    WrittenReply,
)
from serving.api.pages import Cursor, Limit, cursor_of, place_of
from serving.api.parameters import ItemId
from serving.api.reading import described, read_model
from serving.api.standing import Gate, check_whole, gateway_of, new_router, stage_of
from serving.catalog import CatalogDesk
from serving.gateway import Gateway

router = new_router(responses=DOCUMENTED)

PREFIX = b"/v1/items/"
TIMES = ("available_from", "available_until", "created_at")
TEXTS = ("title", "text", "image_uri", "audio_uri")
_EXAMPLE = {
    "title": "Seven Samurai (1954)",
    "text": "Villagers hire seven swordsmen against bandits.",
    "categories": ["Action", "Drama"],
    "attributes": {"country": "JP"},
}


async def _desk(request: Request) -> CatalogDesk:
    desk = stage_of(request).front.catalog
    if desk is None:
        raise UnavailableError("items", "are not stored here", "Ask a running service")
    return desk


async def _named(request: Request, item_id: ItemId) -> str:
    """The id, if it is sound and all of the path."""
    check_whole(request, PREFIX)
    return check_id("item_id", item_id, gateway_of(request).settings.data.max_id_bytes)


Desk = Annotated[CatalogDesk, Depends(_desk)]
Named = Annotated[str, Depends(_named)]


@router.get("/v1/items/{item_id:id}")
async def get_item(desk: Desk, item_id: Named) -> ItemReply:
    """What is known of an item, whether it can be had now or not."""
    item = desk.of(item_id)
    if item is None:
        raise unknown_item()
    return _reply(item_id, item)


@router.get("/v1/items")
async def get_items(desk: Desk, limit: Limit = 20, cursor: Cursor = None) -> ItemsReply:
    """All items by id, in pages."""
    found, last = desk.page("" if cursor is None else place_of(cursor), limit)
    items = [_reply(item_id, item) for item_id, item in found.items()]
    return ItemsReply(items=items, next_cursor=None if last is None else cursor_of(last))


@router.put("/v1/items/{item_id:id}", openapi_extra=described(ItemIn, _EXAMPLE))
async def put_item(request: Request, gateway: Gate, desk: Desk, item_id: Named) -> WrittenReply:
    """Say what an item is, as a whole. It is durable when the reply comes.

    Its availability counts at once, its text as soon as it is encoded. Profiles that were folded
    with an older text keep it until the next bundle.
    """
    item = _item(gateway, await _told(request, gateway))
    return await _write(gateway, desk, {item_id: _always(item)})


@router.patch("/v1/items/{item_id:id}", openapi_extra=described(ItemIn, {"title": "Ran (1985)"}))
async def patch_item(request: Request, gateway: Gate, desk: Desk, item_id: Named) -> WrittenReply:
    """Change what is named of an item; null takes it away."""
    told = await _told(request, gateway)

    def changed(known: Item | None) -> Item:
        if known is None:
            raise unknown_item()
        return _item(gateway, told, known)

    return await _write(gateway, desk, {item_id: changed})


@router.delete("/v1/items/{item_id:id}")
async def delete_item(gateway: Gate, desk: Desk, item_id: Named) -> WrittenReply:
    """Take an item away, and all that is said of it. Events that name it stay.

    An item that shall only not be recommended any more keeps what is known of it with
    ``available_until``: users' past interest in it is then told from the next bundle's profiles
    as well.
    """
    if desk.of(item_id) is None:
        raise unknown_item()
    return await _write(gateway, desk, {}, [item_id])


@router.post(
    "/v1/items:bulk",
    openapi_extra=described(ItemsIn, {"items": [{"item_id": "172", **_EXAMPLE}], "delete": ["9"]}),
)
async def write_items(request: Request, gateway: Gate, desk: Desk) -> WrittenReply:
    """Write many items as wholes, and take others away; all of it, or nothing."""
    told = read_model(ItemsIn, await _body(request, gateway))
    most = gateway.settings.serving.api.max_items_per_request
    ids = [one.item_id for one in told.items] + told.delete
    if not 1 <= len(ids) <= most:
        raise EventError("items", f"are {len(ids)}", f"Send 1 to {most}")
    if len(set(ids)) < len(ids):
        raise EventError("items", "name one item twice", "Send each once")
    max_bytes = gateway.settings.data.max_id_bytes
    for item_id in ids:
        check_id("item_id", item_id, max_bytes)
    wholes = {one.item_id: _item(gateway, one) for one in told.items}
    known = [item_id for item_id in told.delete if desk.of(item_id) is not None]
    changes = {item_id: _always(item) for item_id, item in wholes.items()}
    return await _write(gateway, desk, changes, known)


def unknown_item() -> NotFoundError:
    """What is said of an item that there is not."""
    return NotFoundError("item", "does not exist", "PUT it, or run `python -m pipelines.ingest`")


async def _write(
    gateway: Gateway, desk: CatalogDesk, changes: dict[str, Change], delete: Sequence[str] = ()
) -> WrittenReply:
    away = _always(gone(gateway.now()))
    await desk.write({**changes, **dict.fromkeys(delete, away)})
    return WrittenReply(
        item_ids=list(changes),
        deleted=list(delete),
        others_look_within_s=gateway.settings.serving.catalog_poll_s,
    )


def _always(item: Item) -> Change:
    return lambda _: item


async def _body(request: Request, gateway: Gateway) -> Any:
    return await read_json(request, gateway.settings.serving.max_body_bytes)


async def _told(request: Request, gateway: Gateway) -> ItemIn:
    return read_model(ItemIn, await _body(request, gateway))


def _item(gateway: Gateway, told: ItemIn, known: Item | None = None) -> Item:
    """An item as it is told; what is left out is as it is known.

    Raises:
        EventError: if an id, a text or a time is unsound.
    """
    said = told.model_fields_set - {"item_id"}
    known, data = Item() if known is None else known, gateway.settings.data
    found: dict[str, Any] = {name: getattr(known, name) for name in (*TEXTS, *TIMES)}
    for name in said & set(TEXTS):
        text = getattr(told, name)
        found[name] = None if not text else check_text(name, text, data.max_text_bytes)
    for name in said & set(TIMES):
        moment = getattr(told, name)
        found[name] = None if moment is None else parse_time(name, moment)
    categories: Iterable[str] = known.categories
    if "categories" in said:
        categories = [
            check_id("categories", one, data.max_id_bytes) for one in told.categories or ()
        ]
    attributes = dict(known.attributes)
    if "attributes" in said:
        merged = {} if told.attributes is None else {**attributes, **told.attributes}
        attributes = {name: value for name, value in merged.items() if value is not None}
        _check_attributes(attributes, data.max_id_bytes, data.max_text_bytes)
    return Item(**found, categories=tuple(categories), attributes=attributes)


def _check_attributes(attributes: dict[str, str], max_id_bytes: int, max_text_bytes: int) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise EventError("attributes", f"are {len(attributes)}", f"At most {MAX_ATTRIBUTES}")
    for name, value in attributes.items():
        check_id("attributes", name, max_id_bytes)
        check_text("attributes", value, max_text_bytes)


def _reply(item_id: str, item: Item) -> ItemReply:
    return ItemReply(
        item_id=item_id,
        title=item.title,
        text=item.text,
        categories=list(item.categories),
        image_uri=item.image_uri,
        audio_uri=item.audio_uri,
        available_from=item.available_from,
        available_until=item.available_until,
        created_at=item.created_at,
        attributes=dict(item.attributes),
    )
