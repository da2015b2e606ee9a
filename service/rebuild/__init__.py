"""Building stored state anew from the event log, as the workers built it: with what was live at each offset."""
