"""Pages of history: what was said in a room, as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from wsprism_chat.log import Logged, Recall, RoomLog
from wsprism_chat.messages import DEFAULT_PAGE, History, HistoryQuery, PastMessage
from wsprism_chat.refusals import bad_request

__all__ = ("page_of",)

#: Messages asked of the room at a time, at the most; one more than the page needs tells
#: whether there is another.
_STRIDE: Final = 64


def page_of(
    room: str,
    query: HistoryQuery,
    *,
    recall: Recall,
    log: RoomLog,
    reactions: Callable[[str], dict[str, int]],
    most_chars: int,
) -> History:
    """Return a page of what was said in the room.

    A page ends at the limit asked for or where it would hold too much text: it is one
    message on the wire, and what is urgent waits until it is through.

    Args:
        room: The room's name.
        query: Which messages are wanted.
        recall: Gives back what a room holds.
        log: What has become of the messages; it has caught up.
        reactions: Returns the counts of reactions to a message.
        most_chars: How much text a page holds; a single message may be longer.

    Raises:
        ProtocolError: `BAD_REQUEST`, both ends of the range are given.
    """
    before, after = query.get("before"), query.get("after")
    if before is not None and after is not None:
        raise bad_request("history takes before or after, not both")
    limit = query.get("limit", DEFAULT_PAGE)
    page: list[PastMessage] = []
    chars = 0
    more = False
    stride = min(limit + 1, _STRIDE)
    for envelope, logged in _walk(room, before, after, recall, log, stride):
        said = _past(envelope, logged, reactions)
        chars += len(said.get("msg", ""))
        if page and (len(page) == limit or chars > most_chars):
            more = True
            break
        page.append(said)
    if after is None:
        page.reverse()
    return {"messages": page, "more": more}


def _walk(
    room: str,
    before: int | None,
    after: int | None,
    recall: Recall,
    log: RoomLog,
    stride: int,
) -> Iterator[tuple[Mapping[str, Any], Logged]]:
    """Yield what was said, going away from the mark that the query gave.

    What is out of the log's reach is left out: nobody could tell whether it still
    reads as it was sent.
    """
    numbers = (one.seq for one in (log.newest() if after is None else log.oldest()))
    while True:
        # Between two messages may lie any number of edits: each look begins with one.
        if after is None:
            at = next((n for n in numbers if before is None or n < before), None)
        else:
            at = next((n for n in numbers if n > after), None)
        if at is None:
            return
        if after is None:
            held = recall(room, before=at + 1, limit=stride)
        else:
            held = recall(room, after=at - 1, limit=stride)
        if not held:
            return
        for envelope in held if after is not None else reversed(held):
            # A room is shared: other services' messages are numbered with ours.
            if envelope["svc"] == "chat" and envelope["type"] == "msg":
                logged = log.find(envelope["data"]["id"])
                if logged is not None:
                    yield envelope, logged
        if after is not None:
            after = held[-1]["seq"]
        else:
            before = held[0]["seq"]


def _past(
    envelope: Mapping[str, Any],
    logged: Logged,
    reactions: Callable[[str], dict[str, int]],
) -> PastMessage:
    """Return what a page of history says of a message that the room holds."""
    said = envelope["data"]
    past: PastMessage = {
        "id": said["id"],
        "from": said["from"],
        "seq": envelope["seq"],
        "ts": envelope["ts"],
    }
    if logged.version > 1:
        past["version"] = logged.version
    if "reply_to" in said:
        past["reply_to"] = said["reply_to"]
    if logged.deleted:
        past["deleted"] = True
        return past
    now = said if logged.edited is None else logged.edited
    past["msg"] = now["msg"]
    if "mentions" in now:
        past["mentions"] = now["mentions"]
    if counts := reactions(said["id"]):
        past["reactions"] = counts
    return past
