"""An answer that fits a Python type.

runwright run invoice "Invoice 17 from Acme over 120 EUR" --agents examples/features
"""

from pydantic import BaseModel

from runwright import Agent


class Invoice(BaseModel):
    """What an invoice says."""

    number: int
    company: str
    currency: str


agent = Agent("invoice", instructions="Read the invoice.", output=Invoice, limits={"output_retries": 3})
