"""What model calls cost."""

from runwright.models.prices.book import Prices, price_lists
from runwright.models.prices.files import read_file, read_prices
from runwright.models.prices.price import Price, Rate, quantities

__all__ = ["Price", "Prices", "Rate", "price_lists", "quantities", "read_file", "read_prices"]
