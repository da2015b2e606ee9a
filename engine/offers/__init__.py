"""Eligibility, arbitration, caps, budgets and holdouts."""
