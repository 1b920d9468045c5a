"""Reading what a request asks: fields of the address and of a JSON body. What is wrong becomes a 400 in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from tailrace.console.limits import PER_PAGE, PER_PAGE_MAX, REQUEST_MAX_BYTES
from tailrace.console.problems import Problem, bad_request

_Item = TypeVar("_Item")


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A number of the query, within its bounds. Beyond `high` it is refused and not made smaller."""
    text = request.query_params.get(name, "")
    return default if text == "" else _whole(name, text, low, high)


def whole_or_none(request: Request, name: str, low: int = 0, high: int = (1 << 63) - 1) -> int | None:
    """As `whole`, None without it."""
    text = request.query_params.get(name, "")
    return None if text == "" else _whole(name, text, low, high)


def choice(request: Request, name: str, choices: Sequence[str]) -> str:
    """One of `choices`, the first without it."""
    text = request.query_params.get(name, "") or choices[0]
    if text not in choices:
        raise bad_request(f"{name} is one of {', '.join(choices)}, not {text!r}.")
    return text


def flag(request: Request, name: str) -> bool:
    """Whether it is true: "true" or "1"; "false", "0" or nothing mean no."""
    return choice(request, name, ("false", "true", "0", "1")) in ("true", "1")


def numbers(request: Request, name: str) -> list[int] | None:
    """Comma separated numbers, None without them."""
    text = request.query_params.get(name, "")
    return None if text == "" else [_whole(name, each, 0, (1 << 31) - 1) for each in text.split(",")]


def paged(request: Request, items: list[_Item], shown: Callable[[_Item], Any] | None = None) -> dict[str, Any]:
    """The page of `items` that is asked for."""
    per_page = whole(request, "per_page", PER_PAGE, 1, PER_PAGE_MAX)
    page = whole(request, "page", 1, 1, 1 << 31)
    chosen = items[(page - 1) * per_page : page * per_page]
    return {
        "items": [shown(each) for each in chosen] if shown else chosen,
        "page": page,
        "per_page": per_page,
        "total": len(items),
        "pages": max(1, -(-len(items) // per_page)),
    }


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; 413 beyond REQUEST_MAX_BYTES, 400 for anything else."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > REQUEST_MAX_BYTES:
            raise Problem(413, "TOO_LARGE", f"A request has at most {REQUEST_MAX_BYTES} bytes.")
        parts.append(part)
    try:
        found = json.loads(b"".join(parts) or b"{}")
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise bad_request("The body is not a JSON object.")
    return found


def text_of(asked: dict[str, Any], name: str) -> str:
    """A text that has to be there."""
    found = asked.get(name)
    if not isinstance(found, str) or not found:
        raise bad_request(f"{name} is missing.")
    return found


def whole_of(asked: dict[str, Any], name: str, low: int, high: int) -> int | None:
    """A number of the body, or None where there is none or null."""
    found = asked.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int):
        raise bad_request(f"{name} is a whole number.")
    return _within(name, found, low, high)


def texts_of(asked: dict[str, Any], name: str) -> dict[str, str]:
    """An object of texts; empty without it. Numbers and booleans are taken as they are written in JSON."""
    found = asked.get(name) or {}
    if not isinstance(found, dict):
        raise bad_request(f"{name} is an object.")
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}


def list_of(asked: dict[str, Any], name: str) -> list[str]:
    """A list of texts; empty without it."""
    found = asked.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise bad_request(f"{name} is a list of texts.")
    return found


def confirmed(asked: dict[str, Any], name: str) -> None:
    """Raise 409 unless the thing is named."""
    if asked.get("confirm") != name:
        raise Problem(409, "NOT_CONFIRMED", f'This needs "confirm": "{name}".', "Name what is to be changed, exactly.")


def _whole(name: str, text: str, low: int, high: int) -> int:
    try:
        return _within(name, int(text), low, high)
    except ValueError as error:
        raise bad_request(f"{name} is a whole number, not {text!r}.") from error


def _within(name: str, number: int, low: int, high: int) -> int:
    if not low <= number <= high:
        raise bad_request(f"{name} is between {low} and {high}, not {number}.")
    return number
