"""Micro-benchmarks of the machine at hand; the only place that imports torch."""
