"""A seeded stream of card payments with fraud in it: what the demo shows and the tests eat.

    stream = PaymentStream(seed=7)
    payments = stream.columns(10_000)
    events = payments.to_avro(), payments.keys()

Rule: the same seed and sizes give the same payments, however they are asked for: one by one, or a million at
once. The stream is therefore made in windows of event time, each from its own random numbers, and cut to what
the caller wants.

What an upstream system would know is worked out here, from the history of the stream: the time since the
card's last payment, counts of the last hour, distance from home. The model needs no state of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream_infer.testing.payments_columns import PaymentColumns, as_float32
from stream_infer.testing.payments_patterns import (
    NEW_DEVICE,
    NO_DEVICE,
    PLOTS,
    Drafts,
    Pattern,
    Rhythm,
    honest_payments,
)
from stream_infer.testing.payments_world import (
    CITY_COUNTRY,
    CITY_CURRENCY,
    CITY_UTC_OFFSET_MS,
    DEVICES_PER_CARD,
    MILLISECONDS_PER_DAY,
    MILLISECONDS_PER_HOUR,
    Rng,
    World,
    distance_km,
)
from stream_infer.types import BoolArray, Float64Array, Int32Array, Int64Array

DEFAULT_START_MS = 1_767_571_200_000
"""Monday 2026-01-05 00:00 UTC."""
PAYMENTS_PER_CARD_AND_DAY = 3.0
TINY_AMOUNT = 5.0
_WINDOW_PAYMENTS = 16_384
"""Payments made in one go, about: enough to make numpy's cost per call small, few enough to stay in the cache."""
_WARM_UP_MS = 2 * MILLISECONDS_PER_DAY
"""Made and thrown away before ``start_ms``, so that a stream does not begin without history or fraud under way."""


class PaymentStream:
    """An endless stream of payments.

    Args:
        seed: any integer from 0; other seeds give other cards, merchants and payments.
        cards: number of cards, at least 1.
        merchants: number of merchants, at least 32 (every city has some, and so has the internet).
        start_ms: event time of the beginning, milliseconds since the epoch.
        fraud_rate: expected share of fraudulent payments, from 0 to below 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        seed: int,
        *,
        cards: int = 5_000,
        merchants: int = 2_000,
        start_ms: int = DEFAULT_START_MS,
        fraud_rate: float = 0.01,
    ) -> None:
        if seed < 0 or cards < 1 or merchants < 32 or not 0 <= fraud_rate < 1:
            raise ValueError("PaymentStream needs seed >= 0, cards >= 1, merchants >= 32 and 0 <= fraud_rate < 1.")
        self._seed = seed
        self._world = World.draw(seed, cards, merchants)
        self._rhythm = Rhythm(cards * PAYMENTS_PER_CARD_AND_DAY)
        self._fraud_odds = fraud_rate / (1 - fraud_rate)
        self._window_ms = _window_ms(cards * PAYMENTS_PER_CARD_AND_DAY)
        self._history = _History(cards)
        self._pending: Drafts | None = None
        self._start_ms = start_ms
        self._window_start_ms = start_ms - _WARM_UP_MS
        self._windows = 0
        self._made = 0
        self._ready: list[PaymentColumns] = []

    def columns(self, n: int) -> PaymentColumns:
        """The next ``n`` payments (at least 1) in the order of their event times."""
        if n < 1:
            raise ValueError("Ask for at least one payment.")
        while sum(map(len, self._ready)) < n:
            self._make_window()
        ready = PaymentColumns.concat(self._ready) if len(self._ready) > 1 else self._ready[0]
        self._ready = [ready.slice(n, len(ready))]
        return ready.slice(0, n)

    def _make_window(self) -> None:
        rng = np.random.default_rng([self._seed, 1, self._windows])
        start_ms, end_ms = self._window_start_ms, self._window_start_ms + self._window_ms
        drafts = self._drafts(rng, start_ms, end_ms)
        payments = self._complete(rng, drafts)
        if end_ms > self._start_ms:
            first = int(np.searchsorted(payments.event_time_ms, self._start_ms))
            self._keep(payments.slice(first, len(payments)))
        self._window_start_ms = end_ms
        self._windows += 1

    def _keep(self, payments: PaymentColumns) -> None:
        payments.number[:] = np.arange(self._made, self._made + len(payments))
        self._made += len(payments)
        self._ready.append(payments)

    def _drafts(self, rng: Rng, start_ms: int, end_ms: int) -> Drafts:
        """Everything paid in the window, in time order; what its episodes do later is kept for later windows."""
        honest = honest_payments(rng, self._world, self._rhythm.draw_times(rng, start_ms, end_ms))
        parts = [honest] if self._pending is None else [self._pending, honest]
        for plot, share, payments_per_episode in PLOTS:
            episodes = rng.poisson(len(honest) * self._fraud_odds * share / payments_per_episode)
            # Fraud begins when cards are used: its share is about the same by day and by night.
            parts.append(plot(rng, self._world, np.sort(rng.choice(honest.time_ms, episodes))))
        drafts = Drafts.concat(parts)
        later = drafts.time_ms >= end_ms
        self._pending = drafts.take(later)
        now = drafts.take(~later)
        return now.take(np.argsort(now.time_ms, kind="stable"))

    def _complete(self, rng: Rng, drafts: Drafts) -> PaymentColumns:
        """Drafts with all that follows from the world and from history."""
        cards, merchants = self._world.cards, self._world.merchants
        present = ~merchants.online[drafts.merchant]
        lat = np.where(present, np.round(merchants.lat[drafts.merchant], 5), np.nan)
        lon = np.where(present, np.round(merchants.lon[drafts.merchant], 5), np.nan)
        home, shop = cards.city[drafts.card], merchants.city[drafts.merchant]
        elapsed_days = (drafts.time_ms - self._start_ms) / MILLISECONDS_PER_DAY
        since_last, card_count, tiny_count = self._history.observe(drafts)
        distance = distance_km(cards.lat[drafts.card], cards.lon[drafts.card], lat, lon)
        return PaymentColumns(
            number=np.zeros(len(drafts), np.int64),
            card=drafts.card,
            merchant=drafts.merchant,
            merchant_category=merchants.category[drafts.merchant],
            amount=drafts.amount,
            currency=CITY_CURRENCY[home],
            event_time_ms=drafts.time_ms,
            channel=drafts.channel,
            country=CITY_COUNTRY[shop],
            lat=lat,
            lon=lon,
            local_hour=_local_hour(drafts.time_ms, home),
            card_age_days=(cards.opened_days[drafts.card] + np.floor(elapsed_days)).astype(np.int32),
            credit_limit=as_float32(cards.credit_limit[drafts.card]),
            device=_device_numbers(drafts),
            device_age_days=as_float32(np.round(self._device_age(drafts, elapsed_days), 2)),
            authenticated=drafts.authenticated,
            cross_border=CITY_COUNTRY[home] != CITY_COUNTRY[shop],
            seconds_since_last=since_last,
            payments_last_hour=card_count,
            merchant_tiny_last_hour=tiny_count,
            amount_ratio=as_float32(np.round(drafts.amount / cards.usual_amount[drafts.card], 3)),
            distance_from_home_km=as_float32(np.round(distance, 2)),
            pattern=drafts.pattern,
            label_known_at_ms=_label_known_at(rng, drafts),
        )

    def _device_age(self, drafts: Drafts, elapsed_days: Float64Array) -> Float64Array:
        own = np.clip(drafts.device, 0, DEVICES_PER_CARD - 1)
        age = self._world.cards.device_age_days[drafts.card, own] + np.maximum(elapsed_days, 0.0)
        age = np.where(drafts.device == NEW_DEVICE, drafts.device_age_days, age)
        return np.where(drafts.device == NO_DEVICE, np.nan, age)


class _History:
    """What an upstream system remembers of cards and merchants. Windows are observed in time order."""

    def __init__(self, cards: int) -> None:
        self._last_ms = np.full(cards, -1, np.int64)
        self._by_card = _HourlyCount()
        self._tiny_by_merchant = _HourlyCount()

    def observe(self, drafts: Drafts) -> tuple[Int64Array, Int32Array, Int32Array]:
        """Seconds since the card's last payment (-1: none), its payments, and the merchant's tiny ones, of the hour."""
        tiny = drafts.amount < TINY_AMOUNT
        everything = np.ones(len(drafts), np.bool_)
        return (
            self._seconds_since_last(drafts),
            self._by_card.observe(drafts.card, drafts.time_ms, everything),
            self._tiny_by_merchant.observe(drafts.merchant, drafts.time_ms, tiny),
        )

    def _seconds_since_last(self, drafts: Drafts) -> Int64Array:
        order = np.argsort(drafts.card, kind="stable")
        card, time_ms = drafts.card[order], drafts.time_ms[order]
        previous = np.empty_like(time_ms)
        previous[1:] = time_ms[:-1]
        first = np.concatenate([[True], card[1:] != card[:-1]])[: len(card)]
        previous[first] = self._last_ms[card[first]]
        last = np.concatenate([card[1:] != card[:-1], [True]])[-len(card) :] if len(card) else first
        self._last_ms[card[last]] = time_ms[last]
        seconds = np.empty_like(time_ms)
        seconds[order] = np.where(previous < 0, -1, (time_ms - previous) // 1000)
        return seconds


class _HourlyCount:
    """Counts, for each event, the counted events of the same id in the hour before it."""

    def __init__(self) -> None:
        self._ids = np.empty(0, np.int32)
        self._times_ms = np.empty(0, np.int64)

    def observe(self, ids: Int32Array, times_ms: Int64Array, counted: BoolArray) -> Int32Array:
        """Counts int32 ``[n]`` for events in time order; those with ``counted`` count for later ones."""
        known_ids = np.concatenate([self._ids, ids[counted]])
        known_ms = np.concatenate([self._times_ms, times_ms[counted]])
        counts = _count_before(known_ids, known_ms, ids, times_ms)
        recent = known_ms > (times_ms[-1] if len(times_ms) else 0) - MILLISECONDS_PER_HOUR
        self._ids, self._times_ms = known_ids[recent], known_ms[recent]
        return counts


def _count_before(
    known_ids: Int32Array, known_ms: Int64Array, ids: Int32Array, times_ms: Int64Array
) -> npt.NDArray[np.int32]:
    """How many known events of the same id lie in ``[time - 1 hour, time)``."""
    if len(ids) == 0:
        return np.empty(0, np.int32)
    # One number per (id, moment), with more than an hour between the last moment of an id and the first of the next.
    origin = min(int(known_ms.min(initial=times_ms[0])), int(times_ms[0]))
    span = int(times_ms[-1]) - origin + MILLISECONDS_PER_HOUR + 1
    known = np.sort(known_ids.astype(np.int64) * span + (known_ms - origin))
    moment = ids.astype(np.int64) * span + (times_ms - origin)
    low = np.searchsorted(known, moment - MILLISECONDS_PER_HOUR, side="left")
    return (np.searchsorted(known, moment, side="left") - low).astype(np.int32)


def _window_ms(payments_per_day: float) -> int:
    """The length of a window: whole minutes, about `_WINDOW_PAYMENTS` payments, at most a day."""
    minutes = max(1, round(_WINDOW_PAYMENTS / payments_per_day * 24 * 60))
    return min(minutes * 60_000, MILLISECONDS_PER_DAY)


def _local_hour(time_ms: Int64Array, city: Int32Array) -> Int32Array:
    return ((time_ms + CITY_UTC_OFFSET_MS[city]) // MILLISECONDS_PER_HOUR % 24).astype(np.int32)


def _device_numbers(drafts: Drafts) -> Int64Array:
    # Numbers of new devices start behind every own one: 2**31 cards with two devices each.
    own = drafts.card.astype(np.int64) * DEVICES_PER_CARD + drafts.device
    number = np.where(drafts.device == NEW_DEVICE, 2**32 + drafts.new_device, own)
    return np.where(drafts.device == NO_DEVICE, -1, number)


def _label_known_at(rng: Rng, drafts: Drafts) -> Int64Array:
    """Fraud is reported after 1 to 25 days or so; everything else counts as honest when 45 days have passed."""
    days = np.where(drafts.pattern == Pattern.HONEST, 45.0, 1.0 + rng.gamma(2.0, 3.0, len(drafts)))
    return drafts.time_ms + (days * MILLISECONDS_PER_DAY).astype(np.int64)


__all__ = ["DEFAULT_START_MS", "Pattern", "PaymentColumns", "PaymentStream"]
