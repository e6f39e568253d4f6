"""How payments come about: the honest ones with their daily and weekly rhythm, and three patterns of fraud.

Rule: this module decides who pays whom, when, how and how much, and nothing that an upstream system would
work out from history (`stream_infer.testing.payments` does that). Each pattern is one function from episode
starts to drafts; an episode may reach beyond the window it starts in.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from stream_infer.testing.payments_world import (
    CATEGORIES,
    CITIES,
    CITY_UTC_OFFSET_MS,
    DEVICES_PER_CARD,
    FAVOURITES,
    MILLISECONDS_PER_DAY,
    MILLISECONDS_PER_HOUR,
    ONLINE_ZONE,
    Rng,
    World,
)
from stream_infer.types import BoolArray, Float64Array, Int32Array, Int64Array, UInt8Array

CHANNELS = ("chip", "contactless", "swipe", "online", "recurring")
CHIP, CONTACTLESS, SWIPE, ONLINE, RECURRING = range(len(CHANNELS))
NO_DEVICE, NEW_DEVICE = -1, DEVICES_PER_CARD
"""Beside 0 to ``DEVICES_PER_CARD - 1``, the cardholder's own devices."""
CONTACTLESS_LIMIT = 50.0
"""Above this amount a contactless payment asks for the cardholder's PIN."""


class Pattern(enum.IntEnum):
    """What lies behind a payment."""

    HONEST = 0
    STOLEN_CARD = 1
    """A burst of high amounts far from home within an hour or three."""
    COMPROMISED_MERCHANT = 2
    """Many cards of one merchant: tiny test payments there, big ones elsewhere hours later."""
    ACCOUNT_TAKEOVER = 3
    """Days of a slow drift from ordinary amounts to high ones, online, at night, from a new device."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """Payments in the making, struct of arrays. ``device`` is an own device's number or one of the two above.

    ``new_device`` numbers the device of a fraudster's episode (int64, -1 elsewhere), ``device_age_days`` is
    its age (float64, NaN elsewhere).
    """

    time_ms: Int64Array
    card: Int32Array
    merchant: Int32Array
    amount: Float64Array
    channel: UInt8Array
    device: npt.NDArray[np.int8]
    new_device: Int64Array
    device_age_days: Float64Array
    authenticated: BoolArray
    pattern: UInt8Array

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: npt.NDArray[np.integer] | BoolArray) -> Drafts:
        """The named rows, by index or mask."""
        return Drafts(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def concat(parts: Sequence[Drafts]) -> Drafts:
        """All rows of all parts, in order."""
        return Drafts(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Drafts)))


# Relative number of payments in each hour of the day (UTC) and on each day of the week, Monday first.
_HOURLY = np.array([3, 2, 1, 1, 1, 2, 6, 14, 20, 22, 24, 30, 38, 34, 28, 28, 32, 42, 46, 40, 30, 20, 12, 6], float)
_DAILY = np.array([0.92, 0.90, 0.95, 1.0, 1.22, 1.25, 0.76])
_WEEK_HOURS = 7 * 24
_EPOCH_MONDAY_MS = 4 * MILLISECONDS_PER_DAY
"""1970-01-05, the first Monday of the epoch."""


class Rhythm:
    """The expected number of payments up to any moment, and back: a rate that repeats every week."""

    def __init__(self, payments_per_day: float) -> None:
        weight = (_DAILY[:, None] * _HOURLY[None, :]).ravel()
        self._per_week = 7 * payments_per_day
        self._cumulative = np.concatenate([[0.0], np.cumsum(weight) / weight.sum()])
        self._edges_ms = np.arange(_WEEK_HOURS + 1) * float(MILLISECONDS_PER_HOUR)

    def expected(self, time_ms: float) -> float:
        """Payments expected from the epoch's first Monday to ``time_ms``."""
        week, within_ms = divmod(time_ms - _EPOCH_MONDAY_MS, self._edges_ms[-1])
        return float(self._per_week * (week + np.interp(within_ms, self._edges_ms, self._cumulative)))

    def draw_times(self, rng: Rng, start_ms: int, end_ms: int) -> Int64Array:
        """Moments of payments in ``[start_ms, end_ms)``, ascending: a Poisson process of this rate."""
        low, high = self.expected(start_ms), self.expected(end_ms)
        weeks, within = np.divmod(np.sort(rng.uniform(low, high, rng.poisson(high - low))) / self._per_week, 1.0)
        times = _EPOCH_MONDAY_MS + weeks * self._edges_ms[-1] + np.interp(within, self._cumulative, self._edges_ms)
        time_ms: Int64Array = np.clip(times.astype(np.int64), start_ms, end_ms - 1)
        return time_ms


def honest_payments(rng: Rng, world: World, time_ms: Int64Array) -> Drafts:
    """One honest payment at each of ``time_ms``."""
    count = len(time_ms)
    card = world.cards.draw(rng, count)
    merchant = _usual_merchants(rng, world, card)
    amount = _usual_amounts(rng, world, card, merchant)
    channel = _usual_channels(rng, world, merchant, amount)
    device = _usual_devices(rng, channel)
    return Drafts(
        time_ms=time_ms,
        card=card,
        merchant=merchant,
        amount=amount,
        channel=channel,
        device=device,
        new_device=np.where(device == NEW_DEVICE, rng.integers(0, 2**31, count), -1),
        device_age_days=np.where(device == NEW_DEVICE, rng.exponential(1.5, count), np.nan),
        authenticated=_usual_authentication(rng, channel, amount),
        pattern=np.full(count, Pattern.HONEST, np.uint8),
    )


def _usual_merchants(rng: Rng, world: World, card: Int32Array) -> Int32Array:
    # Squaring favours the first favourites; a tenth of the payments go elsewhere, four in ten of those on a journey.
    slot = (FAVOURITES * rng.random(len(card)) ** 2).astype(np.int64)
    merchant = world.cards.favourites[card, slot]
    whim = rng.random(len(card))
    zone = np.where(whim < 0.04, rng.integers(0, ONLINE_ZONE, len(card)), world.cards.city[card])
    zone = np.where(rng.random(len(card)) < 0.3, ONLINE_ZONE, zone)
    return np.where(whim < 0.1, world.merchants.draw(rng, zone), merchant).astype(np.int32)


_LOG_AMOUNT = np.array([category.log_amount for category in CATEGORIES])
_LOG_SPREAD = np.array([category.log_spread for category in CATEGORIES])


def _usual_amounts(rng: Rng, world: World, card: Int32Array, merchant: Int32Array) -> Float64Array:
    category = world.merchants.category[merchant]
    centre = world.cards.log_level[card] + _LOG_AMOUNT[category] + world.merchants.log_price[merchant]
    # One payment in thirty is a big purchase: high amounts alone must not give fraud away.
    treat = np.where(rng.random(len(card)) < 1 / 30, rng.uniform(0.5, 2.5, len(card)), 0.0)
    return _cents(np.exp(centre + treat + _LOG_SPREAD[category] * rng.standard_normal(len(card))))


def _cents(amount: Float64Array) -> Float64Array:
    return np.maximum(np.round(amount, 2), 0.5)


def _usual_channels(rng: Rng, world: World, merchant: Int32Array, amount: Float64Array) -> UInt8Array:
    remote = np.where(rng.random(len(merchant)) < 0.15, RECURRING, ONLINE)
    tap = rng.random(len(merchant)) < np.where(amount <= CONTACTLESS_LIMIT, 0.7, 0.2)
    present = np.where(tap, CONTACTLESS, np.where(rng.random(len(merchant)) < 0.04, SWIPE, CHIP))
    return np.where(world.merchants.online[merchant], remote, present).astype(np.uint8)


def _usual_devices(rng: Rng, channel: UInt8Array) -> npt.NDArray[np.int8]:
    own = (rng.random(len(channel)) ** 2 * DEVICES_PER_CARD).astype(np.int8)
    online = np.where(rng.random(len(channel)) < 0.08, NEW_DEVICE, own)
    wallet = np.where(rng.random(len(channel)) < 0.4, own, NO_DEVICE)
    device = np.where(channel == ONLINE, online, np.where(channel == CONTACTLESS, wallet, NO_DEVICE))
    return device.astype(np.int8)


_AUTHENTICATED_SHARE = np.array([0.98, 0.2, 0.3, 0.7, 0.0])
"""By channel; a contactless payment above the limit always is."""


def _usual_authentication(rng: Rng, channel: UInt8Array, amount: Float64Array) -> BoolArray:
    over_limit = (channel == CONTACTLESS) & (amount > CONTACTLESS_LIMIT)
    asked: BoolArray = over_limit | (rng.random(len(channel)) < _AUTHENTICATED_SHARE[channel])
    return asked


def stolen_cards(rng: Rng, world: World, start_ms: Int64Array) -> Drafts:
    """One stolen card per start: 4 to 13 payments in some other city, up to five times the usual amount."""
    size = rng.integers(4, 14, len(start_ms))
    card = np.repeat(world.cards.draw(rng, len(start_ms)), size)
    hops = rng.integers(1, len(CITIES), len(start_ms))
    zone = (world.cards.city[card] + np.repeat(hops, size)) % len(CITIES)
    time_ms = np.repeat(start_ms, size) + (rng.random(len(card)) * 2.5 * MILLISECONDS_PER_HOUR).astype(np.int64)
    channel = np.where(rng.random(len(card)) < 0.6, SWIPE, CONTACTLESS).astype(np.uint8)
    return Drafts(
        time_ms=time_ms,
        card=card,
        merchant=world.merchants.draw(rng, zone),
        amount=_excess_amounts(rng, world, card, low=0.7, high=5.0),
        channel=channel,
        device=np.full(len(card), NO_DEVICE, np.int8),
        new_device=np.full(len(card), -1),
        device_age_days=np.full(len(card), np.nan),
        authenticated=rng.random(len(card)) < 0.25,
        pattern=np.full(len(card), Pattern.STOLEN_CARD, np.uint8),
    )


def compromised_merchants(rng: Rng, world: World, start_ms: Int64Array) -> Drafts:
    """One merchant per start: 8 to 19 of its cards are tested with cents there, then charged two or three times."""
    victims = rng.integers(8, 20, len(start_ms))
    card = world.cards.draw(rng, int(victims.sum()))
    leak = world.merchants.draw(rng, np.full(len(start_ms), ONLINE_ZONE))
    test_ms = np.repeat(start_ms, victims) + (rng.random(len(card)) * MILLISECONDS_PER_HOUR).astype(np.int64)
    device = np.repeat(rng.integers(0, 2**31, len(start_ms)), victims)
    cents = _cents(rng.uniform(0.5, 3.0, len(card)))
    tests = _remote_fraud(rng, test_ms, card, np.repeat(leak, victims), cents, device)
    charges = rng.integers(2, 4, len(card))
    charged = np.repeat(card, charges)
    delay_ms = (rng.uniform(3, 24, len(charged)) * MILLISECONDS_PER_HOUR).astype(np.int64)
    shops = world.merchants.draw(rng, np.full(len(charged), ONLINE_ZONE))
    amounts = _excess_amounts(rng, world, charged, low=0.7, high=6.0)
    charge_ms = np.repeat(test_ms, charges) + delay_ms
    big = _remote_fraud(rng, charge_ms, charged, shops, amounts, np.repeat(device, charges))
    return Drafts.concat([tests, big])


def _remote_fraud(
    rng: Rng, time_ms: Int64Array, card: Int32Array, merchant: Int32Array, amount: Float64Array, device: Int64Array
) -> Drafts:
    return Drafts(
        time_ms=time_ms,
        card=card,
        merchant=merchant,
        amount=amount,
        channel=np.full(len(card), ONLINE, np.uint8),
        device=np.full(len(card), NEW_DEVICE, np.int8),
        new_device=device,
        device_age_days=rng.exponential(0.7, len(card)),
        authenticated=rng.random(len(card)) < 0.4,
        pattern=np.full(len(card), Pattern.COMPROMISED_MERCHANT, np.uint8),
    )


def account_takeovers(rng: Rng, world: World, start_ms: Int64Array) -> Drafts:
    """One card per start: 8 to 14 online payments over three to six days, later ones higher and deeper in the night."""
    size = rng.integers(8, 15, len(start_ms))
    card = np.repeat(world.cards.draw(rng, len(start_ms)), size)
    first = np.repeat(np.cumsum(size) - size, size)
    progress = (np.arange(len(card)) - first + 0.5) / np.repeat(size, size)
    days = progress * np.repeat(rng.uniform(3, 6, len(start_ms)), size)
    time_ms = _drawn_to_night(rng, world, card, np.repeat(start_ms, size), days, progress)
    ceiling = 0.8 + 4.0 * progress
    return Drafts(
        time_ms=time_ms,
        card=card,
        merchant=world.merchants.draw(rng, np.full(len(card), ONLINE_ZONE)),
        amount=_cents(world.cards.usual_amount[card] * ceiling * rng.uniform(0.6, 1.2, len(card))),
        channel=np.full(len(card), ONLINE, np.uint8),
        device=np.full(len(card), NEW_DEVICE, np.int8),
        new_device=np.repeat(rng.integers(0, 2**31, len(start_ms)), size),
        device_age_days=days + 0.1,
        authenticated=rng.random(len(card)) < 0.6,
        pattern=np.full(len(card), Pattern.ACCOUNT_TAKEOVER, np.uint8),
    )


def _drawn_to_night(
    rng: Rng, world: World, card: Int32Array, start_ms: Int64Array, days: Float64Array, progress: Float64Array
) -> Int64Array:
    """Moments ``days`` after the start; the further the episode, the likelier moved to 00:00-05:00 at home."""
    plain_ms = start_ms + (days * MILLISECONDS_PER_DAY).astype(np.int64)
    offset_ms = CITY_UTC_OFFSET_MS[world.cards.city[card]]
    next_midnight_ms = ((plain_ms + offset_ms) // MILLISECONDS_PER_DAY + 1) * MILLISECONDS_PER_DAY - offset_ms
    night_ms = next_midnight_ms + (rng.random(len(card)) * 5 * MILLISECONDS_PER_HOUR).astype(np.int64)
    return np.where(rng.random(len(card)) < progress, night_ms, plain_ms)


def _excess_amounts(rng: Rng, world: World, card: Int32Array, *, low: float, high: float) -> Float64Array:
    return _cents(world.cards.usual_amount[card] * rng.uniform(low, high, len(card)))


Plot = Callable[[Rng, World, Int64Array], Drafts]
PLOTS: tuple[tuple[Plot, float, float], ...] = (
    (stolen_cards, 0.40, 8.5),
    (compromised_merchants, 0.35, 47.0),
    (account_takeovers, 0.25, 11.0),
)
"""Each pattern, its share of all fraudulent payments, and the payments one episode makes on average."""
