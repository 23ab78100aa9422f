"""What a request holds, and the row of numbers the model was fitted on."""

from typing import Literal

from pydantic import BaseModel, Field


class Customer(BaseModel):
    tenure_months: int = Field(ge=0, le=600, description="Months since the customer signed up")
    monthly_charges: float = Field(gt=0, le=10_000, description="Last bill, in EUR")
    contract: Literal["monthly", "yearly", "two years"] = Field(
        description="How long the customer is bound"
    )
    support_calls: int = Field(
        default=0, ge=0, le=1000, description="Calls to support in the last 90 days"
    )


def as_row(customer: Customer) -> dict[str, float]:
    """The model's features by name, in the order in which it was fitted."""
    return {
        "tenure_months": customer.tenure_months,
        "monthly_charges": customer.monthly_charges,
        "monthly_contract": customer.contract == "monthly",
        "two_year_contract": customer.contract == "two years",
        "support_calls": customer.support_calls,
    }
