"""The example shop: a page that sends events, asks for decisions, and shows why."""
