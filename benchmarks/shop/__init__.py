"""The shop workload: a seeded stream of shoppers and rules over their sessions, with the exact firings to expect.

`generate.py` writes a folder with `events.jsonl` (one event a line, ordered by `ts` in ms; equal times happen in line
order) and `rules.json`. A rule holds at `now` when the cart's total (added less removed, over the session) is greater
than `total_over` cents, a checkout view lies in the checkout window, no purchase in the purchase window, the last
`identify` gave its tier, and at least `min_views` product views of its category lie in the view window. An event is in a
window of length W when `now - ts < W`. `reference.py` computes the firings from scratch; `translation.py` says the same
rules in the rule language.
"""
