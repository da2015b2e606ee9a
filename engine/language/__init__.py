"""Source text to a checked tree and a bundle; every issue comes with its place."""
