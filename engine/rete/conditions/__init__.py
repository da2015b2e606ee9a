"""What a condition is to the network: the quantities it looks at, its tests, and Kleene's truth of it."""
