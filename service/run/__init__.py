"""Everything on one machine: children processes, and what a first start prepares."""
