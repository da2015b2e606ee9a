"""From quantities that changed to the rules that became true, and which of them act, in which order."""
