"""What the network tells people: why, why not, how far; and what it is made of."""
