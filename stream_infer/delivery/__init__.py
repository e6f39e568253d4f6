"""From a scored batch to a committed offset.

Rule: `AtLeastOnce` and `ExactlyOnce` are the two ways there, and the line does not know which one it has.
"""

from stream_infer.delivery.at_least_once import AtLeastOnce
from stream_infer.delivery.base import Delivery, DeliverySettings
from stream_infer.delivery.exactly_once import ExactlyOnce

__all__ = ["AtLeastOnce", "Delivery", "DeliverySettings", "ExactlyOnce"]
