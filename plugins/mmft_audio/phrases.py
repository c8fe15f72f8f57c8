"""A small grammar of numbers and commands, from about a hundred words."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

# fmt: off
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
# fmt: on
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ROOMS = ["kitchen", "bedroom", "bathroom", "garden", "hall"]
_NAMES = ["anna", "peter", "mary", "john", "susan", "oliver"]
_DAYS = ["today", "tomorrow", "monday", "friday", "sunday"]


def spelled(number: int) -> str:
    """A number below 1,000 in words."""
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_SMALL[hundreds]} hundred" + (f" and {spelled(rest)}" if rest else "")


def _number(draw: random.Random, least: int, most: int) -> str:
    return spelled(draw.randint(least, most))


def _timer(draw: random.Random) -> str:
    start = draw.choice(["set a timer for", "start a timer of", "count down from"])
    return f"{start} {_number(draw, 2, 99)} {draw.choice(['minutes', 'seconds'])}"


def _alarm(draw: random.Random) -> str:
    if draw.random() < 0.5:
        part = draw.choice(["half past", "quarter past", "quarter to"])
        return f"wake me {draw.choice(_DAYS)} at {part} {_number(draw, 1, 12)}"
    return f"set an alarm for {_number(draw, 1, 12)} {_number(draw, 10, 59)}"


def _light(draw: random.Random) -> str:
    room = draw.choice(_ROOMS)
    if draw.random() < 0.3:
        return f"turn {draw.choice(['on', 'off'])} {_number(draw, 2, 12)} lights in the {room}"
    return f"set the light in the {room} to {_number(draw, 1, 99)} percent"


def _heating(draw: random.Random) -> str:
    room, change = draw.choice(_ROOMS), draw.choice(["warmer", "colder"])
    return f"make the {room} {change} by {_number(draw, 2, 20)} degrees"


def _music(draw: random.Random) -> str:
    which = (
        f"{_number(draw, 1, 99)} of {draw.choice(['my', 'the'])} {draw.choice(['songs', 'list'])}"
    )
    return f"play number {which} {draw.choice(['again', 'in the ' + draw.choice(_ROOMS)])}"


def _volume(draw: random.Random) -> str:
    way = draw.choice(["up", "down"])
    return f"turn the volume {way} {draw.choice(['to', 'by'])} {_number(draw, 1, 99)}"


def _call(draw: random.Random) -> str:
    if draw.random() < 0.5:
        return "call " + " ".join(draw.choice(_SMALL[:10]) for _ in range(4))
    where = draw.choice(["at work", "at home", "now"])
    return f"call {draw.choice(_NAMES)} {where} in {_number(draw, 2, 59)} minutes"


def _weather(draw: random.Random) -> str:
    if draw.random() < 0.5:
        return f"what is the weather {draw.choice(_DAYS)} at {_number(draw, 1, 12)}"
    coming = draw.choice(["rain", "snow"])
    return f"will it {coming} in {_number(draw, 2, 40)} {draw.choice(['hours', 'days'])}"


def _navigation(draw: random.Random) -> str:
    start = draw.choice(["turn", "go"])
    way, unit = draw.choice(["left", "right"]), draw.choice(["metres", "miles"])
    return f"{start} {way} after {_number(draw, 2, 200)} {unit}"


PHRASES: Mapping[str, Callable[[random.Random], str]] = {
    "alarm": _alarm,
    "call": _call,
    "heating": _heating,
    "light": _light,
    "music": _music,
    "navigation": _navigation,
    "number": lambda draw: _number(draw, 100, 999),
    "timer": _timer,
    "volume": _volume,
    "weather": _weather,
}
"""What each kind of command draws."""
