"""Check P53: the budget against the estimate."""

from __future__ import annotations

from onnxport.deploy.cost import estimate, over_budget
from onnxport.deploy.preflight.finding import Said, failed, ok
from onnxport.deploy.preflight.subject import Subject


def within_budget(subject: Subject) -> Said:
    """P53"""
    intent = subject.intent
    told = estimate(intent)
    if fault := over_budget(intent, told):
        what, _, fix = fault.rpartition("; ")
        return failed(what, fix)
    limit = f"within {intent.budget:,.2f}" if intent.budget else "no budget is set"
    month = told.month
    return ok(
        f"about {month.expected:,.2f} USD a month ({month.low:,.2f} to {month.high:,.2f}), prices of {told.date}; "
        f"{limit}"
    )
