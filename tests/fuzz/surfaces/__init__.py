"""One module a surface: SHARE, its weight, and draw(rng, index), which lays files out in the current folder."""
