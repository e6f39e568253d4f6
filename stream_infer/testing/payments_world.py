"""The people and shops behind the generated payments: cards, merchants, categories, places.

Rule: a world is drawn once from a seed and never changes. Everything is a column, row ``i`` speaks of card
``i`` or merchant ``i``, so that a payment is two integers until somebody asks for text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_infer.types import BoolArray, Float64Array, Int32Array, Int64Array

Rng = np.random.Generator

MILLISECONDS_PER_HOUR = 3_600_000
MILLISECONDS_PER_DAY = 24 * MILLISECONDS_PER_HOUR
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True)
class City:
    """A place where cards live and merchants trade. ``utc_offset_hours`` ignores summer time."""

    country: str
    currency: str
    lat: float
    lon: float
    weight: float
    utc_offset_hours: int


@dataclass(frozen=True, slots=True)
class Category:
    """A line of trade: natural log of the typical amount, its spread, share of merchants, share that is online."""

    name: str
    log_amount: float
    log_spread: float
    share: float
    online_share: float


CITIES = (
    City("GB", "GBP", 51.51, -0.13, 9.0, 0),
    City("GB", "GBP", 53.48, -2.24, 3.0, 0),
    City("IE", "EUR", 53.35, -6.26, 1.5, 0),
    City("PT", "EUR", 38.72, -9.14, 1.5, 0),
    City("FR", "EUR", 48.86, 2.35, 7.0, 1),
    City("FR", "EUR", 45.76, 4.84, 2.0, 1),
    City("DE", "EUR", 52.52, 13.41, 5.0, 1),
    City("DE", "EUR", 48.14, 11.58, 3.0, 1),
    City("DE", "EUR", 53.55, 9.99, 2.5, 1),
    City("ES", "EUR", 40.42, -3.70, 4.0, 1),
    City("ES", "EUR", 41.39, 2.17, 3.0, 1),
    City("IT", "EUR", 41.90, 12.50, 3.5, 1),
    City("IT", "EUR", 45.46, 9.19, 3.0, 1),
    City("NL", "EUR", 52.37, 4.90, 2.0, 1),
    City("AT", "EUR", 48.21, 16.37, 2.0, 1),
    City("PL", "PLN", 52.23, 21.01, 2.5, 1),
    City("SE", "SEK", 59.33, 18.07, 1.5, 1),
    City("DK", "DKK", 55.68, 12.57, 1.0, 1),
    City("FI", "EUR", 60.17, 24.94, 1.0, 2),
    City("GR", "EUR", 37.98, 23.73, 1.5, 2),
)
CATEGORIES = (
    Category("grocery", 3.3, 0.6, 0.18, 0.08),
    Category("restaurant", 3.0, 0.5, 0.20, 0.05),
    Category("fuel", 3.8, 0.3, 0.06, 0.0),
    Category("transport", 1.8, 0.6, 0.08, 0.4),
    Category("clothing", 3.9, 0.6, 0.11, 0.4),
    Category("electronics", 4.8, 0.8, 0.06, 0.5),
    Category("travel", 5.2, 0.7, 0.04, 0.8),
    Category("health", 3.4, 0.6, 0.08, 0.1),
    Category("entertainment", 3.1, 0.5, 0.07, 0.4),
    Category("utilities", 4.2, 0.4, 0.03, 0.9),
    Category("digital_goods", 2.3, 0.7, 0.05, 1.0),
    Category("cash", 4.2, 0.5, 0.04, 0.0),
)
CATEGORY_NAMES = tuple(category.name for category in CATEGORIES)
CURRENCIES = tuple(sorted({city.currency for city in CITIES}))
COUNTRIES = tuple(sorted({city.country for city in CITIES}))
ONLINE_ZONE = len(CITIES)
"""The zone of merchants without a place; zones below it are indices into `CITIES`."""
FAVOURITES = 16
"""Merchants that a card returns to. Enough for variety, small enough that habits show within days."""
DEVICES_PER_CARD = 2

CITY_LAT = np.array([city.lat for city in CITIES])
CITY_LON = np.array([city.lon for city in CITIES])
CITY_CURRENCY = np.array([CURRENCIES.index(city.currency) for city in CITIES], np.int32)
CITY_COUNTRY = np.array([COUNTRIES.index(city.country) for city in CITIES], np.int32)
CITY_UTC_OFFSET_MS = np.array([city.utc_offset_hours * MILLISECONDS_PER_HOUR for city in CITIES], np.int64)


@dataclass(frozen=True, slots=True)
class Merchants:
    """Columns with one row per merchant, sorted by zone; ``zone_start`` int64 ``[zones + 1]`` bounds each zone.

    ``city`` is where the merchant is registered, ``zone`` where it trades (`ONLINE_ZONE` for no place).
    """

    category: Int32Array
    city: Int32Array
    zone: Int32Array
    lat: Float64Array
    lon: Float64Array
    log_price: Float64Array
    zone_start: Int64Array

    def __len__(self) -> int:
        return len(self.category)

    @property
    def online(self) -> BoolArray:
        """True for merchants without a place, bool ``[merchants]``."""
        online: BoolArray = self.zone == ONLINE_ZONE
        return online

    def draw(self, rng: Rng, zones: npt.NDArray[np.integer]) -> Int32Array:
        """One merchant of each of ``zones``, every merchant of a zone being equally likely."""
        start = self.zone_start[zones]
        size = self.zone_start[zones + 1] - start
        rows: Int64Array = start + (rng.random(len(zones)) * size).astype(np.int64)
        return rows.astype(np.int32)


@dataclass(frozen=True, slots=True)
class Cards:
    """Columns with one row per card.

    ``cumulative_activity`` rises to 1 and is what cards are drawn by; ``usual_amount`` is what an issuer's
    profile would hold; ``favourites`` is int32 ``[cards, FAVOURITES]``; ``device_age_days`` is float64
    ``[cards, DEVICES_PER_CARD]`` at the start of the stream.
    """

    city: Int32Array
    lat: Float64Array
    lon: Float64Array
    log_level: Float64Array
    usual_amount: Float64Array
    cumulative_activity: Float64Array
    opened_days: Int32Array
    credit_limit: Float64Array
    favourites: Int32Array
    device_age_days: Float64Array

    def __len__(self) -> int:
        return len(self.city)

    def draw(self, rng: Rng, count: int) -> Int32Array:
        """``count`` cards, busy ones more often."""
        rows = np.searchsorted(self.cumulative_activity, rng.random(count), side="right")
        return np.minimum(rows, len(self) - 1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class World:
    """All cards and merchants of one seed."""

    cards: Cards
    merchants: Merchants

    @classmethod
    def draw(cls, seed: int, cards: int, merchants: int) -> World:
        """The world of ``seed``: the same one for the same three numbers."""
        rng = np.random.default_rng([seed, 0])
        shops = _draw_merchants(rng, merchants)
        return cls(_draw_cards(rng, cards, shops), shops)


def distance_km(lat_a: Float64Array, lon_a: Float64Array, lat_b: Float64Array, lon_b: Float64Array) -> Float64Array:
    """Great-circle distance between points in degrees; NaN where a coordinate is NaN."""
    phi_a, phi_b = np.radians(lat_a), np.radians(lat_b)
    half_lat = np.sin((phi_b - phi_a) / 2)
    half_lon = np.sin(np.radians(lon_b - lon_a) / 2)
    chord = half_lat**2 + np.cos(phi_a) * np.cos(phi_b) * half_lon**2
    distance: Float64Array = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(chord))
    return distance


def _draw_cities(rng: Rng, count: int) -> Int32Array:
    weights = np.array([city.weight for city in CITIES])
    return rng.choice(len(CITIES), count, p=weights / weights.sum()).astype(np.int32)


def _draw_merchants(rng: Rng, count: int) -> Merchants:
    shares = np.array([category.share for category in CATEGORIES])
    online_share = np.array([category.online_share for category in CATEGORIES])
    category = rng.choice(len(CATEGORIES), count, p=shares / shares.sum()).astype(np.int32)
    city = _draw_cities(rng, count)
    zone = np.where(rng.random(count) < online_share[category], ONLINE_ZONE, city).astype(np.int32)
    # No zone may be empty, or nobody who lives there could pay: the first merchants fill one zone each.
    zone[: ONLINE_ZONE + 1] = np.arange(ONLINE_ZONE + 1)
    city[:ONLINE_ZONE] = np.arange(ONLINE_ZONE)
    order = np.argsort(zone, kind="stable")
    category, city, zone = category[order], city[order], zone[order]
    return Merchants(
        category=category,
        city=city,
        zone=zone,
        lat=CITY_LAT[city] + rng.normal(0, 0.06, count),
        lon=CITY_LON[city] + rng.normal(0, 0.08, count),
        log_price=rng.normal(0, 0.25, count),
        zone_start=np.searchsorted(zone, np.arange(ONLINE_ZONE + 2)).astype(np.int64),
    )


def _draw_cards(rng: Rng, count: int, merchants: Merchants) -> Cards:
    city = _draw_cities(rng, count)
    log_level = rng.normal(0, 0.45, count)
    favourites = _draw_favourites(rng, city, merchants)
    typical = np.array([category.log_amount for category in CATEGORIES])
    usual = np.exp(log_level[:, None] + (typical[merchants.category] + merchants.log_price)[favourites]).mean(axis=1)
    activity = rng.gamma(2.0, 0.5, count)
    return Cards(
        city=city,
        lat=CITY_LAT[city] + rng.normal(0, 0.08, count),
        lon=CITY_LON[city] + rng.normal(0, 0.10, count),
        log_level=log_level,
        usual_amount=usual * np.exp(rng.normal(0, 0.15, count)),
        cumulative_activity=np.cumsum(activity) / activity.sum(),
        opened_days=rng.integers(20, 4000, count).astype(np.int32),
        credit_limit=np.round(1500 * np.exp(log_level + rng.normal(0, 0.3, count)), -2),
        favourites=favourites,
        device_age_days=rng.exponential(400, (count, DEVICES_PER_CARD)) + 1,
    )


def _draw_favourites(rng: Rng, city: Int32Array, merchants: Merchants) -> Int32Array:
    online = rng.random((len(city), FAVOURITES)) < 0.25
    zones = np.where(online, ONLINE_ZONE, city[:, None])
    return merchants.draw(rng, zones.ravel()).reshape(zones.shape)
