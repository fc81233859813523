"""Studies: what takes minutes and is recorded, and what the maintainer runs."""
