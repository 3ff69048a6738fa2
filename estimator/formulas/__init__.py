"""The science: pure functions of floats or arrays, SI units, every one cited. One module per topic of the field."""
